"""What a benchmark that takes a few weights in turn, over and over, still finds in the cache.

A training step meets each weight cold: gigabytes pass between two uses. A benchmark's loop over a handful of small
weights finds them in the last-level cache, and times the cache. That explains the measurement, not the kernel: it is
fitted beside the kernel's coefficients and never shipped.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from simtool.calibrate.tables import FloatArray


class Cache(Protocol):
    """What of a cache such a loop meets."""

    @property
    def cache_share(self) -> float:
        """Part of its nominal size at which half of a loop is found in it."""

    @property
    def cache_speed(self) -> float:
        """Its bandwidth over the memory's."""

    @property
    def cache_cliff(self) -> float:
        """How sharply a loop that grows falls out of it."""


def loop_bytes(
    m: FloatArray,
    n: FloatArray,
    k: FloatArray,
    *,
    num_weights: int,
    element_bytes: float,
    cache_bytes: float,
    cache: Cache,
) -> FloatArray:
    r"""Bytes from memory that take as long as the traffic of one product in the loop [byte].

    The loop multiplies one operand (m, k) by `num_weights` weights (k, n), one after the other. A weight returns after
    all of them, operand and product (whose block is reused) after one::

        held(bytes) = 1 / (1 + (bytes / (cache_share cache_bytes))^cache_cliff)
        paid(bytes) = 1 - held + held / cache_speed
        total       = weight paid(num_weights weight + operand + product)
                      + (operand + product) paid(weight + operand + product)

    A cache that evicted what was used longest ago would hold all or nothing; real ones hash and evict nearly so.

    Args:
        m: rows of the operand [element].
        n: columns of a weight [element].
        k: inner size [element].
        num_weights: of the loop.
        element_bytes: size of an element [byte].
        cache_bytes: nominal size of the last-level cache [byte].
        cache: what of it the loop meets.

    >>> from types import SimpleNamespace
    >>> cache = SimpleNamespace(cache_share=1.0, cache_speed=4.0, cache_cliff=50.0)
    >>> sizes = np.array([8.0]), np.array([1000.0]), np.array([1000.0])  # a weight of 2 MB, 0.03 MB beside it
    >>> for cache_mb in (100, 1):  # six of them fit, or not even one
    ...     print(round(loop_bytes(*sizes, num_weights=6, element_bytes=2.0, cache_bytes=cache_mb * 1e6,
    ...                            cache=cache).item()))
    508000
    2032000
    """
    weight, beside = element_bytes * n * k, element_bytes * m * (n + k)

    def paid(loop: FloatArray) -> FloatArray:
        held = 1.0 / (1.0 + (loop / (cache.cache_share * cache_bytes)) ** cache.cache_cliff)
        return np.asarray(1.0 - held + held / cache.cache_speed)

    return weight * paid(num_weights * weight + beside) + beside * paid(weight + beside)
