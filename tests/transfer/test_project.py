"""Projections of operations whose answers are known without the formula."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.transfer.classes import CLASSES
from simtool.transfer.constants import Transfer
from simtool.transfer.project import Projector
from simtool.transfer.projection import BASES, Projection
from simtool.transfer.traced import Traced
from tests.transfer.ops import LIBRARY, attention, elementwise, product, traced, traced_op

CONSTANTS = cast("Transfer", LIBRARY.get("transfer", "eager"))
MIX = (
    product(),
    attention(),
    elementwise(count=40.0),
    product(64, 64, 64, duration_s=6e-6),
    elementwise(8.0, duration_s=2e-6),
)


def project(work: Traced, source: str = "h100-sxm", target: str = "mi300x", **facts: float) -> Projection:
    there, here = LIBRARY.get("accelerator", target), LIBRARY.get("accelerator", source)
    return Projector(source=here, target=there, library=LIBRARY, constants=CONSTANTS, **facts).project(work)  # type: ignore[arg-type]


def seconds(op, source: str = "h100-sxm", target: str = "mi300x") -> float:
    return project(traced(op), source, target).whole.device_time_s


@pytest.mark.parametrize("device", ["h100-sxm", "mi300x", "a100-sxm-80", "tpu-v5e"])
def test_a_device_projected_to_itself_gives_what_was_measured(device: str) -> None:
    work = traced(
        *(op for op in MIX if op.dtype == "bfloat16"), traced_op("gemm"), traced_op("elementwise", duration_s=5e-7),
        traced_op("communication", variant="all_reduce", size_bytes=1e8, group_size=8, duration_s=1e-3),
        traced_op("copy", variant="host_to_device", size_bytes=1e8, duration_s=2e-3),
        traced_op("copy", variant="device_to_host", size_bytes=1.0, duration_s=8e-7),
    )  # fmt: skip
    found = project(work, device, device)
    for one in found.ops:
        assert one.duration_s == pytest.approx(one.op.duration_s), one.op
    assert found.whole.device_time_interval_s == pytest.approx((work.device_time_s,) * 2)


def test_large_streams_go_with_the_bandwidths() -> None:
    ratio = seconds(elementwise(4e9)) / elementwise(4e9).duration_s
    assert ratio == pytest.approx(3.35 / 5.3, rel=0.25)


def test_large_products_are_bounded_by_the_peak_rates() -> None:
    op = product(16384, 16384, 16384)
    assert seconds(op) >= op.flop / 1307.4e12
    assert seconds(op, target="b200-sxm") < op.duration_s < seconds(op, target="a100-sxm-80")


def test_a_kernel_that_is_all_latency_does_not_speed_up_with_the_bandwidth() -> None:
    op = elementwise(64.0, duration_s=1.7e-6)
    assert seconds(op) > op.duration_s  # the other device's smallest kernel is the longer one
    assert 2e-6 < seconds(op) < 6e-6


def test_a_slow_kernel_stays_slow_but_not_wholly() -> None:
    usual, slow = elementwise(1e9), elementwise(1e9, duration_s=3 * elementwise(1e9).duration_s)
    assert 1.8 * seconds(usual) < seconds(slow) < 3.0 * seconds(usual)
    sister = {"source": "h100-sxm", "target": "h200-sxm"}  # of one architecture: the same kernels
    assert seconds(slow, **sister) == pytest.approx(3.0 * seconds(usual, **sister))


@given(st.floats(1e-7, 1.0), st.floats(1.01, 10.0), st.sampled_from(["gemm", "elementwise", "attention"]))
def test_what_takes_longer_here_takes_longer_there(duration_s: float, factor: float, kind: str) -> None:
    for op in (traced_op(kind), MIX[0], MIX[2]):
        first, second = (replace(op, duration_s=time_s) for time_s in (duration_s, factor * duration_s))
        assert 0 < seconds(first) < seconds(second)


def test_sums_agree_however_they_are_grouped() -> None:
    found = project(traced(*MIX, traced_op("reduction"), busy_frac=0.8))
    parts = found.by_class.values()
    for name in ("device_time_s", "energy_j", "measured_s", "num_ops"):
        assert sum(getattr(one, name) for one in parts) == pytest.approx(getattr(found.whole, name))
    assert found.whole.device_time_s == pytest.approx(sum(one.total_s for one in found.ops))
    for one in (found.whole, *parts):
        assert sum(one.shares[basis] for basis in BASES) == pytest.approx(1.0)
        low, high = one.device_time_interval_s
        assert low < one.device_time_s < high


def test_errors_of_different_classes_cancel_in_part() -> None:
    found = project(traced(*MIX))
    width = {name: one.device_time_interval_s[1] / one.device_time_s for name, one in found.by_class.items()}
    whole = found.whole.device_time_interval_s[1] / found.whole.device_time_s
    assert whole < max(width.values())


def test_energy_is_power_of_the_phase_over_the_time_that_the_device_works() -> None:
    op = product(16384, 16384, 16384)
    found = project(traced(op)).whole
    assert found.energy_j == pytest.approx(0.92 * 750 * found.device_time_s, rel=0.01)
    assert project(traced(op, busy_frac=0.5)).whole.energy_j == pytest.approx(found.energy_j / 2)
    assert project(traced(op), power_limit_w=375.0).whole.energy_j == pytest.approx(found.energy_j / 2)
    idle = project(traced(elementwise(8.0, duration_s=2e-6))).whole
    assert idle.energy_j < 0.4 * 750 * idle.device_time_s


def test_without_a_power_limit_there_is_no_energy_and_it_is_said() -> None:
    found = project(traced(product()), target="tpu-v5e")
    assert found.whole.energy_j is None
    assert any("no power limit" in note for note in found.notes)
    assert project(traced(product()), target="tpu-v5e", power_limit_w=200.0).whole.energy_j > 0


def test_unknown_work_follows_the_same_kernel_where_it_is_known() -> None:
    known = product(name="gemm_128x64")
    twin = traced_op("gemm", name="gemm_128x64", duration_s=1.2 * known.duration_s)
    other = traced_op("gemm", name="gemm_256x64", duration_s=1.2 * known.duration_s)
    found = {one.op.name + one.op.shapes: one for one in project(traced(known, twin, other)).ops}
    first, second = found[known.name + known.shapes], found["gemm_128x64"]
    assert second.duration_s / twin.duration_s == pytest.approx(first.duration_s / known.duration_s)
    assert [one.basis for one in (first, second, found["gemm_256x64"])] == [
        "direct",
        "transferred",
        "analytic",
    ]


def test_a_trace_without_shapes_is_projected_and_labelled() -> None:
    found = project(traced(traced_op("gemm", duration_s=1e-3), traced_op("elementwise", duration_s=1e-3)))
    assert found.whole.shares["analytic"] == 1.0
    assert any("no shapes" in note for note in found.notes)
    assert found.by_class["elementwise"].device_time_s == pytest.approx(1e-3 * 3.35 / 5.3, rel=0.25)


def test_devices_that_stood_in_no_pair_widen_the_interval() -> None:
    paired, unpaired = project(traced(*MIX)), project(traced(*MIX), target="mi210")
    width = [
        found.whole.device_time_interval_s[1] / found.whole.device_time_s for found in (paired, unpaired)
    ]
    assert width[0] < width[1]
    assert any("cdna2" in note for note in unpaired.notes)
    assert unpaired.by_class["gemm"].shares["transferred"] == 1.0


def test_collectives_scale_with_the_networks() -> None:
    sized = traced_op("communication", variant="all_reduce", size_bytes=1e9, group_size=8, duration_s=5e-3)
    bare = replace(sized, size_bytes=None)
    assert seconds(sized, target="a100-sxm-80") == pytest.approx(1e-2, rel=0.4)  # 300 for 450 GB/s
    assert seconds(bare, target="a100-sxm-80") == pytest.approx(5e-3 * 450 / 300)
    bases = [one.basis for one in project(traced(sized, bare), target="a100-sxm-80").ops]
    assert sorted(bases) == ["analytic", "transferred"]


def test_a_format_without_a_rate_is_refused_if_it_matters() -> None:
    with pytest.raises(InputError, match="v100-sxm2-32 states no rate for bf16, in which 100"):
        project(traced(product()), target="v100-sxm2-32")
    with pytest.raises(InputError, match="device: v100-sxm2-32 states no rate for bf16"):
        project(traced(product()), source="v100-sxm2-32")
    little = product(8, 8, 8, dtype="float32", duration_s=1e-7)
    found = project(traced(product(), little), target="tpu-v4")
    assert any("no rate for fp32: 0.0%" in note for note in found.notes)
    assert len(found.ops) == 2


def test_formats_that_the_machine_model_does_not_price_go_by_their_rates() -> None:
    double, integer = (seconds(product(dtype=dtype, duration_s=1.0)) for dtype in ("float64", "int8"))
    assert double / integer == pytest.approx((67 / 163.4) / (1978.9 / 2614.9), rel=1e-3)


def test_where_there_is_no_tf32_it_is_full_precision() -> None:
    assert seconds(product(dtype="tf32", duration_s=1.0), target="v100-sxm2-32") > 5.0


@pytest.mark.parametrize(
    "shapes", ["", "[]", "nonsense", "[[1]]", "[[2,3],[4,5]]", "[[],[]]", "7", '["a","b"]', "[null,null]"]
)
def test_damaged_shapes_are_unknown_work(shapes: str) -> None:
    for kind in ("gemm", "attention") if "2,3" in shapes else ("gemm", "attention", "convolution"):
        found = project(
            traced(traced_op(kind, operator="aten::mm", shapes=shapes, flop=1e9, duration_s=1e-4))
        )
        assert found.whole.shares["analytic"] == 1.0


def test_a_kernel_of_no_duration_stays_one() -> None:
    found = project(traced(product(duration_s=0.0), product()))
    assert found.ops[-1].duration_s == 0.0


SIZES = st.integers(0, 2**40)
ANY_OP = st.builds(
    traced_op,
    st.sampled_from(CLASSES),
    name=st.sampled_from(["", "kernel", "other"]),
    operator=st.sampled_from(
        ["", "aten::mm", "aten::addmm", "aten::linear", "aten::bmm", "aten::convolution_backward",
         "aten::_scaled_dot_product_flash_attention", "aten::_flash_attention_backward"]
    ),
    variant=st.sampled_from(["", "all_reduce", "all_gather", "send_recv", "reduce", "other", "host_to_device", "fill"]),
    shapes=st.lists(st.lists(SIZES, max_size=4), max_size=4).map(json.dumps) | st.text(max_size=9),
    dtype=st.sampled_from(["", "bfloat16", "float32", "float64", "int8", "bool", "complex64"]),
    count=st.floats(1.0, 1e6),
    duration_s=st.just(0.0) | st.floats(1e-9, 1e5),
    flop=st.none() | st.floats(0.0, 1e24),
    size_bytes=st.none() | st.floats(0.0, 1e18),
    group_size=st.none() | st.integers(1, 10**6),
)  # fmt: skip


@given(
    st.lists(ANY_OP, min_size=1, max_size=5), st.sampled_from(["mi300x", "a100-sxm-80", "b200-sxm", "l40s"])
)
def test_whatever_a_trace_tells_the_answer_is_a_number(ops, target: str) -> None:
    work = traced(*ops)
    if not work.device_time_s > 0:
        return
    found = project(work, target=target)
    low, high = found.whole.device_time_interval_s
    assert 0 <= low <= found.whole.device_time_s <= high < float("inf")
    assert 0 <= found.whole.energy_j < float("inf")
    json.dumps(found.as_json(), allow_nan=False)
