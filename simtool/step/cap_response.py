"""How fast a job is, and what it draws, under power caps: the step priced at several caps, and between them.

Operations answer to a cap by what bounds them: compute-bound ones lose clock and time, memory-bound ones power alone,
communication and waits neither. So does the step, in the proportions that it has of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem
from simtool.layout.layouts import Layouts
from simtool.machine.machine import Machine
from simtool.machine.power_caps import least_cap_w, machine_under_cap, power_limit_w
from simtool.step.step import Job, MethodPhase, estimate_step
from simtool.step.waveform import step_waveform

FloatArray = NDArray[np.float64]
NUM_CAPS = 9
"""At which a step is priced. Four measured caps fix a board's curve to 3.4 % (Zeus' traces), and prices are cheap."""

ROUNDING = 1e-12
"""Relative; by less than this a column does not fall."""

HIDDEN_FRAC = 0.005
"""Where the host sets the pace, a slower device hides more of the exchange of gradients behind its computation, and
the step gets faster by a few 1e-4. Up to this much that counts as no change; more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapResponse:
    """Power and speed of a job by the cap on its boards; all arrays rise with the cap, a device is its IT share."""

    cap_w: FloatArray
    """On one board; the last is its limit."""
    power_w: FloatArray
    """Mean over a step of a device with its share of host and network."""
    peak_w: FloatArray
    """Of the same, in the phase that draws most: what a rack's breaker sees if all are in step."""
    speed: FloatArray
    """Relative to no cap."""
    idle_w: float
    """Of a device whose job is stopped."""

    def __post_init__(self) -> None:
        columns = {"cap_w": self.cap_w, "power_w": self.power_w, "peak_w": self.peak_w, "speed": self.speed}
        shapes = {np.shape(column) for column in columns.values()}
        if len(shapes) != 1 or np.ndim(self.cap_w) != 1 or len(self.cap_w) < 2:
            found = f"found columns of shapes {sorted(shapes)}"
            raise InputError(
                Problem("", "cap_response", found, "", "give two or more caps, all columns of a length")
            )
        wrong = []
        for name, column in columns.items():
            steps = np.diff(column)
            falls = (
                np.any(steps <= 0.0) if name == "cap_w" else np.any(steps < -ROUNDING * np.abs(column[1:]))
            )
            if falls or not np.all(np.isfinite(column)) or column[0] <= 0.0:
                found = f"found {np.array2string(np.asarray(column), precision=4)}"
                allowed = "allowed: finite, above 0, not falling as the cap rises"
                wrong.append(Problem("", f"cap_response.{name}", found, allowed, "sort by cap"))
        if not 0.0 <= self.idle_w <= self.power_w[0]:
            found = f"found {self.idle_w:g} W"
            allowed = f"allowed: 0 to the {self.power_w[0]:g} W under the deepest cap"
            wrong.append(Problem("", "cap_response.idle_w", found, allowed, "correct it"))
        if wrong:
            raise InputError(wrong)

    def power_at(self, cap_w: ArrayLike) -> FloatArray:
        """Mean power of a device under caps between the first and the last [W]."""
        return self._between(self.cap_w, self.power_w, cap_w)

    def peak_at(self, cap_w: ArrayLike) -> FloatArray:
        """Power of a device in the phase that draws most [W]."""
        return self._between(self.cap_w, self.peak_w, cap_w)

    def speed_at(self, cap_w: ArrayLike) -> FloatArray:
        """Speed under caps between the first and the last, relative to no cap."""
        return self._between(self.cap_w, self.speed, cap_w)

    @staticmethod
    def _between(caps_w: FloatArray, values: FloatArray, cap_w: ArrayLike) -> FloatArray:
        """Monotone cubic of the logarithms: never over- or undershoots its points (Fritsch and Carlson 1980)."""
        from scipy.interpolate import PchipInterpolator

        curve = PchipInterpolator(np.log(caps_w), np.log(values))
        inside = np.clip(np.asarray(cap_w, float), caps_w[0], caps_w[-1])
        return np.asarray(np.clip(np.exp(curve(np.log(inside))), values[0], values[-1]))


def cap_response(
    job: Job,
    layouts: Layouts,
    machine: Machine,
    method: MethodPhase | None = None,
    *,
    num_caps: int = NUM_CAPS,
    lowest_cap_w: float | None = None,
) -> CapResponse:
    """Price a step at caps from the deepest that boards hold up to their limit, evenly spaced in the logarithm.

    Args:
        job: what is computed.
        layouts: one layout.
        machine: where; a cap that it has is left aside.
        method: of the training.
        num_caps: at which the step is priced, 2 or more.
        lowest_cap_w: of a board [W]; `least_cap_w` if None. Below half the limit boards do not hold a cap well.

    Raises:
        InfeasibleError: the lowest cap is not above idle power.
        InputError: no power of the board is known.
    """
    limit_w = power_limit_w(machine)
    lowest_w = least_cap_w(machine) if lowest_cap_w is None else lowest_cap_w
    machine_under_cap(machine, lowest_w)  # refuses what is no cap
    if num_caps < 2 or lowest_w >= limit_w:
        found = f"found {num_caps} caps from {lowest_w:g} to {limit_w:g} W"
        raise InputError(Problem("", "num_caps", found, "allowed: 2 or more, below the limit", "correct it"))
    caps_w = np.geomspace(lowest_w, limit_w, num_caps)
    caps_w[-1] = limit_w
    rows = []
    for cap_w in caps_w.tolist():
        estimate = estimate_step(job, layouts, machine_under_cap(machine, cap_w), method)
        wave = step_waveform(estimate)
        rows.append((wave.mean_w, wave.peak_w, 1.0 / wave.period_s))
    power_w, peak_w, speed = (np.array(column) for column in zip(*rows, strict=True))
    speed = speed / speed[-1]
    never_faster = np.minimum.accumulate(speed[::-1])[::-1]
    return CapResponse(
        cap_w=caps_w,
        power_w=power_w,
        peak_w=peak_w,
        speed=np.where(speed - never_faster < HIDDEN_FRAC, never_faster, speed),
        idle_w=float(np.asarray(estimate.power["idle"].total_w)),
    )
