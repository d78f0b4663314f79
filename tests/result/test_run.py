"""From a scenario to its result: what every answer holds, and what must agree with what."""

from __future__ import annotations

import math

import pytest

from simtool import load_scenario, run
from simtool.errors import InfeasibleError, InputError
from simtool.ledger import COMPONENTS
from simtool.profiles.find import default_library
from simtool.provenance import Input
from simtool.result.prepare import prepare
from simtool.units import SECONDS_PER_HOUR

NEEDED = {
    "duration_s",
    "accelerator_hours",
    "tokens_per_s",
    "step_time_s",
    "mfu",
    "hfu",
    "goodput_frac",
    "energy_accelerator_j",
    "energy_it_j",
    "energy_facility_j",
    "cost_total_usd",
    "carbon_total_kgco2e",
}
GALLERY = (
    "gpt3-175b",
    "bloom-176b",
    "opt-175b",
    "llama2-70b",
    "llama3-405b",
    "megatron-175b",
    "megatron-175b-full",
)


@pytest.fixture(scope="module")
def quickstart():
    return run("quickstart")


def test_every_answer_holds_the_promised_quantities(quickstart):
    assert set(quickstart.quantities) >= NEEDED
    assert all(math.isfinite(quantity.value) for quantity in quickstart.quantities.values())


def test_parts_sum_to_wholes(quickstart):
    ledger, value = quickstart.outcome.ledger, quickstart.value
    meter = math.fsum(ledger.energy_j(component=name) for name in COMPONENTS)
    assert value("energy_it_j") == pytest.approx(meter, rel=1e-9)
    assert value("energy_facility_j") == pytest.approx(1.15 * value("energy_it_j"), rel=1e-12)
    assert value("cost_total_usd") == pytest.approx(
        math.fsum(line.amount_usd for line in quickstart.costs), rel=1e-12
    )
    wall = quickstart.outcome.end_s * (quickstart.num_devices + 8)  # one spare node of 8
    assert ledger.device_s() == pytest.approx(wall, rel=1e-9)
    hours = value("duration_s") * quickstart.num_devices / SECONDS_PER_HOUR
    assert value("accelerator_hours") == pytest.approx(hours, rel=1e-12)


def test_the_method_is_compared_with_plain_training(quickstart):
    plain = run("quickstart", ["method=none"])
    assert quickstart.reference is not None
    assert plain.reference is None
    assert plain.value("duration_s") == quickstart.reference.value("duration_s")
    for name in ("duration_s", "energy_facility_j", "cost_total_usd", "carbon_total_kgco2e"):
        survived = quickstart.saved_frac(name)
        assert survived is not None
        assert 0.0 < survived < 0.42


def test_less_survives_where_the_host_sets_the_pace(quickstart):
    """The same 40 % on a small model cut into eight: launches do not shrink with the work."""
    small = ["workload.model=gpt3-350m", "workload.seq_len=1024", "layout={tp: 8, micro_batch: 1}"]
    bound, free = (result.saved_frac("step_time_s") for result in (run("quickstart", small), quickstart))
    assert bound is not None
    assert 0.0 <= bound < 0.1 < 0.3 < free < 0.4


def test_every_number_ends_in_sources(quickstart):
    for name in ("energy_facility_j", "cost_total_usd", "carbon_total_kgco2e", "step_time_s"):
        leaves = [leaf for _, leaf in quickstart.quantities[name].walk() if isinstance(leaf, Input)]
        assert leaves
        assert all(leaf.number.source for leaf in leaves)


def test_the_same_scenario_gives_the_same_numbers_to_the_last_bit(quickstart):
    again = run("quickstart")
    assert {k: q.value for k, q in again.quantities.items()} == {
        k: q.value for k, q in quickstart.quantities.items()
    }


def test_a_scenario_does_not_change_while_it_runs():
    loaded = load_scenario("quickstart")
    before = loaded.scenario.model_dump_json()
    run(loaded)
    assert loaded.scenario.model_dump_json() == before


