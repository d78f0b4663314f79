"""What a scenario must be beyond its fields, and what it becomes."""

from __future__ import annotations

from datetime import UTC, datetime

import pydantic
import pytest

from simtool.config.load import LoadedScenario, load_scenario
from simtool.config.reliability import Checkpoint
from simtool.config.scenario import Layout
from simtool.provenance import Sourced
from tests.config.conftest import SCENARIO, Bend, Write

CHECKPOINT = "checkpoint: {kind: asynchronous, stall: 5 s, write: 60 s, interval: daly}"


@pytest.mark.parametrize(
    ("old", "new", "where", "field", "found"),
    [
        (
            CHECKPOINT,
            "checkpoint: {write: 60 s, stall: 5 s}",
            "a.yaml:25:36",
            "reliability.checkpoint.stall",
            "found it with a synchronous checkpoint, which stops training for all of 'write'",
        ),
        (
            CHECKPOINT,
            "checkpoint: {kind: asynchronous, write: 60 s}",
            "a.yaml:25:15",
            "reliability.checkpoint.stall",
            "found no such key",
        ),
        (
            CHECKPOINT,
            "checkpoint: {interval: 1 h}",
            "a.yaml:25:15",
            "reliability.checkpoint",
            "found neither a time to write nor a bandwidth",
        ),
        (
            CHECKPOINT,
            "checkpoint: {write: 60 s, bandwidth: 1 TB/s}",
            "a.yaml:25:23",
            "reliability.checkpoint.write",
            "found it beside a bandwidth",
        ),
        (
            "  " + CHECKPOINT + "\n",
            "",
            "a.yaml:22:3",
            "reliability.checkpoint",
            "found no such key",
        ),
        (
            "carbon: {average: 363 gCO2e/kWh}",
            "carbon: {}",
            "a.yaml:30:11",
            "site.carbon",
            "found neither an average nor a marginal intensity",
        ),
        (
            "[300 W, 400 W]",
            "[400 W, 300 W]",
            "a.yaml:17:25",
            "cluster.assume.power_limit",
            "found 400 W as the lowest and 300 W as the highest",
        ),
        (
            "tp: 4\n  pp: 2\n",
            "tp: 4\n  vpp: 2\n",
            "a.yaml:20:8",
            "layout.vpp",
            "found 2 virtual stages without a pipeline",
        ),
        (
            "global_batch: 1024",
            "global_batch: 1 ktoken",
            "a.yaml:8:17",
            "workload.global_batch",
            "found 1000 tokens in one step, less than one sequence of 2048",
        ),
        (
            "tokens: 300 Gtoken",
            "tokens: 1 Mtoken",
            "a.yaml:6:11",
            "workload.tokens",
            "found 1e+06 tokens in all, less than the 2.09715e+06 of one step",
        ),
        (
            "seed: 1",
            "observed: {source: a paper}",
            "a.yaml:34:11",
            "observed",
            "found no figure",
        ),
        (
            "seed: 1",
            "projection: {rental_price: {per_year: -1}}",
            "a.yaml:34:39",
            "projection.rental_price.per_year",
            "found -1",
        ),
        (
            "forward_frac: 0.6",
            "steps_frac: 0",
            "a.yaml:12:15",
            "method.steps_frac",
            "found 0",
        ),
    ],
)
def test_what_does_not_go_together(
    bend: Bend, old: str, new: str, where: str, field: str, found: str
) -> None:
    (problem,) = bend(old, new)
    assert (problem.where, problem.field, problem.found) == (where, field, found)
    assert problem.mend


def test_owning_has_one_price(bend: Bend) -> None:
    own = (
        "mode: own\n  accelerator_price: 30 kUSD\n  node_price: 300 kUSD\n  network_share: 0.2\n"
        "  lifetime: 5 year\n"
        "  interest_per_year: 0.05\n  residual_value: 0.1\n  utilisation: 0.8\n  maintenance_per_year: 0.05\n"
    )
    (problem,) = bend("mode: rent\n  price: 2.50 USD/h\n", own)
    assert (problem.where, problem.field) == ("a.yaml:33:22", "economics.accelerator_price")


def test_several_complaints_about_one_section(bend: Bend) -> None:
    problems = bend(CHECKPOINT, "checkpoint: {stall: 5 s}")
    assert [problem.field for problem in problems] == [
        "reliability.checkpoint",
        "reliability.checkpoint.stall",
    ]


def test_values_in_base_units(scenario: LoadedScenario) -> None:
    value = scenario.scenario
    assert value.workload.tokens.value == 3e11
    assert value.cluster.power_cap == Sourced(value=350.0, unit="W", kind="assumed", source="a.yaml:16:14")
    assert isinstance(value.site.price, Sourced)
    assert value.site.price.unit == "USD/kWh"
    assert isinstance(value.site.carbon.average, Sourced)
    assert value.site.carbon.average.value == pytest.approx(0.363)
    assert value.site.start == datetime(2025, 1, 1, tzinfo=UTC)
    assert isinstance(value.layout, Layout)
    assert (value.layout.tp, value.layout.pp, value.layout.dp) == (4, 2, None)


def test_a_long_quantity_keeps_its_own_source(scenario: LoadedScenario) -> None:
    reliability = scenario.scenario.reliability
    assert not isinstance(reliability, str)
    assert reliability.node_failures_per_1000_node_days == Sourced(
        value=3.8, unit="", kind="published", source="a paper", spread=0.1
    )


def test_a_zoned_time_becomes_utc(write: Write) -> None:
    path = write(SCENARIO.replace("2025-01-01T00:00Z", "2025-01-01T01:30+01:30"))
    assert load_scenario(path).scenario.site.start == datetime(2025, 1, 1, tzinfo=UTC)


def test_a_scenario_never_changes(scenario: LoadedScenario) -> None:
    with pytest.raises(pydantic.ValidationError):
        scenario.scenario.seed = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        scenario.path = scenario.path  # type: ignore[misc]


def test_refusals_also_read_well_without_a_file() -> None:
    with pytest.raises(pydantic.ValidationError, match="found neither a time to write nor a bandwidth; add"):
        Checkpoint()


@pytest.mark.parametrize("name", ["a", "llama3-70b-h100", "gpt3.1_x", "0"])
def test_names(write: Write, name: str) -> None:
    assert load_scenario(write(SCENARIO.replace("name: small", f"name: '{name}'"))).scenario.name == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "../a", "A", "a b", "é", "a" * 65, "a\n"])
def test_names_that_no_folder_should_have(bend: Bend, name: str) -> None:
    escaped = name.replace("\n", "\\n")
    assert [problem.field for problem in bend("name: small", f'name: "{escaped}"')] == ["name"]
