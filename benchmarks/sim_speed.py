"""How fast the simulator is: medians of several runs, start-up excluded.

Run with ``python benchmarks/sim_speed.py``. The first case is shaped like the 54 published days of Llama 3
405B: 2,048 nodes, 3.8 failures per 1,000 node-days, an asynchronous checkpoint every 15 minutes.
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import simpy

from simtool.config.reliability import Reliability
from simtool.ledger import Pattern, Share
from simtool.profiles.find import default_library
from simtool.result.hazards import hazard_plan
from simtool.sim.hazards.plan import HazardPlan, Lemons
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan, WorkPhase
from simtool.sim.run import Outcome, simulate
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

NUM_RUNS = 7
STEP_TIME_S = 5.0
RATE_PER_NODE_S = 3.8e-3 / SECONDS_PER_DAY


def one_state(state: str, watts: float) -> Pattern:
    """A pattern with all devices in one state."""
    return Pattern(
        name=state, shares=(Share(state=state, device_frac=1.0, power_w=(watts, watts / 4, watts / 20)),)
    )


WORK = Pattern(
    name="training",
    shares=(
        Share(state="compute", device_frac=0.75, power_w=(650.0, 160.0, 30.0)),
        Share(state="exposed_communication", device_frac=0.15, power_w=(300.0, 160.0, 30.0)),
        Share(state="bubble", device_frac=0.10, power_w=(150.0, 160.0, 30.0)),
    ),
)
CHECKPOINT = CheckpointPlan(
    kind="asynchronous",
    write_s=SECONDS_PER_MINUTE,
    stall_s=5.0,
    interval_s=15 * SECONDS_PER_MINUTE,
    pattern=one_state("checkpoint", 120.0),
)
FAILURES = FailurePlan(
    rate_per_node_s=RATE_PER_NODE_S,
    repair_s=24 * SECONDS_PER_HOUR,
    detection_s=SECONDS_PER_MINUTE,
    restart_s=5 * SECONDS_PER_MINUTE,
    restart_pattern=one_state("restart", 120.0),
)


def cluster(num_nodes: int, spare_nodes: int) -> ClusterPlan:
    """Nodes of eight devices."""
    return ClusterPlan(
        num_nodes=num_nodes,
        spare_nodes=spare_nodes,
        devices_per_node=8,
        idle=one_state("idle", 100.0),
        down=one_state("down", 100.0),
    )


def job(name: str, num_nodes: int, duration_s: float) -> JobPlan:
    """A job of one phase."""
    phase = WorkPhase(num_steps=round(duration_s / STEP_TIME_S), step_time_s=STEP_TIME_S, pattern=WORK)
    return JobPlan(name=name, phases=(phase,), num_nodes=num_nodes)


def llama(num_days: int = 54, num_nodes: int = 2048) -> Outcome:
    """One large job with its failures."""
    work = job("llama", num_nodes, num_days * SECONDS_PER_DAY)
    return simulate((work,), cluster(num_nodes, num_nodes // 64), CHECKPOINT, FAILURES, seed=1)


@cache
def published_causes() -> HazardPlan:
    """The 18 causes of Llama 3, their distributions of detection and repair, and lemons."""
    profile = default_library().get("reliability", "llama3-54-days")
    blank = Reliability.model_construct(**dict.fromkeys(Reliability.model_fields))
    return replace(hazard_plan(blank, profile), lemons=Lemons(share_frac=0.015, factor=25.0))


def llama_by_cause() -> Outcome:
    """The same job under the published causes."""
    work = job("llama", 2048, 54 * SECONDS_PER_DAY)
    failures = replace(FAILURES, rate_per_node_s=0.0, hazards=published_causes())
    return simulate((work,), cluster(2048, 32), CHECKPOINT, failures, seed=1)


def many_jobs(num_jobs: int, num_nodes: int = 1000) -> Outcome:
    """Jobs of 1 to 32 nodes and 1 to 10 hours, with failures."""
    jobs = tuple(
        replace(
            job(f"job-{index}", 2 ** (index % 6), (1 + index % 10) * SECONDS_PER_HOUR),
            submit_s=index * SECONDS_PER_MINUTE / 2,
        )
        for index in range(num_jobs)
    )
    return simulate(jobs, cluster(num_nodes, 10), CHECKPOINT, FAILURES, seed=1)


def bare_simpy(num_events: int = 200_000) -> None:
    """SimPy alone, for comparison: one process that waits."""
    environment = simpy.Environment()

    def wait() -> simpy.events.ProcessGenerator:
        for _ in range(num_events):
            yield environment.timeout(1.0)

    environment.process(wait())
    environment.run()


def median_s(work: Callable[[], object]) -> float:
    """Median CPU time of `work` [s]."""
    durations_s = []
    for _ in range(NUM_RUNS):
        start_s = time.process_time()
        work()
        durations_s.append(time.process_time() - start_s)
    return statistics.median(durations_s)


def show(name: str, work: Callable[[], Outcome]) -> None:
    """Print the median of one case."""
    seconds, outcome = median_s(work), work()
    query_s = median_s(lambda: (outcome.ledger.energy_j_by("state"), outcome.ledger.power_w()))
    print(
        f"{name:34s} {seconds:8.4f} s  {outcome.num_events / seconds:10,.0f} events/s  "
        f"{outcome.end_s / seconds:10.2e} simulated s/s  {outcome.num_failures:6,d} failures  "
        f"{len(outcome.ledger):8,d} segments  goodput {outcome.goodput_frac:.3f}  "
        f"energy and power {1e3 * query_s:.1f} ms"
    )


def main() -> None:
    """Print all cases."""
    print(f"median CPU time of {NUM_RUNS} runs; conservation is proven in each")
    show("54 days, 2,048 nodes", llama)
    published_causes()  # start-up: reads a file
    show("54 days, 2,048 nodes, by cause", llama_by_cause)
    show("54 days, 256 nodes", lambda: llama(num_nodes=256))
    show("540 days, 2,048 nodes", lambda: llama(num_days=540))
    show("1,000 jobs, 1,000 nodes", lambda: many_jobs(1000))
    show("10,000 jobs, 1,000 nodes", lambda: many_jobs(10_000))
    print(f"bare SimPy: {200_000 / median_s(bare_simpy):,.0f} timeouts/s")


if __name__ == "__main__":
    main()
