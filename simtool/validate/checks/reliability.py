"""Failures and effective time of clusters that published them, predicted with the rates of the other clusters.

How often nodes fail differs between clusters by more than any one cluster's count is uncertain. The rates of the
other clusters are therefore taken as draws of one lognormal distribution of unknown mean and width: a new
cluster's rate follows Student's t about their mean logarithm, with one degree of freedom fewer than there are
clusters, and a width of sd sqrt(1 + 1/n). Detection, restart, repair, spares and saving come from published
ranges, the same for all. Nothing is fitted to the row that is predicted.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.rng import stream
from simtool.sim.hazards import HazardEvent
from simtool.sim.hazards.events import hazard_events
from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.plan import Cause, HazardPlan
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.effective_time import NUMBER, PER_NODE, SEED, Timed, simulated_goodput_frac

FloatArray = NDArray[np.float64]

FOLDER = Path("data") / "facility" / "reliability"
STUDIES, RECOVERY = "cluster_studies.csv", "recovery_params.csv"
RATE = "failures_per_1000_node_days"
NUM_DRAWS = 100
LONGEST_DAYS = 30.0
"""Effective time of longer runs is that of their first month."""
RANGES = {
    "detection_s": "failure_detect_s",
    "restart_s": "restart_overhead_s",
    "repair_h": "repair_time_h",
    "spare_frac": "spare_fraction",
    "write_s": "sync_ckpt_stall_405B",
    "stall_s": "async_ckpt_stall",
}
"""What is drawn, and the row of the table that holds its range; all are drawn evenly in their logarithm."""


TIMED = (
    Timed(cluster="Meta Llama 3", what="effective time"),
    Timed(cluster="Meta OPT", what="effective time"),
    # 40 s every 3 h, as that run was configured: chronicles of BLOOM.
    Timed(cluster="BigScience BLOOM", what="effective time", interval_h=3.0, write_s=40.0),
    Timed(cluster="ByteDance MegaScale", what="effective time"),
    Timed(cluster="ByteDance ByteRobust", what="effective time"),
    Timed(cluster="AWS HLAT", what="effective time, automatic", per_node=16),
    Timed(cluster="Google Gemini", what="effective time, store", per_node=4),
    Timed(
        cluster="Google Gemini",
        what="effective time, memory",
        take=rf"-> {NUMBER}",
        per_node=4,
        saving="in-memory",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A prediction beside what was published."""

    cluster: str
    what: str
    observed: float
    is_least: bool
    """Whether only "more than" was published."""
    draws: FloatArray

    def quantile(self, share: float) -> float:
        """Of the draws."""
        return float(np.quantile(self.draws, share))

    def is_inside(self, coverage: float) -> bool:
        """Whether the central interval of this coverage holds what was published."""
        tail = 0.5 * (1.0 - coverage)
        is_above = self.quantile(1.0 - tail) < self.observed
        return not is_above and (self.is_least or self.quantile(tail) <= self.observed)

    @property
    def median_reaches(self) -> bool:
        """False where more than the median was published as the least."""
        return not self.is_least or self.quantile(0.5) >= self.observed

    def verdict(self, coverage: float) -> str:
        """In one word."""
        if not self.is_inside(coverage):
            return "NO"
        return "yes" if self.median_reaches else "reached"


def read_studies(reference: Path) -> list[dict[str, str]]:
    """The table of clusters.

    Raises:
        InputError: it is missing or lacks a column.
    """
    columns = ("cluster", "n_accel", "days", "events", "gpu_hours_per_event", RATE, "effective_time_ratio")
    return _rows(reference / FOLDER / STUDIES, (*columns, "recovery"))


