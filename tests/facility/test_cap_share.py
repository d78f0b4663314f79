"""Limits shared out as caps: never exceeded, never slower when looser, and told when they cannot be kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InfeasibleError, InputError
from simtool.facility.cap_share import CappedJob, PowerLimit, allocate_caps
from simtool.facility.curtailment import Call, limit_steps, plan_caps
from simtool.step.cap_response import CapResponse

CAPS = np.array([350.0, 420.0, 500.0, 600.0, 700.0])
COMPUTE = CapResponse(
    cap_w=CAPS,
    power_w=CAPS + 270.0,
    peak_w=CAPS + 330.0,
    speed=np.array([0.70, 0.83, 0.90, 0.96, 1.0]),
    idle_w=320.0,
)
MEMORY = CapResponse(
    cap_w=CAPS,
    power_w=np.array([560.0, 600.0, 640.0, 660.0, 670.0]),
    peak_w=np.array([600.0, 640.0, 690.0, 720.0, 740.0]),
    speed=np.array([0.97, 0.985, 0.99, 1.0, 1.0]),
    idle_w=320.0,
)


def jobs_of(counts, priorities=(0, 0, 0)):
    return [
        CappedJob(name=name, num_devices=count, response=response, priority=priority)
        for name, count, response, priority in zip(
            "abc", counts, (COMPUTE, MEMORY, COMPUTE), priorities, strict=True
        )
    ]


def full_w(jobs):
    return sum(job.num_devices * job.response.power_w[-1] for job in jobs)


def floor_w(jobs, what="power_w"):
    return sum(job.num_devices * getattr(job.response, what)[0] for job in jobs)


counts = st.tuples(*[st.integers(1, 5000)] * 3)
rules = st.sampled_from(["uniform", "least_loss", "priority"])


@given(counts, st.floats(0.0, 1.2), st.floats(0.0, 1.2), rules)
def test_a_limit_is_kept_and_a_looser_one_never_slows(sizes, one, other, rule):
    jobs = jobs_of(sizes, (2, 1, 0))
    low, high = (
        floor_w(jobs) * (1 + 1e-9) + share * (full_w(jobs) - floor_w(jobs)) for share in sorted((one, other))
    )
    tight, loose = (
        allocate_caps(jobs, [PowerLimit(name="site", power_w=power)], rule=rule) for power in (low, high)
    )
    for found, power in ((tight, low), (loose, high)):
        assert found.power_w <= power * (1 + 1e-12)
        assert all(0.0 < share.speed <= 1.0 for share in found.shares)
    assert loose.lost_devices <= tight.lost_devices + 1e-6 * sum(sizes)
    if rule == "uniform":
        for wide, narrow in zip(loose.shares, tight.shares, strict=True):
            assert wide.speed >= narrow.speed - 1e-12


@given(counts, st.floats(0.05, 0.95))
def test_the_least_loss_is_less_than_that_of_the_same_cap_for_all(sizes, share):
    jobs = jobs_of(sizes)
    limit = PowerLimit(name="site", power_w=floor_w(jobs) + share * (full_w(jobs) - floor_w(jobs)))
    best, same = (allocate_caps(jobs, [limit], rule=rule) for rule in ("least_loss", "uniform"))
    assert best.lost_devices <= same.lost_devices + 2e-3 * sum(sizes)
    assert best.binding == same.binding == ("site",)
    assert best.power_w == pytest.approx(limit.power_w, rel=1e-5)


def test_power_goes_to_where_it_is_worth_most():
    """By hand: a watt is worth most between the first two caps of the compute-bound job."""
    jobs = jobs_of((100, 100, 1))[:2]
    limit = PowerLimit(name="site", power_w=floor_w(jobs) + 100 * 30.0)
    found = allocate_caps(jobs, [limit])
    assert found.shares[1].cap_w == pytest.approx(350.0)
    assert found.shares[0].cap_w == pytest.approx(380.0, abs=0.1)


def test_the_urgent_are_served_first():
    jobs = jobs_of((1000, 1000, 1000), (0, 0, 5))
    limit = PowerLimit(name="site", power_w=floor_w(jobs) + 1000 * 350.0)
    urgent = allocate_caps(jobs, [limit], rule="priority").shares[2]
    assert urgent.speed == 1.0
    assert allocate_caps(jobs, [limit]).shares[2].speed < 1.0


@given(counts, st.floats(0.02, 0.9), st.floats(0.02, 0.9), st.sampled_from(["mean", "peak"]), rules)
def test_racks_and_the_site_are_kept_at_once(sizes, rack_share, site_share, kind, rule):
    jobs = jobs_of(sizes)
    part = {"a": (sizes[0] + 1) // 2, "c": sizes[2]}
    name = "power_w" if kind == "mean" else "peak_w"
    low, high = (
        sum(part.get(job.name, 0) * getattr(job.response, name)[end] for job in jobs) for end in (0, -1)
    )
    rack = PowerLimit(
        name="rack", power_w=5e4 + low + rack_share * (high - low), num_devices=part, base_w=5e4, counts=kind
    )
    site = PowerLimit(name="site", power_w=floor_w(jobs) + site_share * (full_w(jobs) - floor_w(jobs)))
    found = allocate_caps(jobs, [site, rack], rule=rule)
    drawn = sum(
        part.get(job.name, 0)
        * float((job.response.power_at if kind == "mean" else job.response.peak_at)(share.cap_w))
        for job, share in zip(jobs, found.shares, strict=True)
    )
    assert 5e4 + drawn <= rack.power_w * (1 + 1e-12)
    assert found.power_w <= site.power_w * (1 + 1e-12)
    alone = allocate_caps(jobs, [site], rule=rule)
    if rule == "least_loss":
        assert alone.lost_devices <= found.lost_devices + 2e-3 * sum(sizes)


def test_no_limit_that_binds_costs_nothing():
    jobs = jobs_of((10, 20, 30))
    for rule in ("uniform", "least_loss", "priority"):
        found = allocate_caps(jobs, [PowerLimit(name="site", power_w=1e9)], rule=rule)
        assert found.lost_devices == 0.0
        assert found.binding == ()
        assert [share.cap_w for share in found.shares] == [700.0] * 3
        assert allocate_caps(jobs, [], rule=rule) == found


def test_a_limit_below_the_floor_names_what_binds_and_what_would_do():
    jobs = jobs_of((10_000, 2_000, 5_000), (3, 0, 1))
    with pytest.raises(InfeasibleError) as caught:
        allocate_caps(jobs, [PowerLimit(name="site", power_w=1e7, base_w=1e6)])
    text = str(caught.value)
    assert "site: a limit of 10 MW is below the floor of 11.42 MW" in text
    assert "stopping b, c: the others then draw at least 9.44 MW" in text
    with pytest.raises(InfeasibleError, match=r"switching boards off: idle ones draw 6\.44 MW"):
        allocate_caps(jobs, [PowerLimit(name="site", power_w=5e6, base_w=1e6)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda jobs, limit: (jobs, [limit], "fair"), "rule"),
        (lambda jobs, limit: ([jobs[0], jobs[0]], [limit], "uniform"), "more than once"),
        (lambda jobs, limit: ([replace(jobs[0], num_devices=0)], [limit], "uniform"), "0 devices"),
        (lambda jobs, limit: (jobs, [replace(limit, power_w=float("nan"))], "uniform"), "nan W"),
        (lambda jobs, limit: (jobs, [replace(limit, num_devices={"aa": 1})], "uniform"), "job aa"),
        (lambda jobs, limit: (jobs, [replace(limit, num_devices={"a": 11})], "uniform"), "allowed: 0 to 10"),
    ],
)
def test_what_cannot_be_shared_out_is_told(change, message):
    jobs, limits, rule = change(jobs_of((10, 10, 10)), PowerLimit(name="site", power_w=1e6))
    with pytest.raises(InputError, match=message):
        allocate_caps(jobs, limits, rule=rule)


def test_a_call_of_the_grid_by_hand():
    """Two hours at 1 MW less than the 17.4 MW of the baseline; work is lost in those two hours alone."""
    jobs = jobs_of((10_000, 10_000, 1))[:2]
    call = Call(called_s=1000.0, notice_s=600.0, duration_s=7200.0, reduce_w=1e6)
    steps = limit_steps(2e7, [call], baseline_w=1.74e7, until_s=20_000.0)
    site = PowerLimit(name="site", power_w=2e7, base_w=1e6)
    plan = plan_caps(jobs, steps, site=site)
    assert [round(one.power_w / 1e6, 3) for one in plan.allocations] == [16.4, 15.4, 16.4]
    assert plan.shed_j == pytest.approx(1e6 * 7200.0, rel=1e-6)
    assert plan.lost_device_s == pytest.approx(7200.0 * plan.allocations[1].lost_devices)
    assert plan.energy_j + plan.shed_j == pytest.approx(1.64e7 * 20_000.0, rel=1e-9)
    deep = replace(call, reduce_w=8e6)
    with pytest.raises(InfeasibleError, match="site from 1600 s"):
        plan_caps(jobs, limit_steps(2e7, [deep], baseline_w=1.74e7, until_s=20_000.0), site=site)


def test_calls_that_overlap_add_up_and_those_that_cannot_be_are_told():
    call = Call(called_s=0.0, notice_s=0.0, duration_s=100.0, reduce_w=1e6)
    steps = limit_steps(1e7, [call, replace(call, called_s=50.0)], baseline_w=9e6, until_s=1000.0)
    assert steps.limit_w.tolist() == [8e6, 7e6, 8e6, 1e7]
    for wrong in ({"duration_s": 0.0}, {"reduce_w": 9e6}, {"notice_s": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            limit_steps(1e7, [replace(call, **wrong)], baseline_w=9e6, until_s=1000.0)
