"""The only randomness: independent streams named by seed, run, entity and purpose.

A stream depends on nothing but its name, so run *i* of a study equals itself whatever the number
of workers, their order, or what else draws random numbers.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, entity: str, purpose: str, run: int = 0) -> np.random.Generator:
    """A generator of its own for `entity` and `purpose`.

    Args:
        seed: the scenario's seed, a non-negative integer.
        entity: who draws, e.g. ``"node-17"``.
        purpose: what for, e.g. ``"time-to-failure"``.
        run: index of the run inside a study.

    >>> bool(stream(1, "node-0", "failure").random() == stream(1, "node-0", "failure").random())
    True
    """
    name = zlib.crc32(f"{entity}\x00{purpose}".encode())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(run, name))))
