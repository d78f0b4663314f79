"""Writes that share one store."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.sim.store import contended_write_s, mean_write_s

writes = st.lists(
    st.tuples(st.floats(0.0, 100.0), st.floats(1.0, 1e3), st.floats(0.5, 20.0)), min_size=1, max_size=8
)


@given(writes, st.floats(1.0, 30.0))
def test_all_is_written_no_faster_than_store_and_writer_can(
    found: list[tuple[float, float, float]], bandwidth: float
) -> None:
    begins, sizes, limits = (np.array(column) for column in zip(*found, strict=True))
    took_s = contended_write_s(begins, sizes, bandwidth, limits)
    assert np.all(took_s >= sizes / np.minimum(limits, bandwidth) * (1 - 1e-9))
    alone_s = np.array([contended_write_s([b], [s], bandwidth, [m])[0] for b, s, m in found])
    assert np.all(took_s >= alone_s * (1 - 1e-9))
    # The store never does more than it can, and no less than all of it while all could take more.
    ends = begins + took_s
    assert ends.max() >= begins.min() + sizes.sum() / bandwidth - 1e-6 * ends.max()


@given(st.integers(1, 6), st.floats(1.0, 1e3), st.floats(1.0, 100.0))
def test_equal_writes_at_once_take_turns_fairly(num: int, size: float, bandwidth: float) -> None:
    took_s = contended_write_s(np.zeros(num), size, bandwidth)
    assert took_s == pytest.approx(np.full(num, num * size / bandwidth))


@given(writes, st.floats(1.0, 30.0))
def test_order_does_not_matter(found: list[tuple[float, float, float]], bandwidth: float) -> None:
    begins, sizes, limits = (np.array(column) for column in zip(*found, strict=True))
    one = contended_write_s(begins, sizes, bandwidth, limits)
    other = contended_write_s(begins[::-1], sizes[::-1], bandwidth, limits[::-1])
    assert other[::-1] == pytest.approx(one, rel=1e-9)


def test_nonsense_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        contended_write_s([np.nan], [-1.0], 0.0, [0.0])
    assert len(caught.value.problems) == 4


def write_by_write_s(work_s: np.ndarray, store_s: float, slowest: float, end_s: float, seed: int) -> float:
    """Mean write of jobs that work, save, and work again for ever; each begins at a moment of its own [s]."""
    rng = np.random.default_rng(seed)
    coming = [(rng.uniform(0.0, work), job) for job, work in enumerate(work_s.tolist())]
    heapq.heapify(coming)
    left: dict[int, float] = {}
    began: dict[int, float] = {}
    took: list[float] = []
    now_s = 0.0
    while now_s < end_s:
        rate = min(1.0 / slowest, 1.0 / len(left)) if left else 1.0
        step_s = min([value / rate for value in left.values()] + ([coming[0][0] - now_s] if coming else []))
        now_s += step_s
        for job in list(left):
            left[job] -= step_s * rate
            if left[job] <= 1e-9:
                del left[job]
                took.append(now_s - began[job])
                heapq.heappush(coming, (now_s + float(work_s[job]), job))
        while coming and coming[0][0] <= now_s + 1e-9:
            job = heapq.heappop(coming)[1]
            left[job], began[job] = store_s, now_s
    return float(np.mean(took))


@pytest.mark.parametrize(
    ("num", "slowest", "short_frac", "long_frac"),
    [
        (2, 1.0, 0.02, 0.02),
        (6, 1.0, 0.05, 0.05),
        (12, 1.0, 0.0, 0.35),  # as many as the store can just serve: they keep out of each other's way
        (20, 1.0, 0.02, 0.15),
        (60, 1.0, 0.02, 0.02),
        (12, 3.0, 0.05, 0.05),  # a writer takes a third of the store at most
        (60, 3.0, 0.02, 0.02),
    ],
)
def test_the_mean_against_writes_one_by_one(
    num: int, slowest: float, short_frac: float, long_frac: float
) -> None:
    work_s = np.random.default_rng(7).uniform(80.0, 120.0, num)
    exact_s = write_by_write_s(work_s, 10.0, slowest, 40_000.0, seed=3)
    one = np.ones(num)
    alone_s, end_s = one * 10.0 * slowest, one * 1e6
    num_writes = end_s / (work_s + alone_s)
    write_s = mean_write_s(one * 0.0, end_s, num_writes, alone_s, one * 10.0, alone_s, one == 1.0)
    assert exact_s * (1.0 - short_frac) <= write_s.mean() <= exact_s * (1.0 + long_frac)


jobs = st.lists(
    st.tuples(
        st.floats(0.0, 1e4), st.floats(100.0, 1e4), st.integers(0, 50), st.floats(0.1, 30.0), st.booleans()
    ),
    min_size=1,
    max_size=12,
)


@given(jobs, st.floats(0.1, 1.0), st.floats(1.0, 5.0))
def test_means_are_never_below_one_alone_and_fall_with_a_faster_store(
    found: list[tuple[float, float, int, float, bool]], store_frac: float, factor: float
) -> None:
    begins, lengths, num, alone, stops = (np.array(column) for column in zip(*found, strict=True))
    ends = begins + lengths
    fixed = (begins, ends, num, alone)
    slow = mean_write_s(*fixed, alone * store_frac * factor, alone, stops)
    fast = mean_write_s(*fixed, alone * store_frac, alone, stops)
    assert np.all(fast >= alone)
    assert np.all(fast <= slow * (1 + 1e-6))
    assert np.all(fast <= alone * store_frac * len(found) + alone * (1 + 1e-6))


def test_who_is_not_there_at_the_same_time_does_not_matter() -> None:
    one = np.ones(2)
    apart = mean_write_s([0.0, 500.0], [500.0, 900.0], one * 9, one * 5, one * 5, one * 5, one == 1)
    assert apart.tolist() == [5.0, 5.0]
