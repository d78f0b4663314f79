"""Energy to quality when a job spreads from one server to many: time from the step model, power from profiles.

MLPerf Training's metered runs (8x H100, immersed). Of the larger runs nothing is used but their size, their batch and
their published recipe. Of the run on one server: its duration, in which the step model's speed is anchored, and how
long and at what power it stood still inside the timed run (start-up, first evaluation), from its meter's series. How
many samples the larger batch needs comes from the logs of other submitters.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from simtool.config.scenario import Cluster
from simtool.errors import InputError, Problem
from simtool.layout.layouts import Layouts
from simtool.machine.build import build_machine
from simtool.methods.effect import EffectPhase
from simtool.profiles.find import ProfileLibrary
from simtool.step.estimate import STEP_STATES, StepEstimate
from simtool.step.step import Job, MethodPhase, estimate_step
from simtool.units import JOULES_PER_KWH
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.checks.node_power import RUNS, Group, read_groups, read_samples
from simtool.validate.power_tables import read_power_table
from simtool.workload.model import Model

SERIES = RUNS.parent / "timeseries"
NODE = "hgx-h100-immersed"
"""The servers of all metered runs on several nodes; its host's power was fitted to single servers."""

ADAPTER_FRAC = 44.6e6 / 69.0e9
"""Weights that LoRA trains, of all: rank 16 beside the query-key-value and output projections of 80 layers
(``configs/config_common.sh`` and the rules of MLPerf Training v4.0)."""
LORA = MethodPhase(
    method="fewer-operations",
    effect=EffectPhase(
        backward_weight_frac=ADAPTER_FRAC, optimizer_frac=ADAPTER_FRAC, communication_frac=ADAPTER_FRAC
    ),
)
IMAGES_PER_EPOCH = 1_281_167.0
"""Of ImageNet's training set: ResNet's logs count epochs (Russakovsky et al. 2015, arXiv 1409.0575)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a benchmark is trained."""

    job: Callable[[ProfileLibrary], Job]
    layouts: Callable[[int, int, float], Layouts]
    """Of nodes, boards of all, and global batch."""
    framework: str
    method: MethodPhase | None
    samples_per_count: float
    """Samples in one of what the logs count."""


def _model(library: ProfileLibrary, kind: str, preset: str) -> Model:
    profile: Any = library.get(kind, preset)
    model: Model = profile.shape()
    return model


def _lora_job(library: ProfileLibrary) -> Job:
    model = _model(library, "model", "llama2-70b")
    return Job(model=model, seq_len=8192, precision="fp8", recompute="none", attention="flash")


def _lora_layouts(num_nodes: int, num_boards: int, global_batch: float) -> Layouts:
    """tp 4, one sequence at a time; two context-parallel ranks on several nodes.

    Configurations ``1x8x4xtp4pp1cp1``, ``8x8x1xtp4pp1cp2`` and ``64x8x1xtp4pp1cp2`` of
    mlcommons/training_results_v4.0 (GigaComputing, ASUSTeK).
    """
    cp = 1.0 if num_nodes == 1 else 2.0
    dp = num_boards / 4.0 / cp
    return _plain(dp=dp, micro_batch=1.0, num_micro_batches=global_batch / dp, tp=4.0, cp=cp)


def _resnet_job(library: ProfileLibrary) -> Job:
    model = _model(library, "convnet", "resnet-50")
    return Job(model=model, seq_len=1, precision="fp16", recompute="none", attention="flash")


def _resnet_layouts(num_nodes: int, num_boards: int, global_batch: float) -> Layouts:
    """Data parallel: ``config_SMCH100_multi_8x8x50.sh`` of the same repository, 50 images a board."""
    del num_nodes
    return _plain(dp=float(num_boards), micro_batch=global_batch / num_boards, num_micro_batches=1.0)


def _plain(
    *, dp: float, micro_batch: float, num_micro_batches: float, tp: float = 1.0, cp: float = 1.0
) -> Layouts:
    return Layouts(
        tp=tp,
        pp=1.0,
        vpp=1.0,
        cp=cp,
        dp=dp,
        zero=0.0,
        micro_batch=micro_batch,
        sequence_parallel=tp > 1.0,
        num_micro_batches=num_micro_batches,
    )


RECIPES = {
    "llama2_70b_lora": Recipe(
        job=_lora_job,
        layouts=_lora_layouts,
        framework="megatron-core",
        method=LORA,
        samples_per_count=1.0,
    ),
    "resnet": Recipe(
        job=_resnet_job,
        layouts=_resnet_layouts,
        framework="mlperf-closed-convnet",
        method=None,
        samples_per_count=IMAGES_PER_EPOCH,
    ),
}


