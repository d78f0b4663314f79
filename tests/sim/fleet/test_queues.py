"""Waits against queueing theory, within four standard errors of independent runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simtool import rng
from simtool.jobs.table import JobTable
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.run import simulate_fleet
from tests.sim.fleet import fleets

NUM_RUNS = 20
STANDARD_ERRORS = 4.0
"""A right simulator fails one such comparison in about 2,000 (Student's t of 19 degrees of freedom)."""


def fcfs(submit_s: np.ndarray, run_s: np.ndarray, num_devices: int) -> FleetOutcome:
    jobs = JobTable.of(submit_s=submit_s, num_devices=1, run_s=run_s)
    return simulate_fleet(jobs, fleets.fleet(num_devices, scheduler="fcfs"))


def mean_wait_s(
    seed: str, num_devices: int, load: float, service: str, num_jobs: int = 3000
) -> tuple[float, float]:
    """Mean wait of jobs whose mean service is 1 s, and its standard error over runs; each warms up for a sixth."""
    means = []
    for run in range(NUM_RUNS):
        random = rng.stream(run, seed, f"{service} {num_devices} {load}")
        submit_s = np.cumsum(random.exponential(1.0 / (load * num_devices), num_jobs))
        run_s = {
            "exponential": lambda random=random: random.exponential(1.0, num_jobs),
            "deterministic": lambda: np.ones(num_jobs),
            "lognormal": lambda random=random: random.lognormal(-0.5, 1.0, num_jobs),
        }[service]()
        means.append(fcfs(submit_s, run_s, num_devices).waited_s[num_jobs // 6 :].mean())
    return float(np.mean(means)), float(np.std(means, ddof=1) / math.sqrt(NUM_RUNS))


def erlang_c(num_devices: int, load: float) -> float:
    """Probability that a job waits in M/M/c. Source: A. K. Erlang, 1917."""
    offered = load * num_devices
    terms = [offered**k / math.factorial(k) for k in range(num_devices)]
    last = offered**num_devices / math.factorial(num_devices) / (1.0 - load)
    return last / (math.fsum(terms) + last)


def test_erlang_c_by_hand() -> None:
    assert erlang_c(1, 0.5) == pytest.approx(0.5)  # M/M/1: the load
    assert erlang_c(2, 0.5) == pytest.approx(1 / 3)  # (1/2 x 2) / (1 + 1 + 1)


@pytest.mark.parametrize(("num_devices", "load"), [(1, 0.5), (1, 0.8), (2, 0.7), (4, 0.8), (16, 0.9)])
def test_exponential_service_on_several_devices_waits_as_erlang_says(num_devices: int, load: float) -> None:
    expected_s = erlang_c(num_devices, load) / (num_devices * (1.0 - load))
    mean_s, error_s = mean_wait_s("erlang", num_devices, load, "exponential")
    assert error_s < 0.12 * expected_s  # the comparison says something
    assert abs(mean_s - expected_s) < STANDARD_ERRORS * error_s


@pytest.mark.parametrize(
    ("service", "second_moment", "load"),
    [("deterministic", 1.0, 0.8), ("deterministic", 1.0, 0.5), ("lognormal", math.e, 0.6)],
)
def test_general_service_on_one_device_waits_as_pollaczek_and_khinchine_say(
    service: str, second_moment: float, load: float
) -> None:
    expected_s = load * second_moment / (2.0 * (1.0 - load))
    mean_s, error_s = mean_wait_s("pollaczek", 1, load, service)
    assert error_s < 0.12 * expected_s
    assert abs(mean_s - expected_s) < STANDARD_ERRORS * error_s


def lindley(submit_s: np.ndarray, run_s: np.ndarray) -> list[float]:
    """Waits on one device, first come first served. Source: D. V. Lindley, 1952."""
    waits, wait_s = [0.0], 0.0
    for gap_s, service_s in zip(np.diff(submit_s), run_s[:-1], strict=True):
        wait_s = max(0.0, wait_s + service_s - gap_s)
        waits.append(wait_s)
    return waits


def test_every_single_wait_on_one_device() -> None:
    random = rng.stream(1, "lindley", "waits")
    submit_s, run_s = np.cumsum(random.exponential(1.2, 3000)), random.lognormal(-0.5, 1.0, 3000)
    assert fcfs(submit_s, run_s, 1).waited_s == pytest.approx(lindley(submit_s, run_s), abs=1e-9)


@pytest.mark.parametrize("num_devices", [1, 3])
def test_little_s_law_holds_exactly(num_devices: int) -> None:
    """Jobs in the queue and in service, counted over time from all submissions, starts and ends."""
    random = rng.stream(2, "little", "law")
    submit_s, run_s = np.cumsum(random.exponential(0.4, 2000)), random.exponential(num_devices * 0.35, 2000)
    outcome = fcfs(submit_s, run_s, num_devices)

    def mean_number(begin_s: np.ndarray, end_s: np.ndarray) -> float:
        times = np.concatenate([begin_s, end_s, [0.0, outcome.end_s]])
        change = np.concatenate([np.ones(2000), -np.ones(2000), [0.0, 0.0]])
        order = np.argsort(times, kind="stable")
        return float(np.sum(np.cumsum(change[order])[:-1] * np.diff(times[order])) / outcome.end_s)

    rate_per_s = 2000 / outcome.end_s
    assert mean_number(submit_s, outcome.start_s) == pytest.approx(outcome.num_waiting_mean, rel=1e-9)
    assert outcome.num_waiting_mean == pytest.approx(rate_per_s * outcome.waited_s.mean(), rel=1e-9)
    assert mean_number(outcome.start_s, outcome.finish_s) == pytest.approx(outcome.num_running_mean, rel=1e-9)
    assert outcome.num_running_mean == pytest.approx(rate_per_s * run_s.mean(), rel=1e-9)
