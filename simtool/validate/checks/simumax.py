"""Published B200 training runs of SimuMax: milliseconds and allocated GiB, nothing fitted to them.

Kernels take the times that SimuMax measured one by one on the same machine; all that joins them is the step
model's. The runs' public scripts say what their stack does: Megatron-LM 0.14 with Transformer Engine, distributed
optimizer, and every overlap of communication switched off.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simtool.config.scenario import Cluster
from simtool.errors import InputError, Problem
from simtool.layout.layouts import Layouts
from simtool.machine.build import build_machine
from simtool.machine.machine import Machine
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Sourced
from simtool.step.estimate import StepEstimate
from simtool.step.step import Job, estimate_step
from simtool.units import BYTES_PER_GIB
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.table_device import TableDevice, read_simumax_kernels, read_simumax_permutation
from simtool.workload.transformer import Transformer

FOLDER = Path("data") / "kernels" / "simumax"
RUNS, KERNELS = "b200_training_measured.csv", "b200_bf16_ceperm.json"
COLUMNS = ("case", "real_ms", "simumax_perf_ms", "real_alloc_gib", "simumax_alloc_gib")
NUM_DEVICES = 8
SEQ_LEN = 4096
STATE_BYTES = 18.0
"""Weight, gradient, master copy and moments: the trivial estimate of memory, over all devices."""
SCRIPTS = (
    "SimuMax simu_tools/megatron_scripts (Apache-2.0): every overlap disabled, experts padded to capacity 1"
)
EXPOSED = (
    "tp_exposed",
    "dp_exposed",
    "pp_exposed",
    "ep_exposed",
    "ep_exposed_across",
    "cp_exposed",
    "bubble",
    "expert_load",
)
HOST_BOUND = (
    "vTrain's runs of Megatron on A100 nodes (MIT) whose devices wait for the host: 3.4 ms a layer for forward, "
    "recomputation and backward, 5.1 where it is 3.6 without tensor parallelism, 20 ms a step"
)
HOST = {
    "launch_floor": Sourced(value=3.4e-3 / (4.0 / 3.0), unit="s", kind="calibrated", source=HOST_BOUND),
    "launch_floor_tp_ratio": Sourced(value=5.1 / 3.6 - 1.0, unit="", kind="calibrated", source=HOST_BOUND),
    "step_constant": Sourced(value=20e-3, unit="s", kind="calibrated", source=HOST_BOUND),
}
"""The pace of a host that launches every kernel by itself; a repetition of the forward pass adds a third."""
COMPUTE = ("forward", "backward_input", "backward_weight", "recompute", "optimizer", "data")
WAITS = ("launch", "bubble", "host", "straggler")

EXPERTS = {"num_dense_layers": 1, "capacity_factor": 1.0}
MODELS: dict[str, tuple[str, dict[str, float]]] = {
    "llama3_8b": ("llama3-8b", {}),
    "llama3_70b": ("llama3-70b", {}),
    "llama3_405b": ("llama3.1-405b", {"num_kv_heads": 16}),
    "deepseekv2": ("deepseek-v2", EXPERTS),
    "deepseekv3": ("deepseek-v3", EXPERTS),
    "kimi_1t": ("kimi-k2", EXPERTS),
    "mixtral_8x7b": ("mixtral-8x7b", {"capacity_factor": 1.0}),
}
"""Profile of each case's model, and what the scripts change: 16 key-value heads for the 405B, one dense layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One published run beside two predictions."""

    case: str
    model: str
    time_s: float
    memory_bytes: float
    estimate: StepEstimate
    baseline_memory_bytes: float
    simumax_time_s: float
    simumax_memory_bytes: float

    @property
    def predicted_s(self) -> float:
        """Step time as predicted."""
        return float(self.estimate.step_time_s)

    @property
    def predicted_bytes(self) -> float:
        """Allocated memory as predicted."""
        return float(self.estimate.memory.tensors_bytes)

    @property
    def at_peak_s(self) -> float:
        """Time of the model's work at the peak rate."""
        peak = NUM_DEVICES * float(self.estimate.peak_flop_per_s)
        return float(self.estimate.model_flop_per_step) / peak


