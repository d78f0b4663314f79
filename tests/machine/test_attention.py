"""Attention time, fused and unfused: bounded by its work, growing, and right in the limits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.machine.attention import QUERY_BLOCK, attention_time_s, unfused_attention_time_s

PEAK, BANDWIDTH, PROCESSORS = 300e12, 2e12, 108


@dataclass(frozen=True)
class Curve:
    peak_frac: float = 0.8
    seq_half: float = 600.0
    head_half: float = 32.0
    tail_waves: float = 1.0
    latency: float = 8e-6
    backward_ratio: float = 2.9


@dataclass(frozen=True)
class MemoryCurve:
    bandwidth_frac: float = 0.8
    latency: float = 2e-6


IDEAL = Curve(peak_frac=1.0, seq_half=0.0, head_half=0.0, tail_waves=0.0, latency=0.0)


def time_s(batch, heads, tokens, width, curve=None, processors=PROCESSORS, bandwidth=BANDWIDTH, **more):
    return attention_time_s(
        batch,
        heads,
        tokens,
        width,
        peak_flop_per_s=PEAK,
        num_processors=processors,
        bandwidth_bytes_per_s=bandwidth,
        element_bytes=2.0,
        curve=curve or Curve(),
        **more,
    )


def unfused_s(batch, heads, tokens, width, **more):
    return unfused_attention_time_s(
        batch,
        heads,
        tokens,
        width,
        peak_flop_per_s=PEAK,
        bandwidth_bytes_per_s=BANDWIDTH,
        element_bytes=2.0,
        memory=MemoryCurve(),
        **more,
    )


curves = st.builds(
    Curve,
    peak_frac=st.floats(0.1, 1.0),
    seq_half=st.floats(0.0, 5000.0),
    head_half=st.floats(0.0, 200.0),
    tail_waves=st.floats(0.0, 5.0),
    latency=st.floats(0.0, 1e-4),
    backward_ratio=st.floats(1.0, 5.0),
)
batches, heads_, tokens_, widths = (
    st.integers(1, 64),
    st.integers(1, 128),
    st.integers(1, 200_000),
    st.integers(16, 256),
)


@given(batches, heads_, tokens_, widths, curves, st.booleans())
def test_the_work_is_never_done_faster_than_the_peak_rate(batch, heads, tokens, width, curve, causal):
    work = (2.0 if causal else 4.0) * batch * heads * tokens**2 * width
    moved = 2.0 * 4.0 * batch * tokens * heads * width
    found = time_s(batch, heads, tokens, width, curve, causal=causal)
    assert found >= work / PEAK * (1 - 1e-12)
    assert found >= moved / BANDWIDTH * (1 - 1e-12)


@given(batches, heads_, tokens_, widths, st.integers(1, 1000), curves)
def test_more_work_never_takes_less_time(batch, heads, tokens, width, more, curve):
    at = time_s(batch, heads, tokens, width, curve)
    larger = [(batch + more, heads, tokens, width), (batch, heads + more, tokens, width)]
    larger += [(batch, heads, tokens + more, width), (batch, heads, tokens, width + more)]
    assert all(time_s(*shape, curve) >= at * (1 - 1e-12) for shape in larger)


@given(batches, heads_, st.integers(16, 200_000), widths, curves)
def test_a_mask_never_costs_and_at_most_halves(batch, heads, tokens, width, curve):
    full = time_s(batch, heads, tokens, width, curve, causal=False)
    causal = time_s(batch, heads, tokens, width, curve)
    assert full / 2 * (1 - 1e-12) <= causal <= full


def test_long_sequences_of_many_wide_heads_reach_the_share_of_the_peak():
    rate = 2.0 * 64 * 1e7**2 * 1e5 / time_s(1, 64, 1e7, 1e5)
    assert rate == pytest.approx(0.8 * PEAK, rel=2e-3)


def test_half_of_it_at_the_half_sizes():
    def at(**change):
        return time_s(4096, 64, 600, 128, replace(IDEAL, **change), bandwidth=1e18)

    assert at(seq_half=600.0) == pytest.approx(2.0 * at())
    assert at(head_half=128.0) == pytest.approx(2.0 * at())


def test_few_blocks_wait_for_the_tail():
    """With one wave of tail, a wave of blocks takes twice its work, and one block almost as long."""

    def of(blocks, tail_waves, processors=PROCESSORS):
        curve = replace(IDEAL, tail_waves=tail_waves)
        return time_s(1, blocks, QUERY_BLOCK, 128, curve, processors, bandwidth=1e18)

    assert of(PROCESSORS, 1.0) == pytest.approx(2.0 * of(PROCESSORS, 0.0))
    assert of(1, 1.0) == pytest.approx((PROCESSORS + 1) * of(1, 0.0))
    assert of(1, 1.0, None) == of(1, 0.0, None)


def test_fewer_key_value_heads_never_cost():
    many = time_s(64, 32, 128, 128, num_kv_heads=32)
    few = time_s(64, 32, 128, 128, num_kv_heads=1)
    assert few < many


def test_the_backward_is_a_multiple_of_the_forward():
    forward = time_s(1, 64, 4096, 128) - Curve.latency
    assert time_s(1, 64, 4096, 128, backward=True) - Curve.latency == pytest.approx(2.9 * forward)


def test_sequences_and_heads_are_alike():
    assert time_s(8, 16, 4096, 128) == pytest.approx(time_s(1, 128, 4096, 128))
    assert unfused_s(8, 16, 4096, 128) == pytest.approx(unfused_s(1, 128, 4096, 128))


@given(st.lists(st.tuples(batches, heads_, tokens_, widths), min_size=1, max_size=6), curves)
def test_an_array_is_its_elements(shapes, curve):
    columns = [np.array(axis, dtype=float) for axis in zip(*shapes, strict=True)]
    np.testing.assert_allclose(
        time_s(*columns, curve), [time_s(*shape, curve) for shape in shapes], rtol=1e-14
    )
    np.testing.assert_allclose(unfused_s(*columns), [unfused_s(*shape) for shape in shapes], rtol=1e-14)


@given(batches, heads_, st.integers(512, 200_000), st.integers(16, 128))
def test_writing_the_scores_costs_more_than_not_writing_them(batch, heads, tokens, width):
    """Less than five bytes a score at full bandwidth, or the full square at the peak rate, is impossible."""
    scores = float(batch) * heads * tokens**2
    assert unfused_s(batch, heads, tokens, width) > max(
        4.0 * 2.0 * scores / BANDWIDTH, 4.0 * scores * width / PEAK
    )


def test_the_unfused_backward_lies_between_its_passes_and_its_products():
    forward, backward = unfused_s(1, 96, 2048, 128), unfused_s(1, 96, 2048, 128, backward=True)
    assert 1.5 * forward < backward + 1e-4
    assert backward < 2.0 * forward
    assert unfused_s(1, 96, 4096, 128) == pytest.approx(4.0 * forward, rel=0.02)
