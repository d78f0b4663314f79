"""From what a scenario says of failures to what the simulator suffers, and to its answer."""

from __future__ import annotations

import csv
import math
from itertools import takewhile
from pathlib import Path

import pytest

from simtool import load_scenario, run
from simtool.config.reliability import CauseSpec, CordonSpec, Lasting, LemonSpec, Maintenance, Reliability
from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.profiles.reliability import ReliabilityProfile
from simtool.provenance import Sourced
from simtool.result.hazards import hazard_plan
from simtool.result.plan import build_plan
from simtool.result.prepare import prepare
from simtool.sim.hazards.events import hazard_events
from simtool.sim.hazards.kinds.periodic import Periodic
from simtool.sim.hazards.means import interruption_rate_per_s
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

LIBRARY = default_library()
PRESETS = LIBRARY.names("reliability")
SAVING = "restart: 10 min, checkpoint: {kind: asynchronous, stall: 5 s, write: 2 min}"


def preset(name: str) -> ReliabilityProfile:
    found = LIBRARY.get("reliability", name)
    assert isinstance(found, ReliabilityProfile)
    return found


def number(value: float, unit: str = "") -> Sourced:
    return Sourced(value=value, unit=unit, kind="assumed", source="a test")


def empty(**fields: object) -> Reliability:
    blank = dict.fromkeys(Reliability.model_fields)
    return Reliability.model_construct(**(blank | fields))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_becomes_a_plan_that_fails_at_its_rate(name: str) -> None:
    profile = preset(name)
    plan = hazard_plan(empty(), profile)
    per_day = sum(float(one.events_per_1000_node_days or 0.0) for one in profile.causes.values())
    end_s, nodes = 40 * SECONDS_PER_DAY, 2000
    events = list(takewhile(lambda event: event.time_s < end_s, hazard_events(plan, nodes, 1)))
    # Lemons of one run differ in number: a tenth either way at these shares.
    assert len(events) == pytest.approx(per_day * 40 * nodes / 1000, rel=0.25)


def test_the_causes_of_llama_are_those_of_the_table(reference_data: Path) -> None:
    path = reference_data / "data" / "facility" / "reliability" / "llama3_interruptions.csv"
    with path.open(encoding="utf-8", newline="") as file:
        counts = {row["cause"]: int(row["count_54d_16384_gpus"]) for row in csv.DictReader(file)}
    unplanned = sorted(count for cause, count in counts.items() if not cause.startswith("Planned"))
    found = [one.events_per_1000_node_days for one in preset("llama3-54-days").causes.values()]
    in_54_days = [float(rate or 0.0) * 2048 * 54 / 1000 for rate in found]
    assert sorted(in_54_days) == pytest.approx(unplanned, abs=0.01)
    assert math.fsum(in_54_days) == pytest.approx(419, abs=0.05)
    rate_s = interruption_rate_per_s(hazard_plan(empty(), preset("llama3-54-days")), 2048)
    assert 1.0 / rate_s / SECONDS_PER_HOUR == pytest.approx(3.09, abs=0.01)


def test_what_a_scenario_says_goes_before_the_preset() -> None:
    own = CauseSpec(events_per_1000_node_days=number(9.0), group_nodes=4)
    written = empty(causes={"node": own}, repair=number(7200.0, "s"), detection=number(30.0, "s"))
    (cause,) = hazard_plan(written, preset("rsc-1")).causes
    assert cause.arrivals.rate_per_unit_s == pytest.approx(4 * 9.0 / 1000 / SECONDS_PER_DAY)
    assert (cause.repair.mean_s, cause.detection.mean_s) == (7200.0, 30.0)
    assert hazard_plan(written, preset("rsc-1")).lemons is not None


def test_maintenance_lemons_and_cordons_come_through() -> None:
    window = Maintenance(
        first=number(10.0, "s"), every=number(1e6, "s"), length=number(50.0, "s"), group_nodes=3
    )
    cordon = CordonSpec(failures=2, within=number(1e5, "s"), repair=Lasting(mean=number(9.0, "s")))
    lemons = LemonSpec(share=number(0.1), factor=number(5.0))
    plan = hazard_plan(empty(maintenance={"w": window}, cordon=cordon, lemons=lemons), None)
    assert plan.causes[0].arrivals == Periodic(first_s=10.0, period_s=1e6, stagger_s=50.0)
    assert plan.causes[0].group_nodes == 3
    assert plan.cordon is not None
    assert plan.cordon.num_failures == 2
    assert plan.lemons is not None
    assert plan.lemons.factor == 5.0


def test_a_plain_rate_becomes_a_cause_where_it_is_asked_for() -> None:
    written = empty(node_failures_per_1000_node_days=number(3.8), repair=number(60.0, "s"))
    assert hazard_plan(written, None).causes == ()
    (cause,) = hazard_plan(written, None, with_rate=True).causes
    assert cause.arrivals.rate_per_unit_s == pytest.approx(3.8 / 1000 / SECONDS_PER_DAY)


def test_a_run_with_a_preset_tells_what_each_cause_did() -> None:
    setting = f"reliability={{preset: llama3-54-days, {SAVING}}}"
    result = run(load_scenario("llama3-405b", [setting]))
    causes = preset("llama3-54-days").causes
    value = result.value
    counts = [value("num_interruptions_" + name.replace("-", "_")) for name in causes]
    losses = [value("lost_" + name.replace("-", "_") + "_s") for name in causes]
    assert math.fsum(counts) == value("num_interruptions")
    assert math.fsum(losses) == pytest.approx(result.outcome.jobs[0].lost_s, rel=1e-9)
    assert max(causes, key=lambda name: value("num_interruptions_" + name.replace("-", "_"))) == "faulty-gpu"
    expected = 419 * result.outcome.end_s / (54 * SECONDS_PER_DAY)
    assert value("num_interruptions") == pytest.approx(expected, rel=0.15)
    assert "reliability/llama3-54-days" in result.profile_digests


def test_the_interval_is_that_of_all_causes_together() -> None:
    setting = f"reliability={{preset: llama3-54-days, {SAVING}}}"
    plan = build_plan(prepare(load_scenario("llama3-405b", [setting]), LIBRARY))
    assert plan.interval is not None
    # tau of Daly for a stall of 5 s and a failure every 3.09 h
    mtbf_s, cost_s = 3.0935 * SECONDS_PER_HOUR, 5.0
    first = math.sqrt(2 * cost_s * mtbf_s)
    ratio = cost_s / (2 * mtbf_s)
    assert plan.interval.value == pytest.approx(
        first * (1 + math.sqrt(ratio) / 3 + ratio / 9) - cost_s, rel=1e-3
    )
    assert len(plan.interval.inputs) == 1 + 18


def test_copies_in_memory_lose_less_than_those_in_the_store() -> None:
    def goodput(checkpoint: str) -> float:
        setting = f"reliability={{preset: llama3-54-days, restart: 10 min, checkpoint: {checkpoint}}}"
        return run(load_scenario("llama3-405b", [setting])).value("goodput_frac")

    store = goodput("{kind: asynchronous, stall: 5 s, write: 2 min}")
    memory = goodput("{kind: in-memory, stall: 5 s, write: 2 min, persistent_interval: 1 h, restart: 3 min}")
    assert memory > store + 0.01


def test_an_unknown_preset_is_told_at_its_place() -> None:
    with pytest.raises(InputError) as caught:
        run(load_scenario("llama3-405b", [f"reliability={{preset: lama3-54-days, {SAVING}}}"]))
    (problem,) = caught.value.problems
    assert problem.field == "reliability.preset"
    assert "llama3-54-days" in problem.allowed + problem.mend
