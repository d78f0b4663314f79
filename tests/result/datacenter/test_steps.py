"""Step functions: means lose nothing, however time is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.ledger.sums import FloatArray
from simtool.result.datacenter.steps import Steps, counted, total

TIMES = st.lists(st.integers(1, 1000), min_size=1, max_size=20, unique=True)


@st.composite
def steps(draw: st.DrawFn) -> Steps:
    times = np.array([0.0, *sorted(draw(TIMES))])
    values = draw(
        st.lists(st.floats(-1e3, 1e3), min_size=len(times) - 1, max_size=len(times) - 1).map(np.array)
    )
    return Steps(times, values)


@given(steps(), st.lists(st.integers(0, 1000).map(lambda permille: permille / 1000.0), max_size=12))
def test_pieces_sum_to_the_whole(given_steps: Steps, cuts: list[float]) -> None:
    end = float(given_steps.times_s[-1])
    edges = np.unique([0.0, *(cut * end for cut in cuts), end])
    whole = float(np.sum(given_steps.values * np.diff(given_steps.times_s)))
    assert given_steps.integral(edges).sum() == pytest.approx(whole, abs=1e-6)
    means, highest = given_steps.mean(edges), given_steps.highest(edges)
    assert np.all(means <= highest + 1e-9 * np.abs(highest) + 1e-9)


@given(steps())
def test_the_highest_is_found_wherever_the_edges_lie(given_steps: Steps) -> None:
    for edges in (given_steps.times_s, given_steps.times_s[[0, -1]]):
        found: FloatArray = given_steps.highest(edges)
        assert found.max() == given_steps.values.max()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=30))
def test_counted_intervals_sum_to_their_lengths(pairs: list[tuple[int, int]]) -> None:
    begins = np.array([float(begin) for begin, _ in pairs])
    ends = begins + np.array([float(length) for _, length in pairs])
    number = counted(begins, ends, 200.0)
    assert number.integral([0.0, 200.0])[0] == pytest.approx(float((ends - begins).sum()))
    assert number.values.min() >= 0
    for moment in (0.5, 20.5, 60.5):
        there = int(((begins <= moment) & (moment < ends)).sum())
        assert number.values[np.searchsorted(number.times_s, moment, side="right") - 1] == there


def test_a_sum_of_functions_is_known_where_any_is() -> None:
    both = total(
        [Steps(np.array([0.0, 4.0]), np.array([1.0])), Steps(np.array([2.0, 6.0]), np.array([10.0]))],
        0.0,
        8.0,
    )
    assert both.times_s.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert both.values.tolist() == [1.0, 11.0, 10.0, 0.0]


def test_many_steps_become_fewer_without_losing_their_integral() -> None:
    fine = Steps(np.arange(1001.0), np.sin(np.arange(1000.0)))
    coarse = fine.at_most(7)
    assert len(coarse.values) == 7
    assert coarse.integral([0.0, 1000.0])[0] == pytest.approx(fine.integral([0.0, 1000.0])[0])
    assert fine.at_most(1000) is fine
