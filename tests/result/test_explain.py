"""Explanations go down to sources, leave out no assumption, and print the weakest kind below them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simtool import load_scenario, run
from simtool.profiles.find import default_library, load_profile, shipped_folder
from simtool.provenance import KINDS, Derived, Input
from simtool.result.explain import explain_step_time
from simtool.result.prepare import Prepared, prepare
from simtool.result.result import Result


@pytest.fixture(scope="module")
def quickstart() -> Result:
    return run("quickstart")


def below(number: Derived | Input) -> Iterator[Derived | Input]:
    yield number
    if isinstance(number, Derived):
        for one in number.inputs:
            yield from below(one)


def of(result: Result, quantity: str, name: str) -> Derived:
    return next(
        one for one in below(result.quantities[quantity]) if isinstance(one, Derived) and one.name == name
    )


def leaves(number: Derived) -> set[str]:
    return {one.name for one in below(number) if isinstance(one, Input)}


def test_lost_time_rests_on_everything_that_decides_it(quickstart: Result) -> None:
    checkpoint, lost = (of(quickstart, "duration_s", name) for name in ("checkpoint_s", "lost_s"))
    rate = "reliability.node_failures_per_1000_node_days"
    assert leaves(checkpoint) == {"reliability.checkpoint.stall", rate}
    assert leaves(lost) == {rate, "reliability.checkpoint.stall", "reliability.detection"}
    assert checkpoint.weakest() == lost.weakest() == "assumed"


def test_the_size_of_a_checkpoint_is_an_input_where_the_store_is_given() -> None:
    change = "reliability.checkpoint={kind: synchronous, bandwidth: 50 GB/s}"
    checkpoint = of(run("quickstart", [change]), "duration_s", "checkpoint_s")
    assert {"checkpoint bytes per weight", "reliability.checkpoint.bandwidth"} <= leaves(checkpoint)


def test_the_kind_of_every_number_is_the_weakest_below_it(quickstart: Result) -> None:
    for quantity in quickstart.quantities.values():
        for number in below(quantity):
            if isinstance(number, Derived) and number.inputs:
                kinds = [
                    one.number.kind if isinstance(one, Input) else one.weakest()
                    for one in number.inputs
                    if isinstance(one, Input) or leaves(one)
                ]
                assert number.weakest() == max(kinds, key=KINDS.index, default="assumed"), number.name


def test_work_and_power_are_shown_in_flop_and_watts(quickstart: Result) -> None:
    flop = of(quickstart, "mfu", "model_flop_per_step")
    step, devices = of(quickstart, "mfu", "step_time_s"), quickstart.num_devices
    peak = next(one.number.value for one in quickstart.quantities["mfu"].inputs if isinstance(one, Input))
    assert flop.unit == "FLOP"
    assert quickstart.value("mfu") == pytest.approx(flop.value / (step.value * devices * peak))
    assert {"fewer-operations forward_frac", "shape of the model, layers"} <= leaves(flop)
    energy = quickstart.quantities["energy_facility_j"]
    watts = {one.name: one for one in below(energy) if isinstance(one, Derived) and one.unit == "W"}
    assert 500.0 < watts["accelerator_compute_w"].value < 700.0
    assert watts["accelerator_idle_w"].value == pytest.approx(70.0)
    assert {"host_share_compute_w", "network_share_w"} <= watts.keys()
    assert "duration_s" in {one.name for one in below(energy)}


def test_watts_times_time_is_the_energy(quickstart: Result) -> None:
    ledger = quickstart.outcome.ledger
    seconds = ledger.device_s_by("state")
    energy = quickstart.quantities["energy_accelerator_j"]
    watts = {
        one.name.removeprefix("accelerator_").removesuffix("_w"): one.value
        for one in energy.inputs
        if isinstance(one, Derived) and one.unit == "W"
    }
    assert sum(power_w * seconds[state] for state, power_w in watts.items()) == pytest.approx(energy.value)


def test_power_under_a_cap_names_the_cap() -> None:
    capped = run("quickstart", ["cluster.power_cap=500 W", "method=none"])
    assert "cluster.power_cap" in leaves(capped.quantities["energy_accelerator_j"])
    assert {"cluster.power_cap", "h100-sxm cap_exponent", "h100-sxm cap.static"} <= leaves(
        capped.quantities["step_time_s"]
    )


def test_a_methods_claim_is_among_the_sources(quickstart: Result) -> None:
    assert "fewer-operations forward_frac" in leaves(quickstart.quantities["step_time_s"])
    assert quickstart.reference is not None
    plain = leaves(quickstart.reference.quantities["step_time_s"])
    assert not any(name.startswith("fewer-operations") for name in plain)
    fewer_steps = run("quickstart", ["method={profile: fewer-operations, steps_frac: 0.9}"])
    assert "fewer-operations steps_frac" in leaves(fewer_steps.quantities["num_steps"])


def test_numbers_of_a_family_are_not_called_measured_on_its_members() -> None:
    for path in sorted((shipped_folder("hardware_profiles") / "families").glob("*.yaml")):
        by_phase = load_profile(path).data.get("power", {}).get("by_phase", {})
        assert "measured" not in {number["kind"] for number in by_phase.values()}, path.name


def test_the_bandwidth_that_the_scenario_wrote_is_cited() -> None:
    written = "cluster.network_bandwidth_per_node={value: 100 GB/s, kind: measured, source: our own nodes}"

    def found(*changes: str) -> set[str]:
        prepared: Prepared = prepare(
            load_scenario("quickstart", ["method=none", *changes]), default_library()
        )
        return leaves(explain_step_time(prepared))

    assert "network bandwidth of a node" in found()
    assert "cluster.network_bandwidth_per_node" in found(written)
    assert "network bandwidth of a node" not in found(written)
