"""A resolved scenario says everything, says where it came from, and reads back to the same scenario."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simtool.config.dump import dump_yaml
from simtool.config.load import LoadedScenario, load_document, load_scenario
from simtool.config.marks import walk
from simtool.config.resolved import resolved_yaml
from simtool.config.scenario import Scenario
from tests.config.conftest import SCENARIO, Write

OWN = """\
economics:
  mode: own
  network_share: 0.2
  lifetime: 5 year
  interest_per_year: 5 %
  residual_value: 0.1
  utilisation: 0.8
  facility_price: 11 USD/W
  maintenance_per_year: {value: 0.05, kind: published, source: "a report: part 2", date: "2025-01", spread: 1}
"""
RENT = "economics:\n  mode: rent\n  price: 2.50 USD/h\n"


def test_every_field_is_written_with_its_origin(scenario: LoadedScenario, write: Write) -> None:
    lines = resolved_yaml(scenario.scenario, scenario.origins).splitlines()
    assert (
        '  tokens: {value: 300000000000.0 token, kind: assumed, source: "a.yaml:6:11"}  # a.yaml:6:11'
        in lines
    )
    assert "  recompute: none  # default" in lines
    assert '  start: "2025-01-01T00:00:00Z"  # a.yaml:27:10' in lines
    assert "  vpp: 1  # default" in lines
    assert "observed: null  # default" in lines
    written = load_document(write("\n".join(lines), "resolved.yaml")).data
    assert list(written) == [field.alias or name for name, field in Scenario.model_fields.items()]


def test_origins_cover_every_line_that_holds_a_value(scenario: LoadedScenario) -> None:
    lines = resolved_yaml(scenario.scenario, scenario.origins).splitlines()
    assert all("  # " in line for line in lines if not line.endswith(":"))


def test_resolving_twice_gives_the_same_but_for_origins(scenario: LoadedScenario, write: Write) -> None:
    text = resolved_yaml(scenario.scenario, scenario.origins)
    again = load_scenario(write(text, "resolved.yaml"))
    text_again = resolved_yaml(again.scenario, again.origins)
    assert load_document(write(text_again, "again.yaml")).data == load_document(write(text, "one.yaml")).data
    assert "default" not in text_again


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["method=none", "reliability=none", "layout=auto"],
        ["workload.model={num_layers: 2, hidden_size: 64, mlp: 'yes'}"],
        ["workload.global_batch=4 Mtoken", "reliability.checkpoint.interval=1 h"],
        ["site.price={series: price-pjm, repeat: yearly}", "site.carbon={marginal: {series: x.csv}}"],
        ["cluster.assume={}", "cluster.power_cap={value: 333.3 W, kind: measured, source: 'x: y # z'}"],
        ["question='Is it: yes?\n # no'", "site.zone=NO", "software.framework='1e3'"],
        ["observed={source: s, accelerator_hours: 1.083 Mh, carbon: 25 tCO2e}"],
        ["projection={rental_price: {per_year: -0.25}}"],
    ],
)
def test_reads_back_equal(write: Write, overrides: list[str]) -> None:
    loaded = load_scenario(write(SCENARIO), overrides)
    text = resolved_yaml(loaded.scenario, loaded.origins)
    assert load_scenario(write(text, "resolved.yaml")).scenario == loaded.scenario


quantities = st.floats(1e-9, 1e9)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.fixed_dictionaries(
        {
            "workload.seq_len": st.integers(1, 2048),
            "workload.model": texts,
            "site.zone": texts,
            "question": texts,
            "reliability.repair": quantities.map(lambda value: f"{value!r} h"),
            "reliability.restart": quantities.map(
                lambda value: {"value": f"{value!r} ms", "kind": "measured", "source": "a: b", "spread": 0.1}
            ),
            "cluster.power_cap": st.none() | quantities.map(lambda value: f"{value!r} kW"),
            "site.cooling.pue": st.floats(1, 10),
            "seed": st.integers(0, 2**64),
            "layout": st.just("auto")
            | st.fixed_dictionaries({"tp": st.integers(1, 64), "zero": st.integers(0, 3)}),
        }
    ),
    st.sampled_from([OWN, RENT]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reads_back_equal_whatever_is_written(write: Write, changes: dict[str, Any], economics: str) -> None:
    data = load_document(write(SCENARIO.replace(RENT, economics))).data
    for path, value in changes.items():
        *sections, last = path.split(".")
        here = data
        for section in sections:
            here = here[section]
        here[last] = value
    loaded = load_scenario(write(dump_yaml(data)))
    again = load_scenario(write(resolved_yaml(loaded.scenario, loaded.origins), "resolved.yaml"))
    assert again.scenario == loaded.scenario
    assert again.scenario.model_dump_json() == loaded.scenario.model_dump_json()


def test_every_origin_is_that_of_a_value(scenario: LoadedScenario) -> None:
    written = {str(scenario.document.origin(keys)) for keys, _ in walk(scenario.document.data)}
    assert set(scenario.origins.values()) <= written | {"default"}
