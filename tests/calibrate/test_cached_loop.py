"""What a loop over a few weights finds in a cache lies between the cache's rate and the memory's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.calibrate.cached_loop import loop_bytes

sizes = st.integers(1, 65536).map(float)
caches = st.builds(
    SimpleNamespace,
    cache_share=st.floats(0.3, 2.0),
    cache_speed=st.floats(1.0, 20.0),
    cache_cliff=st.floats(1.0, 20.0),
)


def paid(m, n, k, cache, cache_bytes, num_weights=6):
    return loop_bytes(
        np.array([m]),
        np.array([n]),
        np.array([k]),
        num_weights=num_weights,
        element_bytes=2.0,
        cache_bytes=cache_bytes,
        cache=cache,
    ).item()


@given(m=sizes, n=sizes, k=sizes, cache=caches, cache_bytes=st.floats(1e5, 1e9))
def test_between_the_rate_of_the_cache_and_that_of_the_memory(m, n, k, cache, cache_bytes):
    cold = 2.0 * (m * k + k * n + m * n)
    found = paid(m, n, k, cache, cache_bytes)
    assert cold / cache.cache_speed * (1 - 1e-12) <= found <= cold * (1 + 1e-12)


@given(m=sizes, n=sizes, k=sizes, cache=caches, cache_bytes=st.floats(1e5, 1e9), more=st.floats(1.0, 10.0))
def test_a_larger_cache_never_costs_and_more_weights_never_gain(m, n, k, cache, cache_bytes, more):
    found = paid(m, n, k, cache, cache_bytes)
    assert paid(m, n, k, cache, cache_bytes * more) <= found * (1 + 1e-12)
    assert paid(m, n, k, cache, cache_bytes, num_weights=7) >= found * (1 - 1e-12)


def test_half_of_a_loop_as_large_as_the_cache_is_found_in_it():
    cache = SimpleNamespace(cache_share=1.0, cache_speed=1e9, cache_cliff=3.0)
    # one row: the weight is nearly all, and 6 of them are the cache
    assert paid(1.0, 1000.0, 1000.0, cache, 12e6) == pytest.approx(1e6, rel=0.01)
