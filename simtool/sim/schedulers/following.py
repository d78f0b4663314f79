"""Running jobs follow cheap or clean hours from site to site."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simtool.ledger.sums import FloatArray
from simtool.sim.schedulers import (
    SCHEDULERS,
    Choice,
    ClusterView,
    Move,
    QueueView,
    RunningJob,
    SignalView,
    asked_always,
)
from simtool.sim.schedulers.pools import shared_out
from simtool.sim.schedulers.sites import cheaper, signal_of
from simtool.units import SECONDS_PER_DAY

LOOKAHEAD_S = 2 * SECONDS_PER_DAY
"""How far moves are planned: prices and carbon intensities are forecast for about as long."""
ROUNDING = 1e-9


@SCHEDULERS.register("follow-price")
@asked_always
def price(queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float) -> Choice:
    """As ``cheapest-site``; a running preemptible job also moves if that makes the rest of its time cheaper.

    For the rest of its limit, at most two days, the cheapest route over the sites is found exactly, by dynamic
    programming over the steps of their prices: each move costs the time to save, to carry the state over and to
    restart, at the price of the site that it goes to, or nothing where that is below 0. Whenever a price changes, and
    at any time if none will change any more, jobs that gain by moving now move, who gains most first, to pools where
    they are as quick and which have room; nobody moves while others wait.

    >>> from simtool.signals import Signal
    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> dear, cheap = ({"price": Signal.constant(value, unit="USD/kWh")} for value in (0.3, 0.1))
    >>> job = RunningJob(3600.0, 0.0, 7, 1, preemptible=True, speeds=(1.0, 1.0), pause_s=60.0, moving_s=300.0)
    >>> site = Devices(num_devices=1, num_free_devices=0, running=[job], free_by_pool=(0, 1),
    ...                waiting_by_pool=(0, 0), signals_by_pool=(dear, cheap))
    >>> price(Waiting([]), site, {}, 0.0).move  # 3,600 s at 0.3 against 3,960 s at 0.1
    {7: Move(pool=1, num_devices=1)}
    """
    return _following("price", queue, cluster, now_s)


@SCHEDULERS.register("follow-carbon")
@asked_always
def carbon(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """As ``cleanest-site``; a running preemptible job also moves if that makes the rest of its time cleaner.

    By the same rule as ``follow-price``, with the signal ``carbon``.
    """
    return _following("carbon", queue, cluster, now_s)


def _following(name: str, queue: QueueView, cluster: ClusterView, now_s: float) -> Choice:
    start = shared_out(queue, cluster, cheaper(name, cluster, now_s), now_s) if len(queue) else []
    jobs = [job for job in cluster.running if _may_move(job, now_s)]
    if len(cluster.free_by_pool) < 2 or not (jobs or start):
        return Choice(start=start)
    signals = [signal_of(name, cluster, pool) for pool in range(len(cluster.free_by_pool))]
    wake_s = min(_next_edge_s(signal, now_s) for signal in signals)
    if not jobs or any(cluster.waiting_by_pool) or not _changes(signals, now_s, wake_s):
        return Choice(start=start, wake_s=wake_s)
    here, free = cluster.pool, list(cluster.free_by_pool)
    speeds = np.array([job.speeds for job in jobs])
    ends_s = np.minimum([job.expected_end_s for job in jobs], now_s + LOOKAHEAD_S)
    lost_s = np.array([job.pause_s + job.moving_s for job in jobs])
    quick = np.isclose(speeds, speeds[:, [here]], rtol=ROUNDING, atol=0.0)
    staying, moves = route_costs(signals, quick, now_s, ends_s, lost_s)
    gains = staying[:, [here]] - (staying + moves)
    gains[gains <= ROUNDING * np.abs(staying[:, [here]])] = 0.0
    gains[:, here] = 0.0
    gains *= np.array([[job.num_devices] for job in jobs])
    move = {}
    for row in np.argsort(-gains.max(axis=1), kind="stable").tolist():
        job = jobs[row]
        gain = np.where(np.array(free) >= job.num_devices, gains[row], 0.0)
        to = int(gain.argmax())
        if gain[to] <= 0.0:
            continue
        free[to] -= job.num_devices
        move[job.job] = Move(to, job.num_devices)
    return Choice(start=start, move=move, wake_s=wake_s)


def _may_move(job: RunningJob, now_s: float) -> bool:
    lost_s = job.pause_s + job.moving_s
    ends_later = job.expected_end_s > now_s
    return job.preemptible and not job.leaving and len(job.speeds) > 1 and lost_s < math.inf and ends_later


def _next_edge_s(signal: SignalView, now_s: float) -> float:
    edges_s = signal.edges_s
    place = int(np.searchsorted(edges_s, now_s, "right"))
    return float(edges_s[place]) if place < len(edges_s) else math.inf


def _changes(signals: Sequence[SignalView], now_s: float, next_s: float) -> bool:
    """Whether a signal changes now, or none does any more."""
    places = [int(np.searchsorted(signal.edges_s, now_s)) for signal in signals]
    return next_s == math.inf or any(
        place < len(signal.edges_s) and signal.edges_s[place] == now_s
        for place, signal in zip(places, signals, strict=True)
    )


def route_costs(
    signals: Sequence[SignalView],
    may: NDArray[np.bool_],
    now_s: float,
    ends_s: FloatArray,
    lost_s: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """What time costs on the best routes over sites, by the site where a route begins, and what a move now costs.

    Args:
        signals: what a second costs, by site.
        may: sites that each job may use, shape (jobs, sites).
        now_s: where the time begins [s].
        ends_s: where it ends for each job [s].
        lost_s: time that a move costs each job, at the signal of the site that it leads to [s].

    Returns:
        Cost of a job's time if it begins at a site, and cost of a move there, in units of the signal times seconds,
        shape (jobs, sites); infinite where it may not be.
    """
    last_s = float(ends_s.max())
    inside = [signal.edges_s[(signal.edges_s > now_s) & (signal.edges_s < last_s)] for signal in signals]
    times_s = np.unique(np.concatenate([[now_s], *inside, [last_s]]))
    rates = np.array([signal.mean(times_s[:-1], times_s[1:]) for signal in signals])
    closed = np.where(may, 0.0, math.inf)
    cost = closed
    for step in range(len(times_s) - 2, -1, -1):
        length_s = np.clip(ends_s, times_s[step], times_s[step + 1]) - times_s[step]
        moves = closed + np.maximum(rates[:, step], 0.0) * lost_s[:, None]
        cost = closed + rates[:, step] * length_s[:, None] + cost
        if step:
            cost = np.minimum(cost, (cost + moves).min(axis=1, keepdims=True)) + closed
    return cost, moves
