"""Jobs that are free over several sites go where energy is cheaper or cleaner."""

from __future__ import annotations

import math
from collections.abc import Mapping

from simtool.errors import InputError, Problem
from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueuedJob, QueueView, SignalView
from simtool.sim.schedulers.pools import Worth, shared_out


@SCHEDULERS.register("cheapest-site")
def cheapest(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """Jobs go to the pool, of those with room now, whose price over their limit is lowest for the work.

    The cost of a job's work on a pool is the mean price from now until its limit there (of a job without a limit, the
    price of now), times its devices, over its speed there: devices of different pools count as drawing alike.
    Otherwise as ``heterogeneous``. No job waits for a site.

    >>> from simtool.signals import Signal
    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> dear, cheap = ({"price": Signal.constant(value, unit="USD/kWh")} for value in (0.3, 0.1))
    >>> queue = Waiting([QueuedJob(0, 1, 0.0, limit_s=60.0, speeds=(1.0, 1.0))])
    >>> sites = [Devices(num_devices=1, num_free_devices=1, pool=pool, free_by_pool=(1, 1),
    ...                  signals_by_pool=(dear, cheap)) for pool in (0, 1)]
    >>> [cheapest(queue, site, {}, 0.0).start for site in sites]
    [[], [0]]
    """
    return Choice(start=shared_out(queue, cluster, cheaper("price", cluster, now_s), now_s))


@SCHEDULERS.register("cleanest-site")
def cleanest(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """Jobs go to the pool, of those with room now, whose carbon intensity over their limit is lowest for the work.

    By the same rule as ``cheapest-site``, with the signal ``carbon``.
    """
    return Choice(start=shared_out(queue, cluster, cheaper("carbon", cluster, now_s), now_s))


def cheaper(name: str, cluster: ClusterView, now_s: float) -> Worth:
    """What the pools are worth to a job by a signal of theirs."""
    known: dict[tuple[int, float], float] = {}

    def worth(job: QueuedJob, pool: int) -> float:
        if not job.speeds:
            return 0.0  # nothing to choose
        speed = job.speeds[pool]
        limit_s = job.limit_s * job.speeds[cluster.pool] / speed
        if (pool, limit_s) not in known:
            known[pool, limit_s] = _mean(name, cluster, pool, now_s, limit_s)
        return -job.num_devices * known[pool, limit_s] / speed

    return worth


def _mean(name: str, cluster: ClusterView, pool: int, now_s: float, limit_s: float) -> float:
    signal = signal_of(name, cluster, pool)
    return float(signal.mean(now_s, now_s + limit_s) if limit_s < math.inf else signal.at(now_s))


def signal_of(name: str, cluster: ClusterView, pool: int) -> SignalView:
    """A signal of a pool's site.

    Raises:
        InputError: it has none of that name.
    """
    signals = cluster.signals_by_pool[pool]
    if name not in signals:
        found = f"found {', '.join(signals) or 'none'} at pool {pool}"
        raise InputError(
            Problem("scheduler", "signals", found, f"a signal {name!r} of every site", f"give each a {name}")
        )
    return signals[name]
