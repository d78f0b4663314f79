"""Power of whole servers in training, at the meter: 1 server to many, and one accelerator to another.

MLPerf Training's metered runs. From 1 to N servers: given the job's power on one server and how much faster
N are, the power of each of the N; the host's power is fitted to single servers. Between accelerators: the
host's power is fitted to the servers of one, and the board's share of its limit comes from kernel tables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, pstdev

from simtool.errors import InputError, Problem
from simtool.machine.node_power import FANS_W, server_power_w, spread_power_w, work_frac
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import Accelerator
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.power_tables import PowerRow, read_power_table

RUNS = Path("data") / "power" / "mlperf_training" / "run_power_summary.csv"
RESULTS = Path("validation") / "mlperf_training.csv"
"""Of all submitters, metered or not: how many samples a benchmark needs at a batch size."""

BOARDS = {"H100": "h100-sxm", "H200": "h200-sxm", "B200": "b200-sxm", "A100": "a100-sxm-80"}
COOLING = {"smc": "immersion", "Lenovo/SR780aV3": "liquid"}
"""By the start of a system's name; every other server is taken to be cooled by air."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs of one benchmark on one system."""

    family: str
    """Submitter, meter and accelerator: systems that differ in nothing but the number of servers."""
    benchmark: str
    accelerator: str
    """Name of the profile."""
    is_dc: bool
    """Metered behind the supplies."""
    cooling: str
    num_nodes: int
    num_boards: int
    global_batch: float
    run_s: float
    """Mean duration."""
    power_w: float
    """Mean of servers and runs."""
    run_powers_w: tuple[float, ...]
    lowest_w: float
    """Lowest reading: nothing runs."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A prediction beside its measurement and the baselines."""

    group: Group
    how: str
    predicted_w: float
    tdp_w: float
    """Boards at their limit, and nothing else."""
    alone_w: float
    """As alone; NaN between accelerators."""
    linear_w: float
    """From the idle server to the one that has the job to itself, by the work done; NaN between accelerators."""

    def error(self, watts: float) -> float:
        """Of `watts`, relative and signed."""
        return watts / self.group.power_w - 1.0


@CHECKS.register("node-power")
def node_power(reference: Path, library: ProfileLibrary) -> Outcome:
    """Predict every group of metered runs from others, and score."""
    groups, num_damaged = read_groups(reference)
    samples = read_samples(reference)
    spread, left_out = _spread(groups, samples, library)
    moved, moved_alike = _moved(groups, library)
    guesses = [*spread, *moved]
    if not guesses:
        found = "holds no job on one and on several servers, nor single servers of two accelerators"
        raise InputError(Problem(str(reference / RUNS), "", found, "", "give all runs of the table"))
    noise = fmean(pstdev(guess.group.run_powers_w) / guess.group.power_w for guess in guesses)
    plug, behind = ([guess for guess in spread if guess.group.is_dc is is_dc] for is_dc in (False, True))
    figures = {"num_runs": float(sum(len(guess.group.run_powers_w) for guess in guesses))}
    for name, part in (("spread_ac", plug), ("spread_dc", behind), ("accelerator", moved)):
        if not part:
            continue
        figures |= {
            f"{name}_error_mean_frac": fmean(abs(guess.error(guess.predicted_w)) for guess in part),
            f"{name}_error_max_frac": max(abs(guess.error(guess.predicted_w)) for guess in part),
            f"{name}_run_error_mean_frac": fmean(
                abs(guess.predicted_w / watts - 1.0) for guess in part for watts in guess.group.run_powers_w
            ),
            f"{name}_tdp_error_mean_frac": fmean(abs(guess.error(guess.tdp_w)) for guess in part),
        }
    for name in ("alone", "linear") if spread else ():
        errors = (abs(guess.error(getattr(guess, f"{name}_w"))) for guess in spread)
        figures[f"spread_{name}_error_mean_frac"] = fmean(errors)
    figures["noise_mean_frac"] = noise
    ends = "mean error " + ", ".join(
        f"{fmean(abs(error) for error in part):.1%} with {name}" for name, part in moved_alike
    )
    return Outcome(
        title=(
            f"MLPerf Training: mean power of a server over {len(guesses)} groups of metered runs; scope: server at "
            "its plug (or behind its supplies, DC), without switches"
        ),
        columns=("", "W", "ours W", "error", "TDP", "alone", "linear"),
        rows=tuple(_row(guess) for guess in guesses),
        figures=figures,
        notes=(
            (
                "1 to N servers: given are the job's mean power on one server, both durations, and the samples that "
                "other submitters needed at either batch size. Fitted: the host's power, on single servers of the "
                "same kind. Lost time is waited through at the waiting power of the board's profile."
            ),
            (
                "Between accelerators: the host's power is fitted to all single servers of one and used on the other, "
                f"fans apart; boards draw the compute share of their profile. Fans are uncertain: {ends}."
            ),
            (
                "Baselines: the boards at their limit and nothing else (TDP), the power alone, and a line from the "
                f"idle server to that. The mean power of single runs of a group varies by {noise:.1%} (noise)."
            ),
            f"{num_damaged} runs with negative readings left out. {' '.join(left_out)}".strip(),
        ),
    )


