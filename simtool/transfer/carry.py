"""From a measured time on one device to the time on another: the formula of a projection.

An operation of known work takes ``t`` on a device whose machine model says ``m``. Of the rest,
``log t - log m``, the *stack* explains a part (the framework's kernels against those that the model was
fitted to), the *architecture* another, and what is left belongs to this very operation: strided operands,
odd sizes, an unlucky kernel. Part of that is there on the other device too::

    log t' = log m' + f' + carry (log t - log m - f),    f = work_frac log(work) + (1 - work_frac) log(floor)

with ``floor`` and ``work`` the products of the stack's and the architecture's factors. ``work_frac`` is the
share of operations and bytes in m, so that kernels of a few microseconds, which are all latency, take the
other device's latency and carry little of their own. Devices that are alike carry more: all of it within an
architecture, half of the rest within a maker. A device projected to itself gives back what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, hypot, log

from simtool.provenance import Sourced
from simtool.transfer.constants import ByClass, ModelClass, Regimes, Transfer
from simtool.transfer.roofline import Modelled, Roofline

SAME_MAKER = 0.5
"""How near two architectures of one maker are: between not at all (0) and the same (1). By convention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From one device to another."""

    source: Roofline
    target: Roofline
    constants: Transfer

    @property
    def is_identity(self) -> bool:
        """Whether both are the same device."""
        return self.source.accelerator.name == self.target.accelerator.name

    @property
    def nearness(self) -> float:
        """1 within an architecture, 0 between makers."""
        here, there = self.source.accelerator, self.target.accelerator
        if here.architecture == there.architecture:
            return 1.0
        return SAME_MAKER if here.vendor == there.vendor else 0.0

    def carried(self, work_frac: float) -> float:
        """Share of an operation's own deviation that is there on the target too."""
        carry = self.constants.carry
        share = work_frac * float(carry.work) + (1.0 - work_frac) * float(carry.floor)
        return share + self.nearness * (1.0 - share)

    def is_paired(self, side: Roofline) -> bool:
        """Whether a device of this architecture stood in the pairs that the constants were fitted to."""
        return side.accelerator.architecture in self.constants.architecture

    def known(self, time_s: float, source: Modelled, target: Modelled, model_class: ModelClass) -> float:
        """Time on the target of an operation of known work [s].

        Args:
            time_s: measured on the source.
            source: what the machine model says of it there.
            target: what it says on the target.
            model_class: of the work.
        """
        here = _log_factor(self.constants, self.source, model_class, source.work_frac)
        there = _log_factor(self.constants, self.target, model_class, target.work_frac)
        own = log(time_s / source.time_s) - here
        return target.time_s * exp(there + self.carried(source.work_frac) * own)

    def unknown(self, time_s: float, model_class: ModelClass, dtype: str) -> tuple[float, float]:
        """Time on the target of an operation whose work the trace does not tell [s], and its work's share.

        What is above the source's latency is work, and scales as large work does::

            t' = floor' + (t - floor) x large'/large,    floor' (t / floor)^carry below the floor
        """
        floor, large = self._limits(self.source, model_class, dtype)
        new_floor, new_large = self._limits(self.target, model_class, dtype)
        if time_s <= floor:
            return new_floor * (time_s / floor) ** self.carried(0.0), 0.0
        work_s = (time_s - floor) * new_large / large
        return new_floor + work_s, work_s / (new_floor + work_s)

    def spread(
        self, model_class: ModelClass, source: float, target: float, *, is_known: bool = True
    ) -> float:
        """Relative standard deviation of a class's projected time, but for single operations.

        The residual of held-out pairs, with the profiles' own spreads for devices that stood in none, and what
        unknown work adds; half of it within an architecture, nothing to the device itself.

        Args:
            model_class: of the work.
            source: share of work in its time on the source.
            target: the same on the target.
            is_known: whether its work is known.
        """
        residual = self.constants.residual
        parts = [float(getattr(residual, model_class))]
        for side, work_frac in ((self.source, source), (self.target, target)):
            if not self.is_paired(side):
                parts.append(side.spread(model_class, work_frac))
        if not is_known:
            parts.append(float(residual.unknown_work))
        return self.distance * hypot(*parts)

    @property
    def distance(self) -> float:
        """Share of the spread between two unlike devices: none to itself, half within an architecture."""
        return 0.0 if self.is_identity else 1.0 - 0.5 * (self.nearness == 1.0)

    def _limits(self, side: Roofline, model_class: ModelClass, dtype: str) -> tuple[float, float]:
        floor = side.floor_s(model_class) * exp(_log_factor(self.constants, side, model_class, 0.0))
        large = side.large_s(model_class, dtype) * exp(_log_factor(self.constants, side, model_class, 1.0))
        return floor, large


def _log_factor(constants: Transfer, side: Roofline, model_class: ModelClass, work_frac: float) -> float:
    architecture: Mapping[str, ByClass] = constants.architecture
    found = 0.0
    for part in (constants.stack, architecture.get(side.accelerator.architecture)):
        regimes: Regimes | None = getattr(part, model_class) if part is not None else None
        if regimes is not None:
            found += work_frac * _log(regimes.work) + (1.0 - work_frac) * _log(regimes.floor)
    return found


def _log(number: Sourced) -> float:
    return log(float(number))
