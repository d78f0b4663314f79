"""All layouts worth pricing for a model on a number of accelerators, as arrays."""

from __future__ import annotations

from itertools import product

import numpy as np

from simtool.layout.layouts import Layouts, divides
from simtool.workload.transformer import Transformer

MICRO_BATCHES = (1, 2, 4, 8, 16, 32)
MAX_VIRTUAL_STAGES = 12


def enumerate_layouts(
    model: Transformer,
    *,
    num_devices: int,
    max_tp: int,
    seq_len: int,
    global_batch: int | float,
) -> Layouts | None:
    """Every executable combination, or None where there is none.

    Tensor parallelism stays inside the scale-up domain (`max_tp`); ZeRO is 1, or 3 without
    pipeline; data parallelism takes what is left. A global batch given as a float is a target that
    each candidate rounds to a multiple of dp x micro-batch.
    """
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    tensor = [
        tp
        for tp in _divisors(num_devices)
        if tp <= max_tp
        and model.num_heads % tp == 0
        and model.ffn_hidden_size % tp == 0
        and seq_len % tp == 0
        and (model.kv_heads % tp == 0 or tp % model.kv_heads == 0)
    ]
    for tp in tensor:
        for pp in _divisors(num_devices // tp):
            dp = num_devices // (tp * pp)
            for vpp, micro_batch in product(range(1, MAX_VIRTUAL_STAGES + 1), MICRO_BATCHES):
                if (pp == 1 and vpp > 1) or pp * vpp > model.num_layers + 2 or not divides(model, pp, vpp):
                    continue
                count = _num_micro_batches(global_batch, dp * micro_batch)
                if count == 0 or (vpp > 1 and count % pp):
                    continue
                rows += [
                    (tp, pp, vpp, dp, zero, micro_batch, count) for zero in ((1, 3) if pp == 1 else (1,))
                ]
    if not rows:
        return None
    tp_, pp_, vpp_, dp_, zero_, micro_batch_, count_ = np.array(rows, dtype=np.float64).T
    return Layouts(
        tp=tp_,
        pp=pp_,
        vpp=vpp_,
        dp=dp_,
        zero=zero_,
        micro_batch=micro_batch_,
        sequence_parallel=tp_ > 1,
        num_micro_batches=count_,
    )


def pick(layouts: Layouts, index: int) -> Layouts:
    """One candidate of many, as scalars."""
    return Layouts(
        tp=float(np.asarray(layouts.tp)[index]),
        pp=float(np.asarray(layouts.pp)[index]),
        vpp=float(np.asarray(layouts.vpp)[index]),
        dp=float(np.asarray(layouts.dp)[index]),
        zero=float(np.asarray(layouts.zero)[index]),
        micro_batch=float(np.asarray(layouts.micro_batch)[index]),
        sequence_parallel=bool(np.asarray(layouts.sequence_parallel)[index]),
        num_micro_batches=float(np.asarray(layouts.num_micro_batches)[index]),
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
