"""A meter around one probe: reads at uneven times, keeps marks, survives faults, and tells energy at any moment."""

from __future__ import annotations

import logging
import math
import threading
import time
from array import array
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np

from simtool.engine.power.counter import FROZEN_AFTER_S, EnergyCounter
from simtool.engine.power.meter import READING_COLUMNS, EnergyReport, MeterKind
from simtool.engine.power.probe import Probe, ProbeError, ProbeLostError, Reading
from simtool.engine.power.reckoning import Record, reckon
from simtool.engine.power.sampler import LONGEST_S, SHORTEST_S, Sampler

log = logging.getLogger(__name__)

_NUMBERS = tuple(name for name in READING_COLUMNS if name != "throttle")
MAX_LINGER_S = 0.25


class SteadyClock:
    """A clock that never steps back: what it loses it stands still for, and counts.

    >>> moments = iter((10.0, 11.0, 4.0, 5.0))
    >>> clock = SteadyClock(lambda: next(moments))
    >>> [clock.read_s() for _ in range(4)], clock.lost_s
    ([10.0, 11.0, 11.0, 12.0], 7.0)
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._before_s, self._shift_s = clock, -math.inf, 0.0
        self.num_steps, self.lost_s = 0, 0.0

    def read_s(self) -> float:
        """Seconds, never fewer than before."""
        now_s = self._clock() + self._shift_s
        if now_s < self._before_s:
            self.num_steps += 1
            self.lost_s += self._before_s - now_s
            self._shift_s += self._before_s - now_s
            now_s = self._before_s
        self._before_s = now_s
        return now_s


class SampledMeter:
    """Counter at marks and samples in between, of one probe. See `meter.PowerMeter` for what it promises."""

    def __init__(
        self,
        probe: Probe,
        sampler: Sampler,
        *,
        clock: Callable[[], float] = time.monotonic,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._probe, self._sampler, self._notes = probe, sampler, list(notes)
        self._clock = SteadyClock(clock)
        self._lock = threading.RLock()
        identity = probe.identity
        self.scope = identity.scope
        self._counter = EnergyCounter(
            moduli_j=identity.moduli_j, ceiling_w=identity.ceiling_w, longest_tick_s=identity.longest_tick_s
        )
        self._columns = {name: array("d") for name in _NUMBERS}
        self._throttle: list[str] = []
        self._marks: list[tuple[str, float]] = []
        self._start_s = self._end_s = self._lost_s = math.nan
        self._sampled_j = self._sampled_at_tick_j = self._start_j = self._told_j = 0.0
        self._num_ticks = self._num_faults = 0
        self._is_running = False
        self._report: EnergyReport | None = None

    @property
    def kind(self) -> MeterKind:
        """``"modelled"`` from the moment on that the device is lost."""
        is_lost = not math.isnan(self._lost_s)
        return "modelled" if is_lost else self._probe.identity.kind

    @property
    def source(self) -> str:
        """What the energy rests on at this moment."""
        identity = self._probe.identity
        if identity.is_exact:
            return identity.source
        return f"{identity.source}-counter" if identity.has_counter else f"{identity.source}-samples"

    # ------------------------------------------------------------------------------------- the caller's side

    def start(self) -> Self:
        """Begins to read; a second start of the same meter is refused."""
        if self._is_running or self._report is not None:
            raise RuntimeError("a power meter is started once")
        self._is_running = True
        self._take()
        self._start_s = self._clock.read_s()
        self._start_j = self._counter.total_j
        self._marks.append(("", self._start_s))
        self._sampler.start(self._take)
        return self

    def mark(self, label: str) -> float:
        """From here on energy belongs to `label`; synchronise the device first. Returns the moment [s]."""
        with self._lock:
            self._read_counter()
            moment_s = self._clock.read_s()
            self._marks.append((label, moment_s))
            return moment_s

    def energy_j(self) -> float:
        """Energy since the start: the counter, or samples where it fails, or the mean power once the device is lost.

        Whole ticks of the counter; the report interpolates between them. Never decreases. NaN before the start, and
        where the device was lost before it told anything [J].
        """
        if self._report is not None:
            return self._report.energy_j
        if math.isnan(self._start_s):
            return math.nan
        with self._lock:
            energy_j, now_s = self._live_j(), self._clock.read_s()
            if not math.isnan(self._lost_s):
                measured_s = self._lost_s - self._start_s
                if measured_s <= 0:
                    return math.nan
                energy_j += energy_j / measured_s * (now_s - self._lost_s)
            self._told_j = max(self._told_j, energy_j)
            return self._told_j

    def stop(self) -> EnergyReport:
        """Ends the measurement now. Reads on for one more update, so that the last moments are known, and closes."""
        if self._report is not None:
            return self._report
        if not self._is_running:
            raise RuntimeError("the power meter was not started")
        with self._lock:
            self._read_counter()
            self._end_s = self._clock.read_s()
        sensor = self._probe.identity.sensor
        if sensor is not None and math.isnan(self._lost_s):
            self._sampler.wait(min(MAX_LINGER_S, max(sensor.update_s, 0.1) + LONGEST_S + sensor.window_s / 2))
        self._sampler.stop()
        self._take()
        self._is_running = False
        self._report = self._reckon(self._end_s)
        self._probe.close()
        for note in self._report.notes:
            log.info("power: %s", note)
        return self._report

    def report(self) -> EnergyReport:
        """The report up to now, or up to the stop."""
        if self._report is not None:
            return self._report
        if math.isnan(self._start_s):
            raise RuntimeError("the power meter was not started")
        with self._lock:
            return self._reckon(self._clock.read_s())

    def readings(self, start: int = 0) -> list[dict[str, Any]]:
        """Rows from the `start`-th on, so that a writer can come back for more; what is not known is None."""
        with self._lock:
            columns = {name: column[start:].tolist() for name, column in self._columns.items()}
            throttle = self._throttle[start:]
        return [
            {
                name: reasons if name == "throttle" else _known(columns[name][index])
                for name in READING_COLUMNS
            }
            for index, reasons in enumerate(throttle)
        ]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -------------------------------------------------------------------------------------- the reading side

    def _take(self) -> bool:
        """One reading; False when no more will come."""
        with self._lock:
            if not math.isnan(self._lost_s):
                return False
            before_s = self._clock.read_s()
            try:
                reading = self._probe.read()
            except ProbeError as fault:
                self._failed(fault, before_s)
                return not isinstance(fault, ProbeLostError)
            except Exception as error:  # noqa: BLE001 - a thread has nobody above it: degrade, and say so
                self._failed(ProbeLostError(f"{type(error).__name__}: {error}"), before_s)
                return False
            self._keep(reading, (before_s + self._clock.read_s()) / 2)
            return True

    def _keep(self, reading: Reading, time_s: float) -> None:
        times, powers = self._columns["time_s"], self._columns["power_w"]
        if times and time_s <= times[-1]:
            return  # the clock stands still: there is no time that this reading could stand for
        before_j = self._counter.total_j
        self._feed(time_s, reading.energy_counter_j)
        elapsed_s = time_s - times[-1] if times else 0.0
        if self._probe.identity.sensor is None and elapsed_s > 0:
            reading.power_w = (self._counter.total_j - before_j) / elapsed_s
        if times and not math.isnan(self._start_s) and not math.isnan(reading.power_w):
            earlier_w = reading.power_w if math.isnan(powers[-1]) else powers[-1]
            self._sampled_j += (reading.power_w + earlier_w) / 2 * elapsed_s
        for name in _NUMBERS:
            self._columns[name].append(time_s if name == "time_s" else getattr(reading, name))
        self._throttle.append(reading.throttle)

    def _read_counter(self) -> None:
        """The counter alone, at a mark; without one, a whole reading."""
        if not math.isnan(self._lost_s):
            return
        if self._probe.identity.sensor is None or not self._probe.identity.has_counter:
            self._take()
            return
        try:
            raw_j = self._probe.read_counter_j()
        except ProbeError as fault:
            self._failed(fault, self._clock.read_s())
        else:
            self._feed(self._clock.read_s(), raw_j)

    def _feed(self, time_s: float, raw_j: float) -> None:
        if math.isnan(raw_j):
            return
        self._counter.feed(time_s, raw_j)
        if len(self._counter.ticks_s) != self._num_ticks:
            self._num_ticks = len(self._counter.ticks_s)
            self._sampled_at_tick_j = self._sampled_j

    def _live_j(self) -> float:
        """Energy since the start. Asked at every step, so it leaves no rows, and reads no more often than it must."""
        if self._probe.identity.is_exact and math.isnan(self._lost_s):
            try:
                return self._counter.peek_j(self._probe.read_counter_j()) - self._start_j
            except ProbeError as fault:
                self._failed(fault, self._clock.read_s())
        times = self._columns["time_s"]
        if self._probe.identity.has_counter or not times or self._clock.read_s() - times[-1] > SHORTEST_S:
            self._read_counter()
        return self._measured_j(self._clock.read_s())

    def _measured_j(self, now_s: float) -> float:
        """Energy since the start from the counter, or from the samples where the counter fails."""
        if self._probe.identity.sensor is None:
            return self._counter.total_j - self._start_j
        if not self._probe.identity.has_counter or self._counter.num_reads == 0:
            return self._sampled_j
        energy_j = self._counter.total_j - self._start_j
        times = self._columns["time_s"]
        tick_s = self._counter.last_tick_s
        since_s = self._start_s if math.isnan(tick_s) else tick_s
        if times and now_s - since_s > FROZEN_AFTER_S:
            energy_j += self._sampled_j - self._sampled_at_tick_j
        return energy_j

    def _failed(self, fault: ProbeError, moment_s: float) -> None:
        self._num_faults += 1
        if isinstance(fault, ProbeLostError):
            times = self._columns["time_s"]
            self._lost_s = times[-1] if times else moment_s
            self._notes.append(
                f"{fault}: nothing was read any more; what was read before is kept, and the energy after it is "
                "modelled with the mean power until then"
            )
        elif str(fault) not in self._notes:
            self._notes.append(str(fault))

    def _reckon(self, end_s: float) -> EnergyReport:
        notes = [*self._probe.identity.notes, *self._notes, *self._probe.notes()]
        if self._clock.num_steps:
            notes.append(
                f"the clock stepped back {self._clock.num_steps} times, {self._clock.lost_s:.3g} s in all; "
                "it was taken to stand still meanwhile, so samples cover less time than passed"
            )
        return reckon(
            Record(
                identity=self._probe.identity,
                columns={name: np.array(column, dtype=float) for name, column in self._columns.items()},
                counter=self._counter,
                marks=tuple(self._marks),
                start_s=self._start_s,
                end_s=end_s,
                lost_s=None if math.isnan(self._lost_s) else self._lost_s,
                num_faults=self._num_faults,
                period_s=(SHORTEST_S, LONGEST_S),
                notes=tuple(notes),
            )
        )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