def check_simumax(reference: Path, library: ProfileLibrary) -> Outcome:
    """Predict every case of the table."""
    folder = reference / FOLDER
    machine = plain_machine(library, folder / KERNELS)
    runs, left = [], []
    for row in _rows(folder / RUNS):
        found = predict_case(row["case"], machine, library)
        if isinstance(found, str):
            left.append(f"{row['case']}: {found}")
            continue
        estimate, model = found
        runs.append(
            Run(
                case=row["case"],
                model=row["case"].split("_tp")[0].split("_l")[0],
                time_s=float(row["real_ms"]) / 1e3,
                memory_bytes=float(row["real_alloc_gib"]) * BYTES_PER_GIB,
                estimate=estimate,
                baseline_memory_bytes=STATE_BYTES * model.num_parameters / NUM_DEVICES,
                simumax_time_s=float(row["simumax_perf_ms"]) / 1e3,
                simumax_memory_bytes=float(row["simumax_alloc_gib"]) * BYTES_PER_GIB,
            )
        )
    if not runs:
        raise InputError(
            Problem(str(folder / RUNS), "case", "found no case that is known", "", "check the table")
        )
    return _outcome(runs, left)


def predict_case(
    case: str, machine: Machine, library: ProfileLibrary
) -> tuple[StepEstimate, Transformer] | str:
    """One case by its name, ``model_l12_tp4_pp1_dp2_mbc4_cef``; why not, where it says what is not known here."""
    name = next((key for key in sorted(MODELS, key=len, reverse=True) if case.startswith(key)), None)
    if name is None:
        return "unknown model"
    profile, changes = MODELS[name]
    shape = library.get("model", profile)
    layers = _number(case, "l", 0)
    if layers == 0 or not isinstance(shape, Transformer):
        return "number of layers not stated"
    model = shape.model_copy(update={**changes, "num_layers": layers})
    tp, pp, cp, ep = (float(_number(case, axis, 1)) for axis in ("tp", "pp", "cp", "ep"))
    dp = float(_number(case, "dp", int(NUM_DEVICES / (tp * pp * cp))))
    if tp * pp * cp * dp != NUM_DEVICES:
        return f"not on {NUM_DEVICES} devices"
    layouts = Layouts(
        tp=tp,
        pp=pp,
        vpp=float(max(_number(case, "vp", 1), _number(case, "vpp", 1))),
        dp=dp,
        cp=cp,
        ep=ep,
        zero=1.0,
        micro_batch=float(_number(case, "mbs", 1)),
        sequence_parallel=tp > 1.0,
        num_micro_batches=float(_number(case, "mbc", 1)),
        context_kind="all_to_all",
    )
    recompute = "full" if "full" in case else "selective" if "selective" in case else "none"
    seq_len = _number(case, "seq", SEQ_LEN)
    job = Job(model=model, seq_len=seq_len, precision="bf16", recompute=recompute, attention="flash")
    return estimate_step(job, layouts, machine), model


def plain_machine(library: ProfileLibrary, kernels: Path) -> Machine:
    """B200 with measured kernels, and Megatron-Core with nothing overlapped, at the pace of `HOST`."""
    cluster = Cluster(accelerator="b200-sxm", num_nodes=1)
    machine = build_machine(
        library, cluster, "megatron-core", attention=None, power_limit_w=None, locate=lambda field: field
    )
    whole = Sourced(value=1.0, unit="", kind="published", source=SCRIPTS)
    software = machine.software.model_copy(update=dict.fromkeys(EXPOSED, whole) | HOST)
    device = machine.device
    measured = TableDevice(
        accelerator=device.accelerator,
        attention_ratio=device.attention_ratio,
        memory_ratio=device.memory_ratio,
        clock=device.clock,
        tables=read_simumax_kernels(kernels),
        permute_bytes_per_s=read_simumax_permutation(kernels),
    )
    return replace(machine, software=software, device=measured)


def _number(case: str, name: str, otherwise: int) -> int:
    found = re.search(rf"_{name}(\d+)(?=_|$)", case)
    return int(found[1]) if found else otherwise


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        missing = sorted(set(COLUMNS) - set(rows[0] if rows else ()))
        for row in rows if not missing else ():
            for column in COLUMNS[1:]:
                float(row[column])
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise InputError(
            Problem(str(path), "", f"cannot be read: {error}", "", "give the folder of the reference data")
        ) from None
    if missing:
        raise InputError(
            Problem(str(path), missing[0], "column is missing", "", f"needed: {', '.join(COLUMNS)}")
        )
    return rows


