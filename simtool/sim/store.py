"""Several jobs that write to one store: write by write, and on average."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem

_CLOSE_FRAC = 1e-9


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


def mean_write_s(
    begin_s: ArrayLike,
    end_s: ArrayLike,
    num_writes: ArrayLike,
    alone_s: ArrayLike,
    store_s: ArrayLike,
    used_s: ArrayLike,
    stops: ArrayLike,
) -> NDArray[np.float64]:
    """How long a write of each of several jobs takes on average, while all save at moments of their own [s].

    A write that comes in finds the writes of the others as they are on average: ``write = max(alone, store * (1 +
    others))``, with ``others`` the mean number of the other jobs' writes under way while the job is there, which is
    ``num_writes * write / (end - begin)`` of each of those that are there too. Source: mean value analysis of a closed
    network with a processor-sharing station, M. Reiser and S. Lavenberg, J. ACM 1980, with the approximation
    of P. Schweitzer 1979 that the others are the same whether the job is there or not.

    Against the writes one by one (`tests/sim/test_store.py`) it is within 5 % where few or very many write at once
    and up to a third too long in between, where equal jobs keep out of each other's way.

    Args:
        begin_s: when each job begins [s], shape (n,), as all that follow.
        end_s: when it ends, after its begin [s].
        num_writes: of each from its begin to its end.
        alone_s: one write of it, if nobody else writes [s].
        store_s: one write of it, if it had all of the store [s].
        used_s: one write of it, as begin and end were found with [s].
        stops: whether it stands still while it writes, so that longer writes make it end later.

    >>> alone = mean_write_s([0, 0], [1000, 1000], [10, 10], [5, 5], [5, 5], [5, 5], [True, True])
    >>> alone.round(3).tolist()  # each finds the other writing 5 % of the time
    [5.262, 5.262]
    """
    begins, ends, num, alone, store, used = (
        np.asarray(values, np.float64) for values in (begin_s, end_s, num_writes, alone_s, store_s, used_s)
    )
    longer = num * np.asarray(stops, np.bool_)
    edges = np.concatenate([begins, ends])
    order = np.argsort(edges, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    gaps_s = np.diff(edges[order])
    write = np.maximum(alone, store)
    while True:  # each round is above the one before and below `store` times the number of jobs: it ends
        there_s = np.maximum(ends - begins + longer * (write - used), num * write)
        under_way = np.divide(num * write, there_s, out=np.zeros_like(write), where=there_s > 0.0)
        level = np.cumsum(np.concatenate([under_way, -under_way])[order])
        area = np.concatenate([[0.0], np.cumsum(level[:-1] * gaps_s)])[place]
        area = area[len(begins) :] - area[: len(begins)]
        others = np.divide(area, ends - begins, out=under_way.copy(), where=ends > begins) - under_way
        longer_write = np.maximum(write, store * (1.0 + others))
        if np.all(longer_write - write <= _CLOSE_FRAC * write):
            return np.asarray(longer_write)
        write = longer_write


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
