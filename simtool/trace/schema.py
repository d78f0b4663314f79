"""The streams of a trace and their columns: names, kinds, units and meanings, written once.

Writer, reader, manifest and documentation follow these tables. Times are readings of the machine's
monotonic clock, so that nothing has to be converted between threads; `Clock` of the manifest tells
how the clock of the power readings lies to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

SCHEMA = "simtool/trace/1"
ADDED_STREAMS = frozenset({"device_ops", "device_steps"})
"""Streams that the first traces of this schema do not have."""
MAX_FILE_BYTES = 16 * 2**20
"""No file of a trace is larger; a stream goes on in its next part."""
STEP_PHASES = ("data", "score", "forward", "backward", "optimizer", "communication")
"""Phases of a step with a time of their own."""
OP_PHASES = (
    "data", "score", "forward", "backward_input", "backward_weight", "backward", "optimizer", "communication",
    "prepare", "eval",
)  # fmt: skip
"""Phases of operations. ``backward`` holds only what belongs to both halves of a backward pass."""
OUTSIDE = "(outside steps)"
"""Signature of the work that is done between steps, once in a run."""
UNATTRIBUTED = "(unattributed)"
"""Operation that stands for the time of a phase in which no counted operation ran."""

ColumnKind = Literal["text", "integer", "real", "flag"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its unit is empty for text, counts, numbers of things and pure ratios."""

    name: str
    kind: ColumnKind
    unit: str
    meaning: str
    is_optional: bool = False
    """Whether a row may leave it out; it is null then."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One table of a trace."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    is_revised: bool = False
    """Whether later rows of a signature replace the earlier ones, told apart by `revision`."""


def _text(name: str, meaning: str, *, optional: bool = False) -> Column:
    return Column(name, "text", "", meaning, optional)


def _count(name: str, meaning: str, unit: str = "", *, optional: bool = False) -> Column:
    return Column(name, "integer", unit, meaning, optional)


def _real(name: str, unit: str, meaning: str, *, optional: bool = False) -> Column:
    return Column(name, "real", unit, meaning, optional)


_REVISION = _count("revision", "number of the writing; of each signature the highest one holds")
_SIGNATURE = _text("signature", "what the step did; steps of one signature do the same work")

STEPS = Stream(
    "steps",
    "one row for every step",
    (
        _real("begin_s", "s", "monotonic clock when the step began", optional=True),
        _real("end_s", "s", "monotonic clock when the step was over"),
        _count("step", "number of the step, from 1"),
        _SIGNATURE,
        _count("num_samples", "samples seen since the run began"),
        _count("num_tokens", "tokens seen since the run began", "token", optional=True),
        _real("progress_frac", "", "share of the budget that is used after the step"),
        _real("learning_rate", "", "learning rate of the step"),
        _real("loss", "", "training loss of the step; not finite where the run diverged"),
        _real("duration_s", "s", "duration of all phases of the step by the clock of the run", optional=True),
        *(_real(f"{phase}_s", "s", f"duration of the phase {phase}", optional=True) for phase in STEP_PHASES),
        _real("flop", "FLOP", "operations charged during the step"),
        _real("energy_j", "J", "energy charged to training since the run began", optional=True),
        _real("communication_bytes", "byte", "bytes sent to other processes", optional=True),
        Column("is_sampled", "flag", "", "whether the profiler watched, which slows a step down"),
    ),
)
EVALUATIONS = Stream(
    "evals",
    "one row for every figure of every evaluation",
    (
        _real("time_s", "s", "monotonic clock when the evaluation was over"),
        _count("step", "steps done before"),
        _real("progress_frac", "", "share of the budget that was used"),
        _text("part", "part of the data: validation or test"),
        _text("metric", "name of the figure"),
        _real("value", "", "the figure, in the unit of its metric"),
        _real("energy_j", "J", "energy charged to training so far", optional=True),
    ),
)
EVENTS = Stream(
    "events",
    "one row for every rare event",
    (
        _real("time_s", "s", "monotonic clock"),
        _count("step", "steps done before", optional=True),
        _text("kind", "start, freeze, grow, checkpoint, resume, diverged, interrupted, end, ..."),
        _text("detail", "further facts, as a JSON object"),
    ),
)
SIGNATURES = Stream(
    "signatures",
    "one row for every kind of step, and one for the work between steps",
    (
        _REVISION,
        _SIGNATURE,
        _count("num_steps", "steps of this kind in the run"),
        _count("num_timed", "steps whose time entered the phase times"),
        _count("num_sampled", "steps that the profiler watched"),
        _count("num_samples", "samples of one step", optional=True),
        _count(
            "size",
            "length of the sequence or window, or side of the image; null is the full size",
            optional=True,
        ),
        _text("active", "blocks that run, joined by +; null is all", optional=True),
        _count("frozen", "front blocks that are not trained", optional=True),
        Column("is_cached", "flag", "", "whether the output of the frozen front comes from a cache", True),
        _count("backward_rows", "samples with a backward pass; null is all", optional=True),
        _count("tokens_kept", "tokens that pass the middle blocks; null is all", "token", optional=True),
        _text("update", "names of the trained parameters, joined by +; null is all", optional=True),
        _text("precision", "float32 or bfloat16", optional=True),
        _text("tags", "further facts that change the cost of a step, joined by +", optional=True),
    ),
    is_revised=True,
)
PHASES = Stream(
    "phases",
    "time of each phase of each kind of step, over the steps that were neither counted nor sampled",
    (
        _REVISION,
        _SIGNATURE,
        _text("phase", "data, score, forward, backward, optimizer, communication, prepare or eval"),
        _count("num_timed", "steps that were timed; 0 where only the counted step ran"),
        _real(
            "mean_s",
            "s",
            "mean over all timed steps, or of the counted step; the whole of what is outside steps",
        ),
        _real("median_s", "s", "median over the kept timed steps", optional=True),
        _real("p10_s", "s", "their 10th percentile", optional=True),
        _real("p90_s", "s", "their 90th percentile", optional=True),
        _real(
            "sampled_mean_s",
            "s",
            "mean on the wall over sampled steps, the sum of their ops",
            optional=True,
        ),
        _real("flop", "FLOP", "operations of one step"),
        _real("size_bytes", "byte", "bytes of operands and results of one step"),
    ),
    is_revised=True,
)
OPS = Stream(
    "ops",
    "operations of one step of each kind: counted in its first step, timed in its sampled steps",
    (
        _REVISION,
        _SIGNATURE,
        _text("phase", "phase it ran in; backward is time that belongs to both halves"),
        _text("op", f"name of the operation, or {UNATTRIBUTED}"),
        _text("shapes", "shapes of the tensor operands, as JSON lists"),
        _text("dtype", "number format of the result"),
        _count("calls", "calls in one step"),
        _real("flop", "FLOP", "operations of all calls; a multiply-add counts two"),
        _real("size_bytes", "byte", "bytes of operands and results of all calls"),
        _real(
            "launches",
            "",
            "kernels that one step started on the device",
            optional=True,
        ),
        _real(
            "duration_mean_s",
            "s",
            "device time in one step, mean over sampled ones; sums to the phase",
            optional=True,
        ),
        _real("duration_median_s", "s", "its median", optional=True),
        _real("duration_p10_s", "s", "its 10th percentile", optional=True),
        _real("duration_p90_s", "s", "its 90th percentile", optional=True),
        _count("num_sampled", "sampled steps behind the durations"),
    ),
    is_revised=True,
)
KERNELS = Stream(
    "kernels",
    "one row for every kernel that a suite of measurements timed by itself",
    (
        _real("begin_s", "s", "monotonic clock when its measurement began"),
        _text("point", "what was measured, in one line; rows of the same text measured the same"),
        _text("part", "part of the suite: power, launch, gemm, bandwidth, attention, collectives, training"),
        _text("op", "what ran: mm, copy, add, sum, attention, all_reduce, idle, ...; of steps, task/method"),
        _text("dtype", "number format of the operands"),
        _text("layout", "how the operands of a product lie in memory: TN, NN or NT"),
        _text("shape", "sizes as name=number, apart by blanks"),
        _real("flop", "FLOP", "operations of one call; a multiply-add counts two"),
        _real("size_bytes", "byte", "bytes of operands and results of one call"),
        _text("mode", "eager, or graph where calls were recorded and launched together", optional=True),
        _count("num_calls", "calls that were timed", optional=True),
        _count("num_repeats", "equal blocks of calls, or steps, behind the percentiles", optional=True),
        _real("duration_median_s", "s", "duration of one call, median over the blocks", optional=True),
        _real("duration_p10_s", "s", "its 10th percentile", optional=True),
        _real("duration_p90_s", "s", "its 90th percentile", optional=True),
        _real("window_s", "s", "time on the wall over which power was taken"),
        _real("power_w", "W", "mean power over the window, by the meter of the run", optional=True),
        _text("power_kind", "measured or modelled", optional=True),
    ),
)
DEVICE_OPS = Stream(
    "device_ops",
    "one row for every kernel, copy and fill that a profiler saw on a device, in order of time",
    (
        _count("rank", "rank of the process that launched it"),
        _count("device", "number of the device in its machine"),
        _count("step", "step in which it was launched; null outside steps", optional=True),
        _count("stream", "queue of the device it ran in"),
        _real("start_s", "s", "clock of the ops when it began on the device"),
        _real("duration_s", "s", "its duration on the device"),
        _real("launch_s", "s", "clock of the ops when the host called for it", optional=True),
        _text("name", "as the profiler told it"),
        _text("op_class", "gemm, attention, conv, memory, optimizer, communication or copy"),
        _text(
            "variant",
            "attention: the library; communication: the collective; copy: the way; else empty",
        ),
        _text("operator", "innermost operator of the framework that called for it", optional=True),
        _text("shapes", "shapes of the operator's tensors, as JSON lists", optional=True),
        _text("settings", "causal, stride, groups, layout, ..., as a JSON object", optional=True),
        _text("dtype", "number format of the operands", optional=True),
        _text("phase", "data, forward, backward, optimizer or communication", optional=True),
        _real("flop", "FLOP", "operations by the shapes; null where they do not tell", optional=True),
        _real(
            "size_bytes",
            "byte",
            "bytes of operands and results; copied; of one rank's input to a collective",
            optional=True,
        ),
        _count("group_size", "ranks of a collective", optional=True),
    ),
)
DEVICE_STEPS = Stream(
    "device_steps",
    "one row for every step of every rank that a profiler saw",
    (
        _count("rank", "rank"),
        _count("step", "number of the step as it was annotated; 0 where no step was"),
        _real("begin_s", "s", "clock of the ops when the step began"),
        _real("end_s", "s", "clock of the ops when it was over on host and device"),
        _real("busy_s", "s", "time in which the device did anything"),
        _real("compute_s", "s", "time in which it computed"),
        _real("communication_s", "s", "time in which it communicated"),
        _real("exposed_communication_s", "s", "time in which it communicated and did not compute"),
        _count("num_ops", "kernels, copies and fills"),
        _real("flop", "FLOP", "operations of the kernels whose shapes tell them", optional=True),
        _real("energy_j", "J", "energy of the rank's device over the step", optional=True),
    ),
)
POWER = Stream(
    "power",
    "readings of the power meter of one device",
    (
        _real("time_s", "s", "clock of the meter, by default the monotonic clock"),
        _real("power_w", "W", "power that the device states", optional=True),
        _real("power_average_w", "W", "power averaged by the device over its window", optional=True),
        _real("energy_j", "J", "energy counter as read: it may wrap or start anew", optional=True),
        _real("power_limit_w", "W", "limit that is enforced", optional=True),
        _real("temperature_degc", "degC", "temperature of the device", optional=True),
        _real("clock_hz", "Hz", "clock of the compute units", optional=True),
        _real("memory_clock_hz", "Hz", "clock of the memory", optional=True),
        _real("utilization_frac", "", "share of time in which the device was busy", optional=True),
        _text("throttle", "reasons for which the device runs slower, joined by +", optional=True),
        _text("label", "what begins here, where the run marked a border", optional=True),
    ),
)

STREAMS: Mapping[str, Stream] = MappingProxyType(
    {
        stream.name: stream
        for stream in (
            STEPS,
            EVALUATIONS,
            EVENTS,
            SIGNATURES,
            PHASES,
            OPS,
            KERNELS,
            DEVICE_OPS,
            DEVICE_STEPS,
            POWER,
        )
    }
)
"""All streams by name; of `power` there is one for each device, ``power-<device>``."""


def columns_by_stream() -> dict[str, dict[str, dict[str, str]]]:
    """Unit and meaning of every column of every stream, as the manifest tells them."""
    return {
        stream.name: {
            column.name: {"unit": column.unit, "meaning": column.meaning} for column in stream.columns
        }
        for stream in STREAMS.values()
    }
