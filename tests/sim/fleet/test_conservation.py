"""What holds in every fleet, whatever happens in it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.ledger import WORK_STATES, Ledger
from simtool.sim.fleet.outcome import UNFINISHED, FleetOutcome
from simtool.sim.schedulers import SCHEDULERS
from tests.sim.fleet.scenes import Scene, scenes

EXACT = 1e-9
anything = st.sampled_from(list(SCHEDULERS)).flatmap(lambda name: scenes(scheduler=name))
calm = st.sampled_from(list(SCHEDULERS)).flatmap(
    lambda name: scenes(scheduler=name, hazards=False, power=False)
)


@settings(max_examples=150)
@given(scene=anything)
def test_every_device_does_one_thing_and_every_joule_has_a_place(scene: Scene) -> None:
    outcome = scene.run()
    for pool in scene.plan.pools:
        ledger = outcome.ledgers[pool.name]
        assert ledger.device_s() == pytest.approx(outcome.end_s * pool.total_devices, rel=EXACT)
        assert ledger.energy_j() == pytest.approx(ledger.meter_j, rel=EXACT)
        assert math.fsum(ledger.energy_j_by("component").values()) == pytest.approx(ledger.meter_j, rel=EXACT)
        by_job = ledger.energy_j_by("job")
        nobody_j = by_job.pop("", 0.0)
        assert nobody_j == pytest.approx(
            ledger.energy_j(state=("idle", "down"), job="") if nobody_j else 0.0, rel=EXACT
        )
        assert math.fsum(by_job.values()) + nobody_j == pytest.approx(ledger.meter_j, rel=EXACT)
        steps_j = math.fsum(ledger.power_w() * np.diff(ledger.breakpoints_s))
        assert steps_j == pytest.approx(ledger.meter_j, rel=EXACT)
        held = devices_over_time(ledger, list(ledger.jobs))
        assert held.max(initial=0.0) <= pool.num_devices + EXACT


def devices_over_time(ledger: Ledger, jobs: list[str]) -> np.ndarray:
    """Devices that jobs hold between breakpoints."""
    segments, edges = ledger.segments(), ledger.breakpoints_s
    change = np.zeros(len(edges))
    for t0_s, t1_s, job, num in zip(
        *(segments[name] for name in ("t0_s", "t1_s", "job", "num_devices")), strict=True
    ):
        if job in jobs:
            change[np.searchsorted(edges, t0_s)] += num
            change[np.searchsorted(edges, t1_s)] -= num
    return np.cumsum(change)


@settings(max_examples=150)
@given(scene=anything)
def test_times_are_consistent(scene: Scene) -> None:
    outcome, jobs = scene.run(), scene.jobs
    started, ended = ~np.isnan(outcome.start_s), ~np.isnan(outcome.finish_s)
    assert (outcome.start_s[started] >= jobs.submit_s[started]).all()
    assert (outcome.finish_s[ended] >= outcome.start_s[ended]).all()
    assert (outcome.finish_s[ended] <= outcome.end_s).all()
    assert (ended == (outcome.status < UNFINISHED)).all()
    assert (outcome.waited_s >= 0.0).all()
    first_wait_s = np.where(started, outcome.start_s, outcome.end_s) - jobs.submit_s
    assert (outcome.waited_s >= np.maximum(first_wait_s, 0.0) - EXACT * outcome.end_s).all()
    assert (outcome.slowdown() >= 1.0).all()
    assert 0.0 <= outcome.utilisation_frac <= 1.0 + EXACT
    if scene.end_s == math.inf:
        assert ended.all()
    # jobs that are in the system wait or hold devices, and the ledgers know who holds devices and when; a job
    # may have lost all of them to a failure for a while, until it notices or finds others
    ran_s, held = outcome.num_running_mean * outcome.end_s, sum(held_s(outcome, name) for name in jobs.name)
    assert held <= ran_s * (1 + EXACT) + EXACT
    if all(event.effect == "software" for events in scene.events.values() for event in events):
        assert held == pytest.approx(ran_s, rel=EXACT, abs=EXACT)


def held_s(outcome: FleetOutcome, name: str) -> float:
    """For how long the ledgers say that a job held a device or more."""
    spans = []
    for ledger in outcome.ledgers.values():
        segments = ledger.segments()
        mine = segments["job"] == name
        spans += list(zip(segments["t0_s"][mine].tolist(), segments["t1_s"][mine].tolist(), strict=True))
    total_s, until_s = 0.0, -math.inf
    for t0_s, t1_s in sorted(spans):
        total_s += max(t1_s - max(t0_s, until_s), 0.0)
        until_s = max(until_s, t1_s)
    return total_s


@settings(max_examples=150)
@given(scene=anything)
def test_completed_jobs_did_their_work(scene: Scene) -> None:
    plain = all(
        len(use.points) == 1 and kind.speed_across_racks == 1.0
        for kind in scene.plan.kinds
        for use in kind.uses
        if use
    )
    slow = any(event.effect == "straggler" for events in scene.events.values() for event in events)
    if not plain or slow:
        return
    outcome = scene.run()
    for index in np.flatnonzero(outcome.status <= 2):
        kind = scene.plan.kinds[scene.kinds[index]]
        work = sum(
            outcome.ledgers[pool.name]
            .group("device_s", ("job",), state=WORK_STATES)
            .get((scene.jobs.name[index],), 0.0)
            * (use.points[0].speed if use else 0.0)
            for pool, use in zip(scene.plan.pools, kind.uses, strict=True)
        )
        assert work == pytest.approx(scene.jobs.run_s[index] * scene.jobs.num_devices[index], rel=EXACT)


@settings(max_examples=100)
@given(scene=calm)
def test_jobs_hold_what_they_asked_for_as_long_as_they_do_not_wait(scene: Scene) -> None:
    outcome = scene.run()
    stayed = (outcome.num_preemptions == 0) & (outcome.num_moves == 0)
    for index in np.flatnonzero(stayed & ~np.isnan(outcome.start_s)):
        name = scene.jobs.name[index]
        ledger = outcome.ledgers[scene.plan.pools[outcome.pool[index]].name]
        until_s = outcome.end_s if np.isnan(outcome.finish_s[index]) else outcome.finish_s[index]
        held = outcome.devices[index] * (until_s - outcome.start_s[index])
        found = ledger.device_s(job=name) if name in ledger.jobs else 0.0
        assert found == pytest.approx(held, rel=EXACT, abs=EXACT)
        if scene.plan.scheduler != "elastic":
            asked = min(scene.jobs.num_devices[index], scene.plan.pools[outcome.pool[index]].num_devices)
            assert outcome.devices[index] == asked


@settings(max_examples=150)
@given(scene=anything.filter(lambda scene: scene.plan.limits))
def test_the_power_limit_holds_at_every_moment(scene: Scene) -> None:
    outcome = scene.run()
    edges_s = np.unique(
        np.concatenate(
            [
                [0.0],
                *(ledger.breakpoints_s for ledger in outcome.ledgers.values()),
                [limit.time_s for limit in scene.plan.limits if limit.time_s < outcome.end_s],
            ]
        )
    )
    begins_s = edges_s[:-1]
    power_w = np.zeros(len(begins_s))
    for ledger in outcome.ledgers.values():
        place = np.searchsorted(ledger.breakpoints_s, begins_s, "right") - 1
        power_w += ledger.power_w()[place]
    times_s = np.array([limit.time_s for limit in scene.plan.limits])
    limits_w = np.array([math.inf, *(limit.power_w for limit in scene.plan.limits)])
    allowed_w = limits_w[np.searchsorted(times_s, begins_s, "right")]
    wide = np.diff(edges_s) > EXACT * outcome.end_s
    assert (power_w[wide] <= allowed_w[wide] * (1 + EXACT)).all()


@settings(max_examples=60)
@given(scene=anything.filter(lambda scene: scene.end_s == math.inf), at_s=st.floats(0.5, 50.0))
def test_the_end_of_the_simulation_changes_nothing_before_it(scene: Scene, at_s: float) -> None:
    """Also: energy up to a time does not depend on which further events there are."""
    whole, part = scene.run(), replace(scene, end_s=at_s).run()
    before = whole.start_s < at_s
    assert (part.start_s[before] == whole.start_s[before]).all()
    ended = whole.finish_s < at_s
    assert (part.finish_s[ended] == whole.finish_s[ended]).all()
    if whole.end_s <= at_s:
        return
    for pool, ledger in whole.ledgers.items():
        edges_s = np.minimum(ledger.breakpoints_s, at_s)
        until_j = math.fsum(ledger.power_w() * np.diff(edges_s))
        assert part.ledgers[pool].energy_j() == pytest.approx(until_j, rel=EXACT)
