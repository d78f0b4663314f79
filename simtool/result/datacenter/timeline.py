"""A site's run as a trace that ui.perfetto.dev opens: jobs on tracks, and everything else as counters.

A job's stretch is put on the lowest track of its pool that is free, so that tracks are as many as jobs ever ran at
once. Of more than `MAX_SLICES` stretches those with the most accelerator-hours are shown, and of a counter with more
than `MAX_POINTS` changes its means over equal stretches; `otherData` says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.files import MAX_POINTS, MAX_SLICES
from simtool.result.datacenter.history import Holdings, devices, running, waiting
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.steps import Steps
from simtool.signals import Signal
from simtool.sim.fleet.outcome import STATUSES
from simtool.trace.chrome import Event, counter, instant, microseconds, named, piece, write_events
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR

DIGITS = 6


def write_timeline(path: Path, result: DatacenterResult, held: Holdings) -> None:
    """Write the trace of a result, compressed, without the time of writing."""
    about = {
        "datacenter": result.datacenter.name,
        "start": result.datacenter.start.isoformat(),
        "stretches_of_jobs": str(len(held.job)),
        "stretches_shown": str(min(len(held.job), MAX_SLICES)),
        "points_of_a_counter": f"at most {MAX_POINTS}; of more changes their means",
    }
    write_events(path, trace_events(result, held), about)


def trace_events(result: DatacenterResult, held: Holdings) -> Iterator[Event]:
    """All events of the trace: names of tracks, slices, instants, counters."""
    yield named("process_name", result.datacenter.name)
    yield from _slices(result, held)
    for event in result.outcome.interruptions[:MAX_SLICES]:
        about = {"pool": event.pool, "jobs": " ".join(event.jobs[:20])}
        yield instant(event.cause, 0, microseconds([event.time_s])[0], about)
    for name, steps in _counters(result, held):
        shown = steps.at_most(MAX_POINTS)
        values = np.append(shown.values, shown.values[-1]).tolist()
        for time, value in zip(microseconds(shown.times_s), values, strict=True):
            yield counter(name, time, {"value": float(f"{value:.{DIGITS}g}")})


def _slices(result: DatacenterResult, held: Holdings) -> Iterator[Event]:
    outcome, jobs = result.outcome, result.jobs.table
    chosen = np.arange(len(held.job))
    if len(chosen) > MAX_SLICES:
        chosen = np.sort(np.argsort(-held.device_s, kind="stable")[:MAX_SLICES])
    order = chosen[np.lexsort((held.begin_s[chosen], held.pool[chosen]))]
    pools = list(outcome.ledgers)
    first, track = 1, 0
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    pool_now = -1
    for index in order.tolist():
        pool, job = int(held.pool[index]), int(held.job[index])
        begin_s, end_s = float(held.begin_s[index]), float(held.end_s[index])
        if pool != pool_now:
            first, free, busy, pool_now = track + 1, [], [], pool
        while busy and busy[0][0] <= begin_s:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            own = heapq.heappop(free)
        else:
            track += 1
            own = track
            yield named("thread_name", f"{pools[pool]} {own - first + 1}", own)
        heapq.heappush(busy, (end_s, own))
        about = {
            "user": jobs.users[jobs.user[job]],
            "devices": int(held.num_devices[index]),
            "status": STATUSES[outcome.status[job]],
            "submitted_s": float(outcome.submit_s[job]),
        }
        begin, length = microseconds([begin_s, end_s - begin_s])
        yield piece(outcome.names[job], own, begin, length, about)


def _counters(result: DatacenterResult, held: Holdings) -> Iterator[tuple[str, Steps]]:
    outcome = result.outcome
    yield "jobs waiting", waiting(outcome, held)
    yield "jobs running", running(outcome, held)
    for pool in outcome.ledgers:
        busy = devices(outcome, [pool], held=True)
        down = devices(outcome, [pool], state="down")
        yield f"{pool}: accelerators held", busy
        yield f"{pool}: accelerators down", down
    for view in result.sites:
        yield from _of_site(result, view)


def _of_site(result: DatacenterResult, view: SiteAccounts) -> Iterator[tuple[str, Steps]]:
    series, signals = view.series, view.signals
    site = f"{view.name}: " if view.name else ""
    for name, column in (
        ("IT power (W)", "it_w"),
        ("losses (W)", "chain_loss_w"),
        ("cooling (W)", "cooling_w"),
        ("power of the site (W)", "total_w"),
        ("water (kg/s)", "water_kg_per_s"),
    ):
        yield f"{site}{name}", Steps(series.breakpoints_s, getattr(series, column))
    end_s = result.outcome.end_s
    if view.balance is not None:
        balance = view.balance
        yield f"{site}power from the grid (W)", Steps(balance.breakpoints_s, balance.import_w)
        yield (
            f"{site}battery, discharge less charge (W)",
            Steps(balance.breakpoints_s, balance.discharge_w - balance.charge_w),
        )
        yield f"{site}sun and wind (W)", Steps(balance.breakpoints_s, balance.solar_w + balance.wind_w)
    if view.bill.edges_s.size:
        price = np.divide(
            view.bill.energy_usd * JOULES_PER_KWH,
            view.bill.energy_j,
            out=np.zeros_like(view.bill.energy_j),
            where=view.bill.energy_j > 0.0,
        )
        yield f"{site}price of energy (USD/kWh)", Steps(view.bill.edges_s, price)
    for question, signal in signals.carbon.items():
        yield f"{site}carbon, {question} (kgCO2e/kWh)", _hourly(signal, end_s)
    if signals.weather is not None:
        yield f"{site}dry bulb (degC)", _hourly(signals.dry_bulb, end_s)
        yield f"{site}wet bulb (degC)", _hourly(signals.wet_bulb, end_s)


def _hourly(signal: Signal, end_s: float) -> Steps:
    num = max(1, int(np.ceil(end_s / SECONDS_PER_HOUR)))
    edges = np.minimum(np.arange(num + 1) * SECONDS_PER_HOUR, end_s)
    return Steps(edges, signal.mean(edges[:-1], edges[1:]))
