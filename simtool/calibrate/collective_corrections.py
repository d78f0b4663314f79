"""What a link's coefficients miss, by kind, group and message size: protocols that a library switches between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from simtool.calibrate.collective_fit import inside, predicted_s
from simtool.calibrate.collective_tables import FloatArray, Timings
from simtool.calibrate.corrections import table_of
from simtool.calibrate.smooth import Solver, Term, design, penalty
from simtool.machine.network import Link

SIZE_ROUGHNESS, RANK_ROUGHNESS, RIDGE = 0.1, 0.01, 0.02
"""Penalties of second differences along message size and group size, and of a value itself."""

Anchors = Mapping[str, tuple[Term, FloatArray]]
"""Grid and its values by kind of collective."""


def fit_anchors(link: Link, rows: Timings) -> Anchors:
    """Grids of log(measured / predicted), an anchor each octave of message and each group size, by kind."""
    log_ratio = np.log(rows.time_s / predicted_s(rows, inside(link)))
    found = {}
    for kind in np.unique(rows.kind):
        chosen = rows.kind == kind
        ranks, sizes = rows.group_size[chosen], rows.size_bytes[chosen]
        groups = tuple(float(size) for size in np.unique(ranks))
        if len(groups) < 2:
            continue
        low, high = np.floor(np.log2(sizes.min())), np.ceil(np.log2(sizes.max()))
        term = Term(
            name=str(kind),
            axes={"ranks": groups, "size": tuple(2.0 ** np.arange(low, high + 1))},
            roughness=(RANK_ROUGHNESS, SIZE_ROUGHNESS),
            ridge=RIDGE,
        )
        fold = np.zeros(np.count_nonzero(chosen), dtype=np.intp)
        solver = Solver(design(term, (ranks, sizes)), penalty([term]), fold)
        found[str(kind)] = (term, solver.solve(log_ratio[chosen]))
    return found


def with_anchors(link: Link, anchors: Anchors) -> Link:
    """The link with its corrections."""
    return replace(link, correction={kind: term.grid(values) for kind, (term, values) in anchors.items()})


def section(anchors: Anchors, source: str) -> dict[str, Any]:
    """The corrections as a network's file has them."""
    return {
        "source": source,
        "kinds": {kind: table_of(term, values) for kind, (term, values) in anchors.items()},
    }
