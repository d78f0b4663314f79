"""Limits of the servers' power over time, from a standing limit, its changes and calls of the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

from simtool.config.datacenter import PowerLimits, moment
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.errors import InputError, Problem
from simtool.provenance import Sourced
from simtool.sim.fleet.plan import PowerLimit


def power_limits(loaded: LoadedDatacenter) -> tuple[PowerLimit, ...]:
    """The limit as steps; empty if there is none.

    Raises:
        InputError: changes that are not in order of time.
    """
    power, start = loaded.datacenter.power, loaded.datacenter.start
    if not power.is_limited:
        return ()
    changes = [(moment(change.begin, start), change.power) for change in power.changes]
    times = [time_s for time_s, _ in changes]
    if times != sorted(set(times)):
        field = "power.changes"
        found, mend = "found moments that do not rise", "put them in order, each once"
        raise InputError(Problem(loaded.locate(field), field, found, "", mend))
    calls = [
        (begin_s, begin_s + float(call.length), float(call.power))
        for call in power.curtailments
        for begin_s in (moment(call.begin, start),)
    ]
    edges = sorted({0.0, *times, *(edge for call in calls for edge in call[:2])})
    steps: list[PowerLimit] = []
    for edge_s in edges:
        if edge_s < 0.0:
            continue
        limit_w = min(
            _standing_w(power, changes, edge_s), *(w for a, b, w in calls if a <= edge_s < b), math.inf
        )
        if not steps or steps[-1].power_w != limit_w:
            steps.append(PowerLimit(edge_s, limit_w))
    return tuple(steps)


def _standing_w(power: PowerLimits, changes: Sequence[tuple[float, Sourced | str]], time_s: float) -> float:
    """Without calls of the grid [W]."""
    standing = math.inf if power.limit is None else float(power.limit)
    for begin_s, written in changes:
        if begin_s <= time_s:
            standing = math.inf if written == "none" else float(written)
    return standing
