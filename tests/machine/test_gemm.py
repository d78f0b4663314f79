"""Matrix-multiply time: between the rooflines and a fixed multiple, growing, and tiled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.machine.gemm import TILES, gemm_time_s

PEAK, BANDWIDTH, PROCESSORS = 300e12, 2e12, 108


@dataclass(frozen=True)
class Curve:
    peak_frac: float = 0.8
    k_half: float = 130.0
    tile_half: float = 10.0
    wave_frac: float = 0.3
    bandwidth_frac: float = 0.8
    latency: float = 3e-6


IDEAL = Curve(peak_frac=1.0, k_half=0.0, tile_half=0.0, wave_frac=0.0, bandwidth_frac=1.0, latency=0.0)


def time_s(m, n, k, curve=None, processors=PROCESSORS, bandwidth=BANDWIDTH, **more):
    return gemm_time_s(
        m,
        n,
        k,
        peak_flop_per_s=PEAK,
        num_processors=processors,
        bandwidth_bytes_per_s=bandwidth,
        element_bytes=2.0,
        curve=curve or Curve(),
        **more,
    )


sizes = st.integers(1, 200_000)
curves = st.builds(
    Curve,
    peak_frac=st.floats(0.1, 1.0),
    k_half=st.floats(0.0, 1000.0),
    tile_half=st.floats(0.0, 100.0),
    wave_frac=st.floats(0.0, 1.0),
    bandwidth_frac=st.floats(0.1, 1.0),
    latency=st.floats(0.0, 1e-4),
)
processor_counts = st.one_of(st.none(), st.integers(1, 1000))


@given(sizes, sizes, sizes, curves, processor_counts, st.integers(1, 64))
def test_no_roofline_is_undercut(m, n, k, curve, processors, batch):
    found = time_s(m, n, k, curve, processors, batch=batch)
    assert found >= 2.0 * batch * m * n * k / PEAK * (1 - 1e-12)
    assert found >= 2.0 * batch * (m * k + k * n + m * n) / BANDWIDTH * (1 - 1e-12)
    assert found >= curve.latency


@given(sizes, sizes, sizes, st.integers(1, 5000), curves, processor_counts)
def test_more_work_never_takes_less_time(m, n, k, more, curve, processors):
    at = time_s(m, n, k, curve, processors)
    for larger in ((m + more, n, k), (m, n + more, k), (m, n, k + more)):
        assert time_s(*larger, curve, processors) >= at * (1 - 1e-12)
    assert time_s(m, n, k, curve, processors, batch=2.0) >= at * (1 - 1e-12)


@given(sizes, sizes, sizes, curves)
def test_transposing_the_product_changes_nothing(m, n, k, curve):
    assert time_s(m, n, k, curve) == pytest.approx(time_s(n, m, k, curve), rel=1e-12)


def test_large_full_waves_reach_the_share_of_the_peak():
    m, n = 256 * PROCESSORS, 128 * 100  # a hundred full waves of the largest tile
    k = 1e7
    rate = 2.0 * m * n * k / time_s(m, n, k)
    assert rate == pytest.approx(0.8 * PEAK, rel=1e-3)


def test_half_the_rate_at_the_inner_size_where_set_up_equals_work():
    m, n = 256 * PROCESSORS, 128 * 100
    rate = 2.0 * m * n * 130 / time_s(m, n, 130, replace(Curve(), latency=0.0), bandwidth=1e18)
    assert rate == pytest.approx(0.4 * PEAK, rel=1e-6)


def test_one_tile_uses_one_processor_unless_waves_are_free():
    smallest = min(TILES, key=lambda tile: tile[0] * tile[1])
    lone = time_s(*smallest, 8192, replace(IDEAL, wave_frac=1.0), bandwidth=1e18)
    work = 2.0 * smallest[0] * smallest[1] * 8192
    assert lone == pytest.approx(work / (PEAK / PROCESSORS))
    assert time_s(*smallest, 8192, IDEAL, bandwidth=1e18) == pytest.approx(work / PEAK)


def test_one_tile_more_than_a_wave_costs_a_wave():
    whole = replace(IDEAL, wave_frac=1.0)
    full = time_s(256 * PROCESSORS, 128, 4096, whole, bandwidth=1e18)
    one_more = time_s(256 * PROCESSORS + 1, 128, 4096, whole, bandwidth=1e18)
    assert 1.1 < one_more / full <= 2.0  # smaller tiles soften it


def test_small_tiles_are_chosen_where_large_ones_would_idle():
    """A product of few tiles is faster than on the largest tile alone, and small tiles cost rate."""
    few = time_s(1024, 1024, 4096, replace(IDEAL, wave_frac=1.0), bandwidth=1e18)
    largest_alone = 2.0 * 256 * 128 * 4096 / (PEAK / PROCESSORS)  # 32 tiles on 108 processors: one wave
    assert few < largest_alone
    dear = time_s(1024, 1024, 4096, replace(IDEAL, wave_frac=1.0, tile_half=200.0), bandwidth=1e18)
    assert few < dear <= largest_alone


def test_edges_are_padded_to_tiles():
    even, odd = (time_s(m, 4096, 4096, IDEAL, None, bandwidth=1e18) for m in (128, 129))
    assert odd == pytest.approx(1.5 * even)  # 192 rows of 64-row tiles


def test_without_processors_no_wave_is_paid():
    dear = replace(Curve(), wave_frac=1.0)
    assert time_s(4096, 4096, 4096, dear, None) == time_s(
        4096, 4096, 4096, replace(dear, wave_frac=0.0), None
    )


def test_narrow_products_are_bound_by_memory():
    m, n, k = 1, 16384, 16384
    moved = 2.0 * (m * k + k * n + m * n)
    assert time_s(m, n, k) == pytest.approx(moved / (0.8 * BANDWIDTH) + 3e-6, rel=0.1)


@given(st.lists(st.tuples(sizes, sizes, sizes), min_size=1, max_size=8), curves)
def test_an_array_is_its_elements(shapes, curve):
    m, n, k = (np.array(axis, dtype=float) for axis in zip(*shapes, strict=True))
    together = time_s(m, n, k, curve)
    assert together.shape == m.shape
    np.testing.assert_allclose(together, [time_s(*shape, curve) for shape in shapes], rtol=1e-14)


def test_arguments_broadcast_against_each_other():
    grid = time_s(np.array([[512.0], [4096.0]]), np.array([1024.0, 8192.0, 16384.0]), 4096)
    assert grid.shape == (2, 3)
    assert grid[1, 2] == pytest.approx(time_s(4096, 16384, 4096), rel=1e-14)
