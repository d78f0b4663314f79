"""Collectives at message sizes and in groups that no fit saw: how far off the curves are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simtool.calibrate.collective_checks import Check as OtherTable
from simtool.calibrate.collective_checks import checks
from simtool.calibrate.collective_fit import LARGE_BYTES, PLAIN, LinkFit, Values, inside, predicted_s, solve
from simtool.calibrate.collective_links import (
    MEASURED,
    across_link,
    corrected_link,
    fit_across,
    fit_inside,
    fitted_link,
    in_switch_of,
    is_of_bytes,
    link_from,
    measured_rows,
)
from simtool.calibrate.collective_tables import FloatArray, Mask, Timings
from simtool.profiles.find import ProfileLibrary
from simtool.validate.check import CHECKS, Outcome

NUM_FOLDS = 5
COLUMNS = ("network", "number", "held out", "all sizes", "from 1 MiB", "coefficients", "plain", "bandwidth")
NOTES = (
    (
        "cells: median / p90 of |predicted / measured - 1| in percent; every fifth message size held out in turn "
        "(neighbours on both sides were seen), or each group size, coefficients and correction refitted each time"
    ),
    (
        "coefficients: the same without the correction; plain: one start-up and one efficiency, fitted to the same "
        "folds; bandwidth: bytes of a ring at the nominal rate, nothing fitted"
    ),
    "tables that took no part: messages from 1 MiB, by curves fitted to all of the networks' own tables",
    "the L40S table is left out: its 8 boards had no access to each other's memory (1.4 GB/s)",
)


def collectives(reference: Path, library: ProfileLibrary) -> Outcome:  # noqa: ARG001
    """Refit each network's link with message sizes, then with group sizes, held out.

    Raises:
        InputError: a table is missing or damaged.
    """
    fits = fit_inside(reference)
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    pooled: dict[str, list[FloatArray]] = {"sizes": [], "groups": []}
    for name, measured in MEASURED.items():
        table = measured_rows(reference, measured)
        origin = measured.in_switch_from
        in_switch = in_switch_of(fits[origin]) if origin is not None and origin != name else None
        place = np.searchsorted(np.unique(table.size_bytes), table.size_bytes) % NUM_FOLDS
        for cut, fold in (("sizes", place), ("groups", table.group_size.astype(np.intp))):
            off, coefficients, plain = _held_out(name, table, fold, in_switch)
            nominal = _nominal_s(name, table) / table.time_s - 1.0
            large = table.size_bytes >= LARGE_BYTES
            pooled[cut].append(off)
            parts = (off, off[large], coefficients, plain, nominal)
            rows.append((name, str(len(table)), cut, *(_pair(part) for part in parts)))
            figures |= _figures(f"{name}_{cut}".replace("-", "_"), off)
    for cut, errors in pooled.items():
        all_off = np.concatenate(errors)
        rows.append(("all", str(len(all_off)), cut, _pair(all_off), *[""] * 4))
        figures |= _figures(f"all_{cut}", all_off)
    for one in _other_tables(reference, fits):
        cell = f"{100 * one.off.p50:.1f} / {100 * one.off.p90:.1f}"
        rows.append((one.name, str(one.off.num_measured), "took no part", "", cell, "", "", ""))
        key = "other_" + "".join(sign if sign.isalnum() else "_" for sign in one.name.lower())
        figures[f"{key}_p50_frac"] = one.off.p50
    return Outcome(
        title="Collectives of NCCL in one domain at sizes and in groups that no fit saw",
        columns=COLUMNS,
        rows=tuple(rows),
        figures=figures,
        notes=NOTES,
    )


def _held_out(
    name: str, table: Timings, fold: NDArray[np.intp], in_switch: Values | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Relative errors with the correction, without it, and of the plain model."""
    predicted = np.empty((3, len(table)))
    of_bytes = is_of_bytes(table, MEASURED[name])
    for left_out in np.unique(fold):
        out = fold == left_out
        for of_training, rows_of in ((True, ~of_bytes), (False, of_bytes)):
            chosen = out & rows_of
            if not chosen.any():
                continue
            link = link_from(name, table.where(~out), in_switch, of_bytes=not of_training)
            held = table.where(chosen)
            predicted[0, chosen] = predicted_s(held, inside(link))
            predicted[1, chosen] = predicted_s(held, inside(replace(link, correction={})))
        predicted[2, out] = _plain_s(name, table, out)
    off = predicted / table.time_s - 1.0
    return off[0], off[1], off[2]


def _plain_s(name: str, table: Timings, out: Mask) -> FloatArray:
    """One start-up and one efficiency, from the rows that are not out."""

    def predict(values: Values, chosen: Mask) -> FloatArray:
        link = replace(fitted_link(name, values), local_frac=0.0)
        return predicted_s(table.where(chosen), inside(link), "ring")

    values, _ = solve(PLAIN, predict, table.time_s, ~out)
    return predict(values, out)


def _nominal_s(name: str, table: Timings) -> FloatArray:
    return predicted_s(table, inside(replace(fitted_link(name, {}), local_frac=0.0)), "ring")


def _other_tables(reference: Path, fits: dict[str, LinkFit]) -> list[OtherTable]:
    """Vidur, vTrain, SimAI and others, by links fitted to all rows."""
    links = {name: corrected_link(name, fit, fits) for name, fit in fits.items()}
    return checks(reference, links, across_link(fit_across(reference).values))


def _pair(off: FloatArray) -> str:
    p50, p90 = np.percentile(np.abs(off), [50, 90])
    return f"{100 * p50:.1f} / {100 * p90:.1f}"


def _figures(key: str, off: FloatArray) -> dict[str, float]:
    p50, p90 = np.percentile(np.abs(off), [50, 90])
    return {f"{key}_p50_frac": float(p50), f"{key}_p90_frac": float(p90)}


CHECKS.register("collectives")(collectives)
