"""From what a meter took down to its report: both energies, which to trust, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from simtool.engine.power.counter import FROZEN_AFTER_S, EnergyCounter, energy_at_mark
from simtool.engine.power.integral import EnergyCurve, Floats, Integral, Integrator
from simtool.engine.power.meter import (
    GAP_FLAGGED_FRAC,
    EnergyReport,
    IntervalEnergy,
    MeterKind,
)
from simtool.engine.power.probe import Identity
from simtool.engine.power.windows import Sensor

MARGIN_FRAC = 0.1
"""A counter this far outside what the samples permit is not believed; twice the calibration error."""
LONG_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything that a meter took down."""

    identity: Identity
    columns: dict[str, Floats]
    counter: EnergyCounter
    marks: tuple[tuple[str, float], ...]
    """Label and moment; the first is the start."""
    start_s: float
    end_s: float
    lost_s: float | None
    num_faults: int
    period_s: tuple[float, float]
    notes: tuple[str, ...]


def reckon(record: Record) -> EnergyReport:
    """The report of a record."""
    return _Reckoning(record).report()


@dataclass(slots=True)
class _Channel:
    sensor: Sensor
    integrator: Integrator


@dataclass(slots=True)
class _Reckoning:
    record: Record
    notes: list[str] = field(default_factory=list)
    is_failed: bool = False
    _channels: list[_Channel] = field(default_factory=list)
    _curve: EnergyCurve | None = None
    _measured_end_s: float = math.nan

    def __post_init__(self) -> None:
        record = self.record
        self.notes.extend(record.notes)
        self._measured_end_s = record.end_s if record.lost_s is None else min(record.lost_s, record.end_s)
        identity = record.identity
        for column, sensor in (("power_w", identity.sensor), ("power_average_w", identity.average_sensor)):
            if sensor is None:
                continue
            known = ~np.isnan(record.columns[column])
            if known.sum() >= 2:
                times_s, values_w = record.columns["time_s"][known], record.columns[column][known]
                self._channels.append(
                    _Channel(sensor, Integrator(times_s, values_w, sensor, self._ceiling_w()))
                )
        self._curve = self._counter_curve()
        self._check_pauses()

    def _ceiling_w(self) -> float:
        limits = self.record.columns["limit_w"]
        known = limits[~np.isnan(limits)]
        return float(known.max()) if len(known) else self.record.identity.ceiling_w

    # ------------------------------------------------------------------------------------------- the integral

    def _channel(self, duration_s: float) -> _Channel | None:
        """The channel that sees most: a long mean is complete, but only over a few times its length."""
        fitting = [
            channel
            for channel in self._channels
            if channel.sensor.window_s < 1.5 * channel.sensor.update_s
            or duration_s >= 3 * channel.sensor.window_s
        ]
        return max(fitting or self._channels, key=lambda channel: channel.sensor.seen_frac, default=None)

    def _integral(self, start_s: float, end_s: float) -> Integral | None:
        channel = self._channel(end_s - start_s)
        return None if channel is None or end_s <= start_s else channel.integrator.over(start_s, end_s)

    # -------------------------------------------------------------------------------------------- the counter

    def _counter_curve(self) -> EnergyCurve | None:
        """Energy over time by the counter; holes and a frozen end are filled from the samples and told."""
        record, counter = self.record, self.record.counter
        if not record.identity.has_counter:
            return None
        if record.identity.is_exact:
            return self._exact_curve()
        if len(counter.ticks_s) < 3:
            is_long = self._measured_end_s - record.start_s > FROZEN_AFTER_S
            if is_long and counter.num_reads and (self._is_drawing() or record.identity.sensor is None):
                self._fail("the energy counter stood still while power was drawn: it is not used")
            return None
        times, energies = counter.moments(), np.array(counter.ticks_j)
        for begin_s, end_s in counter.holes:
            after = times > begin_s
            if not after.any() or not self._channels:
                self._fail("the energy counter started anew and no samples tell what was used meanwhile")
                return None
            first = int(np.argmax(after))
            lost_j = self._channels[0].integrator.curve.between(times[max(first - 1, 0)], times[first])
            energies[first:] += lost_j
            self._fail(
                f"the energy counter started anew or jumped at {end_s - record.start_s:.3g} s after the start "
                f"(driver reloaded?): {lost_j:.3g} J come from the samples"
            )
        if counter.num_wraps:
            self.notes.append(f"the energy counter wrapped {counter.num_wraps} times; this was undone")
        since_s = self._measured_end_s - times[-1]
        if since_s > FROZEN_AFTER_S and self._channels and self._is_drawing(float(times[-1])):
            rest_j = self._channels[0].integrator.curve.between(float(times[-1]), self._measured_end_s)
            times = np.append(times, self._measured_end_s)
            energies = np.append(energies, energies[-1] + rest_j)
            self._fail(
                f"the energy counter stood still for the last {since_s:.3g} s: {rest_j:.3g} J come from the samples"
            )
        keep = np.concatenate(([True], np.diff(times) > 0))
        return EnergyCurve(times[keep], energies[keep])

    def _exact_curve(self) -> EnergyCurve | None:
        """The curve of a counter that is exact whenever it is read, and has no power beside it."""
        record, counter = self.record, self.record.counter
        if (
            not counter.ticks_s
            and record.identity.kind == "measured"
            and self._measured_end_s - record.start_s > 1
        ):
            self._fail("the energy counter stood still all the time: nothing is known")
            return None
        times = np.array([*(counter.ticks_s or [record.start_s]), self._measured_end_s])
        energies = np.array([*(counter.ticks_j or [0.0]), counter.total_j])
        if counter.holes:
            self._fail("the energy counter started anew: what was used meanwhile is missing")
        if counter.num_wraps:
            self.notes.append(f"the energy counter wrapped {counter.num_wraps} times; this was undone")
        keep = np.concatenate(([True], np.diff(times) > 0))
        return EnergyCurve(times[keep], energies[keep])

    def _is_drawing(self, since_s: float = -math.inf) -> bool:
        powers = self.record.columns["power_w"][self.record.columns["time_s"] > since_s]
        known = powers[~np.isnan(powers)]
        return bool(len(known) and known.mean() > 1.0)

    def _counter_error_j(self, start_s: float, end_s: float) -> float:
        """Standard error of the counter's energy of an interval: its ends fall somewhere within a tick."""
        if self.record.identity.is_exact:
            return 0.0
        times = self.record.columns["time_s"]
        around = slice(np.searchsorted(times, start_s - 0.2), np.searchsorted(times, end_s + 0.2))
        times, powers = times[around], self.record.columns["power_w"][around]
        powers = powers[~np.isnan(powers)]
        if len(powers) < 2:
            return 0.0
        tick_s = self.record.counter.tick_s
        tick_s = self.record.identity.longest_tick_s if math.isnan(tick_s) else tick_s
        # Within a tick the power is taken as constant. If it changes by `swing` at a uniform moment, and the interval
        # ends at another, the error has a standard deviation of swing x tick / sqrt(30). When the tick came is known
        # to within one period of reading.
        bend_j = float(np.ptp(powers)) * tick_s / math.sqrt(30)
        place_j = float(powers.mean()) * float(np.mean(np.diff(times))) / math.sqrt(12)
        return math.sqrt(2) * math.hypot(bend_j, place_j)

    def _fail(self, note: str) -> None:
        self.is_failed = True
        self.notes.append(note)

    def _check_pauses(self) -> None:
        times = self.record.columns["time_s"]
        inside = times[(times >= self.record.start_s) & (times <= self._measured_end_s)]
        longest_s = float(np.diff(inside).max()) if len(inside) > 1 else 0.0
        if self.record.num_faults and self.record.lost_s is None:
            self.notes.append(f"{self.record.num_faults} readings failed")
        if longest_s > LONG_PAUSE_S:
            self.notes.append(
                f"for {longest_s:.3g} s on end nothing was read; the samples are interpolated over it"
            )

    # --------------------------------------------------------------------------------------------- the report

    def report(self) -> EnergyReport:
        """Both energies of the whole, then of each interval by the one that is trusted."""
        record, identity = self.record, self.record.identity
        whole = self._integral(record.start_s, self._measured_end_s)
        counter_j = self._between(self._curve, record.start_s, self._measured_end_s)
        gap_frac = whole.energy_j / counter_j - 1 if whole is not None and counter_j else None
        trusts_counter = counter_j is not None
        if whole is not None and counter_j is not None:
            too_low = counter_j < (1 - MARGIN_FRAC) * whole.low_j
            if too_low or counter_j > (1 + MARGIN_FRAC) * whole.high_j:
                trusts_counter = False
                self._fail(
                    f"the energy counter tells {counter_j:.4g} J, which the samples rule out "
                    f"({whole.low_j:.4g} to {whole.high_j:.4g} J): the samples are used"
                )
        if gap_frac is not None and abs(gap_frac) > GAP_FLAGGED_FRAC:
            self.notes.append(self._about_gap(gap_frac, whole, counter_j))
        if whole is not None and not trusts_counter and whole.seen_frac < 1:
            self.notes.append(
                f"the energy rests on samples that see {whole.seen_frac:.0%} of the time: a load in step with the "
                f"sensor could have used anything from {whole.low_j:.4g} to {whole.high_j:.4g} J"
            )
        intervals = tuple(self._interval(*span, trusts_counter) for span in self._spans())
        energy_j, error_j, modelled_j = self._energy(record.start_s, record.end_s, trusts_counter)
        channel = self._channel(self._measured_end_s - record.start_s)
        limits = record.columns["limit_w"][~np.isnan(record.columns["limit_w"])]
        return EnergyReport(
            kind=self._kind(energy_j, modelled_j),
            source=self._source(trusts_counter),
            scope=identity.scope,
            device=identity.device,
            architecture=identity.architecture,
            driver=identity.driver,
            start_s=record.start_s,
            end_s=record.end_s,
            energy_j=energy_j,
            error_j=error_j,
            modelled_j=modelled_j,
            counter_j=counter_j,
            integral_j=whole.energy_j if whole else None,
            integral_error_j=whole.error_j if whole else None,
            integral_low_j=whole.low_j if whole else None,
            integral_high_j=whole.high_j if whole else None,
            gap_frac=gap_frac,
            is_flagged=self.is_failed or (gap_frac is not None and abs(gap_frac) > GAP_FLAGGED_FRAC),
            seen_frac=whole.seen_frac if whole else None,
            update_s=channel.sensor.update_s if channel else None,
            window_s=channel.sensor.window_s if channel else None,
            period_s=record.period_s,
            calibration_frac=identity.spread_frac,
            limit_w=float(limits[-1]) if len(limits) else None,
            num_readings=len(record.columns["time_s"]),
            num_faults=record.num_faults,
            intervals=intervals,
            notes=tuple(dict.fromkeys(self.notes)),
        )

    def _about_gap(self, gap_frac: float, whole: Integral | None, counter_j: float | None) -> str:
        text = f"samples and counter differ by {gap_frac:+.1%}"
        if whole is not None and counter_j is not None and whole.seen_frac < 1:
            if abs(whole.energy_j - counter_j) <= 2 * whole.error_j:
                return f"{text}, within the error of samples that see {whole.seen_frac:.0%} of the time"
            return (
                f"{text}: the load may run in step with a sensor that sees {whole.seen_frac:.0%} of the time; "
                "the counter is used"
            )
        return text

    def _kind(self, energy_j: float, modelled_j: float) -> MeterKind:
        if math.isnan(energy_j):
            return "none"
        return "modelled" if modelled_j > 0 else self.record.identity.kind

    def _source(self, trusts_counter: bool) -> str:
        identity = self.record.identity
        if identity.is_exact:
            return identity.source
        return f"{identity.source}-{'counter' if trusts_counter else 'samples'}"

    def _spans(self) -> list[tuple[str, float, float]]:
        """Label, begin and end of each interval; what lies before the first mark only if it lasts and is not all."""
        moments = [*(moment for _, moment in self.record.marks[1:]), self.record.end_s]
        spans = [(label, begin, end) for (label, begin), end in zip(self.record.marks, moments, strict=True)]
        return [
            span
            for span in spans
            if span[2] > span[1] and (span[0] or (len(spans) > 1 and span[2] - span[1] > 1e-3))
        ]

    def _interval(self, label: str, start_s: float, end_s: float, trusts_counter: bool) -> IntervalEnergy:
        energy_j, error_j, modelled_j = self._energy(start_s, end_s, trusts_counter)
        until_s = min(end_s, self._measured_end_s)
        part = self._integral(start_s, until_s)
        return IntervalEnergy(
            label=label,
            start_s=start_s,
            end_s=end_s,
            energy_j=energy_j,
            error_j=error_j,
            counter_j=self._between(self._curve, start_s, until_s),
            integral_j=part.energy_j if part else None,
            kind=self._kind(energy_j, modelled_j),
        )

    def _energy(self, start_s: float, end_s: float, trusts_counter: bool) -> tuple[float, float, float]:
        """Energy of an interval, its standard error, and how much of it is modelled [J]."""
        record = self.record
        until_s = max(start_s, min(end_s, self._measured_end_s))
        measured_j, error_j = 0.0, 0.0
        if until_s > start_s:
            counted_j = self._between(self._curve, start_s, until_s) if trusts_counter else None
            part = self._integral(start_s, until_s)
            if counted_j is not None:
                measured_j, error_j = counted_j, self._counter_error_j(start_s, until_s)
            elif part is not None:
                measured_j, error_j = part.energy_j, part.error_j
            else:
                measured_j = error_j = math.nan
        whole_s = self._measured_end_s - record.start_s
        modelled_j = 0.0 if record.identity.kind == "measured" else measured_j
        if end_s > until_s:
            known_j = (
                self._energy(record.start_s, self._measured_end_s, trusts_counter)[0]
                if whole_s > 0
                else math.nan
            )
            rest_j = known_j / whole_s * (end_s - until_s) if whole_s > 0 else math.nan
            measured_j, modelled_j, error_j = measured_j + rest_j, modelled_j + rest_j, error_j + abs(rest_j)
        return measured_j, error_j, modelled_j

    @staticmethod
    def _between(curve: EnergyCurve | None, start_s: float, end_s: float) -> float | None:
        if curve is None or end_s <= start_s or len(curve.times_s) < 2:
            return None
        return max(0.0, energy_at_mark(curve, end_s) - energy_at_mark(curve, start_s))