def read_groups(reference: Path) -> tuple[list[Group], int]:
    """Metered runs by system and benchmark, and the number of runs whose meter read below zero.

    Raises:
        InputError: the table is missing or damaged.
    """
    rows = read_power_table(
        reference / RUNS,
        texts=("system", "benchmark", "status"),
        numbers=("n_nodes", "run_s", "node_avg_w", "lowest_sample_w"),
        optional=("gbs",),
    )
    damaged = [row for row in rows if row.number["lowest_sample_w"] < 0.0]
    found: dict[tuple[str, str, float], list[PowerRow]] = {}
    for row in rows:
        if row.number["lowest_sample_w"] >= 0.0 and row.text["status"] == "success" and _board(row):
            found.setdefault((row.text["system"], row.text["benchmark"], row.number["n_nodes"]), []).append(
                row
            )
    return [_group(part) for part in found.values()], len(damaged)


def _board(row: PowerRow) -> str | None:
    return next((name for name in BOARDS if name in row.text["system"]), None)


def _group(rows: Sequence[PowerRow]) -> Group:
    first = rows[0]
    system, board = first.text["system"], _board(first) or ""
    counted = re.search(rf"(\d+)x{board}", system)
    powers_w = tuple(row.number["node_avg_w"] for row in rows)
    is_dc = "-dc-" in system
    return Group(
        family=f"{system.split('/')[0]} {board}",
        benchmark=first.text["benchmark"],
        accelerator=BOARDS[board],
        is_dc=is_dc,
        cooling=next((how for start, how in COOLING.items() if system.startswith(start)), "air"),
        num_nodes=int(first.number["n_nodes"]),
        num_boards=int(counted[1]) if counted else 8,
        global_batch=first.number["gbs"],
        run_s=fmean(row.number["run_s"] for row in rows),
        power_w=fmean(powers_w),
        run_powers_w=powers_w,
        lowest_w=min(row.number["lowest_sample_w"] for row in rows),
    )


def read_samples(reference: Path) -> dict[tuple[str, float], float]:
    """Samples (or epochs) to the target quality by benchmark and global batch, median of runs without a meter."""
    rows = read_power_table(
        reference / RESULTS,
        texts=("benchmark",),
        numbers=(),
        optional=("global_batch", "steps_or_samples", "power_w"),
    )
    found: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        number = row.number
        if not number["power_w"] >= 0.0 and number["steps_or_samples"] > 0.0:
            key = (row.text["benchmark"], number["global_batch"])
            found.setdefault(key, []).append(number["steps_or_samples"])
    return {key: median(values) for key, values in found.items()}


def _limit_w(profile: Accelerator) -> float:
    if profile.power.limit is None:
        found = "states no power limit"
        raise InputError(Problem(profile.name, "power.limit", found, "", "add it to the profile"))
    return float(profile.power.limit)


def _host_w(groups: Sequence[Group], library: ProfileLibrary) -> float:
    """Everything but boards and fans, such that the mean over single servers is met."""
    profile = library.get("accelerator", groups[0].accelerator)
    board_w = _limit_w(profile) * float(profile.power.by_phase.compute)
    return fmean(
        group.power_w
        - float(server_power_w(board_w, 0.0, num_boards=group.num_boards, cooling=group.cooling))
        for group in groups
    )


