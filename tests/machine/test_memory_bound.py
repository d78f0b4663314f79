"""Memory-bound time: a straight line in bytes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.machine.memory_bound import memory_time_s

CURVE = SimpleNamespace(bandwidth_frac=0.8, latency=2e-6)


@given(st.floats(0.0, 1e13), st.floats(1e9, 1e14))
def test_never_faster_than_the_bandwidth(num_bytes, bandwidth):
    found = memory_time_s(num_bytes, bandwidth_bytes_per_s=bandwidth, curve=CURVE)
    assert found >= num_bytes / bandwidth
    assert found >= CURVE.latency


def test_nothing_to_move_still_takes_a_launch():
    assert memory_time_s(0.0, bandwidth_bytes_per_s=1e12, curve=CURVE) == CURVE.latency


@given(st.lists(st.floats(0.0, 1e12), min_size=1, max_size=8))
def test_an_array_is_its_elements_and_bytes_add_up(sizes):
    found = memory_time_s(np.array(sizes), bandwidth_bytes_per_s=1e12, curve=CURVE)
    one_by_one = [memory_time_s(size, bandwidth_bytes_per_s=1e12, curve=CURVE) for size in sizes]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-14)
    whole = memory_time_s(sum(sizes), bandwidth_bytes_per_s=1e12, curve=CURVE)
    assert np.sum(found) == pytest.approx(whole + (len(sizes) - 1) * CURVE.latency)