def read_ranges(reference: Path) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of everything in `RANGES`.

    Raises:
        InputError: the table is missing, lacks a row, or a range is not "low-high".
    """
    path = reference / FOLDER / RECOVERY
    written = {row["param"]: row["range"] for row in _rows(path, ("param", "range"))}
    found = {}
    for name, param in RANGES.items():
        match = re.fullmatch(rf"{NUMBER}-{NUMBER}", written.get(param, ""))
        if match is None or not 0.0 < float(match[1]) < float(match[2]):
            shown = f"found {written.get(param, 'no such row')!r}"
            raise InputError(Problem(str(path), param, shown, "a range as 10-600", "mend the row"))
        found[name] = (float(match[1]), float(match[2]))
    return found


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(Problem(str(path), "", "found no such file", "", "give the folder that holds it"))
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lacks = [name for name in columns if name not in (reader.fieldnames or ())]
        if lacks:
            raise InputError(Problem(str(path), lacks[0], "found no such column", "", "give the whole table"))
        return [{name: value or "" for name, value in row.items() if name} for row in reader]


def rates_of_others(rates: Mapping[str, float], cluster: str, shares: FloatArray) -> FloatArray:
    """Draws of a cluster's rate from those of the others, in the table's unit.

    Args:
        rates: of all clusters that state one.
        cluster: which one is left out.
        shares: where in the distribution each draw lies, from 0 to 1.

    >>> rates = {"a": 1.0, "b": 4.0, "c": 99.0}
    >>> float(rates_of_others(rates, "c", np.array([0.5]))[0])  # the median is the geometric mean
    2.0
    """
    from scipy.special import stdtrit  # slow to import

    logs = np.log([rate for name, rate in rates.items() if name != cluster])
    width = float(np.std(logs, ddof=1)) * math.sqrt(1.0 + 1.0 / len(logs))
    return np.asarray(np.exp(np.mean(logs) + width * stdtrit(len(logs) - 1, shares)), np.float64)


def evenly(num: int, entity: str, purpose: str) -> FloatArray:
    """Shares from 0 to 1, one in each of `num` equal parts, in random order."""
    random = stream(SEED, f"reliability/{entity}", purpose)
    return (random.permutation(num) + random.random(num)) / num


@CHECKS.register("reliability")
def check_reliability(reference: Path, library: ProfileLibrary) -> Outcome:
    """Failures and effective time of published clusters, with the rates of the other clusters."""
    del library  # the rates are the table's
    studies = read_studies(reference)
    rates = {row["cluster"]: float(row[RATE]) for row in studies if row[RATE]}
    guesses = [_interruptions(row, rates) for row in studies if row[RATE]]
    guesses += _other_rows(studies, rates, read_ranges(reference))
    guesses += [_effective_time(case, studies, rates, read_ranges(reference)) for case in TIMED]
    inside = {cover: sum(guess.is_inside(cover) for guess in guesses) for cover in (0.8, 0.9)}
    widths = [guess.quantile(0.9) / guess.quantile(0.1) for guess in guesses if "interr" in guess.what]
    figures = {
        "rows": float(len(guesses)),
        "inside_80_frac": inside[0.8] / len(guesses),
        "inside_90_frac": inside[0.9] / len(guesses),
        "count_p90_over_p10_median": float(np.median(widths)),
        **{f"{_key(guess)}_inside": float(guess.is_inside(0.9)) for guess in guesses},
    }
    return Outcome(
        title="failures and effective time of published clusters, with the failure rates of the other clusters",
        columns=("row", "p10", "p50", "p90", "observed", "in 80 %", "in 90 %"),
        rows=tuple(_row(guess) for guess in guesses),
        figures=figures,
        notes=_notes(guesses, len(rates), figures["count_p90_over_p10_median"]),
    )


def _notes(guesses: Sequence[Guess], num_rates: int, width: float) -> tuple[str, ...]:
    inside = {cover: sum(guess.is_inside(cover) for guess in guesses) for cover in (0.8, 0.9)}
    missed = "; ".join(f"{guess.cluster}: {guess.what}" for guess in guesses if not guess.is_inside(0.9))
    short = [guess.cluster for guess in guesses if guess.is_inside(0.9) and not guess.median_reaches]
    counts = (
        f"{inside[0.8]} of {len(guesses)} rows lie inside the 80 % interval (p10 to p90), {inside[0.9]} inside "
        f"the 90 % one (p5 to p95). Outside of that: {missed or 'none'}."
    )
    bounds = (
        "Where only 'more than' is published, 'reached' says that the interval holds such values and its median "
        f"is lower: {', '.join(short) or 'nowhere'}."
    )
    rates = (
        f"Rates of {num_rates} clusters, the row's own left out, as draws of one lognormal distribution: p90 of a "
        f"count is {width:.0f} times its p10. A rate from elsewhere says the order of magnitude and no more."
    )
    others = (
        "Detection, restart, repair, spares and saving are drawn from the ranges of the table of recovery "
        "parameters, the same for all rows; checkpoints follow Daly's interval for the rate that was drawn. Of "
        "BLOOM its configured checkpoints are used."
    )
    what = (
        "What is counted differs between clusters: all unexpected stops, failures of nodes, or of GPUs alone. "
        "Days are those of running."
    )
    return counts, bounds, rates, others, what


def _key(guess: Guess) -> str:
    return re.sub(r"[^a-z0-9]+", "_", f"{guess.cluster} {guess.what}".lower()).strip("_")


def _row(guess: Guess) -> tuple[str, ...]:
    form: Callable[[float], str] = (
        (lambda value: f"{value:.3f}") if guess.observed < 1.0 else (lambda value: f"{value:,.3g}")
    )
    if guess.observed >= 100.0:
        form = "{:,.0f}".format
    return (
        f"{guess.cluster}: {guess.what}",
        *(form(guess.quantile(share)) for share in (0.1, 0.5, 0.9)),
        f"{'> ' if guess.is_least else ''}{form(guess.observed)}",
        *(guess.verdict(cover) for cover in (0.8, 0.9)),
    )


def _interruptions(row: Mapping[str, str], rates: Mapping[str, float]) -> Guess:
    """Failures over the time in which the table counted them: a stream of hazards at a rate from elsewhere."""
    cluster, num, hours = row["cluster"], int(row["n_accel"]), float(row["gpu_hours_per_event"])
    seen = float(row["events"]) if row["events"] else num * float(row["days"]) * 24.0 / hours
    exposed_s = seen * hours / num * SECONDS_PER_HOUR
    drawn = rates_of_others(rates, cluster, evenly(NUM_DRAWS, cluster, "rate"))
    counts = [
        sum(
            1
            for _ in takewhile(lambda event: event.time_s < exposed_s, _failures(rate, num // PER_NODE, run))
        )
        for run, rate in enumerate(drawn.tolist())
    ]
    return Guess(
        cluster=_short(cluster),
        what=f"interruptions in {exposed_s / SECONDS_PER_DAY:.0f} d",
        observed=seen,
        is_least=False,
        draws=np.array(counts, np.float64),
    )


def _failures(rate: float, num_nodes: int, run: int) -> Iterator[HazardEvent]:
    cause = Cause(
        name="node", effect="failure", arrivals=Exponential(rate_per_unit_s=rate / 1000.0 / SECONDS_PER_DAY)
    )
    return hazard_events(HazardPlan(causes=(cause,)), num_nodes, SEED, run)


def _other_rows(
    studies: Sequence[Mapping[str, str]],
    rates: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
) -> list[Guess]:
    """The time between failures of RSC-1's middle-sized jobs, and how often Delta's nodes are up."""
    rsc, delta = _find(studies, "Meta RSC-1"), _find(studies, "NCSA Delta")
    job = re.search(rf"MTTF {NUMBER}-GPU job {NUMBER} h", rsc["recovery"])
    up = re.match(rf"{NUMBER} node avail", delta["effective_time_ratio"])
    if job is None or up is None:
        raise InputError(
            Problem(STUDIES, "recovery", "lacks RSC-1's jobs or Delta's nodes", "", "give the whole table")
        )
    drawn = rates_of_others(rates, rsc["cluster"], evenly(NUM_DRAWS, rsc["cluster"], "rate of jobs"))
    of_job = 24.0 * 1000.0 / (drawn * float(job[1]) / PER_NODE)
    drawn = rates_of_others(rates, delta["cluster"], evenly(NUM_DRAWS, delta["cluster"], "rate"))
    low_h, high_h = ranges["repair_h"]
    down_h = low_h * (high_h / low_h) ** evenly(NUM_DRAWS, delta["cluster"], "repair_h")
    of_node = 1.0 / (1.0 + drawn / 1000.0 / 24.0 * down_h)
    return [
        Guess(
            cluster=_short(rsc["cluster"]),
            what=f"hours between failures on {job[1]}",
            observed=float(job[2]),
            is_least=False,
            draws=of_job,
        ),
        Guess(
            cluster=_short(delta["cluster"]),
            what="nodes that are up",
            observed=float(up[1]),
            is_least=False,
            draws=of_node,
        ),
    ]


def _effective_time(
    case: Timed,
    studies: Sequence[Mapping[str, str]],
    rates: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
) -> Guess:
    """The share of time that is useful, simulated with everything drawn."""
    row = _find(studies, case.cluster)
    written = row["effective_time_ratio"]
    found = re.search(case.take, written)
    if found is None:
        raise InputError(
            Problem(STUDIES, "effective_time_ratio", f"found {written!r}", "", f"mend {row['cluster']}")
        )
    entity = f"{row['cluster']}/{case.what}"
    drawn = rates_of_others(rates, row["cluster"], evenly(NUM_DRAWS, entity, "rate"))
    times = {
        name: low * (high / low) ** evenly(NUM_DRAWS, entity, name) for name, (low, high) in ranges.items()
    }
    is_quick = evenly(NUM_DRAWS, entity, "kind") < 0.5
    days = float(row["days"]) if re.fullmatch(NUMBER, row["days"]) else LONGEST_DAYS
    goodputs = [
        simulated_goodput_frac(
            case,
            num_nodes=int(row["n_accel"]) // case.per_node,
            days=min(days, LONGEST_DAYS),
            rate_per_node_s=float(drawn[run]) / 1000.0 / SECONDS_PER_DAY * case.per_node / PER_NODE,
            times={name: float(values[run]) for name, values in times.items()},
            is_quick=bool(is_quick[run]),
            run=run,
        )
        for run in range(NUM_DRAWS)
    ]
    return Guess(
        cluster=_short(row["cluster"]),
        what=case.what,
        observed=float(found[1]),
        is_least=written.startswith(">"),
        draws=np.array(goodputs),
    )


def _find(studies: Sequence[Mapping[str, str]], begin: str) -> Mapping[str, str]:
    found = next((row for row in studies if row["cluster"].startswith(begin)), None)
    if found is None:
        raise InputError(Problem(STUDIES, "cluster", f"lacks {begin}", "", "give the whole table"))
    return found


def _short(cluster: str) -> str:
    return cluster.split(" (", maxsplit=1)[0]
