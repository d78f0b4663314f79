"""Time and energy under a power limit, of workloads of which only the uncapped time and power are given.

Zeus' traces: five networks on four boards, every batch size under up to nine limits. The law of
`machine.power.workload_under_cap` is fitted to the other networks of the same boards (or to the other
boards) and predicts the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from simtool.errors import InputError, Problem
from simtool.machine.power import CLOCK_FREE, FILL, LOWEST_CLOCK, CapLaw, workload_under_cap
from simtool.profiles.find import ProfileLibrary
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.power_tables import read_power_table

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

FOLDER = Path("data") / "power" / "zeus"
PREFIX = "summary_power_"
MIN_NETWORKS = 2
"""One to fit to and one to predict."""
UNBOUND = 1.6
"""A cap this many times the uncapped power changes nothing: what differs there is noise."""
SOFT_FRAC = 0.04
"""Residual from which on a point counts less: the repeatability of the traces."""

SHARED = ((FILL, 0.0, 1.0), (CLOCK_FREE, 0.0, 0.9), (LOWEST_CLOCK, 0.02, 0.5))
"""Start, least and most of what all boards have in common: fill, clock_free, lowest_clock."""
OWN = ((0.2, 0.0, 0.45), (0.85, 0.4, 1.0), (0.3, 0.05, 0.5))
"""The same of each board: static, voltage_floor, gap."""
POWER_LAW = ((0.8, 0.3, 1.5), (1.2, 0.1, 4.0), (0.93, 0.5, 1.3))
"""The same of the baseline ``time max(1, a power/cap)^k``, ``min(power, b cap)``: a, k, b."""

Guess = Callable[["Points"], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Capped runs beside their uncapped one; powers as fractions of the board's limit."""

    boards: tuple[str, ...]
    board: IntArray
    """Place in `boards`."""
    workload: NDArray[np.str_]
    power: FloatArray
    """Uncapped."""
    cap: FloatArray
    time: FloatArray
    """Over the uncapped time."""
    drawn: FloatArray
    """Under the cap."""

    def where(self, chosen: BoolArray) -> Points:
        """The points that are chosen."""
        return Points(
            boards=self.boards,
            board=self.board[chosen],
            workload=self.workload[chosen],
            power=self.power[chosen],
            cap=self.cap[chosen],
            time=self.time[chosen],
            drawn=self.drawn[chosen],
        )

    @property
    def energy(self) -> FloatArray:
        """Over the uncapped energy."""
        return self.time * self.drawn / self.power


FIGURES = {
    "cap law": "",
    "power law": "power_law_",
    "cap law, board left out": "board_left_out_",
    "power law, board left out": "power_law_board_left_out_",
    "noise, caps that do not bind": "noise_",
}
"""Scores that are figures too, and how their names begin."""


class Errors(NamedTuple):
    """Mean absolute errors, as fractions."""

    time: float
    power: float
    energy: float


def read_points(reference: Path) -> Points:
    """All capped runs of the traces. A curve's uncapped run is that at the highest limit of its board.

    Raises:
        InputError: a table is missing or damaged.
    """
    paths = sorted((reference / FOLDER).glob(f"{PREFIX}*.csv"))
    if not paths:
        found = f"holds no {PREFIX}*.csv"
        raise InputError(Problem(str(reference / FOLDER), "", found, "", "give Zeus' traces"))
    boards, columns = [], []
    for place, path in enumerate(paths):
        boards.append(path.stem.removeprefix(PREFIX))
        texts = ("dataset", "network", "batch_size", "optimizer")
        rows = read_power_table(path, texts=texts, numbers=("power_limit", "time_per_epoch", "average_power"))
        if min(min(row.number.values()) for row in rows) <= 0.0:
            found = "holds a time or a power of zero or less"
            raise InputError(Problem(str(path), "", found, "all are above 0", "mend the rows"))
        limit_w = max(row.number["power_limit"] for row in rows)
        curves: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
        for row in rows:
            number = row.number
            point = (number["power_limit"], number["time_per_epoch"], number["average_power"])
            curves.setdefault(tuple(row.text[name] for name in texts), []).append(point)
        for key, points in curves.items():
            *capped, (cap_w, time, power_w) = sorted(points)
            if cap_w == limit_w:
                columns += [
                    (place, key[1], power_w / limit_w, cap / limit_w, took / time, drew / limit_w)
                    for cap, took, drew in capped
                ]
    if len({column[1] for column in columns}) < MIN_NETWORKS:
        found = "holds fewer than two networks with runs at the limit and below it"
        raise InputError(Problem(str(reference / FOLDER), "", found, "", "give Zeus' traces"))
    board, workload, power, cap, times, drawn = (np.array(column) for column in zip(*columns, strict=True))
    return Points(
        boards=tuple(boards), board=board, workload=workload, power=power, cap=cap, time=times, drawn=drawn
    )


def fit_law(points: Points, *, pooled: bool = False) -> Guess:
    """The cap law, fitted: three numbers a board (or one set for all), and three shared.

    Args:
        points: to fit to.
        pooled: one set of numbers, to be used on boards that were not seen.
    """
    fitted = fit_parameters(points, pooled=pooled)
    return lambda given: _law_of(fitted, given)


def fit_parameters(points: Points, *, pooled: bool = False) -> FloatArray:
    """Fill, clock_free, lowest_clock; then static, voltage_floor and gap of every board."""
    sets = 1 if pooled else len(points.boards)
    bounds = np.array(SHARED + OWN * sets)
    return _fit(lambda numbers: _law_of(numbers, points), bounds, points)


