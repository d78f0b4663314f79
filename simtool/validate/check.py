"""Checks against measurements: each predicts what a folder of reference data holds and says how far off it is.

One module of `simtool.validate.checks` adds one check; `simtool validate --check NAME` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from simtool.profiles.find import ProfileLibrary
from simtool.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a check found."""

    title: str
    """What was predicted, from what, in one line."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The table that a person reads: one cell a column, the first names the row."""
    figures: Mapping[str, float]
    """The same for a program: names that end in their unit, as ``time_error_mean_frac``."""
    notes: tuple[str, ...] = field(default=())
    """How to read it: what was fitted on what, what was left out and how much of it."""


class Check(Protocol):
    """Predicts measurements that no constant behind the prediction was fitted to."""

    def __call__(self, reference: Path, library: ProfileLibrary) -> Outcome:
        """Score against the tables under `reference`, the folder that holds ``data/`` and ``validation/``.

        Raises:
            InputError: a table is missing or damaged.
        """


CHECKS: Registry[Check] = Registry("check", package="simtool.validate.checks", group="simtool.checks")
"""All checks by name."""
