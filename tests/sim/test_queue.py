"""Several jobs on one cluster: the queue, spare nodes, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from simtool.errors import SimtoolError
from simtool.ledger import Ledger
from simtool.sim.run import JobPlan, Outcome, simulate
from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueueView, Scheduler, SignalView
from tests.sim import plans


def held(ledger: Ledger) -> np.ndarray:
    """Devices of all jobs together, after every breakpoint."""
    columns = ledger.segments()
    mine = columns["job"] != ""
    change = np.zeros(len(ledger.breakpoints_s))
    np.add.at(
        change, np.searchsorted(ledger.breakpoints_s, columns["t0_s"][mine]), columns["num_devices"][mine]
    )
    np.add.at(
        change, np.searchsorted(ledger.breakpoints_s, columns["t1_s"][mine]), -columns["num_devices"][mine]
    )
    return np.cumsum(change)


def campaign(num_jobs: int) -> list[JobPlan]:
    return [
        plans.job(
            num_steps=20 + 37 * index % 90,
            num_nodes=1 + 53 * index % 400,
            name=f"job-{index:03d}",
            submit_s=float(7 * index),
        )
        for index in range(num_jobs)
    ]


def run(jobs: Sequence[JobPlan], rate_per_node_s: float = 1e-6) -> Outcome:
    return simulate(
        jobs,
        plans.cluster(1000, spare_nodes=10, devices_per_node=8),
        plans.synchronous(10.0, 200.0),
        plans.failures(rate_per_node_s=rate_per_node_s, repair_s=500.0, detection_s=5.0, restart_s=30.0),
        seed=2,
    )


def test_a_hundred_jobs_on_a_thousand_nodes() -> None:
    outcome = run(campaign(100))
    assert len(outcome.jobs) == 100
    assert outcome.num_failures > 0
    assert held(outcome.ledger).max() <= 1000 * 8
    starts_s = [job.start_s for job in outcome.jobs]
    assert starts_s == sorted(starts_s), "first come, first served: none overtakes"
    assert any(job.queued_s > 0 for job in outcome.jobs)
    assert all(job.end_s > job.start_s >= job.submit_s for job in outcome.jobs)
    assert outcome.by_job["job-007"] is outcome.jobs[7]


def test_jobs_run_side_by_side_and_one_after_the_other() -> None:
    jobs = [plans.job(num_nodes=size, name=name) for name, size in (("a", 2), ("b", 2), ("c", 1))]
    outcome = simulate(jobs, plans.cluster(4), plans.synchronous(), plans.failures(), seed=0)
    assert [(job.start_s, job.end_s) for job in outcome.jobs] == [(0.0, 115.0), (0.0, 115.0), (115.0, 230.0)]


def test_a_large_job_is_not_overtaken_by_a_small_one() -> None:
    jobs = [plans.job(num_nodes=size, name=name) for name, size in (("a", 3), ("b", 4), ("c", 1))]
    outcome = simulate(jobs, plans.cluster(4), plans.synchronous(), plans.failures(), seed=0)
    assert [job.start_s for job in outcome.jobs] == [0.0, 115.0, 230.0]


def test_spare_nodes_start_no_job() -> None:
    jobs = [plans.job(num_nodes=2, name=name) for name in ("a", "b")]
    outcome = simulate(jobs, plans.cluster(3, spare_nodes=1), plans.synchronous(), plans.failures(), seed=0)
    assert [job.start_s for job in outcome.jobs] == [0.0, 115.0]


def test_a_running_job_that_lacks_a_node_comes_before_the_queue() -> None:
    """Node 0 fails at 10 s and is back at 60 s; the queued job needs one node and gets none before."""
    jobs = [plans.job(num_nodes=2, name="runs"), plans.job(num_nodes=1, name="waits")]
    outcome = simulate(
        jobs, plans.cluster(2), plans.synchronous(), plans.failures((10.0, 0), repair_s=50.0), seed=0
    )
    assert [job.start_s for job in outcome.jobs] == [0.0, 60.0 + 5.0 + 115.0]


def test_a_queued_job_starts_on_fewer_spares_when_nodes_are_down() -> None:
    """Four nodes and a spare, of which one is down: still enough for a job of four nodes."""
    outcome = simulate(
        [plans.job(num_nodes=4, submit_s=20.0)],
        plans.cluster(4, spare_nodes=1),
        plans.synchronous(),
        plans.failures((10.0, 0), repair_s=1000.0),
        seed=0,
    )
    assert outcome.jobs[0].start_s == 20.0


def test_a_queued_job_waits_for_the_repair_of_a_node_it_needs() -> None:
    outcome = simulate(
        [plans.job(num_nodes=4, submit_s=20.0)],
        plans.cluster(4),
        plans.synchronous(),
        plans.failures((10.0, 0), repair_s=50.0),
        seed=0,
    )
    assert outcome.jobs[0].start_s == 60.0
    assert outcome.jobs[0].num_failures == 0


def test_names_change_nothing_but_names() -> None:
    jobs = campaign(20)
    renamed = [replace(job, name=f"zz-{99 - index}") for index, job in enumerate(jobs)]
    plain, other = run(jobs, 1e-5), run(renamed, 1e-5)
    assert other.end_s == plain.end_s
    assert [replace(job, name="") for job in other.jobs] == [replace(job, name="") for job in plain.jobs]
    assert other.ledger.energy_j_by("state") == plain.ledger.energy_j_by("state")


def everything(
    queue: QueueView, _cluster: ClusterView, _signals: Mapping[str, SignalView], _now_s: float
) -> Choice:
    """Starts all jobs, whether they fit or not."""
    return Choice(start=[job.job for job in queue])


def strangers(
    _queue: QueueView, _cluster: ClusterView, _signals: Mapping[str, SignalView], _now_s: float
) -> Choice:
    """Starts a job that does not exist."""
    return Choice(start=[99])


def nothing(
    _queue: QueueView, _cluster: ClusterView, _signals: Mapping[str, SignalView], _now_s: float
) -> Choice:
    """Starts no job, ever."""
    return Choice()


def test_a_scheduler_that_starts_nothing_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEDULERS._items, "lazy", nothing)
    with pytest.raises(SimtoolError, match="nothing is left to happen"):
        simulate(
            [plans.job()], plans.cluster(2), plans.synchronous(), plans.failures(), seed=0, scheduler="lazy"
        )


@pytest.mark.parametrize(
    ("plug_in", "message"), [(everything, "more than the 0 free"), (strangers, "job 99")]
)
def test_a_scheduler_that_starts_what_it_may_not_is_named(
    plug_in: Scheduler, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCHEDULERS._items, "wrong", plug_in)
    jobs = [plans.job(name="a"), plans.job(name="b")]
    with pytest.raises(SimtoolError, match=message):
        simulate(jobs, plans.cluster(2), plans.synchronous(), plans.failures(), seed=0, scheduler="wrong")
