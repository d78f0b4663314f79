"""Time of self-attention on one accelerator: fused (flash) kernels, and the unfused chain."""

from __future__ import annotations

from typing import Protocol, SupportsFloat

import numpy as np

from simtool.machine.correction import Correction, attention_factor
from simtool.machine.memory_bound import MemoryCurve
from simtool.stepgraph import Number

QUERY_BLOCK = 128
"""Queries that one thread block of a flash-attention kernel holds (Dao, arXiv:2307.08691; 128 in
the kernels of all tensor-core generations since Ampere)."""

UNFUSED_PEAK_FRAC = 0.61
"""Share of the peak rate that the two batched products of unfused attention reach: their inner or
outer size is the head dimension, far below a large tile. Calibrated on published training rates of
Megatron-DeepSpeed on A100 (a prior of 0.45, whose time came out x 0.74)."""

UNFUSED_PASSES = 4.3
"""Effective passes over the score matrix in the forward: six are made (product, masked softmax and
dropout write it, each successor reads it), and part of them hit the cache. Calibrated likewise."""

UNFUSED_BACKWARD_PASSES = 1.5
"""Passes of the backward over those of the forward: about nine to six. By count."""

UNFUSED_BACKWARD_FLOP = 2.0
"""Work of the backward over that of the forward: four products to two. By count."""

_UNFUSED_KERNELS = 4
"""Product, softmax, dropout, product."""


class AttentionCurve(Protocol):
    """The coefficients of `attention_time_s`: `profiles.curves.Attention`, or floats during a fit."""

    @property
    def peak_frac(self) -> SupportsFloat:
        """Share of the peak rate in the limit."""

    @property
    def seq_half(self) -> SupportsFloat:
        """Sequence length at which half of it is reached [token]."""

    @property
    def head_half(self) -> SupportsFloat:
        """Head size at which half of it is reached [element]."""

    @property
    def tail_waves(self) -> SupportsFloat:
        """Waves of query blocks lost at the end."""

    @property
    def latency(self) -> SupportsFloat:
        """Time of the smallest kernel [s]."""

    @property
    def backward_ratio(self) -> SupportsFloat:
        """Time of the backward over the forward."""


def attention_time_s(
    batch: Number,
    num_heads: Number,
    seq_len: Number,
    head_dim: Number,
    *,
    peak_flop_per_s: Number,
    num_processors: int | None,
    bandwidth_bytes_per_s: Number,
    element_bytes: Number,
    curve: AttentionCurve,
    num_kv_heads: Number | None = None,
    causal: bool = True,
    num_keys: Number | None = None,
    backward: bool = False,
    correction: Correction | None = None,
) -> Number:
    """Time of one fused self-attention kernel over `batch` sequences [s].

    ::

        work    = 4 batch num_heads seq_len^2 head_dim, half of it if causal
        tail    = tail_waves num_processors x (work of one block of 128 queries)
        compute = (work + tail) (1 + seq_half/seq_len) (1 + head_half/head_dim) / (peak x peak_frac)
        memory  = (queries, keys, values and output) / bandwidth
        time    = (compute^3 + memory^3)^(1/3) + latency

    `seq_half` covers set-up and the half-masked diagonal, `head_half` the softmax, whose exponentials
    do not shrink with the head, `tail` the blocks of unequal length at the end of a causal kernel.
    The backward takes ``backward_ratio`` times the forward; it has five products for two
    (Dao, arXiv:2205.14135). The time never undercuts ``work / peak``.

    With another number of keys than a causal mask's, a query's set-up is spread over that work: twice the
    mean keys stand for the sequence length, in the work and in ``seq_half``.

    With a `correction` the time is multiplied by what the device's table shows beyond this form; it still
    never undercuts the work at the peak rate, nor the memory.

    Args:
        batch: sequences on this accelerator; arrays broadcast.
        num_heads: query heads on this accelerator.
        seq_len: tokens of a sequence.
        head_dim: elements of a head.
        peak_flop_per_s: dense peak rate at the precision [FLOP/s].
        num_processors: streaming multiprocessors, compute units or cores; None leaves the tail out.
        bandwidth_bytes_per_s: device memory bandwidth [byte/s].
        element_bytes: size of an element [byte].
        curve: the efficiency coefficients.
        num_kv_heads: key and value heads; None for as many as query heads.
        causal: a token attends to itself and its predecessors only.
        num_keys: keys that a query sees on average, in place of `causal`: windows, other sequences.
        backward: time of the backward instead of the forward.
        correction: the grids of the device's table, if it has one.

    >>> from types import SimpleNamespace
    >>> ideal = SimpleNamespace(
    ...     peak_frac=1.0, seq_half=0.0, head_half=0.0, tail_waves=0.0, latency=0.0, backward_ratio=2.5
    ... )
    >>> time_s = attention_time_s(1, 64, 8192, 128, peak_flop_per_s=1e15, num_processors=128,
    ...                           bandwidth_bytes_per_s=1e13, element_bytes=2, curve=ideal)
    >>> round(float(time_s) * 1e3, 3)  # 2 x 64 x 8192^2 x 128 / 1e15 = 1.1 ms
    1.1
    """
    sequences, heads = np.asarray(batch, float), np.asarray(num_heads, float)
    tokens, width = np.asarray(seq_len, float), np.asarray(head_dim, float)
    kv_heads = heads if num_kv_heads is None else np.asarray(num_kv_heads, float)
    length = tokens if num_keys is None else 2 * np.asarray(num_keys, float)
    row_flop = (2 if causal or num_keys is not None else 4) * length * width  # one query of one head
    num_rows = sequences * heads * tokens
    if num_processors is not None:
        num_rows = num_rows + float(curve.tail_waves) * num_processors * QUERY_BLOCK
    slowdown = (1 + float(curve.seq_half) / length) * (1 + float(curve.head_half) / width)
    least_s = sequences * heads * tokens * row_flop / peak_flop_per_s
    compute_s = num_rows * row_flop * slowdown / (peak_flop_per_s * float(curve.peak_frac))
    num_elements = 2 * sequences * tokens * width * (heads + kv_heads)
    memory_s = num_elements * element_bytes / bandwidth_bytes_per_s
    ratio = float(curve.backward_ratio) if backward else 1.0
    time_s: Number = ratio * np.cbrt(compute_s**3 + memory_s**3) + float(curve.latency)
    if correction is None:
        return time_s
    time_s = time_s * attention_factor(
        correction,
        sequences * heads,
        tokens,
        length,
        width,
        heads / kv_heads,
        num_processors=num_processors,
    )
    return np.asarray(np.maximum(time_s, ratio * np.maximum(least_s, memory_s)))


