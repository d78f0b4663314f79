"""Sums that do not depend on order or length."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.ledger.sums import running_sum, split, sum_by_key

sizes = st.floats(-1e12, 1e12).map(lambda size: size if abs(size) > 1e-200 else 0.0)
numbers = st.lists(sizes, min_size=1, max_size=60)


@given(numbers, st.data())
def test_sums_by_key_are_right_in_any_order(values: list[float], data: st.DataObject) -> None:
    keys = np.array([data.draw(st.integers(0, 3)) for _ in values])
    array = np.array(values)
    found = sum_by_key(keys, array, 4)
    largest = max(abs(value) for value in values)
    for key in range(4):
        expected = math.fsum(array[keys == key])
        assert found[key] == pytest.approx(expected, rel=1e-15, abs=1e-25 * largest)
    order = np.array(data.draw(st.permutations(range(len(values)))))
    assert sum_by_key(keys[order], array[order], 4).tolist() == found.tolist()


@given(numbers)
def test_parts_add_up_to_the_value(values: list[float]) -> None:
    high, low = split(np.array(values))
    assert (high + low).tolist() == pytest.approx(values, rel=1e-15, abs=1e-25 * max(map(abs, values)))


@given(numbers)
def test_what_rises_and_falls_returns_to_zero(values: list[float]) -> None:
    steps = np.array([*values, *(-value for value in values)])
    assert running_sum(steps)[-1] == 0.0


def test_a_million_small_numbers_beside_a_large_one() -> None:
    values = np.array([1e9, *[1e-7] * 1_000_000])
    assert sum_by_key(np.zeros(len(values), np.int64), values, 1)[0] == math.fsum(values)


def test_nothing_sums_to_nothing() -> None:
    assert sum_by_key(np.array([], np.int64), np.array([]), 2).tolist() == [0.0, 0.0]
    assert running_sum(np.zeros(3)).tolist() == [0.0] * 3
