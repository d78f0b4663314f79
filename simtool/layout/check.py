"""Whether a layout that somebody wrote can be executed; every reason against it at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simtool.config.scenario import Layout
from simtool.errors import InputError, Problem
from simtool.layout.layouts import Layouts, divides
from simtool.workload.transformer import Transformer


def resolve_layout(
    layout: Layout,
    model: Transformer,
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
    problems = _shape_problems(layout, model, seq_len, locate)
    dp, rest = divmod(num_devices, layout.tp * layout.pp)
    dp = layout.dp or dp
    if layout.dp is None and (rest or dp == 0):
        problems.append(
            Problem(
                locate("layout.tp"),
                "layout",
                f"found tp {layout.tp} x pp {layout.pp} = {layout.tp * layout.pp} on {num_devices} accelerators",
                "",
                "tp x pp must divide the number of accelerators",
            )
        )
    elif layout.tp * layout.pp * dp != num_devices:
        problems.append(
            Problem(
                locate("layout.dp"),
                "layout",
                f"found tp {layout.tp} x pp {layout.pp} x dp {dp} = {layout.tp * layout.pp * dp}, "
                f"but the cluster has {num_devices} accelerators",
                "",
                f"change the product, or leave dp out to have it computed ({num_devices} / (tp x pp))",
            )
        )
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
    )


def _shape_problems(
    layout: Layout, model: Transformer, seq_len: int, locate: Callable[[str], str]
) -> list[Problem]:
    problems = []

    def refuse(field: str, found: str, mend: str) -> None:
        problems.append(Problem(locate(field), field, found, "", mend))

    tp, pp, vpp = layout.tp, layout.pp, layout.vpp
    if model.num_heads % tp:
        refuse("layout.tp", f"found tp {tp} for {model.num_heads} heads", f"use {_divisors(model.num_heads)}")
    elif model.kv_heads % tp and tp % model.kv_heads:
        refuse(
            "layout.tp",
            f"found tp {tp} for {model.kv_heads} key-value heads",
            f"use a divisor or a multiple of {model.kv_heads}",
        )
    if model.ffn_hidden_size % tp:
        refuse(
            "layout.tp", f"found tp {tp} for ffn_hidden_size {model.ffn_hidden_size}", "use a divisor of it"
        )
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


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in np.flatnonzero(number % np.arange(1, number + 1) == 0) + 1)
