"""Whatever is wrong with a scenario is told at once: the schema, the names, and what does not fit together."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simtool
from simtool.config.dump import dump_yaml
from simtool.config.load import load_document, load_scenario
from simtool.errors import InputError, Problem
from simtool.profiles.find import default_library, find_scenario
from simtool.result.prepare import prepare
from simtool.result.references import wrong_references

LIBRARY = default_library()
QUICKSTART = load_document(find_scenario("quickstart")).data

MISTAKES: dict[str, Any] = {
    "workload.model": "llama3.1-8",
    "workload.tokens": 5,
    "workload.recompute": "some",
    "method.profile": "fewer-opertions",
    "method.forward_frac": 1.5,
    "cluster.accelerator": "h100-smx",
    "cluster.node": "dgx-h10",
    "cluster.num_nodes": 0,
    "cluster.network": "ib-nrd",
    "cluster.spare_nodes": 10**9,
    "layout.tp": 0,
    "software.framework": "megatron",
    "reliability.repair": "24",
    "site.cooling.pue": 0.5,
    "site.price": {"series": "price-ercto"},
    "site.carbon.average": {"series": "nowhere.csv"},
    "economics.lifetime": "5 W",
    "seed": -1,
    "sed": 1,
}
"""One at each of these places is independent of all others."""

FITTING: dict[str, Any] = {
    "workload.precision": "nvfp4",
    "cluster.power_cap": "5 W",
    "cluster.node": "dgx-a100-80",
    "software.release": "0.0",
    "site.carbon.average": {"series": "price-ercot"},
}
"""Names that exist and values that can be read, which do not fit the rest."""


def planted(mistakes: dict[str, Any]) -> dict[str, Any]:
    data = deepcopy(QUICKSTART)
    for path, value in mistakes.items():
        *sections, key = path.split(".")
        here = data
        for section in sections:
            if not isinstance(here.get(section), dict):
                here[section] = {}
            here = here[section]
        here[key] = value
    return data


def problems_of(data: dict[str, Any], folder: Path) -> list[Problem]:
    path = folder / "planted.yaml"
    path.write_text(dump_yaml(data), "utf-8")
    try:
        loaded = load_scenario(path, more=lambda found: wrong_references(found, folder, LIBRARY))
        prepare(loaded, LIBRARY)
    except InputError as error:
        return list(error.problems)
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


def test_nothing_planted_is_nothing_told(folder: Path) -> None:
    assert problems_of(planted({}), folder) == []


@given(fields=st.sets(st.sampled_from(sorted(MISTAKES)), min_size=1))
def test_so_many_independent_mistakes_so_many_problems_in_their_order(fields: set[str], folder: Path) -> None:
    problems = problems_of(planted({field: MISTAKES[field] for field in fields}), folder)
    assert sorted(problem.field for problem in problems) == sorted(fields)
    places = [tuple(map(int, problem.where.rsplit(":", 2)[1:])) for problem in problems]
    assert places == sorted(places)
    assert all(problem.where.startswith(f"{folder}/planted.yaml:") for problem in problems)


@given(
    fitting=st.sets(st.sampled_from(sorted(FITTING))),
    broken=st.sets(st.sampled_from(["workload.tokens", "cluster.num_nodes", "seed", "cluster.network"])),
)
def test_what_does_not_fit_is_told_beside_what_cannot_be_read(
    fitting: set[str], broken: set[str], folder: Path
) -> None:
    chosen = {field: FITTING[field] for field in fitting} | {field: MISTAKES[field] for field in broken}
    problems = problems_of(planted(chosen), folder)
    assert sorted(problem.field for problem in problems) == sorted({*fitting, *broken})


def test_what_rests_on_a_mistake_is_not_asked(folder: Path) -> None:
    told = problems_of(planted({"cluster.accelerator": "h100-smx", "cluster.power_cap": "5 W"}), folder)
    assert [problem.field for problem in told] == ["cluster.accelerator"]


def test_a_layout_is_checked_where_the_prices_are_wrong(folder: Path) -> None:
    wrong = {"layout.tp": 3, "economics.lifetime": "5 W"}
    fields = [problem.field for problem in problems_of(planted(wrong), folder)]
    assert "economics.lifetime" in fields
    assert "layout.tp" in fields  # heads
    assert "layout" in fields  # 3 does not divide 64 accelerators


def test_the_fields_of_a_model_are_checked_beside_the_rest(folder: Path) -> None:
    shape = {"family": "convnet", "image_size": 0, "stages": []}
    told = problems_of(planted({"workload.model": shape, "seed": -1, "method.profile": "x"}), folder)
    fields = [problem.field for problem in told]
    assert fields[-1] == "seed"
    assert {"workload.model.image_size", "workload.model.stages", "method.profile", "seed"} <= set(fields)


def test_a_wrong_profile_of_ones_own_is_told_at_its_own_place(folder: Path) -> None:
    (folder / "effect.yaml").write_text("schema: simtool/effect/1\nmethod: [\n", "utf-8")
    told = problems_of(planted({"method.profile": "effect.yaml", "seed": -1}), folder)
    assert [problem.where.rpartition("/")[2] for problem in told] == [
        "effect.yaml:3:1",
        "planted.yaml:" + told[-1].where.partition("planted.yaml:")[2],
    ]


def test_names_are_told_at_once_by_the_library_too() -> None:
    changes = ["cluster.accelerator=h100-smx", "cluster.network=ib-nrd", "method.profile=few"]
    with pytest.raises(InputError) as caught:
        simtool.run("quickstart", changes)
    assert [problem.field for problem in caught.value.problems] == [
        "cluster.accelerator",
        "cluster.network",
        "method.profile",
    ]