def _outcome(runs: list[Run], left: list[str]) -> Outcome:
    time = np.array([run.predicted_s / run.time_s - 1.0 for run in runs])
    memory = np.array([run.predicted_bytes / run.memory_bytes - 1.0 for run in runs])
    their_time = np.array([run.simumax_time_s / run.time_s - 1.0 for run in runs])
    their_memory = np.array([run.simumax_memory_bytes / run.memory_bytes - 1.0 for run in runs])
    constant = np.array([run.at_peak_s / _typical_mfu(runs, run) / run.time_s - 1.0 for run in runs])
    states = np.array([run.baseline_memory_bytes / run.memory_bytes - 1.0 for run in runs])
    figures = {"num_runs": float(len(runs))}
    for name, errors in (
        ("time", time),
        ("memory", memory),
        ("simumax_time", their_time),
        ("simumax_memory", their_memory),
        ("constant_mfu_time", constant),
        ("states_memory", states),
    ):
        figures[f"{name}_error_mean_frac"] = float(np.mean(np.abs(errors)))
        figures[f"{name}_error_max_frac"] = float(np.max(np.abs(errors)))
        figures[f"{name}_bias_frac"] = float(np.mean(errors))
    return Outcome(
        title=f"{len(runs)} published B200 runs of SimuMax, from measured kernels and the step model",
        columns=(
            "case",
            "ms",
            "predicted",
            "error",
            "SimuMax",
            "waits",
            "talks",
            "GiB",
            "predicted ",
            "error ",
        ),
        rows=tuple(_line(*row) for row in zip(runs, time, their_time, memory, strict=True)),
        figures=figures,
        notes=(
            (
                f"Time: mean {_mean(time)}, largest {_largest(time)}, bias {np.mean(time):+.1%}; SimuMax "
                f"{_mean(their_time)}, {_largest(their_time)}, {np.mean(their_time):+.1%}; one MFU, that of the other "
                f"models' runs: {_mean(constant)}."
            ),
            (
                f"Allocated memory: mean {_mean(memory)}, largest {_largest(memory)}; SimuMax {_mean(their_memory)}, "
                f"{_largest(their_memory)}; 18 bytes a weight over the devices: {_mean(states)}."
            ),
            (
                "Nothing is fitted to these runs. Products, grouped products, attention and permutations take the "
                "times that SimuMax measured, products under sustained load those of bursts times 1 to 1.14; the "
                "host's pace is vTrain's on A100 nodes; collectives and other memory-bound work are the profiles' own. "
                "waits and talks: shares of the predicted time in launches, bubble and host, and in communication."
            ),
            *((f"Left out: {'; '.join(left)}.",) if left else ()),
        ),
    )


def _typical_mfu(runs: list[Run], own: Run) -> float:
    """Median MFU, as measured, of the runs of other models."""
    others = [run for run in runs if run.model != own.model] or runs
    return float(np.median([run.at_peak_s / run.time_s for run in others]))


def _line(run: Run, time: float, theirs: float, memory: float) -> tuple[str, ...]:
    seconds = {part: float(np.asarray(value)) for part, value in run.estimate.seconds.items()}
    computes = sum(seconds.get(part, 0.0) for part in COMPUTE) / run.predicted_s
    waits = sum(seconds.get(part, 0.0) for part in WAITS) / run.predicted_s
    return (
        run.case,
        f"{run.time_s * 1e3:.0f}",
        f"{run.predicted_s * 1e3:.0f}",
        f"{time:+.1%}",
        f"{theirs:+.1%}",
        f"{waits:.0%}",
        f"{1.0 - computes - waits:.0%}",
        f"{run.memory_bytes / BYTES_PER_GIB:.1f}",
        f"{run.predicted_bytes / BYTES_PER_GIB:.1f}",
        f"{memory:+.1%}",
    )


def _mean(errors: np.typing.NDArray[np.float64]) -> str:
    return f"{np.mean(np.abs(errors)):.1%}"


def _largest(errors: np.typing.NDArray[np.float64]) -> str:
    return f"{np.max(np.abs(errors)):.1%}"


CHECKS.register("simumax")(check_simumax)