@dataclass(frozen=True, slots=True)
class Stood:
    """What a run on one server stood still for."""

    seconds: float
    power_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One benchmark on one number of servers: predicted beside metered."""

    group: Group
    time_s: float
    energy_j: float
    """Anchored in the duration on one server."""
    absolute_time_s: float
    absolute_energy_j: float
    """From profiles alone, evaluations not counted."""
    single_error_frac: float
    """Of the energy on one server, from profiles alone."""
    alone_energy_j: float
    """Baseline: energy for energy as on one server, times the samples."""

    @property
    def measured_j(self) -> float:
        """Of all servers."""
        return self.group.power_w * self.group.run_s * self.group.num_nodes


@CHECKS.register("mlperf-scale")
def mlperf_scale(reference: Path, library: ProfileLibrary) -> Outcome:
    """Predict energy and time of the runs on several servers, and score."""
    groups = [group for group in read_groups(reference)[0] if not group.is_dc]
    samples = read_samples(reference)
    found: list[Scaled] = []
    left_out = []
    for group in groups:
        if group.num_nodes == 1:
            continue
        alone = next(
            (
                one
                for one in groups
                if (one.family, one.benchmark, one.num_nodes) == (group.family, group.benchmark, 1)
            ),
            None,
        )
        if group.benchmark not in RECIPES or alone is None:
            why = "no preset of the model" if alone is not None else "was not run alone"
            left_out.append(f"{group.benchmark} on {group.num_nodes} ({why})")
            continue
        found.append(_scaled(group, alone, samples, _stood(reference, alone), library))
    if not found:
        wanted = f"holds none of {', '.join(RECIPES)} on one and on several servers"
        raise InputError(Problem(str(reference / RUNS), "", wanted, "", "give all runs of the table"))
    errors = {
        "energy": [one.energy_j / one.measured_j - 1.0 for one in found],
        "time": [one.time_s / one.group.run_s - 1.0 for one in found],
        "absolute_energy": [one.absolute_energy_j / one.measured_j - 1.0 for one in found],
        "absolute_time": [one.absolute_time_s / one.group.run_s - 1.0 for one in found],
        "alone_energy": [one.alone_energy_j / one.measured_j - 1.0 for one in found],
    }
    singles = ", ".join(
        f"{error:+.1%} ({name})"
        for name, error in {one.group.benchmark: one.single_error_frac for one in found}.items()
    )
    figures = {"num_runs": float(sum(len(one.group.run_powers_w) for one in found))}
    for name, parts in errors.items():
        figures |= {
            f"{name}_error_mean_frac": fmean(map(abs, parts)),
            f"{name}_error_max_frac": max(map(abs, parts)),
        }
    return Outcome(
        title=(
            f"MLPerf Training: energy to quality of {len(found)} jobs on several servers (8x H100 each, immersed); "
            "scope: servers at their plugs, switches not"
        ),
        columns=("", "kWh", "ours kWh", "error", "time", "absolute", "as alone"),
        rows=tuple(
            (
                f"{one.group.benchmark} on {one.group.num_nodes}",
                f"{one.measured_j / JOULES_PER_KWH:.2f}",
                f"{one.energy_j / JOULES_PER_KWH:.2f}",
                *(
                    f"{errors[name][index]:+.1%}"
                    for name in ("energy", "time", "absolute_energy", "alone_energy")
                ),
            )
            for index, one in enumerate(found)
        ),
        figures=figures,
        notes=(
            (
                "Given of the larger runs: servers, global batch, published recipe. From the run on one server: its "
                "duration, and how long and at what power it stood still inside it. From other submitters: samples to "
                "quality at either batch. Evaluations take the share of the time that they take on one server."
            ),
            (
                "absolute: energy with the step model's own speed instead of that anchored in one server, evaluations "
                f"not counted; on one server it is off by {singles}. as alone: energy of one server times the "
                "samples, as if spreading cost nothing."
            ),
            (
                "Fitted to single servers of this table: the host's power. The software profiles were fitted to other "
                "rows; none of them is of these metered runs on several servers."
            ),
            f"Left out: {'; '.join(left_out) or 'none'}; runs with readings below zero (SSD on 8).",
        ),
    )


def _scaled(
    group: Group,
    alone: Group,
    samples: dict[tuple[str, float], float],
    stood: Stood,
    library: ProfileLibrary,
) -> Scaled:
    recipe = RECIPES[group.benchmark]
    needed, step = {}, {}
    for one in (alone, group):
        count = samples.get((one.benchmark, one.global_batch))
        if count is None:
            found = f"holds no {one.benchmark} at a batch of {one.global_batch:g} without a meter"
            raise InputError(Problem("validation/mlperf_training.csv", "", found, "", "give the whole table"))
        needed[one.num_nodes] = count * recipe.samples_per_count
        step[one.num_nodes] = _estimate(one, recipe, library)
    steps_s = {
        one.num_nodes: needed[one.num_nodes]
        / one.global_batch
        * float(np.asarray(step[one.num_nodes].step_time_s))
        for one in (alone, group)
    }
    many = group.num_nodes
    trains_s = (alone.run_s - stood.seconds) * steps_s[many] / steps_s[1]
    server_w = group.num_boards * _server_share_w(step[many])
    still_j = stood.seconds * stood.power_w
    return Scaled(
        group=group,
        time_s=trains_s + stood.seconds,
        energy_j=many * (trains_s * server_w + still_j),
        absolute_time_s=steps_s[many] + stood.seconds,
        absolute_energy_j=many * (steps_s[many] * server_w + still_j),
        single_error_frac=(steps_s[1] * alone.num_boards * _server_share_w(step[1]) + still_j)
        / (alone.power_w * alone.run_s)
        - 1.0,
        alone_energy_j=alone.power_w * alone.run_s * needed[many] / needed[1],
    )


def _estimate(group: Group, recipe: Recipe, library: ProfileLibrary) -> StepEstimate:
    machine = build_machine(
        library,
        Cluster(accelerator=group.accelerator, node=NODE, num_nodes=group.num_nodes),
        recipe.framework,
        attention=None,
        power_limit_w=None,
        locate=str,
    )
    layouts = recipe.layouts(group.num_nodes, group.num_nodes * group.num_boards, group.global_batch)
    return estimate_step(recipe.job(library), layouts, machine, recipe.method)


def _server_share_w(estimate: StepEstimate) -> float:
    """Mean power of a board with its share of the host, as the meters are: without switches and cables."""
    watts = sum(
        float(np.asarray(estimate.state_frac(state)))
        * float(np.asarray(estimate.power[state].accelerator_w + estimate.power[state].host_w))
        for state in STEP_STATES
    )
    return float(watts)


def series_path(reference: Path, text: Mapping[str, str]) -> Path:
    """File with the meters' readings of a run, by its row's round, system, benchmark and run."""
    first, _, last = text["run"].partition("-")
    run = f"{first}_{last.rpartition('_')[2]}"
    name = "__".join((text["round"], *text["system"].split("/"), text["benchmark"], run))
    return reference / SERIES / f"{name}.csv.gz"


def columns_of(path: Path) -> list[str]:
    """Names of the servers' columns in a series.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            names = file.readline().strip().split(",")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(Problem(str(path), "", f"cannot be read: {error}", "", "give it whole")) from None
    return [name for name in names if name.startswith("node")]


