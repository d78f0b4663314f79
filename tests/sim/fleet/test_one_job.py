"""A fleet with one job against the exact simulator of one training run: the same books to the last second."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.sim.fleet.plan import FleetPlan, JobKind
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.plan import CheckpointPlan
from simtool.sim.run import simulate
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.fleet.fleets import Broken

STEP = plans.whole("compute", 650.0, 90.0, 21.0, name="work")


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    write_s = draw(st.sampled_from([0.0, 1.5, 3.0, 11.0]))
    kind = draw(st.sampled_from(["synchronous", "asynchronous"]))
    # One put off by the write before it waits for a whole step in the exact simulator; a fleet knows no steps.
    intervals_s = [every_s for every_s in (10.0, 20.0, 40.0, 1000.0) if every_s >= write_s]
    return {
        "nodes": draw(st.integers(1, 3)),
        "spares": draw(st.integers(0, 2)),
        "checkpoint": CheckpointPlan(
            kind=kind,
            write_s=write_s,
            stall_s=draw(st.sampled_from([0.0, 1.0])) if kind == "asynchronous" else 0.0,
            interval_s=draw(st.sampled_from(intervals_s)),
            pattern=plans.CHECKPOINT,
        ),
        "failures": draw(
            st.lists(
                st.tuples(st.floats(0.1, 400.0).map(lambda t: round(t, 3) + 0.0004), st.integers(0, 2)),
                max_size=8,
            )
        ),
        "repair_s": draw(st.sampled_from([0.5, 20.0, 300.0])),
        "detection_s": draw(st.sampled_from([0.0, 2.0, 30.0])),
    }


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_one_job_is_followed_as_by_the_exact_simulator(case: dict) -> None:  # type: ignore[type-arg]
    total = case["nodes"] + case["spares"]
    scripted = [(time_s, node % total) for time_s, node in case["failures"]]
    exact = simulate(
        [plans.job(num_nodes=case["nodes"], num_steps=10)],
        plans.cluster(case["nodes"], case["spares"]),
        case["checkpoint"],
        plans.failures(*scripted, repair_s=case["repair_s"], detection_s=case["detection_s"]),
        seed=0,
    )
    kind = JobKind(
        name="kind",
        uses=(fleets.use(case["checkpoint"], points=((1.0, plans.WORK),)),),
        holds_nodes=True,
    )
    plan = FleetPlan(pools=(fleets.pool(case["nodes"], spare_nodes=case["spares"]),), kinds=(kind,))
    fleet = simulate_fleet(
        fleets.jobs((0.0, case["nodes"], 100.0)),
        plan,
        node_events=fleets.events(
            *(
                Broken(
                    time_s, ((node, node + 1),), detection_s=case["detection_s"], repair_s=case["repair_s"]
                )
                for time_s, node in scripted
            )
        ),
    )
    assert fleet.end_s == pytest.approx(exact.end_s, rel=1e-12)
    found, wanted = fleet.ledgers["pool"], exact.ledger
    for by in ("state", "component"):
        if by == "state":
            assert found.device_s_by("state") == pytest.approx(
                wanted.device_s_by("state"), rel=1e-9, abs=1e-9
            )
        assert found.energy_j_by(by) == pytest.approx(wanted.energy_j_by(by), rel=1e-9, abs=1e-6)
    assert int(fleet.num_interruptions[0]) == exact.jobs[0].num_interruptions
