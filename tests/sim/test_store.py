"""Writes that share one store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.sim.store import contended_write_s

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
