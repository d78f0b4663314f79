"""The same question has the same answer, run by run, and failures do not depend on the plan."""

from __future__ import annotations

from itertools import islice
from statistics import fmean

import numpy as np

from simtool.sim.failures import failure_times
from simtool.sim.run import Outcome, simulate
from tests.sim import plans

RATE = 1e-5


def run(seed: int = 5, index: int = 0, rate: float = RATE, interval_s: float = 300.0) -> Outcome:
    return simulate(
        [plans.job(num_steps=2000, num_nodes=16)],
        plans.cluster(16, spare_nodes=2, devices_per_node=8),
        plans.synchronous(10.0, interval_s),
        plans.failures(rate_per_node_s=rate, repair_s=3000.0, detection_s=20.0, restart_s=60.0),
        seed=seed,
        run=index,
    )


def columns_bytes(outcome: Outcome) -> bytes:
    return b"".join(column.tobytes() for column in outcome.ledger.columns().values())


def test_same_seed_same_bytes() -> None:
    first, second = run(), run()
    assert columns_bytes(first) == columns_bytes(second)
    assert first.events == second.events
    assert first.jobs == second.jobs


def test_seeds_and_runs_differ() -> None:
    ends_s = {run(seed, index).end_s for seed in (1, 2) for index in (0, 1, 2)}
    assert len(ends_s) == 6


def test_a_run_is_itself_whatever_ran_before() -> None:
    forwards = [columns_bytes(run(index=index)) for index in range(4)]
    backwards = [columns_bytes(run(index=index)) for index in reversed(range(4))]
    assert forwards == backwards[::-1]


def test_failures_do_not_depend_on_the_plan() -> None:
    few, many = (run(rate=10 * RATE, interval_s=interval_s) for interval_s in (500.0, 100.0))
    failed = [
        [(event.time_s, event.node) for event in outcome.events if event.kind == "failure"]
        for outcome in (few, many)
    ]
    shared = min(len(found) for found in failed)
    assert shared > 10
    assert failed[0][:shared] == failed[1][:shared]


def test_more_failures_never_make_a_run_faster_on_average() -> None:
    """The same stream at rising rates: the same failures, closer together."""
    means_s = [
        fmean(run(index=index, rate=rate).end_s for index in range(12))
        for rate in (0.0, RATE / 4, RATE, 4 * RATE)
    ]
    assert means_s == sorted(means_s)
    assert means_s[0] == 2000 * 10.0 + 67 * 10.0


def test_failure_times_are_exponential_and_nodes_uniform() -> None:
    cluster = plans.cluster(num_nodes=9, spare_nodes=1)
    failures = plans.failures(rate_per_node_s=0.1)
    times_s, nodes = zip(*islice(failure_times(cluster, failures, 1, 0), 20_000), strict=True)
    gaps_s = np.diff(times_s)
    assert np.all(gaps_s > 0)
    assert abs(gaps_s.mean() - 1.0) < 4.0 / np.sqrt(20_000)  # ten nodes at 0.1 failures a second
    assert abs((gaps_s > 1.0).mean() - np.exp(-1.0)) < 4.0 * np.sqrt(np.exp(-1.0) / 20_000)
    assert abs(np.corrcoef(gaps_s, nodes[1:])[0, 1]) < 4.0 / np.sqrt(20_000)
    counts = np.bincount(nodes, minlength=10)
    assert np.all(np.abs(counts - 2000) < 4.5 * np.sqrt(2000))


def test_the_same_failures_in_half_the_time_at_twice_the_rate() -> None:
    cluster = plans.cluster(num_nodes=9, spare_nodes=1)
    slow = islice(failure_times(cluster, plans.failures(rate_per_node_s=0.25), 1, 0), 1000)
    fast = islice(failure_times(cluster, plans.failures(rate_per_node_s=0.5), 1, 0), 1000)
    assert all(a == (2.0 * b[0], b[1]) for a, b in zip(slow, fast, strict=True))


def test_nodes_that_are_down_do_not_fail() -> None:
    """Ten nodes at one failure per 100 s, down for 100 s: half of them are up, 5 failures in 100 s."""
    horizon_s = 100_000.0
    outcome = simulate(
        [plans.job(num_steps=1, step_time_s=horizon_s, num_nodes=1)],
        plans.cluster(10),
        plans.synchronous(interval_s=None),
        plans.failures(
            *[failure for failure in _until(horizon_s, 10, 0.01) if failure[1] != 0], repair_s=100.0
        ),
        seed=0,
    )
    expected = 9 * 0.005 * horizon_s
    assert abs(outcome.num_failures - expected) < 5.0 * np.sqrt(expected)


def _until(horizon_s: float, num_nodes: int, rate: float) -> list[tuple[float, int]]:
    found = []
    times = failure_times(plans.cluster(num_nodes), plans.failures(rate_per_node_s=rate), 4, 0)
    for time_s, node in times:
        if time_s >= horizon_s:
            return found
        found.append((time_s, node))
    return found
