"""How fast fleets are simulated: CPU seconds with full ledger and proof of conservation, start-up excluded.

Run with ``SIMTOOL_REFERENCE_DATA=... python benchmarks/fleet_speed.py [case ...]``; cases are those of `CASES`, all
if none is named; only the replay needs the reference data. The job lists are made before the clock starts. Sizes of
jobs are powers of two, most of them small, as in the published traces of shared clusters; run times are lognormal
with a median of 3.7 hours; limits are 1 to 8 times the run time.
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simpy

from simtool.jobs.files import read_jobs
from simtool.jobs.table import JobTable
from simtool.ledger import Pattern, Share
from simtool.rng import stream
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import FleetPlan, JobKind, OperatingPoint, Pool, PoolUse
from simtool.sim.fleet.run import simulate_fleet
from simtool.units import SECONDS_PER_DAY

DEVICES_PER_NODE = 8
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SHARES = (0.4, 0.1, 0.1, 0.2, 0.08, 0.05, 0.03, 0.02, 0.01, 0.006, 0.004)
MEDIAN_RUN_LOG_S, SPREAD_LOG, LONGEST_S = 9.5, 1.2, 5 * SECONDS_PER_DAY
PHILLY_DEVICES = 2490
"""GPUs of the Philly trace's clusters, as its authors give them. Source: Jeon et al., ATC 2019."""
FEW_DEVICES = 504
"""So few that jobs queue."""


def one_state(state: str, watts: float) -> Pattern:
    """A pattern with all devices in one state."""
    return Pattern(
        name=state, shares=(Share(state=state, device_frac=1.0, power_w=(watts, watts / 4, watts / 20)),)
    )


USE = PoolUse(points=(OperatingPoint(1.0, one_state("compute", 500.0)),))


def plan(num_devices: int, scheduler: str, placement: str = "lowest") -> FleetPlan:
    """One pool of nodes with eight devices, racks of eight nodes."""
    pool = Pool(
        name="main",
        num_nodes=-(-num_devices // DEVICES_PER_NODE),
        devices_per_node=DEVICES_PER_NODE,
        nodes_per_rack=8,
        idle=one_state("idle", 70.0),
        down=one_state("down", 0.0),
    )
    kind = JobKind(name="all", uses=(USE,))
    return FleetPlan(pools=(pool,), kinds=(kind,), scheduler=scheduler, placement=placement)


def made_up(num_jobs: int, num_devices: int, load: float, seed: int = 1) -> JobTable:
    """Jobs that ask for a share of all device time; none is larger than the fleet."""
    random = stream(seed, "benchmark", "jobs")
    size = np.minimum(random.choice(SIZES, size=num_jobs, p=SHARES), num_devices)
    run_s = np.minimum(random.lognormal(MEDIAN_RUN_LOG_S, SPREAD_LOG, size=num_jobs), LONGEST_S)
    gap_s = (size * run_s).mean() / (num_devices * load)
    return JobTable.of(
        submit_s=np.cumsum(random.exponential(gap_s, size=num_jobs)),
        num_devices=size,
        run_s=run_s,
        limit_s=run_s * random.uniform(1.0, 8.0, size=num_jobs),
    )


def show(name: str, jobs: JobTable, fleet: FleetPlan, num_runs: int = 1) -> None:
    """Print one case: the median of its CPU times, and what was simulated."""
    durations_s: list[float] = []
    outcome: FleetOutcome | None = None
    for _ in range(num_runs):
        outcome = None  # two would not fit into the memory that is claimed
        start_s = time.process_time()
        outcome = simulate_fleet(jobs, fleet)
        energy_j = sum(ledger.energy_j() for ledger in outcome.ledgers.values())
        durations_s.append(time.process_time() - start_s)
    if outcome is None:
        return
    median_s = statistics.median(durations_s)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        f"{name:46s} {median_s:8.2f} CPU s  {len(jobs) / median_s:9,.0f} jobs/s  "
        f"{outcome.num_events / median_s:9,.0f} events/s  {outcome.end_s / median_s:9.2e} simulated s/s  "
        f"use {outcome.utilisation_frac:.3f}  queue {outcome.num_waiting_mean:9,.1f}  "
        f"{energy_j:.4e} J  peak {peak:.2f} GB",
        flush=True,
    )


