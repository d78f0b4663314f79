"""The site's prices and carbon intensities over a run, with mistakes told where the scenario makes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from simtool.account.site import SiteSignals, site_signals
from simtool.config.load import LoadedScenario
from simtool.config.scenario import Series
from simtool.errors import InputError, Problem
from simtool.signals import find_series

Account = Literal["average", "marginal"]

SERIES: tuple[tuple[str, str, Account | None], ...] = (
    ("site.price", "USD/kWh", None),
    ("site.carbon.average", "kgCO2e/kWh", "average"),
    ("site.carbon.marginal", "kgCO2e/kWh", "marginal"),
)
"""Field, unit and carbon account of what may be a series."""
_PLACED = re.compile(r":[0-9]+\Z")


def located_signals(loaded: LoadedScenario, end_s: float) -> SiteSignals:
    """The signals of a scenario from its start to `end_s`.

    Raises:
        InputError: a series cannot be read or does not cover the run; at its line in the series where it
            has one, else at the scenario's.
    """
    try:
        return site_signals(loaded.scenario.site, end_s, loaded.path.parent)
    except InputError as error:
        raise _located(error, loaded.locate) from None


def check_series(
    locate: Callable[[str], str],
    folder: Path,
    field: str,
    unit: str,
    account: Account | None,
    written: object,
    start: datetime,
) -> None:
    """Refuse a series that cannot be read, holds something else, or does not know the start of the run.

    Args:
        locate: place in the scenario of a dotted field.
        folder: where relative paths begin.
        field: that holds it.
        unit: base unit wanted.
        account: which carbon account it is for, if it is a carbon intensity.
        written: what stands there; anything but a `Series` is none.
        start: of the run.

    Raises:
        InputError: with why.
    """
    if not isinstance(written, Series):
        return
    try:
        find_series(
            written.series,
            start,
            unit,
            question=account,
            field=field,
            folder=folder,
            repeat=written.repeat,
            until=start,
        ).require(0.0, 0.0)
    except InputError as error:
        raise _located(error, locate) from None


def _located(error: InputError, locate: Callable[[str], str]) -> InputError:
    return InputError([_placed(problem, locate) for problem in error.problems])


def _placed(problem: Problem, locate: Callable[[str], str]) -> Problem:
    if _PLACED.search(problem.where) or not problem.field:
        return problem
    found = f"{problem.where}: {problem.found}" if problem.where else problem.found
    return replace(problem, where=locate(problem.field), found=found)
