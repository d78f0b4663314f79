"""Fitted constants as a text file: the fit to all rows, and the fits that never saw one fold of families each."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from simtool.errors import InputError, Problem
from simtool.validate.case import Case
from simtool.validate.fit.constants import CONSTANTS, stack
from simtool.validate.fit.features import features_of
from simtool.validate.fit.solve import Fitted, Floats, Unknown, predict

SHIPPED = Path(__file__).parents[1] / "data" / "stacks.json"
NUM_FOLDS = 5
SHARED = "(all)"
"""Group of a shared value."""
DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Tenth and ninetieth percentile of log(predicted / measured) on families that took no part in the fit."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was fitted, on what, and how far off it is where it was not fitted."""

    whole: Fitted
    folds: tuple[Fitted, ...]
    rows: Mapping[str, int]
    """Fold of every row that took part, by id."""
    seen: Interval
    unseen: Interval
    source: str

    def fitted_for(self, case: Case) -> Fitted:
        """The fit that predicts a case: one that did not see its family, if the case took part."""
        fold = self.rows.get(case.row["id"])
        return self.whole if fold is None else self.folds[fold]

    def has_seen(self, case: Case) -> bool:
        """Whether that fit saw rows of the case's framework on its architecture."""
        return stack(case) in _stacks(self.fitted_for(case))

    def step_time_s(self, cases: Sequence[Case]) -> Floats:
        """Step times; a row that took part is predicted by the fit that did not see its family [s]."""
        times = np.zeros(len(cases))
        which = [self.fitted_for(case) for case in cases]
        for fitted in (self.whole, *self.folds):
            mine = [place for place, own in enumerate(which) if own is fitted]
            if mine:
                times[mine] = fitted_step_time_s(fitted, [cases[place] for place in mine])
        return times


@cache
def _known(unknowns: tuple[Unknown, ...]) -> frozenset[str]:
    index = next(place for place, one in enumerate(CONSTANTS) if one.name == "product_ratio")
    level = [one.label for one in CONSTANTS[index].levels].index(stack)
    return frozenset(one.group for one in unknowns if (one.constant, one.level) == (index, level))


def _stacks(fitted: Fitted) -> frozenset[str]:
    return _known(fitted.unknowns)


def fold_of(family: str) -> int:
    """The fold that a family belongs to, whatever table it comes from.

    >>> fold_of("bloom-A100-L72-h14336") in range(NUM_FOLDS)
    True
    """
    return zlib.crc32(family.encode()) % NUM_FOLDS


def fitted_step_time_s(fitted: Fitted, cases: Sequence[Case]) -> Floats:
    """Step times with given constants [s]."""
    values = {one.name: one.natural(fitted.constant(index, cases)) for index, one in enumerate(CONSTANTS)}
    return predict(features_of(cases), values)


@cache
def load(path: Path = SHIPPED) -> Stored:
    """The constants that were fitted last.

    Raises:
        InputError: the file is missing, damaged, or of other constants than this version has.
    """
    try:
        written = json.loads(path.read_text("utf-8"))
        stored = Stored(
            whole=_fitted(written["whole"]),
            folds=tuple(_fitted(one) for one in written["folds"]),
            rows={row: fold for fold, rows in enumerate(written["rows"]) for row in rows},
            seen=Interval(**written["seen"]),
            unseen=Interval(**written["unseen"]),
            source=written["source"],
        )
        _refuse_odd(stored)
        return stored
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found = f"cannot be read: {error}"
        raise InputError(
            Problem(str(path), "", found, "", "fit again: python -m simtool.validate.fit")
        ) from None


def _refuse_odd(stored: Stored) -> None:
    if len(stored.folds) != NUM_FOLDS:
        raise ValueError(f"{len(stored.folds)} folds, not {NUM_FOLDS}")
    for fitted in (stored.whole, *stored.folds):
        if not (np.isfinite(fitted.values).all() and np.isfinite(fitted.covariance).all()):
            raise ValueError("a value or spread is not finite")
    for one in (stored.seen, stored.unseen):
        if not -np.inf < one.low < one.high < np.inf:
            raise ValueError("an interval is not from low to high")


def save(stored: Stored, path: Path) -> None:
    """Write the constants; the same fit gives the same bytes."""
    written = {
        "source": stored.source,
        "seen": {"low": round(stored.seen.low, DIGITS), "high": round(stored.seen.high, DIGITS)},
        "unseen": {"low": round(stored.unseen.low, DIGITS), "high": round(stored.unseen.high, DIGITS)},
        "whole": _written(stored.whole),
        "folds": [_written(one) for one in stored.folds],
        "rows": [sorted(row for row, own in stored.rows.items() if own == fold) for fold in range(NUM_FOLDS)],
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(written, indent=1) + "\n", "utf-8")
    partial.replace(path)


def _written(fitted: Fitted) -> dict[str, dict[str, list[float]]]:
    """By constant and level, by group: departure on the scale of the link, and its standard error."""
    spreads = np.sqrt(np.diag(fitted.covariance))
    found: dict[str, dict[str, list[float]]] = {}
    for unknown, value, spread in zip(fitted.unknowns, fitted.values, spreads, strict=True):
        one = CONSTANTS[unknown.constant]
        level = one.levels[unknown.level].label.__name__ if unknown.level >= 0 else "shared"
        groups = found.setdefault(f"{one.name}/{level}", {})
        groups[unknown.group or SHARED] = [round(float(value), DIGITS), round(float(spread), DIGITS)]
    return found


def _fitted(written: Mapping[str, Mapping[str, Sequence[Any]]]) -> Fitted:
    unknowns, values, spreads = [], [], []
    for key, groups in written.items():
        name, _, level = key.partition("/")
        index = [one.name for one in CONSTANTS].index(name)
        names = [one.label.__name__ for one in CONSTANTS[index].levels]
        place = -1 if level == "shared" else names.index(level)
        for group, (value, spread) in groups.items():
            width = CONSTANTS[index].width if place < 0 else CONSTANTS[index].levels[place].width
            unknowns.append(Unknown(index, place, "" if place < 0 else group, width))
            values.append(float(value))
            spreads.append(float(spread))
    return Fitted(unknowns=tuple(unknowns), values=np.array(values), covariance=np.diag(np.square(spreads)))
