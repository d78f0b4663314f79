"""Projects the device work of a trace to another device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2

from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import Accelerator
from simtool.transfer.carry import Step
from simtool.transfer.classes import CLASSES, model_class
from simtool.transfer.constants import ModelClass, Transfer
from simtool.transfer.links import HOST_COPIES, Links
from simtool.transfer.projection import Basis, ProjectedOp, Projection, amount
from simtool.transfer.roofline import Roofline
from simtool.transfer.traced import Traced, TracedOp
from simtool.transfer.watts import drawn
from simtool.transfer.work import FORMATS, Work, work_of

NEIGHBOUR = 2.0
"""The same kernel elsewhere in the trace lends its ratio to one of unknown work if their durations are within
this factor. By convention."""
PRODUCTS = ("gemm", "attention", "convolution")


@dataclass(kw_only=True)
class Projector:
    """Operations from one device to another.

    Args:
        source: device that was measured.
        target: device that is asked for.
        library: finds servers and networks.
        constants: of the transfer.
        power_limit_w: of the target's board, in place of its profile's.
        where: the trace, for errors.
    """

    source: Accelerator
    target: Accelerator
    library: ProfileLibrary
    constants: Transfer
    power_limit_w: float | None = None
    where: str = ""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.step = Step(source=Roofline(self.source), target=Roofline(self.target), constants=self.constants)
        self._links = Links(self.source, self.library), Links(self.target, self.library)
        limit = self.target.power.limit
        if self.power_limit_w is None and limit is not None:
            self.power_limit_w = float(limit)

    def project(self, traced: Traced, measured_energy_j: float | None = None) -> Projection:
        """The whole trace.

        Raises:
            InputError: the target, or the source's profile, has no rate for a format that products ran in.
        """
        works = [work_of(op) for op in traced.ops]
        self._check_rates(traced.ops)
        known = [
            self._known(op, work) if work is not None and op.duration_s > 0 and self._has_rates(op) else None
            for op, work in zip(traced.ops, works, strict=True)
        ]
        lenders: dict[str, list[ProjectedOp]] = {}
        for one in known:
            if one is not None and one.op.name:
                lenders.setdefault(one.op.name, []).append(one)
        ops = [
            one if one is not None else self._other(op, lenders.get(op.name, ()))
            for op, one in zip(traced.ops, known, strict=True)
        ]
        ops.sort(key=lambda one: -one.total_s)
        busy = traced.busy_frac
        by_class = {
            kind: amount([one for one in ops if one.op.kind == kind], busy)
            for kind in CLASSES
            if any(one.op.kind == kind for one in ops)
        }
        return Projection(
            source=self.source.name, target=self.target.name, ops=tuple(ops), whole=amount(ops, busy),
            by_class=by_class, num_steps=traced.num_steps, measured_energy_j=measured_energy_j,
            notes=(*self.notes, *self._spoken(ops)),
        )  # fmt: skip

    # ------------------------------------------------------------------------------------- operations

    def _known(self, op: TracedOp, work: Work) -> ProjectedOp:
        part = model_class(op.kind)
        if op.variant in HOST_COPIES:
            return self._host_copy(op)
        here, there = self.step.source.modelled(work), self.step.target.modelled(work)
        seconds = self.step.known(op.duration_s, here, there, part)
        spread = self.step.spread(part, here.work_frac, there.work_frac)
        return self._made(op, seconds, self._basis(part), part, spread, there.work_frac)

    def _basis(self, part: ModelClass) -> Basis:
        step = self.step
        if step.nearness == 1.0:
            return "direct"
        sides = (step.source, step.target)
        measured = [side.section(part).basis == "measured" or step.is_paired(side) for side in sides]
        return "direct" if all(measured) else "transferred"

    def _other(self, op: TracedOp, lenders: Sequence[ProjectedOp]) -> ProjectedOp:
        """An operation whose work is not known, or that goes over a network."""
        if op.kind == "communication":
            return self._collective(op)
        if op.variant in HOST_COPIES:
            return self._host_copy(op)
        part = model_class(op.kind)
        if op.duration_s <= 0:  # shorter than the clock tells
            return self._made(op, 0.0, "analytic", part, 0.0, 0.0)
        near = min(lenders, key=lambda one: abs(_octaves(one.op.duration_s, op.duration_s)), default=None)
        if near is not None and abs(_octaves(near.op.duration_s, op.duration_s)) <= _octaves(NEIGHBOUR, 1.0):
            seconds = op.duration_s * near.duration_s / near.op.duration_s
            # Wrong together with the kernel that lends its ratio, so it has no spread of its own.
            return ProjectedOp(
                op=op, duration_s=seconds, basis="transferred", group=near.group, own_spread=0.0,
                class_spread=near.class_spread, power_w=near.power_w, power_spread=near.power_spread,
            )  # fmt: skip
        seconds, work_frac = self.step.unknown(op.duration_s, part, self._format(op))
        spread = self.step.spread(part, work_frac, work_frac, is_known=False)
        return self._made(op, seconds, "analytic", part, spread, work_frac)

    def _collective(self, op: TracedOp) -> ProjectedOp:
        here, there = (links.collective_s(op) for links in self._links)
        basis: Basis = "transferred"
        if here is None or there is None:
            here, there = (links.network_bytes_per_s for links in reversed(self._links))
            basis = "analytic"
        ratio = 1.0 if here is None or there is None else there / here
        residual = self.constants.residual
        spread = float(residual.communication) + (
            float(residual.unknown_work) if basis == "analytic" else 0.0
        )
        return self._made(op, ratio * op.duration_s, basis, "communication", spread * self.step.distance, 1.0)

    def _host_copy(self, op: TracedOp) -> ProjectedOp:
        """Over the host's link: bytes over its bandwidth, and the latency of a small kernel."""
        here, there = (links.host_bytes_per_s for links in self._links)
        ratio = 1.0 if here is None or there is None else here / there
        floor, new_floor = (side.floor_s("memory") for side in (self.step.source, self.step.target))
        seconds = ratio * max(0.0, op.duration_s - floor) + new_floor * min(1.0, op.duration_s / floor)
        spread = self.step.spread("memory", 1.0, 1.0, is_known=False)
        return self._made(op, seconds, "analytic", "communication", spread, 1.0)

    def _made(
        self, op: TracedOp, seconds: float, basis: Basis, part: str, spread: float, work_frac: float
    ) -> ProjectedOp:
        limit_w = self.power_limit_w
        power = None if limit_w is None else drawn(self.target, limit_w, part, work_frac)
        return ProjectedOp(
            op=op, duration_s=seconds, basis=basis, group=part, class_spread=spread,
            own_spread=self.step.distance * float(self.constants.residual.op),
            power_w=None if power is None else power.power_w, power_spread=0.0 if power is None else power.spread,
        )  # fmt: skip

    # ------------------------------------------------------------------------------ formats and words

    def _format(self, op: TracedOp) -> str:
        """The format of a product; where it is not known, the first of 16 bits that both devices have."""
        wanted = (FORMATS.get(op.dtype, ""), "bf16", "fp16", "fp32")
        sides = (self.step.source, self.step.target)
        return next((name for name in wanted if name and all(side.rate_of(name) for side in sides)), "fp32")

    def _has_rates(self, op: TracedOp) -> bool:
        sides = (self.step.source, self.step.target)
        return op.kind not in PRODUCTS or all(side.rate_of(FORMATS[op.dtype]) for side in sides)

    def _check_rates(self, ops: Sequence[TracedOp]) -> None:
        """Both devices have a rate for every format that a share worth telling of the products ran in."""
        problems = []
        products = [op for op in ops if op.kind in PRODUCTS and op.dtype in FORMATS]
        whole = sum(op.total_s for op in products)
        for side, role in ((self.step.source, "device"), (self.step.target, "--to")):
            lacking: dict[str, float] = {}
            for op in products:
                if side.rate_of(FORMATS[op.dtype]) is None:
                    lacking[FORMATS[op.dtype]] = lacking.get(FORMATS[op.dtype], 0.0) + op.total_s
            name, rates = side.accelerator.name, ", ".join(sorted(side.accelerator.peak))
            for dtype, seconds in sorted(lacking.items()):
                share = f"{seconds / whole:.1%} of the time of products"
                if seconds < _WORTH_TELLING * whole:
                    self.notes.append(f"{name} states no rate for {dtype}: {share} scales by other rates")
                    continue
                found = f"{name} states no rate for {dtype}, in which {share} was spent"
                mend = f"record in one of these formats, or name another device than {name}"
                problems.append(Problem(self.where, role, found, f"it has {rates}", mend))
        if problems:
            raise InputError(problems)

    def _spoken(self, ops: Sequence[ProjectedOp]) -> list[str]:
        """What a reader must know of this projection."""
        notes = []
        whole = sum(one.total_s for one in ops)
        for basis, words in _WORDS.items():
            part = sum(one.total_s for one in ops if one.basis == basis) / whole
            if part >= _WORTH_TELLING:
                notes.append(f"{part:.0%} of the projected time is {basis}: {words}")
        if not any(one.op.shapes for one in ops):
            notes.append("no shapes were recorded: every operation scales by ratios of rates of its class")
        notes += [
            f"no pair of traces has a {side.accelerator.architecture} device: the factors of its kernels are "
            "those of all devices, and the interval holds its profile's spread"
            for side in (self.step.source, self.step.target)
            if not self.step.is_paired(side) and not self.step.is_identity
        ]
        if any(one.op.kind == "communication" for one in ops):
            notes.append(
                "collectives scale with the networks of the usual servers; waiting for other ranks scales along"
            )
        if self.power_limit_w is None:
            notes.append(f"{self.target.name} states no power limit: no energy (give one with --power-limit)")
        else:
            notes.append(
                f"energy: accelerator alone while it works, at {self.power_limit_w:g} W times the shares of "
                f"{self.target.name}'s phases; latency draws what waiting does; gaps between kernels are left out"
            )
        return list(dict.fromkeys(notes))


_WORTH_TELLING = 0.005
_WORDS = {
    "transferred": "a curve is that of a like device, or work is unknown and scales as the same kernel elsewhere",
    "analytic": "work is unknown, and scales by ratios of rates above the latency",
}


def _octaves(first: float, second: float) -> float:
    return log2(first / second)