def _law_of(numbers: FloatArray, points: Points) -> tuple[FloatArray, FloatArray]:
    own = numbers[len(SHARED) :].reshape(-1, len(OWN))
    static, voltage_floor, gap = own[points.board if len(own) > 1 else np.zeros_like(points.board)].T
    law = CapLaw(
        static=static,
        voltage_floor=voltage_floor,
        gap=gap,
        fill=numbers[0],
        clock_free=numbers[1],
        lowest_clock=numbers[2],
    )
    time, drawn = workload_under_cap(points.power, points.cap, limit_w=1.0, law=law)
    return np.asarray(time), np.asarray(drawn)


def fit_power_law(points: Points, *, pooled: bool = False) -> Guess:
    """The baseline that fits such curves best among the simple ones, fitted in the same way."""
    sets = 1 if pooled else len(points.boards)

    def law(numbers: FloatArray, given: Points) -> tuple[FloatArray, FloatArray]:
        own = numbers.reshape(sets, -1)
        a, k, b = own[given.board if sets > 1 else np.zeros_like(given.board)].T
        return np.maximum(1.0, a * given.power / given.cap) ** k, np.minimum(given.power, b * given.cap)

    fitted = _fit(lambda numbers: law(numbers, points), np.array(POWER_LAW * sets), points)
    return lambda given: law(fitted, given)


def _fit(
    predict: Callable[[FloatArray], tuple[FloatArray, FloatArray]], bounds: FloatArray, points: Points
) -> FloatArray:
    """Least squares of the logarithms of time and energy, far points weighing less."""

    def residuals(numbers: FloatArray) -> FloatArray:
        time, drawn = predict(numbers)
        energy = time * drawn / points.power
        return np.concatenate([np.log(time / points.time), np.log(energy / points.energy)])

    start, least, most = bounds.T
    found = least_squares(
        residuals, start, bounds=(least, most), loss="soft_l1", f_scale=SOFT_FRAC, diff_step=1e-3
    )
    return np.asarray(found.x)


def nothing_changes(points: Points) -> tuple[FloatArray, FloatArray]:
    """Baseline: a cap has no effect."""
    return np.ones_like(points.time), points.power


def proportional(points: Points) -> tuple[FloatArray, FloatArray]:
    """Baseline: the cap is drawn, and the time grows as the power falls, so that energy stays."""
    return np.maximum(1.0, points.power / points.cap), np.minimum(points.power, points.cap)


def held_out(
    points: Points, fit: Callable[[Points], Guess], groups: NDArray[np.str_] | IntArray
) -> tuple[FloatArray, FloatArray]:
    """Predictions of every group from a fit to the others."""
    time, drawn = np.empty_like(points.time), np.empty_like(points.drawn)
    for group in np.unique(groups):
        left_out = groups == group
        time[left_out], drawn[left_out] = fit(points.where(~left_out))(points.where(left_out))
    return time, drawn


def errors(points: Points, predicted: tuple[FloatArray, FloatArray]) -> Errors:
    """Mean absolute errors of time, power and energy."""
    time, drawn = predicted
    ratios = (time / points.time, drawn / points.drawn, time * drawn / points.power / points.energy)
    return Errors(*(float(np.mean(np.abs(ratio - 1.0))) for ratio in ratios))


@CHECKS.register("power-caps")
def power_caps(reference: Path, library: ProfileLibrary) -> Outcome:
    """Score capped runs of workloads, then of boards, that were left out of the fit."""
    del library  # fitted in the folds: the shipped numbers have seen these workloads
    points = read_points(reference)
    unbound = points.cap > UNBOUND * points.power
    by_workload = {
        "cap law": held_out(points, fit_law, points.workload),
        "power law": held_out(points, fit_power_law, points.workload),
        "time as power / cap": proportional(points),
        "no effect": nothing_changes(points),
    }
    scores = {name: errors(points, found) for name, found in by_workload.items()}
    if len(points.boards) > 1:
        laws = {"cap law": fit_law, "power law": fit_power_law}
        for name, fit in laws.items():
            found = held_out(points, partial(fit, pooled=True), points.board)
            scores[f"{name}, board left out"] = errors(points, found)
    for place, board in enumerate(points.boards):
        here = points.board == place
        time, drawn = by_workload["cap law"]
        scores[f"cap law, {board}"] = errors(points.where(here), (time[here], drawn[here]))
    if unbound.any():
        alone = points.where(unbound)
        scores["noise, caps that do not bind"] = errors(alone, nothing_changes(alone))
    figures = {"num_rows": float(len(points.time))}
    for name, start in FIGURES.items():
        if name in scores:
            figures |= {
                f"{start}{part}_error_mean_frac": value for part, value in scores[name]._asdict().items()
            }
    return Outcome(
        title=(
            f"Zeus: time and energy of {len(points.time)} capped training runs from their uncapped time and "
            f"power; {len(np.unique(points.workload))} networks on {len(points.boards)} boards, mean errors"
        ),
        columns=("", "time", "power", "energy"),
        rows=tuple((name, *(f"{part:.1%}" for part in score)) for name, score in scores.items()),
        figures=figures,
        notes=(
            (
                "Given: uncapped time and power of the workload, and the cap. Fitted on the other networks of the "
                "same boards: three numbers a board (static power, voltage floor, power in gaps) and three shared; "
                "with the board left out, one set for all others. Energy is that of one board (scope: gpu)."
            ),
            f"Noise: caps above {UNBOUND:g} times the uncapped power, which cannot change anything.",
        ),
    )
