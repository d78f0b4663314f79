"""`extends:` and `--set`: what holds in the end, and where it was written."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simtool.config.dump import dump_yaml
from simtool.config.load import MAX_PARENTS, load_document, load_scenario
from simtool.config.marks import Mark, walk
from simtool.errors import InputError, Problem
from tests.config.conftest import SCENARIO, Write, problems_in


def problems_of(path: object, *overrides: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        load_document(str(path), overrides)
    return list(caught.value.problems)


# ---------------------------------------------------------------------------------------------- extends


def test_a_child_wins_key_by_key_and_replaces_lists(write: Write) -> None:
    write("a: {x: 1, y: 2}\nb: [1, 2, 3]\nc: {z: 1}\nd: kept\n", "base.yaml")
    child = write("extends: base.yaml\na: {y: 3, new: 4}\nb: [9]\nc: none\n")
    assert load_document(child).data == {"a": {"x": 1, "y": 3, "new": 4}, "b": [9], "c": "none", "d": "kept"}


def test_marks_remember_their_file(write: Write) -> None:
    write("a: {x: 1, y: 2}\nb: [1, 2, 3]\n", "folder/base.yaml")
    document = load_document(write("extends: folder/base.yaml\na:\n  y: 3\nb: [9]\n"))
    assert document.marks["a", "x"] == Mark(1, 8, "folder/base.yaml")
    assert document.marks["a", "y"] == Mark(3, 6, "a.yaml")
    assert document.marks["b", 0] == Mark(4, 5, "a.yaml")
    assert set(document.marks) == {keys for keys, _ in walk(document.data)}
    assert document.files == ("a.yaml", "folder/base.yaml")


def test_parents_are_relative_to_the_file_that_names_them(write: Write) -> None:
    write("extends: ../top.yaml\na: 1\n", "one/middle.yaml")
    write("b: 2\n", "top.yaml")
    assert load_document(write("extends: ../one/middle.yaml\nc: 3\n", "two/a.yaml")).data == {
        "a": 1,
        "b": 2,
        "c": 3,
    }


def test_a_quantity_is_replaced_with_its_source_and_spread(write: Write) -> None:
    write("limit: {value: 700 W, kind: datasheet, source: sheet, spread: 0.1, date: '2025'}\n", "base.yaml")
    child = write("extends: base.yaml\nlimit: {value: 600 W, kind: measured, source: meter}\n")
    assert load_document(child).data["limit"] == {"value": "600 W", "kind": "measured", "source": "meter"}


def test_a_quantity_without_a_new_value_is_completed(write: Write) -> None:
    write("limit: {value: 700 W, kind: datasheet, source: sheet}\n", "base.yaml")
    child = write("extends: base.yaml\nlimit: {spread: 0.2}\n")
    assert load_document(child).data["limit"]["spread"] == 0.2
    assert load_document(child).data["limit"]["value"] == "700 W"


def test_another_mode_replaces_the_section(write: Write) -> None:
    write("economics: {mode: rent, price: 2 USD/h}\n", "base.yaml")
    child = write("extends: base.yaml\neconomics: {mode: own, lifetime: 5 year}\n")
    assert load_document(child).data["economics"] == {"mode": "own", "lifetime": "5 year"}
    same = write("extends: base.yaml\neconomics: {mode: rent, money: {year: 2024}}\n", "b.yaml")
    assert load_document(same).data["economics"]["price"] == "2 USD/h"


def test_a_missing_parent(write: Write) -> None:
    write("a: 1\n", "base.yaml")
    (problem,) = problems_of(write("b: 1\nextends: bse.yaml\n"))
    assert (problem.where, problem.field) == ("a.yaml:2:10", "extends")
    assert problem.found == "found no such file 'bse.yaml'"
    assert problem.mend == "did you mean 'base.yaml' or 'a.yaml'?"


def test_a_folder_as_parent(write: Write) -> None:
    write("a: 1\n", "bases/b.yaml")
    (problem,) = problems_of(write("extends: bases\n"))
    assert (problem.where, problem.found) == ("a.yaml:1:10", "found a folder 'bases'")


def test_mistakes_in_a_parent_are_placed_in_the_parent(write: Write) -> None:
    write("x: 1\nx: 2\n", "base.yaml")
    assert [problem.where for problem in problems_of(write("extends: base.yaml\n"))] == ["base.yaml:2:1"]


@pytest.mark.parametrize("parent", ["5", "[base.yaml]", "{a: 1}", "''", "true", ""])
def test_a_parent_that_is_no_name(write: Write, parent: str) -> None:
    (problem,) = problems_of(write(f"extends: {parent}\n"))
    assert (problem.field, problem.allowed) == ("extends", "allowed: one file name")


def test_cycles(write: Write) -> None:
    write("extends: a.yaml\n", "b.yaml")
    (problem,) = problems_of(write("extends: ./b.yaml\n"))
    assert (problem.where, problem.field) == ("b.yaml:1:10", "extends")
    assert problem.found == "found a cycle: 'a.yaml' extends itself"
    assert [problem.where for problem in problems_of(write("extends: own.yaml\n", "own.yaml"))] == [
        "own.yaml:1:10"
    ]


def test_a_cycle_through_a_link(write: Write) -> None:
    path = write("extends: link.yaml\n")
    path.with_name("link.yaml").symlink_to(path)
    assert problems_of(path)[0].found.startswith("found a cycle")


def test_long_chains(write: Write) -> None:
    write("k: 0\n", "f0.yaml")
    for n in range(1, MAX_PARENTS + 2):
        write(f"extends: f{n - 1}.yaml\n", f"f{n}.yaml")
    assert load_document(f"f{MAX_PARENTS}.yaml").data == {"k": 0}
    (problem,) = problems_of(f"f{MAX_PARENTS + 1}.yaml")
    assert (problem.where, problem.field) == ("f1.yaml:1:10", "extends")


def test_a_parent_of_another_kind(write: Write) -> None:
    write("schema: simtool/node/1\n", "top.yaml")
    write("extends: top.yaml\nx: 1\n", "partial.yaml")
    (problem,) = problems_of(write("schema: simtool/accelerator/1\nextends: partial.yaml\n"))
    assert (problem.where, problem.field) == ("partial.yaml:1:10", "extends")
    assert problem.allowed == "allowed: 'simtool/accelerator/1'"


trees = st.recursive(
    st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), trees, min_size=1, max_size=3), min_size=1, max_size=4)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_chain_reads_like_one_file(write_many: Any, files: list[dict[str, Any]]) -> None:
    """A leaf of the result is the leaf of the nearest file that has it or something in its place."""
    names = write_many(files)
    result = load_document(names[0]).data

    def pick(path: tuple[Any, ...]) -> Any:
        for data in files:
            here: Any = data
            for key in path:
                if not isinstance(here, dict):
                    return None
                if key not in here:
                    here = StopIteration
                    break
                here = here[key]
            if here is not StopIteration:
                return here
        return None

    for keys, value in walk(result):
        if keys and not isinstance(value, dict) and all(isinstance(key, str) for key in keys):
            assert pick(keys) == value


@pytest.fixture
def write_many(write: Write) -> Any:
    def write_chain(files: list[dict[str, Any]]) -> list[str]:
        names = [f"{n}.yaml" for n in range(len(files))]
        for n, data in enumerate(files):
            parent = {"extends": names[n + 1]} if n + 1 < len(files) else {}
            write(dump_yaml({**parent, **data}), names[n])
        return names

    return write_chain


# ------------------------------------------------------------------------------------------------ --set


def test_overrides_hold_over_file_and_parent(write: Write) -> None:
    write("a: {x: 1}\nb: 1\n", "base.yaml")
    path = write("extends: base.yaml\nb: 2\nc: [1, {d: 2}]\n")
    document = load_document(path, ["a.x=9", "b=8", "c[1].d=7", "c.0=6", "e.f.g=5"])
    assert document.data == {"a": {"x": 9}, "b": 8, "c": [6, {"d": 7}], "e": {"f": {"g": 5}}}
    for keys in [("a", "x"), ("b",), ("c", 1, "d"), ("c", 0), ("e",), ("e", "f", "g")]:
        assert str(document.marks[keys]) == "--set"
    assert str(document.marks["c",]) == "a.yaml:3:4"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("15 T", "15 T"),
        ("1e12", 1e12),
        ("010", 10),
        ("NO", "NO"),
        ("true", True),
        ("", None),
        ("''", ""),
        ("[1, a]", [1, "a"]),
        ("{k: {l: 1}}", {"k": {"l": 1}}),
        ("a=b", "a=b"),
        ("2022-01-01T00:00Z", "2022-01-01T00:00Z"),
    ],
)
def test_values_are_read_as_in_a_file(write: Write, written: str, value: object) -> None:
    assert load_document(write("a: 1\n"), [f"a={written}"]).data == {"a": value}


def test_the_last_override_holds(write: Write) -> None:
    assert load_document(write("a: 1\n"), ["a=2", "a=3"]).data == {"a": 3}


def test_a_scalar_gives_way_to_a_section(write: Write) -> None:
    document = load_document(write("layout: auto\n"), ["layout.tp=8", "layout.pp=2"])
    assert document.data == {"layout": {"tp": 8, "pp": 2}}
    assert str(document.mark(("layout", "dp"))) == "--set"


def test_the_file_is_not_changed(write: Write) -> None:
    path = write("a: {b: 1}\n")
    document = load_document(path)
    load_document(path, ["a.b=2"])
    assert document.data == {"a": {"b": 1}}


@pytest.mark.parametrize(
    "override", ["a", "=1", "", "a..b=1", ".a=1", "a.=1", "[0]=1", "a[x]=1", "a[0=1", "a]=1"]
)
def test_overrides_that_name_no_path(write: Write, override: str) -> None:
    (problem,) = problems_of(write("a: [1]\n"), override)
    assert (problem.where, problem.allowed) == ("--set", "allowed: path=value")


@pytest.mark.parametrize("index", ["2", "-1", "x", "99999999999", "²"])
def test_indices_outside_a_list(write: Write, index: str) -> None:
    (problem,) = problems_of(write("a: {b: [1, 2]}\n"), f"a.b.{index}=1")
    assert (problem.where, problem.field, problem.allowed) == ("--set", "a.b", "allowed: 0 to 1")


@pytest.mark.parametrize(
    "value", ["[1", "x: 1", "- 1", "*a", "!!python/name:x ''", "\0", "a: b: c", "{a: 1, a: 2}"]
)
def test_values_that_are_not_yaml(write: Write, value: str) -> None:
    (problem,) = problems_of(write("a: 1\n"), f"a={value}")
    assert problem.where == "--set"


def test_a_parent_cannot_be_set(write: Write) -> None:
    (problem,) = problems_of(write("a: 1\n"), "extends=b.yaml")
    assert (problem.where, problem.field) == ("--set", "extends")


def test_all_wrong_overrides_are_told_at_once(write: Write) -> None:
    assert len(problems_of(write("a: 1\n"), "b", "a=[", "c=2")) == 2


def test_a_path_of_a_thousand_steps(write: Write) -> None:
    (problem,) = problems_of(write("a: 1\n"), ".".join("a" * 1000) + "=1")
    assert problem.allowed == "allowed: path=value"


@given(st.text(max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_override(document_path: str, override: str) -> None:
    problems = problems_in(lambda: load_document(document_path, [override]))
    assert all(problem.where == "--set" for problem in problems)


@pytest.fixture
def document_path(write: Write) -> str:
    return str(write("a: {b: [1, 2]}\n"))


# ---------------------------------------------------------------------------------------------- origins


def test_origins_name_file_override_or_default(write: Write) -> None:
    write(SCENARIO, "bases/base.yaml")
    path = write("extends: ../bases/base.yaml\nseed: 2\n", "mine/a.yaml")
    loaded = load_scenario(
        path, ["cluster.num_nodes=8", "cluster.power_cap={value: 300 W, kind: measured, source: m}"]
    )
    assert loaded.scenario.seed == 2
    assert loaded.origins["seed"] == "a.yaml:2:7"
    assert loaded.origins["workload.seq_len"] == "../bases/base.yaml:7:12"
    assert loaded.origins["cluster.num_nodes"] == "--set"
    assert loaded.origins["cluster.power_cap"] == "--set"
    assert loaded.origins["cluster.spare_nodes"] == "default"
    assert loaded.origins["cluster.assume.power_limit[1]"] == "../bases/base.yaml:17:33"


def test_bare_quantities_cite_the_place_where_they_stand(write: Write) -> None:
    loaded = load_scenario(write(SCENARIO), ["reliability.repair=12 h"])
    scenario = loaded.scenario
    assert scenario.workload.tokens.source == "a.yaml:6:11"
    assert scenario.workload.tokens.kind == "assumed"
    assert not isinstance(scenario.reliability, str)
    assert scenario.reliability.repair.source == "--set"
    assert scenario.reliability.node_failures_per_1000_node_days.source == "a paper"
    assert scenario.cluster.assume.power_limit is not None
    assert [limit.source for limit in scenario.cluster.assume.power_limit] == ["a.yaml:17:26", "a.yaml:17:33"]


def test_origins_do_not_depend_on_the_folder_one_starts_from(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(SCENARIO, "scenarios/a.yaml")
    from_above, absolute = load_scenario(path), load_scenario(path.resolve())
    monkeypatch.chdir("scenarios")
    from_inside = load_scenario("a.yaml")
    assert from_above.scenario == absolute.scenario == from_inside.scenario
    assert from_above.origins == absolute.origins == from_inside.origins


def test_later_checks_find_the_place_of_a_field(write: Write) -> None:
    loaded = load_scenario(write(SCENARIO, "scenarios/a.yaml"), ["cluster.num_nodes=8"])
    assert loaded.locate("cluster.accelerator") == "scenarios/a.yaml:14:16"
    assert loaded.locate("cluster.node") == "scenarios/a.yaml:14:3"
    assert loaded.locate("cluster.assume.power_limit[1]") == "scenarios/a.yaml:17:33"
    assert loaded.locate("cluster.num_nodes") == "--set"


def test_a_loaded_scenario_travels_to_other_processes(write: Write) -> None:
    loaded = load_scenario(write(SCENARIO))
    assert pickle.loads(pickle.dumps(loaded)) == loaded  # noqa: S301 - our own bytes


def test_a_section_is_a_document_with_its_places(write: Write) -> None:
    loaded = load_scenario(write(SCENARIO.replace("model: gpt3-13b", "model: {num_layers: 2}")))
    section = loaded.section("workload.model")
    assert section.data == {"num_layers": 2}
    assert str(section.marks["num_layers",]) == "a.yaml:5:23"
    assert section.at == ("workload", "model")
    with pytest.raises(KeyError):
        loaded.section("workload.tokens")
