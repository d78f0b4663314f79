"""Whose time it was: the join of a profile with the counted operations, on made-up and on real profiles."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simtool.engine.count import Counts, OpCounter, OpKey
from simtool.engine.recorder.join import join
from simtool.engine.recorder.profile import Span, profiler, spans
from simtool.trace.schema import UNATTRIBUTED

MM = ((8, 4), (4, 2))


def counted(*ops: tuple[str, str, tuple[tuple[int, ...], ...], float]) -> Counts:
    counts = Counts()
    for phase, name, shapes, flop in ops:
        counts.add(OpKey(phase, name, shapes, "float32"), flop, 8.0)
    return counts


def phase(name: str, begin_s: float, end_s: float, *inside: Span) -> Span:
    return Span(f"simtool:{name}", begin_s, end_s, children=list(inside))


def test_the_outermost_span_of_a_counted_name_holds_what_it_calls() -> None:
    inner = Span("aten::mm", 2.5, 3.0, MM)
    linear = Span("aten::linear", 1.0, 4.0, children=[Span("aten::addmm", 2.0, 3.5, MM, children=[inner])])
    counts = counted(("forward", "addmm", MM, 128.0), ("forward", "mm", MM, 128.0))
    sample = join([phase("forward", 0.0, 5.0, linear)], counts, on_device=False)
    assert {key.name: share.duration_s for key, share in sample.ops.items()} == {
        "addmm": 1.5,
        UNATTRIBUTED: 3.5,
    }
    assert sample.phase_s == {"forward": 5.0}


def test_shapes_tell_equal_names_apart_and_numbers_do_not_hide_them() -> None:
    small, large = ((2, 2), (2, 2)), ((9, 9), (9, 9))
    counts = counted(("forward", "mul", (*small, ()), 0.0), ("forward", "mul", large, 0.0))
    outermost = [
        phase("forward", 0.0, 10.0, Span("aten::mul", 0.0, 1.0, small), Span("aten::mul", 1.0, 4.0, large))
    ]
    by_shape = {
        key.shapes: share.duration_s for key, share in join(outermost, counts, on_device=False).ops.items()
    }
    assert by_shape == {(*small, ()): 1.0, large: 3.0, (): 6.0}


def test_a_span_without_shapes_is_shared_by_work() -> None:
    counts = counted(
        ("optimizer", "_foreach_add_", ((4,), (4,)), 0.0), ("optimizer", "_foreach_add_", ((2,),), 0.0)
    )
    counts.add(OpKey("optimizer", "_foreach_add_", ((2,),), "float32"), 0.0, 16.0)  # 8 bytes against 24
    outermost = [phase("optimizer", 0.0, 4.0, Span("aten::_foreach_add_", 0.0, 4.0))]
    ops = join(outermost, counts, on_device=False).ops
    assert [share.duration_s for share in ops.values()] == [1.0, 3.0, 0.0]


def test_a_joint_backward_is_divided_between_its_halves() -> None:
    shapes = ((1, 2, 3, 3), (2, 2, 1, 1))
    counts = counted(
        ("backward_input", "convolution_backward", shapes, 100.0),
        ("backward_weight", "convolution_backward", shapes, 300.0),
    )
    outermost = [phase("backward", 0.0, 5.0, Span("aten::convolution_backward", 1.0, 5.0, shapes))]
    ops = join(outermost, counts, on_device=False).ops
    assert {key.phase: share.duration_s for key, share in ops.items()} == {
        "backward_input": 1.0,
        "backward_weight": 3.0,
        "backward": 1.0,
    }


def test_a_backward_pass_on_another_thread_is_joined_by_time_and_kernels() -> None:
    kernels = Span("aten::mm", 1.2, 1.3, MM, device_s=0.5, launches=2)
    inside = Span("aten::mm", 1.1, 1.4, MM, children=[kernels], device_s=0.25, launches=1)
    node = Span("autograd::engine::evaluate_function: MmBackward0", 1.0, 1.5, children=[inside])
    late = Span("aten::mm", 7.0, 8.0, MM, device_s=9.0, launches=1)
    counts = counted(("backward_weight", "mm", MM, 128.0))
    sample = join([phase("backward", 0.5, 3.5), node, late], counts, on_device=True)
    ops = {key.phase: share for key, share in sample.ops.items()}
    assert (ops["backward_weight"].duration_s, ops["backward_weight"].launches) == (0.75, 3.0)
    assert ops["backward"].duration_s == pytest.approx(3.0 - 0.75)


def test_kernels_that_overlap_leave_less_than_nothing() -> None:
    counts = counted(("forward", "mm", MM, 128.0))
    sample = join(
        [phase("forward", 0.0, 1.0, Span("aten::mm", 0.0, 0.1, MM, 1.5, 2))], counts, on_device=True
    )
    assert sum(share.duration_s for share in sample.ops.values()) == pytest.approx(1.0)


def test_a_sum_that_was_counted_apart_is_found_in_place() -> None:
    counts = counted(("backward_input", "add", ((2, 2), (2, 2)), 0.0))
    sample = join(
        [phase("backward", 0.0, 3.0, Span("aten::add_", 0.0, 2.0, ((2, 2), (2, 2))))], counts, on_device=False
    )
    assert [share.duration_s for share in sample.ops.values()] == [2.0, 1.0]


names = st.sampled_from(["mm", "add", "view"])
some_shapes = st.sampled_from([MM, ((2, 2),), ()])


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> Span:
    begin_s = draw(st.floats(0.0, 10.0))
    span = Span(f"aten::{draw(names)}", begin_s, begin_s + draw(st.floats(0.0, 5.0)), draw(some_shapes),
                draw(st.floats(0.0, 1.0)), draw(st.integers(0, 3)))  # fmt: skip
    if depth:
        span.children = draw(st.lists(trees(depth - 1), max_size=2))
    return span


@given(
    drawn=st.lists(trees(), max_size=4),
    ops=st.lists(st.tuples(st.sampled_from(["forward", "backward_input", "backward_weight"]), names, some_shapes,
                           st.floats(0.0, 10.0)), max_size=5),
    on_device=st.booleans(),
)  # fmt: skip
def test_operations_always_sum_to_their_phase(
    drawn: list[Span], ops: list[tuple[str, str, tuple[tuple[int, ...], ...], float]], on_device: bool
) -> None:
    halves = len(drawn) // 2
    outermost = [phase("forward", 0.0, 20.0, *drawn[:halves]), phase("backward", 30.0, 40.0, *drawn[halves:])]
    sample = join(outermost, counted(*ops), on_device=on_device)
    for name, parts in (
        ("forward", {"forward"}),
        ("backward", {"backward", "backward_input", "backward_weight"}),
    ):
        total = sum(share.duration_s for key, share in sample.ops.items() if key.phase in parts)
        assert total == pytest.approx(sample.phase_s[name])


def test_a_real_profile_finds_every_counted_operation() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(144, 5),
        torch.nn.LayerNorm(5),
    )
    inputs = torch.randn(2, 3, 8, 8, requires_grad=True)
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        with running("forward"):
            loss = model(inputs).square().mean()
        with running("backward"):
            loss.backward()
        with running("optimizer"):
            optimizer.step()

    def running(name: str) -> torch.profiler.record_function:
        counter.phase = name
        return torch.profiler.record_function(f"simtool:{name}")

    counter = OpCounter(model.parameters())
    step()
    with counter:
        step()
    with profiler(torch.device("cpu")) as profiled:
        step()
    sample = join(spans(profiled), counter.counts, on_device=False)
    missed = {(key.phase, key.name) for key in counter.counts.ops if key not in sample.ops}
    assert not missed
    for key, count in counter.counts.ops.items():
        assert sample.ops[key].launches == pytest.approx(
            0.5 * count.calls if key.name == "convolution_backward" else count.calls
        )
    assert all(share.duration_s >= 0.0 for share in sample.ops.values())
