"""Power over the time of one training step, and of any load that repeats: ordered phases with seconds and watts.

A `Waveform` is one period of a load that repeats for ever: pieces in order, power linear within a piece and free to
jump between two. Steps are steps (power constant within a phase); what supplies, batteries and many ranks out of
step make of them has ramps. Sums over such pieces are closed forms, so nothing here depends on a sampling interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.provenance import Sourced
from simtool.step.estimate import STEP_STATES, StepEstimate

FloatArray = NDArray[np.float64]
Scope = Literal["it", "accelerator"]

SUPPLY_LAG_S = Sourced(
    value=0.02,
    unit="s",
    kind="published",
    source=(
        "Open Rack V3 power supplies hold 20 ms of full load in their capacitors (60 J for 3 kW; Delta and Advanced "
        "Energy at the OCP summit): what changes faster does not reach the plug unsmoothed"
    ),
    spread=0.5,
)
"""Time constant between a board's load and the power at the plug of its rack."""

DEVICE_PARTS = {
    "forward": ("forward", "data"),
    "backward": ("backward_input", "backward_weight", "recompute"),
    "optimizer": ("optimizer",),
}
"""Phases in which the device computes, and the parts of a step that each is made of."""
SPREAD_PARTS = (
    "tensor_communication",
    "context_communication",
    "expert_communication",
    "pipeline_communication",
    "launch",
)
"""Waits between the kernels of a layer, milliseconds long: mixed into forward and backward, no phases of their own."""
PHASES = ("forward", "backward", "bubble", "straggler", "exposed_communication", "optimizer", "host")
"""Of a step, in their order in time. The pipeline drains, the slowest rank is waited for, gradients are exchanged."""
WAITS = {
    "bubble": ("bubble",),
    "straggler": ("straggler",),
    "exposed_communication": STEP_STATES["exposed_communication"],
    "host": ("launch", "host"),
}
"""The other phases, and the parts of a step that each is made of where they are not mixed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """One period of a load that repeats; arrays have one element a piece."""

    seconds: FloatArray
    """Length of every piece, above 0."""
    start_w: FloatArray
    """Power at its begin."""
    end_w: FloatArray
    """Power at its end; equal to `start_w` throughout a piece of constant power."""
    names: tuple[str, ...] = field(default=())
    """Phase of every piece; empty for a load that is no step."""

    def __post_init__(self) -> None:
        shapes = {np.shape(part) for part in (self.seconds, self.start_w, self.end_w)}
        if len(shapes) != 1 or len(np.shape(self.seconds)) != 1 or len(self.seconds) == 0:
            raise ValueError(
                f"a waveform needs one or more pieces, as many seconds as powers: found {shapes}"
            )
        if not (np.all(self.seconds > 0.0) and np.all(np.isfinite([self.seconds, self.start_w, self.end_w]))):
            raise ValueError("pieces of a waveform last longer than 0 s and have a finite power")
        if self.names and len(self.names) != len(self.seconds):
            raise ValueError(f"{len(self.names)} names of {len(self.seconds)} pieces")

    @classmethod
    def of_phases(cls, phases: Sequence[tuple[str, float, float]]) -> Waveform:
        """From phases (name, seconds, watts) in order; phases of no length are left out.

        >>> wave = Waveform.of_phases([("compute", 3.0, 700.0), ("wait", 1.0, 100.0)])
        >>> wave.mean_w, wave.peak_w, wave.trough_w, wave.period_s
        (550.0, 700.0, 100.0, 4.0)
        """
        kept = [phase for phase in phases if phase[1] > 0.0]
        watts = np.array([phase[2] for phase in kept], float)
        return cls(
            seconds=np.array([phase[1] for phase in kept], float),
            start_w=watts,
            end_w=watts,
            names=tuple(phase[0] for phase in kept),
        )

    @classmethod
    def constant(cls, power_w: float, period_s: float = 1.0) -> Waveform:
        """A load that does not change."""
        return cls.of_phases([("constant", period_s, power_w)])

    @property
    def period_s(self) -> float:
        """After which everything repeats."""
        return float(np.sum(self.seconds))

    @property
    def begins_s(self) -> FloatArray:
        """Begin of every piece."""
        return np.concatenate(([0.0], np.cumsum(self.seconds)[:-1]))

    @property
    def energy_j(self) -> float:
        """Of one period."""
        return float(np.sum(self.seconds * (self.start_w + self.end_w) / 2.0))

    @property
    def mean_w(self) -> float:
        """Over time."""
        return self.energy_j / self.period_s

    @property
    def peak_w(self) -> float:
        """Highest power."""
        return float(max(np.max(self.start_w), np.max(self.end_w)))

    @property
    def trough_w(self) -> float:
        """Lowest power."""
        return float(min(np.min(self.start_w), np.min(self.end_w)))

    @property
    def rms_w(self) -> float:
        """Root of the mean square: what heats a conductor."""
        return float(np.sqrt(self.mean_w**2 + self.std_w**2))

    @property
    def std_w(self) -> float:
        """Standard deviation over time.

        >>> Waveform.of_phases([("compute", 1.0, 3.0), ("wait", 1.0, 1.0)]).std_w
        1.0
        """
        low, high = self.start_w - self.mean_w, self.end_w - self.mean_w
        square = np.sum(self.seconds * (low**2 + low * high + high**2)) / 3.0
        return float(np.sqrt(max(square / self.period_s, 0.0)))

    @property
    def has_jumps(self) -> bool:
        """Whether power changes in no time anywhere, the turn of the period included."""
        return bool(np.any(self.end_w != np.roll(self.start_w, -1)))

    @property
    def slopes_w_per_s(self) -> FloatArray:
        """Slope of every piece; jumps between pieces are in none of them."""
        return (self.end_w - self.start_w) / self.seconds

    def scaled(self, factor: float, offset_w: float = 0.0) -> Waveform:
        """Power times a number of ranks, plus a load that does not change.

        >>> Waveform.of_phases([("compute", 1.0, 700.0)]).scaled(8.0, offset_w=1650.0).mean_w
        7250.0
        """
        return Waveform(
            seconds=self.seconds,
            start_w=factor * self.start_w + offset_w,
            end_w=factor * self.end_w + offset_w,
            names=self.names,
        )

    def harmonics(self, num: int) -> NDArray[np.complex128]:
        """Fourier coefficients 1 to `num` [W]: exact integrals ``1/T int P exp(-2 pi i k t / T) dt``.

        ``2 |c_k|`` is the amplitude at frequency ``k / T``; over all k, ``2 sum |c_k|^2`` is the variance.

        >>> square = Waveform.of_phases([("on", 1.0, 1.0), ("off", 1.0, -1.0)])
        >>> [round(float(2 * abs(c)), 4) for c in square.harmonics(3)]      # 4/pi, 0, 4/(3 pi)
        [1.2732, 0.0, 0.4244]
        """
        turns = 2.0 * np.pi * np.arange(1, num + 1)[:, None] / self.period_s
        begin = self.begins_s[None, :]
        end = begin + self.seconds[None, :]
        at_begin, at_end = np.exp(-1j * turns * begin), np.exp(-1j * turns * end)
        edges = (self.end_w * at_end - self.start_w * at_begin) / (-1j * turns)
        curves = self.slopes_w_per_s * (at_end - at_begin) / turns**2
        return np.asarray(np.sum(edges + curves, axis=1) / self.period_s)

    def at(self, times_s: ArrayLike) -> FloatArray:
        """Power at times of any period; at a jump the power after it."""
        times = np.mod(np.asarray(times_s, float), self.period_s)
        piece = np.clip(np.searchsorted(self.begins_s, times, side="right") - 1, 0, len(self.seconds) - 1)
        since = np.minimum(times - self.begins_s[piece], self.seconds[piece])
        return np.asarray(self.start_w[piece] + self.slopes_w_per_s[piece] * since)

    def lagged_ramp(self, lag_s: float) -> tuple[float, float]:
        """Highest and root-mean-square slope behind a first-order lag [W/s].

        ``lag y' = P - y`` in its periodic state. Within a piece the slope relaxes towards the piece's own, so its
        extremes are at the begins of pieces: a jump of D watts out of rest ramps with D / lag.

        Args:
            lag_s: time constant, e.g. `SUPPLY_LAG_S` [s].

        >>> slow = Waveform.of_phases([("compute", 10.0, 700.0), ("wait", 10.0, 100.0)])
        >>> round(slow.lagged_ramp(0.02)[0])             # 600 W / 20 ms
        30000
        """
        decay = np.exp(-self.seconds / lag_s)
        slope = self.slopes_w_per_s
        # the lagged load trails a ramp by slope x lag; what differs from that decays
        factor, shift = 1.0, 0.0
        for index in range(len(self.seconds)):
            settled = (self.start_w - slope * lag_s)[index], (self.end_w - slope * lag_s)[index]
            factor, shift = decay[index] * factor, settled[1] + decay[index] * (shift - settled[0])
        level = shift / (1.0 - factor)
        highest, square = 0.0, 0.0
        for index, seconds in enumerate(self.seconds):
            begin = (self.start_w[index] - level) / lag_s
            extra = begin - slope[index]
            highest = max(highest, abs(begin), abs(slope[index] + extra * decay[index]))
            square += (
                slope[index] ** 2 * seconds
                + 2.0 * slope[index] * extra * lag_s * (1.0 - decay[index])
                + extra**2 * lag_s * (1.0 - decay[index] ** 2) / 2.0
            )
            level = self.end_w[index] - lag_s * (slope[index] + extra * decay[index])
        return float(highest), float(np.sqrt(max(square, 0.0) / self.period_s))


def step_waveform(
    estimate: StepEstimate, *, scope: Scope = "it", spread_parts: Sequence[str] = SPREAD_PARTS
) -> Waveform:
    """Power of one accelerator's share of a job over one step.

    Waits between the kernels of a layer are mixed into forward and backward, in proportion to the computation there:
    they last milliseconds, and the power that leaves a rack is their mean. What happens once a step stays apart.
    The mean is the estimate's mean power; a board's own bursts (`StepEstimate.power_peak_w`) are above the peak.

    Args:
        estimate: of one layout.
        scope: ``"it"`` with the host's and the network's share, or ``"accelerator"``, the board alone.
        spread_parts: parts of the step that are mixed in; add ``"data_communication"`` where weights and gradients
            are exchanged layer by layer (ZeRO 3).

    Raises:
        ValueError: the estimate is of many layouts, or a part is unknown.
    """
    unknown = set(spread_parts) - {part for parts in WAITS.values() for part in parts}
    if unknown:
        raise ValueError(f"not parts that can be spread: {', '.join(sorted(unknown))}")
    states = {part: state for state, parts in STEP_STATES.items() for part in parts}
    seconds = {part: _scalar(value, part) for part, value in estimate.seconds.items()}
    watts = {
        state: _scalar(power.total_w if scope == "it" else power.accelerator_w, state)
        for state, power in estimate.power.items()
    }
    device_s = {name: sum(seconds[part] for part in parts) for name, parts in DEVICE_PARTS.items()}
    passes_s = device_s["forward"] + device_s["backward"]
    if passes_s == 0.0:
        spread_parts = ()
    mixed_s = sum(seconds[part] for part in spread_parts)
    mixed_j = sum(seconds[part] * watts[states[part]] for part in spread_parts)
    phases = []
    for name in PHASES:
        if name in WAITS:
            parts = [part for part in WAITS[name] if part not in spread_parts]
            lasts, joules = (
                sum((seconds[part] for part in parts), 0.0),
                sum((seconds[part] * watts[states[part]] for part in parts), 0.0),
            )
        else:
            lasts, joules = device_s[name], device_s[name] * watts["compute"]
            if name != "optimizer" and passes_s > 0.0:
                share = device_s[name] / passes_s
                lasts, joules = lasts + share * mixed_s, joules + share * mixed_j
        if lasts > 0.0:
            phases.append((name, lasts, joules / lasts))
    return Waveform.of_phases(phases)


def with_stops(waveform: Waveform, *, num_steps: int, stop_s: float, power_w: float) -> Waveform:
    """Steps that stop after every `num_steps` of them, for a checkpoint or an evaluation.

    Args:
        waveform: of one step.
        num_steps: between two stops.
        stop_s: how long a stop lasts [s].
        power_w: during the stop, of as many ranks as the waveform is of [W].

    >>> step = Waveform.of_phases([("compute", 1.0, 700.0)])
    >>> with_stops(step, num_steps=9, stop_s=1.0, power_w=100.0).mean_w
    640.0
    """
    if num_steps < 1 or stop_s < 0.0:
        raise ValueError(f"found {num_steps} steps between stops of {stop_s:g} s; at least 1 and 0 s")
    if stop_s == 0.0:
        return waveform
    names = waveform.names or ("step",) * len(waveform.seconds)
    return Waveform(
        seconds=np.append(np.tile(waveform.seconds, num_steps), stop_s),
        start_w=np.append(np.tile(waveform.start_w, num_steps), power_w),
        end_w=np.append(np.tile(waveform.end_w, num_steps), power_w),
        names=(*(names * num_steps), "stop"),
    )


def averaged(waveform: Waveform, window_s: float) -> Waveform:
    """Moving average over a window, as a meter of that window reads it, or many ranks whose begins are spread over it.

    Exact for power that is constant within every piece.

    Raises:
        ValueError: pieces with ramps.

    >>> square = Waveform.of_phases([("on", 2.0, 1.0), ("off", 2.0, 0.0)])
    >>> float(averaged(square, 1.0).slopes_w_per_s.max()), averaged(square, 4.0).std_w
    (1.0, 0.0)
    """
    if np.any(waveform.start_w != waveform.end_w):
        raise ValueError("only power that is constant within every piece can be averaged again")
    if window_s <= 0.0:
        return waveform
    period, edges = waveform.period_s, waveform.begins_s
    half = window_s / 2.0
    times = np.unique(np.mod(np.concatenate((edges - half, edges + half, [0.0])), period))
    times = np.append(times[np.append(True, np.diff(times) > period * 1e-12)], period)
    if times[-1] - times[-2] <= period * 1e-12:
        times = np.delete(times, -2)
    level = (_integral_j(waveform, times + half) - _integral_j(waveform, times - half)) / window_s
    level[-1] = level[0]
    return Waveform(seconds=np.diff(times), start_w=level[:-1], end_w=level[1:])


def _integral_j(waveform: Waveform, times_s: FloatArray) -> FloatArray:
    """Energy from 0 to any time, of power constant within pieces [J]."""
    whole = np.floor(times_s / waveform.period_s)
    knots = np.append(waveform.begins_s, waveform.period_s)
    energy = np.append(0.0, np.cumsum(waveform.seconds * waveform.start_w))
    return np.asarray(whole * energy[-1] + np.interp(times_s - whole * waveform.period_s, knots, energy))


def _scalar(value: object, name: str) -> float:
    array = np.asarray(value, float)
    if array.size != 1:
        raise ValueError(f"{name} holds {array.size} layouts: a waveform is of one, pick it first")
    return float(array.reshape(()))
