"""The exported JSON Schema accepts what simtool reads and refuses what editors should underline."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from simtool.config.kinds import KINDS, kind_of
from simtool.config.load import json_schema
from simtool.config.marks import walk
from simtool.config.yaml12 import load_yaml, parse
from simtool.errors import InputError
from tests.config.conftest import SCENARIO
from tests.config.json_schema import Checker

ROOT = Path(__file__).resolve().parents[2]
VALID: dict[str, Any] = parse(SCENARIO, "a.yaml").data
SHIPPED = [*sorted(ROOT.glob("scenarios/*.yaml")), *sorted(ROOT.glob("hardware_profiles/**/*.yaml"))]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_described(kind: str) -> None:
    schema = json_schema(kind)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["schema"]["const"] == f"simtool/{kind}/1"
    assert "extends" in schema["properties"]
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


@pytest.mark.parametrize("kind", KINDS)
def test_every_section_has_a_title_and_a_description(kind: str) -> None:
    schema = json_schema(kind)
    for section in [schema, *schema.get("$defs", {}).values()]:
        if section.get("type") == "object":
            assert section["title"]
            assert section["description"]


@pytest.mark.parametrize("kind", KINDS)
def test_references_lead_somewhere(kind: str) -> None:
    schema = json_schema(kind)
    references = [value for keys, value in walk(schema) if keys and keys[-1] == "$ref"]
    assert all(str(name).removeprefix("#/$defs/") in schema["$defs"] for name in references)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_know_their_kind(kind: str) -> None:
    assert kind_of(KINDS[kind].load()) is KINDS[kind]


def test_two_calls_give_equal_schemas_of_their_own() -> None:
    first, second = json_schema("scenario"), json_schema("scenario")
    assert first == second
    first["properties"].clear()
    assert json_schema("scenario") == second


def test_an_unknown_kind() -> None:
    with pytest.raises(InputError, match="did you mean 'scenario'"):
        json_schema("scenaro")


def test_a_scenario_obeys() -> None:
    assert Checker(json_schema("scenario")).obeys(VALID)


def test_what_a_parent_holds_is_not_asked_for() -> None:
    checker = Checker(json_schema("scenario"))
    assert not checker.obeys({"schema": "simtool/scenario/1", "name": "small"})
    assert checker.obeys({"schema": "simtool/scenario/1", "name": "small", "extends": "base.yaml"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "simtool/scenario/2"),
        (("extends",), 5),
        (("unknown",), 1),
        (("workload", "seq_len"), 0),
        (("workload", "seq_len"), "2048"),
        (("workload", "precision"), "fp5"),
        (("workload", "tokens"), 5),
        (("workload", "tokens"), {"value": "5 T"}),
        (("workload", "tokens"), {"value": "5 T", "kind": "guess", "source": "x"}),
        (("method", "forward_frac"), 1.5),
        (("method", "forward_frac"), {"value": -1, "kind": "assumed", "source": "x"}),
        (("layout",), "atuo"),
        (("layout", "zero"), 4),
        (("cluster", "assume", "power_limit"), ["1 W"]),
        (("economics", "mode"), "steal"),
        (("name",), "Not A Name"),
    ],
)
def test_mistakes_that_an_editor_can_underline(path: tuple[str, ...], value: Any) -> None:
    data = copy.deepcopy(VALID)
    here: Any = data
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    assert not Checker(json_schema("scenario")).obeys(data)


def test_profiles_are_asked_for_sources() -> None:
    scale = {"network": "x", "bandwidth": "1 GB/s", "domain": 8}
    schema = json_schema("accelerator")
    part = Checker({"$defs": schema["$defs"], "$ref": "#/$defs/ScaleUp"})
    assert not part.obeys(scale)
    assert part.obeys({**scale, "bandwidth": {"value": "1 GB/s", "kind": "datasheet", "source": "sheet"}})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_files_obey(path: Path) -> None:
    data = load_yaml(path).data
    kind = str(data.get("schema", "")).removeprefix("simtool/").partition("/")[0]
    if kind in KINDS and "families" not in path.parts:
        assert Checker(json_schema(kind)).obeys(data)
