"""The tables of a datacenter's run folder: ledger, jobs, power, users, hours, interruptions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.ledger import COMPONENTS, LEDGER_STATES
from simtool.ledger.sums import FloatArray
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.columns import CHUNK, Column, Words
from simtool.result.datacenter.history import Holdings, devices, job_rows, pool_names, running, waiting
from simtool.result.datacenter.jobs import NOBODY, UNNAMED
from simtool.result.datacenter.per_job import PerJob
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.steps import Steps
from simtool.sim.fleet.outcome import STATUSES
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR

GRID_COLUMNS = {
    "power_it_w": "it_w",
    "power_loss_w": "chain_loss_w",
    "power_cooling_w": "cooling_w",
    "power_other_w": "other_w",
    "power_facility_w": "total_w",
    "water_kg_per_s": "water_kg_per_s",
}
"""Column of ``power.parquet``, and where its values stand."""


SUPPLY = ("solar", "wind", "discharge", "charge", "generator", "export", "curtailed", "unserved")
"""Powers of a site with a supply of its own, beside that from the grid."""


def ledger_parts(result: DatacenterResult) -> Iterator[dict[str, Column]]:
    """The ledger by pool and begin, in parts: every interval, once for every state of its devices.

    ``num_devices`` is the share of the devices that are in the state. Energy of a row: sum of its powers x length.
    """
    outcome = result.outcome
    pools = list(outcome.ledgers)
    states = list(LEDGER_STATES)
    for index, (pool, ledger) in enumerate(outcome.ledgers.items()):
        table, patterns = ledger.table, ledger.patterns
        first = np.cumsum([0, *(len(pattern.shares) for pattern in patterns)])
        shares = [share for pattern in patterns for share in pattern.shares]
        state = np.array([states.index(share.state) for share in shares], np.int32)
        frac = np.array([share.device_frac for share in shares])
        watts = np.array([share.power_w for share in shares]).reshape(-1, len(COMPONENTS))
        rows = job_rows(outcome, pool)
        for begin in range(0, max(len(table.t0_s), 1), CHUNK):
            part = slice(begin, begin + CHUNK)
            pattern, num = table.pattern[part], np.diff(first)[table.pattern[part]]
            of_row = np.repeat(np.arange(len(pattern)), num)
            share = first[pattern][of_row] + np.arange(len(of_row)) - np.repeat(np.cumsum(num) - num, num)
            held = table.num_devices[part][of_row] * frac[share]
            present, codes = np.unique(rows[table.job[part]][of_row], return_inverse=True)
            names = ["" if row < 0 else outcome.names[row] for row in present.tolist()]
            yield {
                "t0_s": table.t0_s[part][of_row],
                "t1_s": table.t1_s[part][of_row],
                "pool": Words(np.full(len(of_row), index), pools),
                "job": Words(codes, names),
                "state": Words(state[share], states),
                "num_devices": held,
                **{
                    f"power_{component}_w": held * watts[share, place]
                    for place, component in enumerate(COMPONENTS)
                },
            }


def job_columns(result: DatacenterResult, found: PerJob) -> dict[str, Column]:
    """A row for every job, in order of submission."""
    outcome, table = result.outcome, result.jobs.table
    pools = list(outcome.ledgers)
    work = found.energy_j["compute"] + found.energy_j["waiting"]
    return {
        "name": outcome.names,
        "user": Words(table.user, table.users),
        "pool": Words(outcome.pool, pools),
        "status": Words(outcome.status, STATUSES),
        "num_devices": outcome.devices,
        "submit_s": outcome.submit_s,
        "start_s": outcome.start_s,
        "finish_s": outcome.finish_s,
        "waited_s": outcome.waited_s,
        "num_preemptions": outcome.num_preemptions,
        "num_moves": outcome.num_moves,
        "num_interruptions": outcome.num_interruptions,
        "accelerator_hours": found.device_s[1:] / SECONDS_PER_HOUR,
        "energy_work_j": work[1:],
        "energy_saving_j": found.energy_j["saving"][1:],
        "energy_lost_work_j": found.energy_j["lost_work"][1:],
        "energy_idle_j": found.energy_j["idle"][1:] + found.energy_j["down"][1:],
        "energy_it_j": found.energy_it_j[1:],
        "energy_facility_j": found.energy_facility_j[1:],
        "cost_usd": found.cost_usd[1:],
        "electricity_usd": found.electricity_usd[1:],
        **{
            f"carbon_electricity_{question.replace('-', '_')}_kgco2e": amounts[1:]
            for question, amounts in found.carbon_kgco2e.items()
        },
    }


def user_columns(result: DatacenterResult, found: PerJob) -> dict[str, Column]:
    """A row for every user, and before them one for what no job held; columns sum to the totals."""
    outcome, table = result.outcome, result.jobs.table
    num = len(table.users)
    user = np.concatenate(([0], table.user.astype(np.int64) + 1))

    def by_user(amounts: FloatArray) -> FloatArray:
        return np.bincount(user, amounts, num + 1).astype(np.float64)

    def jobs(status: int | None = None) -> NDArray[Any]:
        mine = np.ones(len(table), np.bool_) if status is None else outcome.status == status
        return np.bincount(user[1:][mine], minlength=num + 1)

    started = ~np.isnan(outcome.start_s)
    waits = np.where(started, outcome.start_s - outcome.submit_s, 0.0)
    count = np.bincount(user[1:], started, num + 1)
    mean = np.divide(
        np.bincount(user[1:], waits, num + 1), count, out=np.full(num + 1, np.nan), where=count > 0
    )
    return {
        "user": [NOBODY, *(name or UNNAMED for name in table.users)],
        "num_jobs": jobs(),
        **{f"num_jobs_{word.replace(' ', '_')}": jobs(code) for code, word in enumerate(STATUSES)},
        "wait_mean_s": mean,
        "accelerator_hours": by_user(found.device_s) / SECONDS_PER_HOUR,
        "energy_it_kwh": by_user(found.energy_it_j) / JOULES_PER_KWH,
        "energy_lost_work_kwh": by_user(found.energy_j["lost_work"]) / JOULES_PER_KWH,
        "energy_facility_kwh": by_user(found.energy_facility_j) / JOULES_PER_KWH,
        "cost_usd": by_user(found.cost_usd),
        "electricity_usd": by_user(found.electricity_usd),
        **{
            f"carbon_electricity_{question.replace('-', '_')}_kgco2e": by_user(amounts)
            for question, amounts in found.carbon_kgco2e.items()
        },
    }


def power_columns(result: DatacenterResult) -> Iterator[dict[str, Column]]:
    """Power and water of every site, from every change to the next."""
    views = result.sites
    names = [view.name for view in views]
    has_supply = any(view.balance is not None for view in views)
    for index, view in enumerate(views):
        times, grid_w = view.grid
        piece = np.searchsorted(view.series.breakpoints_s, times[:-1], side="right") - 1
        own = {} if view.balance is None else {name: getattr(view.balance, f"{name}_w") for name in SUPPLY}
        absent = np.full(len(grid_w), np.nan)
        yield {
            "site": Words(np.full(len(times) - 1, index), names),
            "begin_s": times[:-1],
            "end_s": times[1:],
            **{name: getattr(view.series, column)[piece] for name, column in GRID_COLUMNS.items()},
            "power_grid_w": grid_w,
            **({f"power_{name}_w": own.get(name, absent) for name in SUPPLY} if has_supply else {}),
        }


def hour_edges_s(start: datetime, end_s: float) -> FloatArray:
    """Whole hours of UTC from the start to the end, with both."""
    into = (start - start.replace(minute=0, second=0, microsecond=0)).total_seconds()
    inner = np.arange(SECONDS_PER_HOUR - into, end_s, SECONDS_PER_HOUR)
    return np.concatenate(([0.0], inner[(inner > 0.0) & (inner < end_s)], [end_s]))


def hour_columns(result: DatacenterResult, held: Holdings) -> dict[str, Column]:
    """Every hour of UTC of every site; the queue is that of all sites together."""
    start, outcome = result.datacenter.start, result.outcome
    edges = hour_edges_s(start, outcome.end_s)
    queue = waiting(outcome, held).mean(edges)
    views = result.sites
    parts = [_hours(result, view, held, edges) for view in views]
    begins = [
        (start + timedelta(seconds=time)).strftime("%Y-%m-%dT%H:%M:%SZ") for time in edges[:-1].tolist()
    ]
    num = len(edges) - 1
    questions = list(dict.fromkeys(name for part in parts for name in part))
    return {
        "site": Words(np.repeat(np.arange(len(views)), num), [view.name for view in views]),
        "begin_utc": begins * len(views),
        "begin_s": np.tile(edges[:-1], len(views)),
        "length_s": np.tile(np.diff(edges), len(views)),
        **{
            name: np.concatenate([part.get(name, np.full(num, np.nan)) for part in parts])
            for name in questions
        },
        "jobs_waiting_mean": np.tile(queue, len(views)),
    }


def _hours(
    result: DatacenterResult, view: SiteAccounts, held: Holdings, edges: FloatArray
) -> dict[str, FloatArray]:
    outcome, series, signals = result.outcome, view.series, view.signals
    found: dict[str, FloatArray] = {}
    sums = {
        name: Steps(series.breakpoints_s, getattr(series, column)).integral(edges)
        for name, column in GRID_COLUMNS.items()
    }
    for name in ("it", "loss", "cooling", "other", "facility"):
        found[f"energy_{name}_kwh"] = sums[f"power_{name}_w"] / JOULES_PER_KWH
    found["pue"] = _ratio(found["energy_facility_kwh"], found["energy_it_kwh"])
    found["power_facility_highest_w"] = Steps(series.breakpoints_s, series.total_w).highest(edges)
    found["water_kg"] = sums["water_kg_per_s"]
    begins, ends = edges[:-1], edges[1:]
    times, grid_w = view.grid
    found["energy_grid_kwh"] = Steps(times, grid_w).integral(edges) / JOULES_PER_KWH
    if view.balance is not None:
        for name in SUPPLY:
            own = Steps(view.balance.breakpoints_s, getattr(view.balance, f"{name}_w"))
            found[f"energy_{name}_kwh"] = own.integral(edges) / JOULES_PER_KWH
    if view.signals.weather is not None:
        found["dry_bulb_c"] = signals.dry_bulb.mean(begins, ends)
        found["wet_bulb_c"] = signals.wet_bulb.mean(begins, ends)
    if view.bill.edges_s.size:
        found["energy_lines_usd"] = _energy_usd(view, edges)
        found["price_usd_per_kwh"] = _ratio(found["energy_lines_usd"], found["energy_grid_kwh"])
    for question, signal in signals.carbon.items():
        word = question.replace("-", "_")
        found[f"carbon_{word}_kgco2e_per_kwh"] = signal.mean(begins, ends)
        found[f"carbon_electricity_{word}_kgco2e"] = view.emissions[question].integral(edges)
    found["accelerators_held_mean"] = devices(outcome, pool_names(view), held=True).mean(edges)
    found["accelerators_down_mean"] = devices(outcome, pool_names(view), state="down").mean(edges)
    found["jobs_running_mean"] = running(outcome, held, pool_names(view)).mean(edges)
    return found


def _energy_usd(view: SiteAccounts, edges: FloatArray) -> FloatArray:
    """What the energy of every stretch costs: a price that holds for a stretch of the bill, times what was drawn."""
    bill, grid = view.bill, Steps(*view.grid)
    cuts = np.unique(np.concatenate([edges, bill.edges_s]))
    piece = np.searchsorted(bill.edges_s, cuts[:-1], side="right") - 1
    inside = (piece >= 0) & (piece < len(bill.energy_j))
    piece = np.clip(piece, 0, len(bill.energy_j) - 1)
    lengths, joules = np.diff(bill.edges_s)[piece], bill.energy_j[piece]
    part = np.where(
        joules > 0.0, grid.integral(cuts) / np.where(joules > 0.0, joules, 1.0), np.diff(cuts) / lengths
    )
    usd = np.where(inside, bill.energy_usd[piece] * part, 0.0)
    hour = np.clip(np.searchsorted(edges, cuts[:-1], side="right") - 1, 0, len(edges) - 2)
    return np.bincount(hour, usd, len(edges) - 1).astype(np.float64)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0.0)


def interruption_columns(result: DatacenterResult) -> dict[str, Column]:
    """What stopped jobs, and the accelerator-hours of work that it undid and of restarts behind it.

    Lost work of a job belongs to the first event that stopped it at or after the work's begin, or to the
    last one that did; a restart to the last event before it. Jobs that a limit or another job stopped have their
    losses in the ledger alone.
    """
    outcome = result.outcome
    events = outcome.interruptions
    times = np.array([event.time_s for event in events])
    lost, restart = np.zeros(len(events)), np.zeros(len(events))
    row_of = {name: row for row, name in enumerate(outcome.names)} if events else {}
    pairs = np.array(
        [(row_of[name], index) for index, event in enumerate(events) for name in event.jobs], np.int64
    ).reshape(-1, 2)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    for pool, ledger in outcome.ledgers.items() if len(pairs) else ():
        rows, table = job_rows(outcome, pool)[ledger.table.job], ledger.table
        for state, amounts, is_before in (("lost_work", lost, True), ("restart", restart, False)):
            frac = np.array(
                [sum(s.device_frac for s in p.shares if s.state == state) for p in ledger.patterns]
            )
            mine = np.flatnonzero((frac[table.pattern] > 0.0) & np.isin(rows, pairs[:, 0]))
            seconds = (
                frac[table.pattern[mine]] * table.num_devices[mine] * (table.t1_s[mine] - table.t0_s[mine])
            )
            event = _event_of(pairs, times, rows[mine], table.t0_s[mine], before=is_before)
            np.add.at(amounts, event, seconds)
    return {
        "time_s": times,
        "cause": [event.cause for event in events],
        "pool": [event.pool for event in events],
        "num_jobs": np.array([len(event.jobs) for event in events], np.int64),
        "lost_work_accelerator_hours": lost / SECONDS_PER_HOUR,
        "restart_accelerator_hours": restart / SECONDS_PER_HOUR,
        "jobs": [" ".join(event.jobs) for event in events],
    }


def _event_of(
    pairs: NDArray[np.int64],
    times: FloatArray,
    rows: NDArray[np.int64],
    begins_s: FloatArray,
    *,
    before: bool,
) -> NDArray[np.int64]:
    """Index of the event that an interval of a job belongs to; `pairs` are (job, event), sorted."""
    rank = np.searchsorted(np.unique(times), times)
    width = len(times) + 2
    moment = np.searchsorted(np.unique(times), begins_s, side="left" if before else "right")
    keys = pairs[:, 0] * width + rank[pairs[:, 1]]
    place = np.searchsorted(keys, rows * width + moment, side="left")
    if not before:
        place = place - 1
    place = np.clip(place, 0, len(keys) - 1)
    other = pairs[place, 0] != rows
    place = np.where(other, place - 1 if before else place + 1, place)
    return np.asarray(pairs[np.clip(place, 0, len(keys) - 1), 1])
