"""What every shipped profile keeps, whoever adds one."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from simtool import units
from simtool.config.yaml12 import load_yaml
from simtool.profiles.find import FOLDERS, ProfileLibrary, shipped_folder
from simtool.profiles.schema import ANY_ACCELERATOR, GENERIC_NODE
from simtool.provenance import Sourced

FOLDER = shipped_folder("hardware_profiles")
LIBRARY = ProfileLibrary((FOLDER,))
FAMILIES = sorted(path.stem for path in (FOLDER / "families").glob("*.yaml"))
ACCELERATORS = LIBRARY.names("accelerator")
NODES = LIBRARY.names("node")
PROFILES = [(kind, name) for kind in FOLDERS for name in LIBRARY.names(kind)]
NO_QUANTITIES = {
    *("models", "encoders", "vision", "convnets", "recommenders", "effects", "measurements"),
    "job_generators",
}
HARDWARE_FILES = sorted(
    path
    for path in FOLDER.rglob("*.yaml")
    if path.parent.name not in NO_QUANTITIES and FOLDER / "traces" not in path.parents
)
COUNTS = {
    *("num_processors", "domain", "num_accelerators", "num_measured", "num_rows", "num_families"),
    "group_nodes",
}
"""Whole numbers that need no unit and no source."""
NO_NUMBERS = {"model", "encoder", "vision", "convnet", "recommender", "effect", "jobs"}
"""Kinds whose numbers are shapes or multipliers, with one source for all."""
NUMBERS_OF_A_QUANTITY = {"value", "spread"}
RESIDUALS = "residual_"


def numbers(section: BaseModel, path: str = "") -> Iterator[tuple[str, Sourced]]:
    """Every sourced number of a profile with its dotted path."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        for key, item in _members(value):
            at = ".".join(part for part in (path, name, key) if part)
            if isinstance(item, Sourced):
                yield at, item
            elif isinstance(item, BaseModel):
                yield from numbers(item, at)


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return (
        [(str(index), item) for index, item in enumerate(value)]
        if isinstance(value, tuple)
        else [("", value)]
    )


def bare_numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Dotted path of every number in a file that is no part of a quantity."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        here = (*path, str(key))
        if isinstance(below, dict | list):
            yield from bare_numbers(below, here)
        elif isinstance(below, int | float) and not isinstance(below, bool):
            name = str(key)
            if name not in COUNTS | NUMBERS_OF_A_QUANTITY and not name.startswith(RESIDUALS):
                yield ".".join(here)


@pytest.mark.parametrize(("kind", "name"), PROFILES)
def test_it_loads(kind: str, name: str) -> None:
    profile = LIBRARY.get(kind, name)
    assert getattr(profile, "name", None) == name
    assert getattr(profile, "title", "").strip()


@pytest.mark.parametrize(("kind", "name"), [pair for pair in PROFILES if pair[0] not in NO_NUMBERS])
def test_every_number_says_where_it_comes_from(kind: str, name: str) -> None:
    found = list(numbers(LIBRARY.get(kind, name)))
    assert found
    for path, number in found:
        assert len(number.source.strip()) > 3, path
        assert number.kind != "assumed" or number.spread, f"{path} is assumed: a spread above 0 belongs to it"


