"""What a suite intends to measure: the same for the same seed, everything once, coarse before fine."""

from __future__ import annotations

import pytest

from simtool.engine.suites import bandwidth, gemm
from simtool.engine.suites.attention import AttentionPart
from simtool.engine.suites.collectives import CollectivesPart
from simtool.engine.suites.gemm import GemmPart
from simtool.engine.suites.launch import LaunchPart
from simtool.engine.suites.part import Part
from simtool.engine.suites.sustained import PowerPart
from tests.engine.suites.made import bench, steady_meter

KINDS = ("gpu", "cpu")
PARTS: list[Part] = [
    GemmPart(),
    bandwidth.BandwidthPart(),
    AttentionPart(),
    LaunchPart(),
    PowerPart(),
    CollectivesPart(),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
@pytest.mark.parametrize("kind", KINDS)
def test_points_are_distinct_and_depend_on_the_seed_alone(part: Part, kind: str) -> None:
    made = bench(kind, meter=steady_meter(), num_devices=4)
    points = list(part.points(made))
    assert points
    assert len({point.key for point in points}) == len(points)
    assert all(point.part == part.name for point in points)
    assert points == list(part.points(bench(kind, meter=steady_meter(), num_devices=4)))


@pytest.mark.parametrize(
    "part", [GemmPart(), AttentionPart(), bandwidth.BandwidthPart()], ids=lambda one: one.name
)
def test_another_seed_draws_another_order(part: Part) -> None:
    assert list(part.points(bench("gpu"))) != list(part.points(bench("gpu", seed=1)))


@pytest.mark.parametrize("kind", KINDS)
def test_products_have_all_layouts_and_formats_and_their_work(kind: str) -> None:
    points = GemmPart().points(bench(kind))
    assert {point.layout for point in points} == {"TN", "NN", "NT"}
    assert {point.dtype for point in points} >= {"float32", "bfloat16"}
    for point in points:
        m, n, k = (point.size(name) for name in "mnk")
        assert point.flop == 2.0 * m * n * k
        assert point.size_bytes == gemm.ELEMENT_BYTES[point.dtype] * (m * k + k * n + m * n)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_of_products_that_is_cut_short_has_seen_every_weight(kind: str) -> None:
    points = [point for point in GemmPart().points(bench(kind)) if point.layout == "TN"]
    main = [point for point in points if point.dtype == gemm.main_dtype(bench(kind))]
    weights = {(point.size("n"), point.size("k")) for point in main}
    beginning = main[: 2 * len(weights)]
    assert {(point.size("n"), point.size("k")) for point in beginning} >= weights - {beginning[0].shape[1:]}
    assert len({point.size("m") for point in beginning}) > 3


def test_every_other_layout_has_its_forward_product_to_compare_with() -> None:
    points = GemmPart().points(bench("gpu"))
    forward = {point.shape for point in points if point.layout == "TN"}
    assert {point.shape for point in points if point.layout != "TN"} <= forward


def test_a_device_without_bfloat16_is_swept_in_float16() -> None:
    points = GemmPart().points(bench("gpu", has_bfloat16=False))
    assert max({point.dtype for point in points}, key=[point.dtype for point in points].count) == "float16"


@pytest.mark.parametrize("kind", KINDS)
def test_streams_reach_from_a_launch_to_far_beyond_the_cache_and_fit_into_memory(kind: str) -> None:
    made = bench(kind, memory_size_bytes=16e9)
    sizes = [point.size_bytes for point in bandwidth.BandwidthPart().points(made)]
    assert min(sizes) < 1e6
    assert 2.0 * made.facts.cache_size_bytes < max(sizes) < 16e9 / 2
    assert sum(size > 2.0 * made.facts.cache_size_bytes for size in sizes) >= 10
    assert max(sizes) == sizes[0]


def test_collectives_need_several_devices() -> None:
    assert list(CollectivesPart().points(bench("gpu", num_devices=1))) == []


def test_without_a_meter_no_time_is_spent_on_power() -> None:
    assert list(PowerPart().points(bench("gpu"))) == []


def test_graphs_are_for_accelerators() -> None:
    assert {point.mode for point in LaunchPart().points(bench("cpu"))} == {"eager"}
    assert {point.mode for point in LaunchPart().points(bench("gpu"))} == {"eager", "graph"}
