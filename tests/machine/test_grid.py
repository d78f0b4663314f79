"""Grids between anchors: exact at them, linear between, held outside, the same for arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.machine.correction import (
    PRODUCT_TILES,
    Correction,
    attention_factor,
    correction_of,
    product_factor,
    product_waste,
)
from simtool.machine.gemm import gemm_time_s
from simtool.machine.grid import Grid
from simtool.profiles.find import default_library

AXES = ((1.0, 8.0, 64.0), (10.0, 100.0), (2.0, 4.0, 8.0, 32.0))
VALUES = np.sin(np.arange(24.0))
GRID = Grid.of(AXES, VALUES)
SIZES = st.floats(0.01, 1e6)
WITH_TABLES = ("a100-sxm-80", "h100-sxm", "h200-sxm", "b200-sxm", "gb200", "l40s")
MACHINE = {
    "peak_flop_per_s": 989.4e12,
    "num_processors": 132,
    "bandwidth_bytes_per_s": 3.35e12,
    "element_bytes": 2.0,
}


def test_an_anchor_has_its_own_value():
    cube = VALUES.reshape(3, 2, 4)
    for i, a in enumerate(AXES[0]):
        for j, b in enumerate(AXES[1]):
            for k, c in enumerate(AXES[2]):
                assert float(GRID.at(a, b, c)) == pytest.approx(cube[i, j, k], abs=1e-12)


@given(SIZES, SIZES, SIZES)
def test_nothing_is_extrapolated(a, b, c):
    inside = [min(max(x, axis[0]), axis[-1]) for x, axis in zip((a, b, c), AXES, strict=True)]
    assert float(GRID.at(a, b, c)) == pytest.approx(float(GRID.at(*inside)), abs=1e-12)
    assert VALUES.min() - 1e-12 <= float(GRID.at(a, b, c)) <= VALUES.max() + 1e-12


@given(st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=5))
def test_an_array_is_its_elements(sizes):
    columns = [np.array(column) for column in zip(*sizes, strict=True)]
    together = GRID.at(*columns)
    assert together == pytest.approx([float(GRID.at(*one)) for one in sizes], rel=1e-12)


def test_tables_are_read_along_the_first_axis():
    grid = Grid.of(((1.0, 2.0), (1.0, 2.0)), [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0], num_tables=2)
    assert grid.at(np.array([1.0, 2.0]), np.array([2.0, 1.0])) == pytest.approx([1.0, 12.0])
    many = grid.at(np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([1.0, 1.0]))
    assert many == pytest.approx(np.array([[0.0, 2.0], [10.0, 12.0]]))


def test_full_waves_of_whole_tiles_waste_nothing():
    waves, idle, edge = product_waste(256 * 16, 256 * 16, 1.0, 128)
    assert waves == pytest.approx([4.0, 4.0, 8.0, 2.0])
    assert idle == pytest.approx(0.0, abs=1e-12)
    assert edge == pytest.approx(0.0, abs=1e-12)


def test_one_row_too_many_costs_a_row_of_tiles():
    _, _, edge = product_waste(257, 256, 1.0, 128)
    assert np.exp(edge) == pytest.approx([rows * np.ceil(257 / rows) / 257 for rows, _ in PRODUCT_TILES])


def test_without_processors_nothing_is_idle():
    assert product_waste(4096, 4096, 1.0, None)[1] == pytest.approx(0.0)


def test_no_table_no_correction():
    assert correction_of(None) is None


@pytest.mark.parametrize("name", WITH_TABLES)
def test_shipped_corrections_are_bounded_and_end_at_the_anchors(name):
    """Between a third and three times anywhere; twice as far out changes only what waves and tiles do."""
    correction = correction_of(default_library().get("accelerator", name).efficiency.gemm.correction)
    assert correction is not None
    m, n, k = np.meshgrid(2.0 ** np.arange(0, 21), 2.0 ** np.arange(5, 20), 2.0 ** np.arange(5, 20))
    factor = np.asarray(product_factor(correction, m, n, k, batch=1.0, num_processors=128))
    large = (m >= 512) & (n >= 512) & (k >= 512)
    assert 0.5 < factor[large].min() < factor[large].max() < 2.0
    outer = [
        float(product_factor(correction, size, size, size, batch=1.0, num_processors=128))
        for size in (2.0**17, 2.0**19)
    ]
    assert outer[0] == pytest.approx(outer[1], rel=0.01)


@given(st.integers(1, 40000), st.integers(32, 70000), st.integers(32, 70000), st.sampled_from(WITH_TABLES))
def test_a_corrected_product_undercuts_no_roofline(m, n, k, name):
    efficiency = default_library().get("accelerator", name).efficiency
    time_s = gemm_time_s(
        m, n, k, curve=efficiency.gemm, correction=correction_of(efficiency.gemm.correction), **MACHINE
    )
    assert time_s >= 2.0 * m * n * k / MACHINE["peak_flop_per_s"] * (1 - 1e-12)
    moved = 2.0 * (m * k + k * n + m * n)
    assert time_s >= moved / MACHINE["bandwidth_bytes_per_s"] * (1 - 1e-12)


def test_many_products_of_one_kernel_fill_the_device_together():
    flat = Grid.of(((1.0, 2.0), (1.0, 2.0), (1.0, 2.0)), np.zeros(8))
    paid = Grid.of(((1.0, 2.0), (1.0, 2.0)), np.array([1.0] * 4 + [0.0] * 12), num_tables=4)
    correction = Correction(sizes=flat, idle=paid)
    alone = float(product_factor(correction, 256, 128, 64, batch=1.0, num_processors=64))
    full = float(product_factor(correction, 256, 128, 64, batch=64.0, num_processors=64))
    assert alone == pytest.approx(64.0)  # one of 64 processors works, all of the idle part is paid
    assert full == pytest.approx(1.0)


def test_attention_is_corrected_by_blocks_of_queries():
    flat = Grid.of(((1.0, 2.0),) * 4, np.zeros(16))
    paid = Grid.of(((1.0, 2.0), (1.0, 2.0)), np.array([0.0] * 4 + [1.0] * 4 + [0.0] * 4), num_tables=3)
    factor = attention_factor(Correction(flat, paid), 8.0, 512.0, 512.0, 128.0, 1.0, num_processors=64)
    assert float(factor) == pytest.approx(2.0)  # 32 blocks of 128 queries on 64 processors