@pytest.mark.parametrize("path", HARDWARE_FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_number_stands_alone(path: Path) -> None:
    assert list(bare_numbers(load_yaml(path).data)) == []


@pytest.mark.parametrize("name", ACCELERATORS)
def test_an_accelerator_extends_its_efficiency_and_that_its_family(name: str) -> None:
    written = load_yaml(LIBRARY.path("accelerator", name)).data
    efficiency = FOLDER / written["extends"]
    assert efficiency.parent.name == "efficiency"
    family = (efficiency.parent / load_yaml(efficiency).data["extends"]).resolve()
    assert family.parent == FOLDER / "families"
    accelerator = LIBRARY.get("accelerator", name)
    assert accelerator.architecture == family.stem
    assert efficiency.stem in (name, family.stem)


@pytest.mark.parametrize("part", ["families", "efficiency"])
def test_every_part_is_used(part: str) -> None:
    used = {file for name in ACCELERATORS for file in _chain(LIBRARY.path("accelerator", name))}
    assert set((FOLDER / part).glob("*.yaml")) <= used


def _chain(path: Path) -> Iterator[Path]:
    yield path
    if parent := load_yaml(path).data.get("extends"):
        yield from _chain((path.parent / parent).resolve())


@pytest.mark.parametrize("name", ACCELERATORS)
def test_dense_rates_double_from_tf32_to_bf16_to_fp8_on_nvidia(name: str) -> None:
    accelerator = LIBRARY.get("accelerator", name)
    peak = {dtype: rate.value for dtype, rate in accelerator.peak.items()}
    if (
        accelerator.vendor != "NVIDIA"
        or not {"tf32", "bf16", "fp8"} <= set(peak)
        or accelerator.status != "shipping"
    ):
        return
    assert peak["bf16"] / peak["tf32"] == pytest.approx(2.0, rel=0.02)
    assert peak["fp8"] / peak["bf16"] == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_names_in_an_accelerator_lead_to_profiles_that_suit_it(name: str) -> None:
    accelerator = LIBRARY.get("accelerator", name)
    node = LIBRARY.get("node", accelerator.node)
    assert node.accelerator in (name, ANY_ACCELERATOR)
    if accelerator.scale_up is not None:
        network = LIBRARY.get("network", accelerator.scale_up.network)
        assert network.layer in ("scale-up", "host")
        assert accelerator.scale_up.domain > 1
        assert accelerator.scale_up.bandwidth.value <= 1.02 * network.bandwidth.value


@pytest.mark.parametrize("name", NODES)
def test_names_in_a_node_lead_to_profiles_that_suit_it(name: str) -> None:
    node = LIBRARY.get("node", name)
    assert node.network is not None
    assert LIBRARY.get("network", node.network).layer == "scale-out"
    if node.accelerator == ANY_ACCELERATOR:
        return
    limit = LIBRARY.get("accelerator", node.accelerator).power.limit
    if limit is not None and node.host_load is not None and node.power_max is not None:
        assert node.host_load.value + node.num_accelerators * limit.value <= 1.1 * node.power_max.value


def test_there_is_a_generic_node_for_every_accelerator() -> None:
    assert LIBRARY.get("node", GENERIC_NODE).accelerator == ANY_ACCELERATOR


@pytest.mark.parametrize("name", LIBRARY.names("software"))
def test_software_names_architectures_that_exist(name: str) -> None:
    software = LIBRARY.get("software", name)
    assert set(software.seen) <= set(FAMILIES)
    assert set(software.attention_ratio) <= {*FAMILIES, "default"}


def test_rates_belong_to_the_generation() -> None:
    """One fact of each kind that is easily got wrong: clock, sparsity, die, board variant."""
    peak = {name: LIBRARY.get("accelerator", name).peak for name in ACCELERATORS}
    assert peak["h100-sxm"]["bf16"].value == pytest.approx(989.4e12)
    assert peak["b200-sxm"]["bf16"].value == pytest.approx(2250e12)
    assert peak["mi355x"]["fp8"].value == pytest.approx(5033e12)
    assert peak["gaudi3"]["bf16"].value == pytest.approx(1677e12)
    assert "bf16" not in peak["v100-sxm2-32"]
    assert units.BYTES_PER_GIB * 44 < LIBRARY.get("accelerator", "l40s").memory.size.value < 48e9 * 1.05


def rows(reference_data: Path, table: str) -> list[dict[str, str]]:
    with (reference_data / "data" / "hardware" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("kind", "table"), [("accelerator", "accelerators"), ("node", "nodes"), ("network", "networks")]
)
def test_every_row_of_the_reference_tables_is_shipped(reference_data: Path, kind: str, table: str) -> None:
    assert {row["id"] for row in rows(reference_data, table)} <= set(LIBRARY.names(kind))


FP32_ON_MATRIX_UNITS = ("mi100", "mi210", "mi250", "mi250x")
"""The table has the rate of their ordinary units, about half."""


def test_rates_are_those_of_the_reference_table(reference_data: Path) -> None:
    columns = {"tf32": "tf32_tflops", "bf16": "bf16_tflops", "fp16": "fp16_tflops", "fp8": "fp8_tflops"}
    columns |= {"fp4": "fp4_tflops", "int8": "int8_tops", "fp32": "fp32_vector_tflops"}
    for row in rows(reference_data, "accelerators"):
        accelerator = LIBRARY.get("accelerator", row["id"])
        assert accelerator.memory.bandwidth.value == pytest.approx(float(row["mem_bw_gbs"]) * 1e9), row["id"]
        for dtype, column in columns.items():
            rate = accelerator.peak.get(dtype)
            assert (rate is not None) == bool(row[column]), (row["id"], dtype)
            if dtype == "fp32" and row["id"] in FP32_ON_MATRIX_UNITS:
                assert float(row[column]) < float(rate) / 1e12, row["id"]
            elif rate is not None:
                assert rate.value == pytest.approx(float(f"{row[column]}e12")), (row["id"], dtype)


def test_what_the_reference_table_only_recalls_is_assumed(reference_data: Path) -> None:
    for row in rows(reference_data, "accelerators"):
        if row["confidence"].startswith("recalled"):
            accelerator = LIBRARY.get("accelerator", row["id"])
            for number in (*accelerator.peak.values(), accelerator.memory.bandwidth):
                assert number.kind == "assumed", row["id"]