def test_several_seeds_give_intervals_and_the_first_is_the_single_run(quickstart):
    several = run("quickstart", seeds=5)
    p10, p50, p90 = several.intervals["duration_s"]
    assert p10 <= p50 <= p90
    assert several.value("duration_s") == quickstart.value("duration_s")


@pytest.mark.parametrize("name", GALLERY)
def test_published_runs_are_shown_beside_their_prediction(name):
    result = run(name)
    assert result.observed
    for comparison in result.observed:
        assert comparison.predicted == result.value(comparison.name)
        if comparison.name.startswith(("energy", "carbon")):
            assert not comparison.scored


@pytest.mark.parametrize("name", ["megatron-175b", "megatron-175b-full"])
def test_the_two_published_175b_steps_are_within_six_percent(name):
    (comparison,) = run(name).observed
    assert abs(comparison.error_frac) < 0.06


@pytest.mark.parametrize("name", ["llama2-70b", "llama3-405b"])
def test_published_accelerator_hours_are_within_fifteen_percent(name):
    (comparison,) = run(name).observed
    assert abs(comparison.error_frac) < 0.15


def test_a_saving_compares_medians_of_the_same_seeds():
    fragile = ["cluster.spare_nodes=0", "reliability.node_failures_per_1000_node_days=8"]
    several = run("quickstart", fragile, seeds=6)
    saved, step = several.saved_frac("duration_s"), several.saved_frac("step_time_s")
    assert saved == 1.0 - several.typical("duration_s") / several.reference.typical("duration_s")
    assert step == pytest.approx(run("quickstart", fragile).saved_frac("step_time_s"), rel=1e-12)


def test_a_published_run_is_compared_with_the_prediction_without_a_method():
    plain, method = (
        run("megatron-175b", [f"method={use}"]) for use in ("none", "{profile: fewer-operations}")
    )
    assert method.observed == plain.observed


def test_marginal_carbon_is_never_called_the_total():
    result = run("quickstart", ["site.carbon={marginal: 0.6 kgCO2e/kWh}", "method=none"])
    assert "carbon_total_kgco2e" not in result.quantities
    assert result.value("carbon_electricity_marginal_kgco2e") > 0


def test_without_a_stated_power_time_works_and_energy_asks():
    changes = ["cluster.accelerator=tpu-v5e", "cluster.node=generic-8", "method=none"]
    blind = run("quickstart", changes)
    assert "energy_facility_j" not in blind.quantities
    assert blind.value("duration_s") > 0
    assert {line.name for line in blind.costs} == {"hardware", "maintenance"}
    assert blind.bill_lacks == ("electricity", "facility")
    assert "electricity" in blind.quantities["cost_total_usd"].formula
    assert any("the cost is too low" in note for note in blind.notes)
    assert any("power_limit" in note for note in blind.notes)
    assumed = run("quickstart", [*changes, "cluster.assume={power_limit: [150 W, 250 W]}"])
    low, high = assumed.ranges["energy_facility_j"]
    assert low < assumed.value("energy_facility_j") < high
    assert "duration_s" not in assumed.ranges
    cheapest, dearest = assumed.ranges["cost_total_usd"]
    assert blind.value("cost_total_usd") < cheapest < assumed.value("cost_total_usd") < dearest
    assert {"electricity", "facility"} < {line.name for line in assumed.costs}
    assert assumed.bill_lacks == ()
    assert not any("too low" in note for note in assumed.notes)


def test_rent_is_whole_without_a_power():
    changes = [
        "cluster.accelerator=tpu-v5e",
        "cluster.node=generic-8",
        "economics={mode: rent, price: 1 USD/h}",
    ]
    blind = run("quickstart", [*changes, "method=none"])
    assert blind.bill_lacks == ()
    assert not any("too low" in note for note in blind.notes)


def test_only_amounts_are_saved(quickstart):
    for name in ("mfu", "hfu", "goodput_frac", "tokens_per_s", "num_interruptions"):
        assert quickstart.saved_frac(name) is None
    saved = {name for name in quickstart.quantities if quickstart.saved_frac(name) is not None}
    assert {"duration_s", "cost_electricity_usd", "carbon_embodied_hosts_kgco2e"} < saved


