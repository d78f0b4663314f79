"""Costs over what they were spent for: a token, a run, a device-hour that was of use. All broadcast."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simtool.signals.signal import FloatArray
from simtool.units import MEGA, SECONDS_PER_HOUR


def usd_per_million_tokens(total_usd: ArrayLike, tokens: ArrayLike) -> FloatArray:
    """Cost of a million training tokens; infinite where there are none.

    >>> float(usd_per_million_tokens(3.0e6, 15e12))
    0.2
    """
    return _ratio(np.asarray(total_usd) * MEGA, tokens)


def usd_per_run(total_usd: ArrayLike, num_runs: ArrayLike) -> FloatArray:
    """Cost of one finished run, with what was spent on those that failed; infinite where none finished.

    >>> usd_per_run(1000.0, [4, 0]).tolist()
    [250.0, inf]
    """
    return _ratio(total_usd, num_runs)


def usd_per_useful_device_hour(
    total_usd: ArrayLike, device_s: ArrayLike, useful_frac: ArrayLike
) -> FloatArray:
    """Cost of an hour of a device that went into the result.

    ``total / (device-hours x useful share)``. The useful share is utilisation x goodput: neither idle, down, saving,
    restarting nor lost.

    Args:
        total_usd: all that was paid.
        device_s: device-seconds in all states [s].
        useful_frac: share of them that counts.

    >>> float(usd_per_useful_device_hour(200.0, 100 * 3600.0, 0.8))
    2.5
    """
    hours = np.asarray(device_s, dtype=np.float64) / SECONDS_PER_HOUR
    return _ratio(total_usd, hours * np.asarray(useful_frac))


def _ratio(amount: ArrayLike, count: ArrayLike) -> FloatArray:
    top, bottom = np.broadcast_arrays(
        np.asarray(amount, dtype=np.float64), np.asarray(count, dtype=np.float64)
    )
    safe = np.where(bottom > 0, bottom, 1.0)
    return np.asarray(np.where(bottom > 0, top / safe, np.inf))[()]