def _spread(
    groups: Sequence[Group], samples: dict[tuple[str, float], float], library: ProfileLibrary
) -> tuple[list[Guess], list[str]]:
    guesses, left_out = [], []
    for group in groups:
        if group.num_nodes == 1:
            continue
        alike = [one for one in groups if one.num_nodes == 1 and one.family == group.family]
        alone = next((one for one in alike if one.benchmark == group.benchmark), None)
        work = None if alone is None else _work_ratio(alone, group, samples)
        if alone is None or work is None:
            why = "was not run alone" if alone is None else "at another batch size, samples unknown"
            left_out.append(f"Left out: {group.family} {group.benchmark} on {group.num_nodes}, {why}.")
            continue
        profile = library.get("accelerator", group.accelerator)
        limit_w = _limit_w(profile)
        waiting_w = server_power_w(
            limit_w * float(profile.power.by_phase.waiting),
            _host_w(alike, library),
            num_boards=group.num_boards,
            cooling=group.cooling,
        )
        done = work_frac(alone.run_s / group.run_s, work, group.num_nodes)
        predicted_w = float(spread_power_w(alone.power_w, waiting_w, done))
        how = f"1 to {group.num_nodes}{' DC' if group.is_dc else ''}"
        linear_w = float(spread_power_w(alone.power_w, min(one.lowest_w for one in alike), done))
        guesses.append(Guess(group, how, predicted_w, group.num_boards * limit_w, alone.power_w, linear_w))
    return guesses, left_out


def _work_ratio(alone: Group, group: Group, samples: dict[tuple[str, float], float]) -> float | None:
    if alone.global_batch == group.global_batch:
        return 1.0
    needed = [samples.get((one.benchmark, one.global_batch)) for one in (group, alone)]
    return None if needed[0] is None or needed[1] is None else needed[0] / needed[1]


def _moved(
    groups: Sequence[Group], library: ProfileLibrary
) -> tuple[list[Guess], list[tuple[str, list[float]]]]:
    """Predictions across accelerators, and their errors if every server had the fans of one kind of cooling."""
    single = [group for group in groups if group.num_nodes == 1 and not group.is_dc]
    names = sorted({group.accelerator for group in single})
    guesses: list[Guess] = []
    alike: dict[str, list[float]] = {}
    for source in names:
        host_w = _host_w([group for group in single if group.accelerator == source], library)
        for group in single:
            if group.accelerator == source:
                continue
            profile = library.get("accelerator", group.accelerator)
            limit_w = _limit_w(profile)
            board_w = limit_w * float(profile.power.by_phase.compute)
            predicted_w = float(
                server_power_w(board_w, host_w, num_boards=group.num_boards, cooling=group.cooling)
            )
            how = f"{_short(source)} to {_short(group.accelerator)}"
            guess = Guess(group, how, predicted_w, group.num_boards * limit_w, math.nan, math.nan)
            guesses.append(guess)
            for label, ratio in (("no fans", 0.0), ("twice the fans", 2.0)):
                target_w, source_w = (
                    fmean(FANS_W[one.cooling] for one in single if one.accelerator == name)
                    for name in (group.accelerator, source)
                )
                shifted_w = predicted_w + (ratio - 1.0) * (target_w - source_w)
                alike.setdefault(label, []).append(guess.error(shifted_w))
    return guesses, list(alike.items())


def _short(accelerator: str) -> str:
    return accelerator.split("-", maxsplit=1)[0].upper()


def _row(guess: Guess) -> tuple[str, ...]:
    baselines = (guess.tdp_w, guess.alone_w, guess.linear_w)
    return (
        f"{guess.how}: {guess.group.benchmark}",
        f"{guess.group.power_w:.0f}",
        f"{guess.predicted_w:.0f}",
        f"{guess.error(guess.predicted_w):+.1%}",
        *("" if math.isnan(watts) else f"{guess.error(watts):+.0%}" for watts in baselines),
    )