def unfused_attention_time_s(
    batch: Number,
    num_heads: Number,
    seq_len: Number,
    head_dim: Number,
    *,
    peak_flop_per_s: Number,
    bandwidth_bytes_per_s: Number,
    element_bytes: Number,
    memory: MemoryCurve,
    num_keys: Number | None = None,
    backward: bool = False,
) -> Number:
    """Time of self-attention that writes its score matrix to memory (Megatron's fused softmax) [s].

    ::

        time = 4 batch num_heads seq_len^2 head_dim / (peak x 0.61)
             + 4.3 batch num_heads seq_len^2 element_bytes / (bandwidth x bandwidth_frac) + latencies

    The products are computed in full, the mask only discards. The backward does twice the products
    and one and a half times the passes.

    Args:
        batch: sequences on this accelerator; arrays broadcast.
        num_heads: query heads on this accelerator.
        seq_len: tokens of a sequence.
        head_dim: elements of a head.
        peak_flop_per_s: dense peak rate at the precision [FLOP/s].
        bandwidth_bytes_per_s: device memory bandwidth [byte/s].
        element_bytes: size of an element [byte].
        memory: the curve of memory-bound operations.
        num_keys: keys of a sequence, where they are not the queries' own.
        backward: time of the backward instead of the forward.

    >>> from types import SimpleNamespace
    >>> curve = SimpleNamespace(bandwidth_frac=0.8, latency=0.0)
    >>> time_s = unfused_attention_time_s(1, 96, 2048, 128, peak_flop_per_s=312e12,
    ...                                   bandwidth_bytes_per_s=2e12, element_bytes=2, memory=curve)
    >>> round(float(time_s) * 1e3, 2)  # 0.21 TFLOP at 190 TFLOP/s + 3.5 GB at 1.6 TB/s
    3.25
    """
    queries = np.asarray(seq_len, float)
    num_scores = np.asarray(batch, float) * num_heads * queries * (queries if num_keys is None else num_keys)
    flop_ratio, pass_ratio = (UNFUSED_BACKWARD_FLOP, UNFUSED_BACKWARD_PASSES) if backward else (1.0, 1.0)
    products_s = flop_ratio * 4 * num_scores * head_dim / (peak_flop_per_s * UNFUSED_PEAK_FRAC)
    score_bytes = pass_ratio * UNFUSED_PASSES * num_scores * element_bytes
    passes_s = score_bytes / (bandwidth_bytes_per_s * float(memory.bandwidth_frac))
    time_s: Number = products_s + passes_s + _UNFUSED_KERNELS * float(memory.latency)
    return time_s