def million_fcfs() -> None:
    """1,000,000 jobs on 100,000 devices, first come first served."""
    show(
        "1,000,000 jobs, 100,000 devices, fcfs, 80 %", made_up(1_000_000, 100_000, 0.8), plan(100_000, "fcfs")
    )


def million_easy() -> None:
    """The same at a load of 95 %, with EASY backfill."""
    show(
        "1,000,000 jobs, 100,000 devices, easy, 95 %",
        made_up(1_000_000, 100_000, 0.95),
        plan(100_000, "easy"),
    )


def philly() -> None:
    """All 82,247 jobs of the Philly trace; it names no limits, so that EASY takes only what is left over."""
    folder = os.environ.get("SIMTOOL_REFERENCE_DATA")  # noqa: TID251 - a script
    if not folder:
        print("Philly: left out, SIMTOOL_REFERENCE_DATA is not set")
        return
    jobs = read_jobs(Path(folder) / "data/cluster/philly/philly_gpu_jobs.parquet", drop_zero_length=True)
    for num, scheduler in ((PHILLY_DEVICES, "fcfs"), (PHILLY_DEVICES, "easy"), (FEW_DEVICES, "easy")):
        name = f"Philly, {len(jobs):,} jobs, {num:,} devices, {scheduler}"
        show(name, jobs, plan(num, scheduler), num_runs=3)


def events() -> None:
    """Cost against the number of events: linear if CPU s per million events stay the same."""
    for num_jobs in (10_000, 30_000, 100_000, 300_000):
        show(
            f"{num_jobs:,} jobs, 10,000 devices, easy, 80 %",
            made_up(num_jobs, 10_000, 0.8),
            plan(10_000, "easy"),
        )


def devices() -> None:
    """Cost against the number of devices, with the same jobs in a fleet that has always room for them."""
    jobs = made_up(100_000, 10_000, 0.8)
    for num in (20_000, 100_000, 1_000_000, 10_000_000):
        show(f"100,000 jobs, {num:,} devices, easy, same jobs", jobs, plan(num, "easy"))


def busy_devices() -> None:
    """Cost against the number of devices at one load: more jobs run and end at once."""
    for num in (1_000, 10_000, 100_000, 1_000_000):
        show(f"100,000 jobs, {num:,} devices, easy, 90 %", made_up(100_000, num, 0.9), plan(num, "easy"))


def schedulers() -> None:
    """Schedulers side by side on one list of jobs."""
    jobs = made_up(20_000, 2_000, 0.9)
    for name in (
        "fcfs",
        "easy",
        "shortest",
        "priority",
        "power-capped",
        "elastic",
        "heterogeneous",
        "conservative",
    ):
        show(f"20,000 jobs, 2,000 devices, {name}, 90 %", jobs, plan(2_000, name))


def placements() -> None:
    """Placements side by side."""
    jobs = made_up(50_000, 10_000, 0.85)
    for name in ("lowest", "nodes", "racks"):
        show(f"50,000 jobs, 10,000 devices, fcfs, {name}", jobs, plan(10_000, "fcfs", name))


def bare_simpy(num_events: int = 500_000) -> None:
    """SimPy alone, for comparison: processes that wait."""
    for num_processes in (1, 10_000):
        environment = simpy.Environment()

        def wait(count: int, environment: simpy.Environment = environment) -> simpy.events.ProcessGenerator:
            for _ in range(count):
                yield environment.timeout(1.0)

        for _ in range(num_processes):
            environment.process(wait(num_events // num_processes))
        start_s = time.process_time()
        environment.run()
        rate = num_events / (time.process_time() - start_s)
        print(f"bare SimPy, {num_processes:,} processes: {rate:,.0f} timeouts per CPU second", flush=True)


CASES: dict[str, Callable[[], None]] = {
    "million_fcfs": million_fcfs,
    "million_easy": million_easy,
    "philly": philly,
    "events": events,
    "devices": devices,
    "busy_devices": busy_devices,
    "schedulers": schedulers,
    "placements": placements,
    "bare_simpy": bare_simpy,
}


def main() -> None:
    """Print the named cases, or all."""
    for name in sys.argv[1:] or CASES:
        CASES[name]()


if __name__ == "__main__":
    main()
