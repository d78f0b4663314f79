"""Plain jobs under caps: no state of a device is above the cap, and a cap only slows what computes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.load_datacenter import load_datacenter
from simtool.machine.machine import Machine
from simtool.result.datacenter.patterns import caps_w, plain_points
from simtool.result.datacenter.prepare import prepare_site
from tests.result.datacenter.sites import LIBRARY, ONE_SITE, written

ACTIVITIES = st.floats(0.01, 1.0)


@pytest.fixture(scope="module", params=["h100-sxm", "a100-sxm-80"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder: Path = tmp_path_factory.mktemp("patterns")
    loaded = load_datacenter(written(folder, ONE_SITE), [f"pools[0].accelerator={request.param}"])
    return prepare_site(loaded, LIBRARY).pools[0].machine


@given(activity=ACTIVITIES)
def test_no_state_draws_more_than_the_cap(machine: Machine, activity: float) -> None:
    points, caps = plain_points("plain", machine, activity, 0.5), caps_w(machine, 0.5)
    assert len(points) == len(caps) > 2
    for cap_w, point in zip(caps, points, strict=True):
        for share in point.pattern.shares:
            assert share.power_w[0] <= cap_w * (1.0 + 1e-9)


@given(activity=ACTIVITIES)
def test_a_lower_cap_is_slower_and_draws_less(machine: Machine, activity: float) -> None:
    points = plain_points("plain", machine, activity, 0.5)
    speeds = [point.speed for point in points]
    powers = [point.pattern.power_w for point in points]
    assert speeds[0] == 1.0
    assert speeds == sorted(speeds, reverse=True)
    assert all(low <= high * (1.0 + 1e-12) for high, low in pairwise(powers))


@given(activity=ACTIVITIES)
def test_the_time_that_devices_wait_for_a_job_is_the_same_under_any_cap(
    machine: Machine, activity: float
) -> None:
    for point in plain_points("plain", machine, activity, 0.5):
        waits = sum(share.device_frac for share in point.pattern.shares if share.state == "bubble")
        assert waits / point.speed == pytest.approx(1.0 - activity, abs=1e-9)


@given(activity=ACTIVITIES)
def test_what_computes_is_slowed_as_in_a_job_that_computes_alone(machine: Machine, activity: float) -> None:
    alone = plain_points("plain", machine, 1.0, 0.5)
    for cap_w, whole, point in zip(
        caps_w(machine, 0.5), alone, plain_points("plain", machine, activity, 0.5), strict=True
    ):
        assert 1.0 / point.speed == pytest.approx(activity / whole.speed + 1.0 - activity, rel=1e-9)
        (share,) = whole.pattern.shares
        assert share.state == "compute"
        assert point.pattern.shares[0].power_w == share.power_w
        if cap_w < machine.power_w("waiting"):
            assert point.pattern.shares[-1].power_w[0] == cap_w


def test_a_cap_below_the_power_of_computing_slows_it(machine: Machine) -> None:
    points, caps = plain_points("plain", machine, 1.0, 0.5), caps_w(machine, 0.5)
    assert caps[-1] < machine.power_w("compute")
    assert points[-1].speed < 1.0
