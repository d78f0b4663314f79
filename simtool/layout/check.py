"""Whether a layout that somebody wrote can be executed; every reason against it at once."""

from __future__ import annotations

from collections.abc import Callable

from simtool.config.scenario import Layout
from simtool.errors import InputError, Problem
from simtool.layout.layouts import Layouts, divides
from simtool.workload.model import Model


def resolve_layout(
    layout: Layout,
    model: Model,
    *,
    num_devices: int,
    seq_len: int,
    global_batch: int | float,
    locate: Callable[[str], str],
) -> Layouts:
    """The written layout with its micro-batches counted.

    Args:
        layout: as written; `dp` may be left out.
        model: what is trained.
        num_devices: accelerators of the job.
        seq_len: tokens in a sequence.
        global_batch: sequences in a step if an int, else a target [sequence] to be rounded.
        locate: place in the file of a dotted field.

    Raises:
        InputError: with all problems.
    """
    problems = [*_model_problems(layout, model, seq_len, locate), *_group_problems(layout, model, locate)]
    ranks, words = _ranks_of_a_replica(layout)
    dp, rest = divmod(num_devices, ranks)
    dp = layout.dp or dp
    if layout.dp is None and (rest or dp == 0):
        problems.append(
            Problem(
                locate("layout.tp"),
                "layout",
                f"found {words} = {ranks} on {num_devices} accelerators",
                "",
                f"{_names(layout)} must divide the number of accelerators",
            )
        )
    elif ranks * dp != num_devices:
        problems.append(
            Problem(
                locate("layout.dp"),
                "layout",
                f"found {words} x dp {dp} = {ranks * dp}, but the cluster has {num_devices} accelerators",
                "",
                f"change the product, or leave dp out to have it computed ({num_devices} / ({_names(layout)}))",
            )
        )
    else:
        problems += _dealt_problems(layout, dp, locate)
    num_micro_batches = 1
    if not problems:
        num_micro_batches = _micro_batches(layout, dp, global_batch, locate, problems)
    if problems:
        raise InputError(problems)
    return Layouts(
        tp=float(layout.tp),
        pp=float(layout.pp),
        vpp=float(layout.vpp),
        dp=float(dp),
        zero=float(layout.zero),
        micro_batch=float(layout.micro_batch),
        sequence_parallel=layout.sequence_parallel and layout.tp > 1,
        num_micro_batches=float(num_micro_batches),
        cp=float(layout.cp),
        ep=float(layout.ep),
        etp=float(layout.etp),
        dp_shard=float(layout.dp_shard),
        context_kind=layout.cp_kind,
    )


def _ranks_of_a_replica(layout: Layout) -> tuple[int, str]:
    context = f"cp {layout.cp} x " if layout.cp > 1 else ""
    return layout.tp * layout.cp * layout.pp, f"tp {layout.tp} x {context}pp {layout.pp}"


def _names(layout: Layout) -> str:
    return "tp x cp x pp" if layout.cp > 1 else "tp x pp"


def _model_problems(
    layout: Layout, model: Model, seq_len: int, locate: Callable[[str], str]
) -> list[Problem]:
    problems = []

    def refuse(field: str, found: str, mend: str) -> None:
        problems.append(Problem(locate(field), field, found, "", mend))

    tp, pp, vpp, cp = layout.tp, layout.pp, layout.vpp, layout.cp
    for found, mend in model.tensor_problems(tp):
        refuse("layout.tp", found, mend)
    if problem := model.sequence_problem(seq_len):
        refuse("workload.seq_len", *problem)
    if pp > 1 and (reason := model.pipeline_problem()):
        refuse("layout.pp", f"found pp {pp}: {reason}", "use 1")
        return problems
    if cp > 1 and seq_len % (2 * cp):
        refuse(
            "layout.cp",
            f"found cp {cp} for seq_len {seq_len}",
            "use one whose double divides seq_len: every rank takes two pieces, early and late, of equal work",
        )
    if cp > 1 and model.kv_message_features == 0:
        refuse("layout.cp", f"found cp {cp} for a model without sequences to share", "use 1")
    if layout.sequence_parallel and tp > 1 and seq_len % tp:
        refuse(
            "layout.tp",
            f"found tp {tp} for seq_len {seq_len} with sequence_parallel",
            "use a divisor of seq_len, or sequence_parallel: false",
        )
    if not bool(divides(model, pp, vpp)):
        chunks = f"{pp} x {vpp} = {pp * vpp} chunks" if vpp > 1 else f"{pp} stages"
        refuse(
            "layout.pp",
            f"found {model.num_layers} layers for {chunks}",
            f"pp x vpp must divide {model.num_layers}, or {model.num_layers + 2} with the embedding and "
            "the head counted as a layer each",
        )
    return problems


def _group_problems(layout: Layout, model: Model, locate: Callable[[str], str]) -> list[Problem]:
    """Experts: their number, and what tensor parallelism beside them needs."""
    problems = []
    ep, etp = layout.ep, layout.etp

    def refuse(field: str, found: str, mend: str) -> None:
        problems.append(Problem(locate(field), field, found, "", mend))

    if model.expert_layer_frac == 0.0:
        for name, ranks in (("ep", ep), ("etp", etp)):
            if ranks > 1:
                refuse(f"layout.{name}", f"found {name} {ranks} for a model without experts", "use 1")
        return problems
    if model.num_experts % ep:
        refuse("layout.ep", f"found ep {ep} for {model.num_experts} experts", "use a divisor")
    if layout.tp > 1 and not layout.sequence_parallel:
        refuse(
            "layout.sequence_parallel",
            f"found false with tp {layout.tp} for a model with experts: every rank would send the same tokens",
            "use true",
        )
    return problems


def _dealt_problems(layout: Layout, dp: int, locate: Callable[[str], str]) -> list[Problem]:
    """Whether experts and shards of ZeRO can be dealt out over the ranks of a stage."""
    problems = []
    ranks = layout.tp * layout.cp * dp
    if ranks % (layout.ep * layout.etp):
        found = f"found ep {layout.ep} x etp {layout.etp} for {ranks} ranks of a stage (tp x cp x dp)"
        problems.append(
            Problem(locate("layout.ep"), "layout.ep", found, "", "their product must divide them")
        )
    if layout.dp_shard > 1 and layout.cp * dp % layout.dp_shard:
        found = f"found dp_shard {layout.dp_shard} for {layout.cp * dp} ranks with the same weights (cp x dp)"
        problems.append(Problem(locate("layout.dp_shard"), "layout.dp_shard", found, "", "use a divisor"))
    if layout.dp_shard > 1 and layout.zero == 0:
        found = f"found dp_shard {layout.dp_shard} with zero 0, which splits nothing"
        problems.append(
            Problem(
                locate("layout.dp_shard"), "layout.dp_shard", found, "", "use zero 1 to 3, or leave it out"
            )
        )
    return problems


def _micro_batches(
    layout: Layout, dp: int, global_batch: int | float, locate: Callable[[str], str], problems: list[Problem]
) -> int:
    per_pass = dp * layout.micro_batch
    if isinstance(global_batch, float):
        return max(1, round(global_batch / per_pass))
    count, rest = divmod(global_batch, per_pass)
    if rest:
        problems.append(
            Problem(
                locate("workload.global_batch"),
                "workload.global_batch",
                f"found {global_batch} sequences for dp {dp} x micro_batch {layout.micro_batch} = {per_pass}",
                "",
                f"use a multiple of {per_pass}, or another micro_batch",
            )
        )
    return count
