"""Several jobs that write to one store at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem


def contended_write_s(
    begin_s: ArrayLike, size_bytes: ArrayLike, store_bandwidth: float, writer_bandwidth: ArrayLike = np.inf
) -> NDArray[np.float64]:
    """How long each of several writes takes while they share the store [s].

    At every moment the writes under way get equal shares of the store, none more than its own limit, and what a
    limited one leaves goes to the others (max-min fairness, as parallel file systems and networks share).
    Exact: rates change only where a write begins or ends.

    Args:
        begin_s: when each write begins [s], shape (n,).
        size_bytes: of each [byte], shape (n,) or one for all.
        store_bandwidth: of the store, in all [byte/s].
        writer_bandwidth: the most that one writer can send [byte/s], shape (n,) or one for all.

    Raises:
        InputError: a size or bandwidth that is not above 0, or a begin that is not finite.

    >>> contended_write_s([0.0, 0.0], 100.0, 10.0).tolist()  # two at once: half the rate each
    [20.0, 20.0]
    >>> contended_write_s([0.0, 5.0], [100.0, 25.0], 10.0).tolist()  # 50, then 25 beside the other's 25, then 25
    [12.5, 5.0]
    >>> contended_write_s([0.0, 0.0], 100.0, 10.0, [2.0, np.inf]).tolist()  # 2 of 10, and 8 for the other
    [50.0, 12.5]
    """
    begins = np.asarray(begin_s, np.float64)
    left = np.broadcast_to(np.asarray(size_bytes, np.float64), begins.shape).copy()
    limits = np.broadcast_to(np.asarray(writer_bandwidth, np.float64), begins.shape)
    _check(begins, left, limits, store_bandwidth)
    ends = np.full(begins.shape, np.inf)
    pending = list(np.argsort(begins, kind="stable"))
    active: list[int] = []
    now_s = 0.0
    while pending or active:
        if not active:
            now_s = max(now_s, float(begins[pending[0]]))
        while pending and begins[pending[0]] <= now_s:
            active.append(int(pending.pop(0)))
        rates = _fair(limits[active], store_bandwidth)
        last_s = left[active] / rates
        step_s = float(last_s.min())
        coming_s = float(begins[pending[0]]) - now_s if pending else np.inf
        if coming_s < step_s:
            left[active] -= rates * coming_s
            now_s = float(begins[pending[0]])
            continue
        now_s += step_s
        left[active] -= rates * step_s
        done = [place for place, needs_s in zip(active, last_s.tolist(), strict=True) if needs_s == step_s]
        ends[done] = now_s
        active = [place for place in active if place not in done]
    return ends - begins


def _fair(limits: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """Equal shares of `total`, none above its limit."""
    rates = np.zeros(len(limits))
    open_places = np.argsort(limits)
    for done, place in enumerate(open_places):
        rates[place] = min(float(limits[place]), total / (len(limits) - done))
        total -= rates[place]
    return rates


def _check(
    begins: NDArray[np.float64], sizes: NDArray[np.float64], limits: NDArray[np.float64], store: float
) -> None:
    bad = {
        "begin_s": not np.all(np.isfinite(begins)),
        "size_bytes": not np.all((sizes > 0.0) & (sizes < np.inf)),
        "store_bandwidth": not 0.0 < store < np.inf,
        "writer_bandwidth": not np.all(limits > 0.0),
    }
    problems = [
        Problem("store", field, "found a value out of range", "finite begins, sizes and bandwidths above 0")
        for field, is_bad in bad.items()
        if is_bad
    ]
    if problems:
        raise InputError(problems)
