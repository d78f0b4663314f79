"""Swings of a job's servers together, from those of each alone: how far servers of one job are in step.

MLPerf Training's metered runs on several servers, every two seconds. From the course of one server, the swing of all
is predicted as that of servers in step (`facility.swings`); the baseline lets them know nothing of each other. Nothing
is fitted. The measured coherence of servers is told beside, of the whole run and while it trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.facility.swings import JobLoad, Swing, job_swing
from simtool.profiles.find import ProfileLibrary
from simtool.step.waveform import Waveform
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.checks.mlperf_scale import columns_of, series_path
from simtool.validate.checks.node_power import RUNS
from simtool.validate.power_tables import read_power_table

FloatArray = NDArray[np.float64]
PERIOD_S = 2.0
"""Between two readings of these meters."""
EDGE_S = 3.0 * PERIOD_S
"""At either end of a run without a reading, filled with the nearest; more is refused."""
TRAINS_FRAC = 0.8
"""Of the median of all servers: above it a run trains, below it it starts, evaluates or waits."""


@dataclass(frozen=True, slots=True)
class Together:
    """One run: servers beside each other."""

    name: str
    power_w: FloatArray
    """Of every server (rows) at the same moments."""

    @property
    def num_nodes(self) -> int:
        """Servers."""
        return len(self.power_w)

    @property
    def total_w(self) -> FloatArray:
        """Of all."""
        return np.asarray(self.power_w.sum(axis=0))

    def predicted(self, coherence: float) -> list[Swing]:
        """Swing of all, from each server's own course."""
        return [
            job_swing(
                JobLoad(
                    waveform=Waveform(seconds=np.full(course.shape, PERIOD_S), start_w=course, end_w=course),
                    num_ranks=self.num_nodes,
                    coherence=coherence,
                )
            )
            for course in self.power_w
        ]


def coherence_of(power_w: FloatArray) -> float:
    """Of servers' readings: ``(var(sum) / mean var - N) / (N (N - 1))``, 1 in step, 0 independent.

    >>> course = np.array([1.0, 2.0, 3.0, 2.0])
    >>> coherence_of(np.array([course, course])), coherence_of(np.array([course, 4.0 - course]))
    (1.0, -1.0)
    """
    num = len(power_w)
    return float((power_w.sum(axis=0).var() / power_w.var(axis=1).mean() - num) / (num * (num - 1)))


@CHECKS.register("power-swings")
def power_swings(reference: Path, library: ProfileLibrary) -> Outcome:
    """Predict the swing of all servers of a run from that of one, and score."""
    del library  # nothing of a profile is needed
    runs, num_damaged = _read(reference)
    if not runs:
        found = "names no run on several servers whose series are at hand"
        raise InputError(Problem(str(reference / RUNS), "", found, "", "give the series of the meters"))
    rows, std, p99, independent, coherences = [], [], [], [], []
    for run in runs:
        measured_w = float(run.total_w.std())
        level_w = float(np.quantile(run.total_w, 0.99))
        std.append(fmean(swing.std_w for swing in run.predicted(1.0)) / measured_w - 1.0)
        p99.append(fmean(swing.p99_w for swing in run.predicted(1.0)) / level_w - 1.0)
        independent.append(fmean(swing.std_w for swing in run.predicted(0.0)) / measured_w - 1.0)
        trains = run.power_w[:, run.power_w.mean(axis=0) > TRAINS_FRAC * np.median(run.power_w)]
        coherences.append((coherence_of(run.power_w), coherence_of(trains)))
        rows.append(
            (
                run.name,
                f"{measured_w / run.num_nodes:.0f}",
                f"{std[-1]:+.0%}",
                f"{p99[-1]:+.1%}",
                f"{independent[-1]:+.0%}",
                *(f"{value:.2f}" for value in coherences[-1]),
            )
        )
    return Outcome(
        title=(
            f"MLPerf Training: swing of all servers of {len(runs)} runs from the course of one; standard deviation and "
            "p99 at two seconds, scope: servers at their plugs"
        ),
        columns=("", "std W a server", "in step", "p99", "independent", "coherence", "training"),
        rows=tuple(rows),
        figures={
            "num_runs": float(len(runs)),
            "std_error_mean_frac": fmean(map(abs, std)),
            "std_error_max_frac": max(map(abs, std)),
            "p99_error_mean_frac": fmean(map(abs, p99)),
            "p99_error_max_frac": max(map(abs, p99)),
            "independent_std_error_mean_frac": fmean(map(abs, independent)),
            "coherence_mean_frac": fmean(whole for whole, _ in coherences),
            "coherence_training_mean_frac": fmean(training for _, training in coherences),
        },
        notes=(
            (
                "Given: the readings of one server, in turn each; nothing is fitted. in step and independent: error of "
                "the standard deviation at coherence 1 and 0. Whole run: start-up and evaluations included."
            ),
            (
                "coherence: as measured between servers, of the whole run and while it trains. Meters see two seconds "
                "and are not read at the same moment: shorter swings are averaged out, and lower it."
            ),
            f"{num_damaged} runs with readings below zero left out.",
        ),
    )


def _read(reference: Path) -> tuple[list[Together], int]:
    table = read_power_table(
        reference / RUNS, texts=("round", "system", "benchmark", "run"), numbers=("n_nodes", "run_s")
    )
    found, num_damaged = [], 0
    for row in table:
        text = row.text
        if row.number["n_nodes"] < 2.0 or not text["system"].split("/")[0].endswith("-ac-power"):
            continue
        path = series_path(reference, text)
        if not path.is_file():
            continue
        power_w = _power_w(path, row.number["run_s"])
        if np.min(power_w) < 0.0:
            num_damaged += 1
            continue
        name = f"{text['benchmark']} on {len(power_w)}, {path.name.split('__')[-1].removesuffix('.csv.gz')}"
        found.append(Together(name, power_w))
    return found, num_damaged


def _power_w(path: Path, run_s: float) -> FloatArray:
    """Of every server at the same moments inside the run, between readings in proportion."""
    meters = columns_of(path)
    if len(meters) < 2:
        found = f"holds {len(meters)} columns of servers"
        raise InputError(Problem(str(path), "node", found, "allowed: 2 or more", "give a run on several"))
    rows = read_power_table(path, texts=(), numbers=("t_s",), optional=meters)
    times = np.arange(PERIOD_S / 2.0, run_s, PERIOD_S)
    courses = []
    for meter in meters:
        read = [
            (row.number["t_s"], row.number[meter]) for row in rows if row.number[meter] == row.number[meter]
        ]
        if len(read) < 2 or read[0][0] > EDGE_S or read[-1][0] < run_s - EDGE_S:
            found = f"holds no readings from the begin to the end of the run of {run_s:g} s"
            raise InputError(Problem(str(path), meter, found, "", "give the whole series"))
        at, watts = zip(*read, strict=True)
        courses.append(np.interp(times, at, watts))
    return np.array(courses)
