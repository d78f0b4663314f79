"""All layouts worth pricing for a model on a number of accelerators, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from simtool.layout.layouts import Layouts, divides
from simtool.stepgraph import Number
from simtool.workload.model import Model

MICRO_BATCHES = (1, 2, 4, 8, 16, 32)
MAX_VIRTUAL_STAGES = 12
LONG_SEQUENCE = 32_768
"""From here on sequences are shared out too: below, one accelerator holds the activations of one."""
MAX_CONTEXT_RANKS = 32

Row = tuple[int, int, int, int, int, int, int, int, int]


def enumerate_layouts(
    model: Model,
    *,
    num_devices: int,
    max_tp: int,
    seq_len: int,
    global_batch: int | float,
) -> Layouts | None:
    """Every executable combination, or None where there is none.

    Tensor parallelism stays inside the scale-up domain (`max_tp`); ZeRO is 1, or 3 without
    pipeline; experts go whole to 1, 2, 4, ... ranks; long sequences to rings of ranks; data parallelism takes
    what is left. A global batch given as a float is a target that each candidate rounds to a multiple of
    dp x micro-batch.
    """
    rows = list(_rows(model, num_devices, max_tp, seq_len, global_batch))
    if not rows:
        return None
    tp, cp, pp, vpp, dp, ep, zero, micro_batch, count = np.array(rows, dtype=np.float64).T
    return Layouts(
        tp=tp,
        cp=cp,
        pp=pp,
        vpp=vpp,
        dp=dp,
        ep=ep,
        zero=zero,
        micro_batch=micro_batch,
        sequence_parallel=tp > 1,
        num_micro_batches=count,
    )


def _rows(
    model: Model, num_devices: int, max_tp: int, seq_len: int, global_batch: int | float
) -> Iterator[Row]:
    for tp, cp in product(_divisors(num_devices), _context_ranks(model, seq_len)):
        if tp > max_tp or num_devices % (tp * cp) or seq_len % tp or any(model.tensor_problems(tp)):
            continue
        for pp in _divisors(num_devices // (tp * cp)):
            if pp > 1 and model.pipeline_problem() is not None:
                continue
            dp = num_devices // (tp * cp * pp)
            spread = _expert_ranks(model, tp * cp * dp)
            for vpp, micro_batch in product(range(1, MAX_VIRTUAL_STAGES + 1), MICRO_BATCHES):
                if (pp == 1 and vpp > 1) or pp * vpp > model.num_layers + 2 or not divides(model, pp, vpp):
                    continue
                count = _num_micro_batches(global_batch, dp * micro_batch)
                if count == 0 or (vpp > 1 and count % pp):
                    continue
                for ep, zero in product(spread, (1, 3) if pp == 1 else (1,)):
                    yield tp, cp, pp, vpp, dp, ep, zero, micro_batch, count


def _context_ranks(model: Model, seq_len: int) -> list[int]:
    if seq_len < LONG_SEQUENCE or model.kv_message_features == 0:
        return [1]
    return [cp for cp in _powers(MAX_CONTEXT_RANKS) if seq_len % (2 * cp) == 0]


def _expert_ranks(model: Model, ranks: int) -> list[int]:
    if model.expert_layer_frac == 0.0:
        return [1]
    return [ep for ep in _powers(model.num_experts) if model.num_experts % ep == 0 and ranks % ep == 0]


def _powers(limit: int) -> list[int]:
    return [2**exponent for exponent in range(limit.bit_length()) if 2**exponent <= limit]


def pick(layouts: Layouts, index: int) -> Layouts:
    """One candidate of many, as scalars."""

    def at(value: Number) -> float:
        found = np.asarray(value)
        return float(found[index] if found.ndim else found)

    return replace(
        layouts,
        tp=at(layouts.tp),
        pp=at(layouts.pp),
        vpp=at(layouts.vpp),
        dp=at(layouts.dp),
        zero=at(layouts.zero),
        micro_batch=at(layouts.micro_batch),
        sequence_parallel=bool(at(np.asarray(layouts.sequence_parallel, dtype=float))),
        num_micro_batches=at(layouts.num_micro_batches),
        cp=at(layouts.cp),
        ep=at(layouts.ep),
        etp=at(layouts.etp),
        dp_shard=at(layouts.dp_shard),
    )


def _num_micro_batches(global_batch: int | float, per_pass: int) -> int:
    if isinstance(global_batch, float):
        count = round(global_batch / per_pass)
        return count if count and abs(count * per_pass / global_batch - 1.0) <= 0.05 else 0
    count, rest = divmod(global_batch, per_pass)
    return 0 if rest else count


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})
