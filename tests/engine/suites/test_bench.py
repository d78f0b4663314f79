"""One point: how long it is measured, what its row says, and which clock prices it."""

from __future__ import annotations

import math
import time

import pytest
import torch

from simtool.engine.suites import attention, bandwidth, gemm
from simtool.engine.suites.bench import EFFORTS, GRAPH_BELOW_S, Effort
from simtool.engine.suites.launch import LaunchPart
from simtool.engine.suites.part import Part, Unmeasurable
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import DeviceStopwatch, ProcessStopwatch
from simtool.engine.suites.sustained import idle
from tests.engine.suites.made import SHORT, WATTS, FakeCuda, TickingStopwatch, bench, steady_meter

POINT = Point(
    part="gemm", op="mm", dtype="float32", layout="TN", shape=(("m", 4),), flop=100.0, size_bytes=8.0
)


@pytest.mark.parametrize("duration_s", [1e-3, 2e-2, 0.7])
def test_a_row_tells_the_time_of_one_call(duration_s: float) -> None:
    stopwatch = TickingStopwatch()
    row = bench(stopwatch=stopwatch).measure(POINT, [stopwatch.spend(duration_s)] * 3)
    assert row["duration_median_s"] == pytest.approx(duration_s)
    assert row["duration_p10_s"] <= row["duration_median_s"] <= row["duration_p90_s"]
    assert (row["part"], row["op"], row["shape"], row["flop"]) == ("gemm", "mm", "m=4", 100.0)


@pytest.mark.parametrize("duration_s", [2e-6, 1e-4, 0.05])
def test_the_window_is_filled_however_short_a_call_is(duration_s: float) -> None:
    stopwatch = TickingStopwatch()
    effort = Effort(settle_s=0.1, measure_s=0.3, num_repeats=5)
    row = bench(stopwatch=stopwatch).measure(POINT, [stopwatch.spend(duration_s)], effort)
    assert row["num_calls"] * duration_s >= 0.3 * (1 - 1e-9)
    assert row["num_calls"] % effort.num_repeats == 0
    assert stopwatch.now_s - row["num_calls"] * duration_s >= 0.1  # settled before


def test_a_gpu_is_measured_for_as_long_as_its_meter_needs() -> None:
    assert EFFORTS["gpu"].measure_s >= 0.3
    assert EFFORTS["gpu"].longer(6.0).measure_s == 6.0


def test_short_calls_are_recorded_and_long_ones_are_not() -> None:
    stopwatch = TickingStopwatch(can_record=True)
    short = bench(stopwatch=stopwatch).measure(POINT, [stopwatch.spend(GRAPH_BELOW_S / 10)] * 3)
    assert (short["mode"], stopwatch.num_recorded) == ("graph", 1)
    assert short["duration_median_s"] == pytest.approx(GRAPH_BELOW_S / 10)
    long = bench(stopwatch=stopwatch).measure(POINT, [stopwatch.spend(GRAPH_BELOW_S * 10)])
    assert (long["mode"], stopwatch.num_recorded) == ("eager", 1)


def test_a_graph_that_cannot_be_had_is_no_measurement_of_one() -> None:
    point = next(point for point in LaunchPart().points(bench("gpu")) if point.mode == "graph")
    with pytest.raises(Unmeasurable, match="graph"):
        LaunchPart().measure(bench("gpu"), point)


def test_operands_are_taken_in_turn_until_the_cache_is_passed() -> None:
    made = bench(cache_size_bytes=10e6)
    assert made.num_sets(100e6) == 1
    assert 1 < made.num_sets(5e6) <= made.num_sets(1e3) <= 8
    seen: list[int] = []
    made.measure(POINT, [lambda number=number: seen.append(number) for number in range(3)])
    assert {seen.count(number) for number in range(3)} <= {len(seen) // 3, len(seen) // 3 + 1}


def test_power_is_energy_over_time_and_says_what_it_is() -> None:
    with steady_meter() as meter:
        row = bench(meter=meter).measure(
            POINT, [lambda: time.sleep(0.01)], Effort(settle_s=0, measure_s=1e-3, num_repeats=20)
        )
    assert row["power_kind"] == "measured"
    assert row["power_w"] == pytest.approx(WATTS, rel=0.05)
    assert "power_w" not in bench().measure(POINT, [lambda: None])


def test_idling_is_told_by_a_meter_or_not_at_all() -> None:
    point = Point(part="power", op="idle")
    with steady_meter() as meter:
        assert idle(point, meter, 0.1)["power_w"] == pytest.approx(WATTS, rel=0.05)
    with pytest.raises(Unmeasurable):
        idle(point, None, 0.1)


def test_processor_time_leaves_waiting_out() -> None:
    waited, worked = ProcessStopwatch().durations_s(lambda: time.sleep(0.05), 1)[0], 0.0
    end_s = time.process_time() + 0.02
    worked = ProcessStopwatch().durations_s(
        lambda: [None for _ in iter(lambda: time.process_time() < end_s, False)], 1
    )[0]
    assert waited < 0.02 <= worked * 1.05


def test_events_of_the_device_are_read_after_it_is_done() -> None:
    cuda = FakeCuda()
    stopwatch = DeviceStopwatch(torch.device("cpu"), cuda)

    def block() -> None:
        cuda.now_ms += 2.0

    assert stopwatch.durations_s(block, 3) == pytest.approx([2e-3] * 3)
    assert cuda.log == ["wait"]
    replay = stopwatch.recorded(block)
    assert replay is not None
    assert cuda.log[1:] == ["beside", "record"]
    assert stopwatch.durations_s(replay, 2) == pytest.approx([0.5e-3] * 2)


def test_what_cannot_be_recorded_leaves_the_device_usable() -> None:
    cuda = FakeCuda(fails=True)
    assert DeviceStopwatch(torch.device("cpu"), cuda).recorded(lambda: None) is None
    assert cuda.log[-1] == "finish"


@pytest.mark.parametrize(
    "point",
    [gemm.product(96, 64, 32, "float32", layout) for layout in ("TN", "NN", "NT")],
    ids=lambda point: point.layout,
)
def test_products_of_every_layout_have_the_shape_that_they_say(point: Point) -> None:
    (product,) = gemm.products(bench(cache_size_bytes=0.0), point)
    assert tuple(product().shape) == (96, 64)


@pytest.mark.parametrize(
    ("part", "op"),
    [(bandwidth.BandwidthPart(), "copy"), (bandwidth.BandwidthPart(), "add"), (bandwidth.BandwidthPart(), "sum"),
     (attention.AttentionPart(), "attention"), (attention.AttentionPart(), "attention_backward"),
     (LaunchPart(), "linear_forward_backward")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)  # fmt: skip
def test_kernels_run_and_take_time(part: Part, op: str) -> None:
    made = bench(memory_size_bytes=1e8, cache_size_bytes=1e6)
    point = min(
        (one for one in part.points(made) if one.op == op), key=lambda one: (one.flop, one.size_bytes)
    )
    row = part.measure(made, point)
    assert row["duration_median_s"] > 0.0
    assert row["num_repeats"] == SHORT.num_repeats
    assert math.isfinite(row["window_s"])


def test_formats_do_not_leak_from_one_product_to_the_next() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    with gemm.tfloat32("tfloat32"):
        assert torch.backends.cuda.matmul.allow_tf32
        with gemm.tfloat32("float32"):
            assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before
