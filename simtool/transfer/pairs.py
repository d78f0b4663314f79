"""Pairs of traces, the same model on two devices: fitted, and projected with one model left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import log
from pathlib import Path

from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import Accelerator
from simtool.transfer.classes import model_class
from simtool.transfer.constants import MODEL_CLASSES, Transfer
from simtool.transfer.fit import Observation, constants, fit_factors, observations, op_key, pooled
from simtool.transfer.project import Projector
from simtool.transfer.projection import ProjectedOp, Projection
from simtool.transfer.roofline import Roofline
from simtool.transfer.source import device_profile, load
from simtool.transfer.traced import Traced, TracedOp

CLASS_PRIOR, OP_PRIOR = 0.2, 0.3
"""Relative errors that are expected before any is seen: of a class's sum, of one operation."""
MIN_OPS = 3
"""Different operations of a class below which its errors say nothing of a class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One trace of a pair."""

    accelerator: Accelerator
    traced: Traced


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One model on several devices."""

    model: str
    sides: tuple[Side, ...]
    """Two or more devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A projection with constants that its model was left out of, beside what was measured."""

    model: str
    source: Side
    target: Side
    projection: Projection

    @property
    def error_frac(self) -> float:
        """Projected over measured device time, less 1."""
        return self.projection.whole.device_time_s / self.target.traced.device_time_s - 1.0


def read_pairs(folder: Path, library: ProfileLibrary) -> list[Pair]:
    """The pairs of a folder: traces ``<device>_<model>.json.gz`` of one model on at least two devices.

    Args:
        folder: with the traces.
        library: finds the devices' profiles.

    Raises:
        InputError: no model is there twice; a trace cannot be read, or its device has no profile.
    """
    by_model: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*_*.json.gz")):
        by_model.setdefault(path.name.partition("_")[2].removesuffix(".json.gz"), []).append(path)
    pairs = []
    for model, paths in by_model.items():
        if len(paths) < 2:
            continue
        loaded = [load(path) for path in paths]
        sides = [Side(accelerator=device_profile(one, library), traced=one.traced) for one in loaded]
        pairs.append(Pair(model=model, sides=tuple(sides)))
    if not pairs:
        found, allowed = "holds no model on two devices", "files <device>_<model>.json.gz"
        raise InputError(Problem(str(folder), "", found, allowed, "name the folder of reference data"))
    return pairs


def fitted(pairs: Sequence[Pair], source: str, residual: Mapping[str, float] | None = None) -> Transfer:
    """Constants from pairs.

    Args:
        pairs: of any models and devices.
        source: what they are, for the profile.
        residual: standard deviations of held-out errors, by class; what is absent is assumed.
    """
    rows: list[Observation] = []
    for pair in pairs:
        for side in pair.sides:
            rows += observations(pair.model, Roofline(side.accelerator), side.traced)
    architectures = sorted({side.accelerator.architecture for pair in pairs for side in pair.sides})
    return constants(fit_factors(rows, architectures), residual or {}, source)


def leave_one_out(
    pairs: Sequence[Pair], library: ProfileLibrary, *, with_residuals: bool = True
) -> Iterator[HeldOut]:
    """Every model projected in both directions, by constants that were fitted to the other models.

    Args:
        pairs: at least two models.
        library: finds servers and networks.
        with_residuals: take the intervals' residuals from the other models too, each left out of theirs;
            assume them otherwise.
    """
    for left_out in pairs:
        others = [pair for pair in pairs if pair.model != left_out.model]
        errors = None
        if with_residuals and len(others) > 1:
            errors = residuals(list(leave_one_out(others, library, with_residuals=False)))
        found = fitted(others, f"pairs without {left_out.model}", errors)
        for source, target in permutations(left_out.sides, 2):
            projector = Projector(
                source=source.accelerator, target=target.accelerator, library=library, constants=found
            )
            projection = projector.project(source.traced)
            yield HeldOut(model=left_out.model, source=source, target=target, projection=projection)


def residuals(held_out: Sequence[HeldOut]) -> dict[str, float]:
    """Relative standard deviations of held-out times, by class and of single operations about their class.

    An operation that ran once was mostly warming up, and says nothing of single ones. Classes of which the
    pairs hold too few different operations are left out.
    """
    by_class: dict[str, list[float]] = {part: [] for part in MODEL_CLASSES}
    keys: dict[str, set[str]] = {part: set() for part in MODEL_CLASSES}
    by_op: list[float] = []
    for one in held_out:
        for part, matched in _matched(one).items():
            projected_s, measured_s = (sum(times) for times in zip(*_totals(matched), strict=True))
            error = log(projected_s / measured_s)
            by_class[part].append(error)
            keys[part] |= {op_key(op) for _, op in matched}
            repeated = [pair for pair in matched if min(pair[0].op.count, pair[1].count) > 1]
            by_op += [log(made.duration_s / op.duration_s) - error for made, op in repeated]
    seen = {part: errors for part, errors in by_class.items() if len(keys[part]) >= MIN_OPS}
    found = {part: pooled(errors, CLASS_PRIOR) for part, errors in seen.items()}
    return found | {"op": pooled(by_op, OP_PRIOR)}


def _matched(one: HeldOut) -> dict[str, list[tuple[ProjectedOp, TracedOp]]]:
    """Operations that both traces of a pair recorded with shapes, by class."""
    measured = {op_key(op): op for op in one.target.traced.ops if op.shapes}
    found: dict[str, list[tuple[ProjectedOp, TracedOp]]] = {}
    for projected in one.projection.ops:
        op = measured.get(op_key(projected.op)) if projected.op.shapes else None
        if op is not None:
            found.setdefault(model_class(op.kind), []).append((projected, op))
    return found


def _totals(matched: Sequence[tuple[ProjectedOp, TracedOp]]) -> Iterator[tuple[float, float]]:
    return ((projected.total_s, op.total_s) for projected, op in matched)
