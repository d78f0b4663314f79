"""Jobs that have time wait for the cheapest or the cleanest hours."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from simtool.errors import InputError, Problem
from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueuedJob, QueueView, SignalView
from simtool.sim.schedulers.profile import Profile

WORTH_IT = 1e-9
"""A gain below this fraction is rounding, and nothing to wait for."""


@SCHEDULERS.register("price-aware")
def price_aware(
    queue: QueueView, cluster: ClusterView, signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """EASY backfill; jobs with limit and deadline wait for the hours with the lowest mean price.

    A job that could start is put off only if its devices can be kept for it at its latest start, ``deadline -
    limit``: others may use them until then, by their limits. So no deadline is missed that starting at
    once would have met, as long as limits are kept and nothing fails. Of all starts up to the latest, it takes
    the one with the lowest mean over its limit, the earliest of equals; prices are taken as known. Source of the idea:
    P. Wiesner et al., "Let's wait awhile", Middleware 2021.

    >>> from simtool.signals import Signal
    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> price = Signal.from_steps([0.0, 100.0, 200.0], [3.0, 1.0, 2.0], end_s=900.0, unit="USD/kWh")
    >>> queue = Waiting([QueuedJob(0, 1, 0.0, limit_s=50.0, deadline_s=400.0)])
    >>> choice = price_aware(queue, Devices(num_devices=1, num_free_devices=1), {"price": price}, 0.0)
    >>> choice.start, choice.put_off, choice.wake_s
    ([], [0], 100.0)
    """
    return _deferring(queue, cluster, _required(signals, "price"), now_s)


@SCHEDULERS.register("carbon-aware")
def carbon_aware(
    queue: QueueView, cluster: ClusterView, signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """EASY backfill; jobs with limit and deadline wait for the hours with the lowest mean carbon intensity.

    By the same rule as ``price-aware``, with the signal ``carbon``.
    """
    return _deferring(queue, cluster, _required(signals, "carbon"), now_s)


def _required(signals: Mapping[str, SignalView], name: str) -> SignalView:
    if name not in signals:
        found = f"found {', '.join(signals) or 'none'}"
        raise InputError(
            Problem(
                "scheduler", "signals", found, f"a signal {name!r} of the site", f"give the site a {name}"
            )
        )
    return signals[name]


def _deferring(queue: QueueView, cluster: ClusterView, signal: SignalView, now_s: float) -> Choice:
    profile = Profile(cluster, now_s)
    for job in queue:
        if job.put_off:
            profile.reserve(job, _latest_s(job, now_s))
    start: list[int] = []
    put_off: list[int] = []
    wake_s, blocked = math.inf, False
    for job in queue:
        if job.put_off:
            latest_s = _latest_s(job, now_s)
            best_s = _best_start_s(job, signal, now_s)
            profile.release(job, latest_s)
            if best_s == now_s and profile.fits(job, now_s):
                start.append(job.job)
                profile.reserve(job, now_s)
            elif latest_s > now_s:
                profile.reserve(job, latest_s)
                wake_s = min(wake_s, best_s if best_s > now_s else latest_s)
            else:  # its place has been lost, to a failure or to a lower power limit
                _reserve_earliest(profile, job)
        elif profile.fits(job, now_s):
            latest_s = _latest_s(job, now_s)
            best_s = _best_start_s(job, signal, now_s) if latest_s > now_s else now_s
            if best_s > now_s and profile.fits(job, latest_s):
                put_off.append(job.job)
                profile.reserve(job, latest_s)
                wake_s = min(wake_s, best_s)
            else:
                start.append(job.job)
                profile.reserve(job, now_s)
        elif not blocked:
            blocked = True
            _reserve_earliest(profile, job)
    return Choice(start=start, put_off=put_off, wake_s=wake_s)


def _reserve_earliest(profile: Profile, job: QueuedJob) -> None:
    earliest_s = profile.earliest(job)
    if earliest_s < math.inf:
        profile.reserve(job, earliest_s)


def _latest_s(job: QueuedJob, now_s: float) -> float:
    """When a job has to start; now if that has passed, or if it has no limit or no deadline."""
    return max(job.deadline_s - job.limit_s, now_s) if job.limit_s < job.deadline_s < math.inf else now_s


def _best_start_s(job: QueuedJob, signal: SignalView, now_s: float) -> float:
    """The start from now on with the lowest mean over a job's limit.

    The mean of a step function over a moving window is linear between two moments at which the window's begin
    or its end meets a step, so it is least at one of these, or now, or at the latest.
    """
    latest_s, edges_s = _latest_s(job, now_s), signal.edges_s
    begins = edges_s[np.searchsorted(edges_s, now_s, "right") : np.searchsorted(edges_s, latest_s)]
    ends_s = edges_s - job.limit_s
    ends = ends_s[np.searchsorted(ends_s, now_s, "right") : np.searchsorted(ends_s, latest_s)]
    starts_s = np.unique(np.concatenate([[now_s], begins, ends, [latest_s]]))
    means = np.asarray(signal.mean(starts_s, starts_s + job.limit_s))
    least = means.min() + WORTH_IT * np.abs(means).max()
    return float(starts_s[np.argmax(means <= least)])
