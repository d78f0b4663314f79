"""A projection: what a trace's device work takes on another device, by operation and by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, hypot, sqrt
from typing import Any, Literal

from simtool.transfer.traced import TracedOp

Basis = Literal["direct", "transferred", "analytic"]
"""How an operation was projected. Direct: its own work, priced by curves of two devices that were measured, by
kernel tables or in pairs. Transferred: its own work, but a device's curve is a like device's; or its work is
not known, and it scales as the same kernel elsewhere in the trace. Analytic: by ratios of rates alone."""
BASES: tuple[Basis, ...] = ("direct", "transferred", "analytic")

TENTH = 1.2815515655446004
"""Standard deviations from the middle of a normal distribution to its 10th and 90th percentile."""
SCOPE = "accelerator"
"""What the energy of a projection includes: the boards, without host and network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedOp:
    """Equal operations on the target."""

    op: TracedOp
    duration_s: float
    """Of one."""
    basis: Basis
    group: str
    """Operations of one group are wrong together."""
    class_spread: float
    """Relative standard deviation that it shares with its group."""
    own_spread: float
    """Relative standard deviation of its own."""
    power_w: float | None
    """Mean power of the board while it runs; None where the target's is not known."""
    power_spread: float = 0.0
    """Relative, shared by all operations."""

    @property
    def total_s(self) -> float:
        """Of all of them [s]."""
        return self.op.count * self.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Time and energy of some operations, with the range from the 10th to the 90th percentile."""

    measured_s: float
    """On the source."""
    device_time_s: float
    device_time_interval_s: tuple[float, float]
    energy_j: float | None
    energy_interval_j: tuple[float, float] | None
    num_ops: float
    shares: Mapping[Basis, float]
    """Of the projected time, by how it was projected."""

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "device_time_s": self.device_time_s,
            "device_time_interval_s": list(self.device_time_interval_s),
            "energy_j": self.energy_j,
            "energy_interval_j": None if self.energy_interval_j is None else list(self.energy_interval_j),
            "measured_device_time_s": self.measured_s,
            "num_ops": self.num_ops,
            "basis_frac": dict(self.shares),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """The device work of a trace on another device."""

    source: str
    """Profile of the device that was measured."""
    target: str
    ops: tuple[ProjectedOp, ...]
    """Longest first."""
    whole: Amount
    by_class: Mapping[str, Amount]
    num_steps: float
    measured_energy_j: float | None
    """Of the source's meter over the steps, where it had one; its scope is the meter's."""
    notes: tuple[str, ...]
    """What was assumed."""

    def as_json(self) -> dict[str, Any]:
        """For a program: times in seconds, energies in joules, intervals from the 10th to the 90th percentile."""
        return {
            "source": self.source,
            "target": self.target,
            **self.whole.as_json(),
            "interval": "10th to 90th percentile",
            "energy_scope": SCOPE,
            "measured_energy_j": self.measured_energy_j,
            "num_steps": self.num_steps,
            "by_class": {name: amount.as_json() for name, amount in self.by_class.items()},
            "notes": list(self.notes),
        }


def amount(ops: Iterable[ProjectedOp], busy_frac: float) -> Amount:
    """The sum of operations.

    Variances of one group add up as one, those of single operations as such::

        variance = sum over groups (sum of time x class_spread)^2 + sum over operations (time x own_spread)^2

    and the interval is that of a lognormal sum of this relative spread. Energy is power times time, over the
    time in which the device did anything.

    Args:
        ops: what is summed.
        busy_frac: that time over the sum of durations.
    """
    listed = list(ops)
    seconds = sum(one.total_s for one in listed)
    joules = [None if one.power_w is None else one.power_w * one.total_s * busy_frac for one in listed]
    known = [energy for energy in joules if energy is not None]
    energy_j = sum(known) if len(known) == len(listed) else None
    time_spread = _spread(listed, [one.total_s for one in listed])
    energy_spread = 0.0
    if energy_j:
        power = sum(one.power_spread * energy for one, energy in zip(listed, known, strict=True)) / energy_j
        energy_spread = hypot(_spread(listed, known), power)
    shares: dict[Basis, float] = {}
    for basis in BASES:
        part = sum(one.total_s for one in listed if one.basis == basis)
        shares[basis] = part / seconds if seconds > 0 else 0.0
    return Amount(
        measured_s=sum(one.op.total_s for one in listed),
        device_time_s=seconds,
        device_time_interval_s=_interval(seconds, time_spread),
        energy_j=energy_j,
        energy_interval_j=None if energy_j is None else _interval(energy_j, energy_spread),
        num_ops=sum(one.op.count for one in listed),
        shares=shares,
    )


def _spread(ops: list[ProjectedOp], amounts: list[float]) -> float:
    whole = sum(amounts)
    if whole <= 0:
        return 0.0
    groups: dict[str, float] = {}
    own = 0.0
    for one, part in zip(ops, amounts, strict=True):
        groups[one.group] = groups.get(one.group, 0.0) + part * one.class_spread
        own += (part * one.own_spread) ** 2
    return sqrt(sum(part**2 for part in groups.values()) + own) / whole


def _interval(middle: float, spread: float) -> tuple[float, float]:
    """From the 10th to the 90th percentile of a lognormal amount.

    >>> [round(bound, 3) for bound in _interval(100.0, 0.1)]
    [87.972, 113.673]
    """
    return middle * exp(-TENTH * spread), middle * exp(TENTH * spread)