def test_a_framework_on_other_hardware_is_told_and_those_that_fit_are_named(quickstart):
    assert quickstart.software.is_fitted_here
    assert not any("fitted on" in note for note in quickstart.notes)
    other = run("quickstart", ["software.framework=maxtext-tpu", "method=none"])
    assert not other.software.is_fitted_here
    (note,) = [note for note in other.notes if "fitted on" in note]
    assert note.startswith("maxtext-tpu was fitted on tpu and not on hopper (h100-sxm)")
    assert "jax-gpu" in note
    assert "maxtext" not in note.partition("fitted on hopper: ")[2]


def test_a_model_that_does_not_fit_names_the_limit_and_what_would_fit():
    with pytest.raises(InfeasibleError) as caught:
        run("quickstart", ["workload.model=llama3.1-70b", "layout={tp: 1, pp: 1, micro_batch: 1}"])
    assert "memory" in caught.value.limit
    assert "%" in caught.value.detail
    assert caught.value.alternatives
    assert all("layout" in alternative for alternative in caught.value.alternatives)


def test_auto_takes_the_fastest_layout_that_fits():
    library = default_library()
    best = prepare(load_scenario("quickstart"), library)
    for layout in ("{tp: 8, micro_batch: 1}", "{tp: 2, pp: 2, micro_batch: 1}", "{tp: 4, micro_batch: 2}"):
        other = prepare(load_scenario("quickstart", [f"layout={layout}"]), library)
        assert float(best.plain.tokens_per_s) >= float(other.plain.tokens_per_s)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("workload.model=llama9", "workload.model"),
        ("cluster.accelerator=h100-smx", "cluster.accelerator"),
        ("cluster.node=dgx-a100-80", "cluster.node"),
        ("cluster.network=ib-ndrr", "cluster.network"),
        ("software.framework=megatron", "software.framework"),
        ("method={profile: nothing}", "method.profile"),
        ("cluster.power_cap=900 W", "cluster.power_cap"),
        ("layout={tp: 3}", "layout.tp"),
        ("site.price={series: price-ercot}", "site"),
        ("method={profile: fewer-operations, forward_frac: 1.5}", "method"),
    ],
)
def test_what_does_not_fit_together_is_told_at_its_field(change, field):
    with pytest.raises(InputError) as caught:
        run("quickstart", [change])
    assert any(field in problem.field for problem in caught.value.problems)
    assert all(problem.mend or problem.allowed for problem in caught.value.problems)


def test_a_power_cap_trades_time_for_energy():
    plain, capped = (
        run("quickstart", ["method=none"]),
        run("quickstart", ["method=none", "cluster.power_cap=500 W"]),
    )
    assert capped.value("step_time_s") > plain.value("step_time_s")
    assert capped.value("energy_accelerator_j") < plain.value("energy_accelerator_j")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (f"cluster.num_nodes={'9' * 40}", InputError),
        ("cluster.spare_nodes=1000000000", InputError),
        ("workload.tokens=1e18 token", InfeasibleError),
        ("site.price=1e300 USD/kWh", InputError),
        ("economics.lifetime=1e-300 s", InputError),
        ("site.price={series: price-ercott}", InputError),
        ("site.price={series: /dev/zero}", InputError),
    ],
)
def test_what_would_take_for_ever_or_overflow_is_refused_at_once(change, error):
    with pytest.raises(error):
        run("quickstart", [change])


def test_sequences_end_where_learned_positions_do() -> None:
    library = default_library()
    prepare(load_scenario("quickstart", ["workload.model=gpt2", "workload.seq_len=1024"]), library)
    with pytest.raises(InputError, match="at most 1,024, the model's learned positions"):
        prepare(load_scenario("quickstart", ["workload.model=gpt2", "workload.seq_len=1025"]), library)


def test_beside_what_was_published_stands_the_median_of_several_runs() -> None:
    result = run("llama3-405b", seeds=5)
    (hours,) = [one for one in result.observed if one.name == "accelerator_hours"]
    assert hours.predicted == result.typical("accelerator_hours") != result.value("accelerator_hours")