def _stood(reference: Path, alone: Group) -> Stood:
    """Inside the timed run, below the middle between the idle server and its median: nothing is computed.

    Mean over the metered runs on one server whose series are at hand.
    """
    runs = read_power_table(
        reference / RUNS, texts=("round", "system", "benchmark", "run"), numbers=("n_nodes", "run_s")
    )
    found = []
    for row in runs:
        text = row.text
        metered = text["system"].split("/")[0].endswith("-ac-power")
        if text["benchmark"] != alone.benchmark or row.number["n_nodes"] != 1.0 or not metered:
            continue
        path = series_path(reference, text)
        if path.is_file():
            found.append(_still(path, row.number["run_s"]))
    if not found:
        wanted = f"holds no series of {alone.benchmark} on one server"
        raise InputError(Problem(str(reference / SERIES), "", wanted, "", "give the series of the meters"))
    seconds = fmean(one.seconds for one in found)
    energy_j = fmean(one.seconds * one.power_w for one in found)
    return Stood(seconds, energy_j / seconds if seconds > 0.0 else 0.0)


def _still(path: Path, run_s: float) -> Stood:
    meters = columns_of(path)
    if len(meters) != 1:
        found = f"holds {len(meters)} columns of servers"
        raise InputError(Problem(str(path), "node", found, "allowed: 1", "give a run on one server"))
    column = meters[0]
    rows = read_power_table(path, texts=(), numbers=("t_s", column))
    inside = [(row.number["t_s"], row.number[column]) for row in rows if 0.0 <= row.number["t_s"] <= run_s]
    if len(inside) < 2:
        found = f"holds {len(inside)} readings within the {run_s:g} s of the run"
        raise InputError(Problem(str(path), "t_s", found, "", "give the whole series"))
    limit_w = (min(row.number[column] for row in rows) + median(watts for _, watts in inside)) / 2.0
    still = [(after - before, watts) for (before, _), (after, watts) in pairwise(inside) if watts < limit_w]
    seconds = sum(lasts for lasts, _ in still)
    energy_j = sum(lasts * watts for lasts, watts in still)
    return Stood(seconds, energy_j / seconds if seconds > 0.0 else 0.0)
