"""The site's prices and carbon intensities over a run, with mistakes told where the scenario makes them."""

from __future__ import annotations

import re
from dataclasses import replace

from simtool.account.site import SiteSignals, site_signals
from simtool.config.load import LoadedScenario
from simtool.errors import InputError, Problem

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
        raise InputError([_located(loaded, problem) for problem in error.problems]) from None


def _located(loaded: LoadedScenario, problem: Problem) -> Problem:
    if _PLACED.search(problem.where) or not problem.field:
        return problem
    found = f"{problem.where}: {problem.found}" if problem.where else problem.found
    return replace(problem, where=loaded.locate(problem.field), found=found)
