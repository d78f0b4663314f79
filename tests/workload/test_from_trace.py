"""A recorded step as a workload: the work that was recorded, and the same work at another size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import simtool
from simtool.errors import InputError
from simtool.stepgraph import Phase
from simtool.trace import import_trace
from simtool.workload.captured import CapturedWorkload, read_workload, write_workload
from simtool.workload.from_trace import from_kernels
from tests.trace.kineto_files import ADD, FLASH, GEMM, NCCL, Recorder, write

VOCABULARY, HIDDEN, WIDE, HEADS, HEAD = 500, 96, 320, 6, 16
BF16 = "c10::BFloat16"


class Training(Recorder):
    """A step of a model with one block, as the profiler records it: every operator of one kernel of 10 us."""

    def __init__(self, batch: int, seq_len: int) -> None:
        super().__init__()
        self.batch, self.seq_len, self.tokens, self.now = batch, seq_len, batch * seq_len, 1000.0

    def operator(
        self, name: str, kernel: str, shapes: list[list[int]], *, around: str = "", values: tuple[Any, ...] = (),
        types: tuple[str, ...] = (), strides: list[list[int]] | None = None,
    ) -> None:  # fmt: skip
        begin = self.now
        self.now += 20.0
        if around:
            self.host(around, begin, 15)
        self.host(name, begin + 1, 10, **{
            "Input Dims": shapes, "Input type": list(types) or [BF16] * len(shapes),
            "Input Strides": strides or [[1] * len(shape) for shape in shapes],
            "Concrete Inputs": [str(one) for one in values] or [""] * len(shapes),
        })  # fmt: skip
        self.kernel(kernel, begin + 2, begin + 5, 10.0)

    def linear(self, inner: int, columns: int, *, backward: bool = False) -> None:
        """A linear layer; its backward pass is the product with the weight and that with the input."""
        rows, around = self.tokens, "autograd::engine::evaluate_function: MmBackward0"
        if not backward:
            self.operator(
                "aten::mm", GEMM, [[rows, inner], [inner, columns]], strides=[[inner, 1], [1, inner]]
            )
            return
        shapes = [[rows, columns], [columns, inner]]
        self.operator("aten::mm", GEMM, shapes, around=around, strides=[[columns, 1], [inner, 1]])
        shapes = [[columns, rows], [rows, inner]]
        self.operator("aten::mm", GEMM, shapes, around=around, strides=[[1, columns], [inner, 1]])

    def record(self) -> dict[str, Any]:
        """Embedding, projection, attention, MLP with an activation, and all of it backwards; Adam."""
        batch, length, heads = self.batch, self.seq_len, [[self.batch, self.seq_len, HEADS, HEAD]] * 3
        begin = self.now
        self.operator(
            "aten::embedding", ADD, [[VOCABULARY, HIDDEN], [batch, length]], types=(BF16, "long int")
        )
        self.linear(HIDDEN, 3 * HIDDEN)
        places = [*heads, [], [], [], [], [], []]
        types = (BF16, BF16, BF16, *[""] * 6)
        values = ("", "", "", "", "", "", "", "", "True")
        self.operator("aten::_flash_attention_forward", FLASH, places, types=types, values=values)
        self.linear(HIDDEN, WIDE)
        self.operator("aten::gelu", ADD, [[batch, length, WIDE]])
        self.linear(WIDE, HIDDEN)
        self.operator("aten::mul", ADD, [[WIDE, HIDDEN], []], types=(BF16, "Scalar"))  # of a weight
        self.linear(WIDE, HIDDEN, backward=True)
        around = "autograd::engine::evaluate_function: GeluBackward0"
        self.operator("aten::gelu_backward", ADD, [[batch, length, WIDE]] * 2, around=around)
        self.linear(HIDDEN, WIDE, backward=True)
        places, types = [heads[0], *heads, *[[]] * 8], (*[BF16] * 4, *[""] * 8)
        values = (*[""] * 11, "True")
        around = "autograd::engine::evaluate_function: FlashBackward0"
        self.operator(
            "aten::_flash_attention_backward", FLASH, places, around=around, types=types, values=values
        )
        self.linear(HIDDEN, 3 * HIDDEN, backward=True)
        self.kernel(NCCL, self.now, self.now + 5, 10.0, **{"Collective name": "allreduce"})
        self.operator(
            "aten::_fused_adamw_", "multi_tensor_apply_kernel", [[]], around="Optimizer.step#AdamW.step"
        )
        self.step(1, begin, self.now + 30 - begin)
        return self.document()


def workload_at(
    folder: Path, batch: int, seq_len: int, said: tuple[int, int] | None = None
) -> CapturedWorkload:
    path = write(folder / f"{batch}-{seq_len}.json", Training(batch, seq_len).record())
    given = {} if said is None else {"batch": said[0], "seq_len": said[1]}
    return from_kernels(import_trace(path).kernels, name="mine", source="a test", where="here", **given)


@pytest.mark.parametrize("recorded", [(2, 128), (1, 160), (4, 32)])
def test_the_recorded_work_comes_out_as_it_went_in(tmp_path: Path, recorded: tuple[int, int]) -> None:
    workload = workload_at(tmp_path, *recorded)
    batch, seq_len = recorded
    weights = 3 * HIDDEN * HIDDEN + 2 * HIDDEN * WIDE
    tokens, square = batch * seq_len, 4 * batch * HEADS * HEAD * seq_len**2
    assert (workload.captured.batch, workload.captured.seq_len) == recorded
    assert workload.parameters == weights + VOCABULARY * HIDDEN
    assert workload.flop(batch, seq_len, Phase.FORWARD) == 2 * tokens * weights + square
    assert workload.flop(batch, seq_len, Phase.BACKWARD_WEIGHT) == 2 * tokens * weights
    assert workload.flop(batch, seq_len, Phase.BACKWARD_INPUT) == 2 * tokens * weights + 2.5 * square
    assert (workload.optimizer.name, workload.optimizer.state_elements) == ("Adam", 2 * workload.parameters)
    assert any("1 collectives were left out" in note for note in workload.notes)
    assert workload.not_counted == ()


@pytest.mark.parametrize("size", [(8, 128), (2, 512), (6, 256), (1, 64)])
@pytest.mark.parametrize("recorded", [(2, 128), (1, 160)])
def test_another_size_is_what_would_have_been_recorded_there(
    tmp_path: Path, recorded: tuple[int, int], size: tuple[int, int]
) -> None:
    rescaled, there = workload_at(tmp_path, *recorded), workload_at(tmp_path, *size)
    for phase in (Phase.FORWARD, Phase.BACKWARD_INPUT, Phase.BACKWARD_WEIGHT):
        assert rescaled.flop(*size, phase) == there.flop(*size, phase) > 0
    moved = [one.num_bytes(*size, element_bytes=2, eager=True) for one in (rescaled, there)]
    assert moved[0] == pytest.approx(moved[1], rel=1e-9)
    assert rescaled.layers[0].kept == there.layers[0].kept
    assert rescaled.parameters == there.parameters


@pytest.mark.parametrize("size", [(1, 160), (2, 128)])
def test_the_file_survives_and_is_priced(tmp_path: Path, size: tuple[int, int]) -> None:
    workload = workload_at(tmp_path, *size)
    path = tmp_path / "mine.workload.yaml"
    path.write_text(write_workload(workload), "utf-8")
    assert read_workload(path) == workload
    changes = [
        f"workload={{model: {path}, tokens: 10 Mtoken, seq_len: 256, global_batch: 64, precision: bf16}}",
        "cluster={accelerator: h100-sxm, num_nodes: 1}", "layout={micro_batch: 4}", "method=none", "reliability=none",
    ]  # fmt: skip
    once = simtool.run("quickstart", changes)
    longer = simtool.run("quickstart", [*changes, "workload.seq_len=512"])
    assert 0 < once.value("step_time_s") < longer.value("step_time_s")
    assert once.value("energy_accelerator_j") > 0


def test_a_size_that_was_not_recorded_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no product with rows of 3 x 77 tokens; its products have .*256 x 96"
    ):
        workload_at(tmp_path, 2, 128, said=(3, 77))


def test_a_width_that_is_the_length_too_is_told(tmp_path: Path) -> None:
    workload = workload_at(tmp_path, 2, HIDDEN)
    assert any(f"{HIDDEN} is a size of the model and of the sequence too" in note for note in workload.notes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Input Dims": None}, "holds no product whose shapes were recorded"),
        ({"name": "aten::other"}, "holds no product whose shapes were recorded"),
    ],
)
def test_a_trace_without_shapes_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    document = Training(2, 128).record()
    for event in document["traceEvents"]:
        if event.get("cat") == "cpu_op":
            event.update({key: value for key, value in change.items() if key == "name"})
            for key in change.keys() & event["args"].keys():
                del event["args"][key]
    path = write(tmp_path / "bare.json", document)
    with pytest.raises(InputError, match=said):
        from_kernels(import_trace(path).kernels, name="mine", source="", where="here")


def test_without_attention_and_embedding_the_size_must_be_said(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.product(1000, rows=128, inner=64, columns=32)
    kernels = import_trace(write(tmp_path / "t.json", recorder.document())).kernels
    with pytest.raises(InputError, match=r"does not tell batch and sequence length.*--batch"):
        from_kernels(kernels, name="mine", source="", where="here")
    workload = from_kernels(kernels, batch=64, seq_len=1, name="mine", source="", where="here")
    assert not workload.any_seq_len
    assert workload.flop(128, 1) == 2 * 2 * 128 * 64 * 32
    assert any("no backward pass" in note for note in workload.notes)
    (tmp_path / "w.yaml").write_text(write_workload(workload), "utf-8")
    assert read_workload(tmp_path / "w.yaml") == workload
    with pytest.raises(InputError, match="holds no rank 7, but 0"):
        from_kernels(kernels, batch=64, seq_len=1, rank=7, name="mine", source="", where="here")


@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 60),
            st.sampled_from(["Input Dims", "Input type", "Input Strides", "Concrete Inputs", "correlation"]),
            st.lists(st.lists(st.integers(0, 2**53), max_size=5) | st.integers() | st.text(max_size=3), max_size=5),
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_shapes_with_anything_in_them(tmp_path: Path, changes: list[tuple[int, str, Any]]) -> None:
    document = Training(2, 32).record()
    called = [event for event in document["traceEvents"] if event["args"]]
    for place, name, value in changes:
        called[place % len(called)]["args"][name] = value
    kernels = import_trace(write(tmp_path / "t.json", document)).kernels
    try:
        workload = from_kernels(kernels, name="mine", source="", where="here")
    except InputError:
        return
    assert workload.flop(2, 32) > 0


def test_a_convolution_and_its_two_gradients(tmp_path: Path) -> None:
    recorder = Training(4, 1)
    image, weight, made = [4, 3, 32, 32], [16, 3, 3, 3], [4, 16, 16, 16]
    recorder.operator(
        "aten::convolution", "implicit_convolve_sgemm", [image, weight, [16], [], [], [], [], [], []],
        types=("float", "float", "float", *["ScalarList"] * 3, "Scalar", "ScalarList", "Scalar"),
        values=("", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "1"),
    )  # fmt: skip
    for kernel in ("cudnn::dgrad_engine", "cudnn::wgrad_alg0_engine"):
        recorder.kernel(kernel, recorder.now + 3, recorder.now + 6, 10.0)
    recorder.operator(
        "aten::convolution_backward", "cudnn::dgrad2d", [made, image, weight, *[[]] * 8],
        around="autograd::engine::evaluate_function: ConvolutionBackward0",
        types=("float", "float", "float", *["ScalarList"] * 4, "Scalar", "ScalarList", "Scalar", "ScalarList"),
        values=("", "", "", "[16]", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "1", "[True, True, True]"),
    )  # fmt: skip
    kernels = import_trace(write(tmp_path / "t.json", recorder.document())).kernels
    workload = from_kernels(kernels, batch=4, seq_len=1, name="mine", source="", where="here")
    one = 2 * 16 * 16 * 16 * 27
    assert workload.flop(4, 1, Phase.FORWARD) == 4 * one
    assert workload.flop(8, 1, Phase.BACKWARD_INPUT) == workload.flop(8, 1, Phase.BACKWARD_WEIGHT) == 8 * one
    assert workload.parameters == 16 * 27


@pytest.mark.parametrize(
    ("name", "parameters", "flop"),
    [("h100_qwen1.5-0.5b", 463_937_536, 6.006e12), ("mi300x_bert-small", 44_412_218, 8.273e9)],
)
def test_real_traces_of_both_makers(reference_data: Path, name: str, parameters: int, flop: float) -> None:
    path = reference_data / "data" / "kineto" / f"{name}.json.gz"
    workload = from_kernels(import_trace(path).kernels, name=name, source="", where=name)
    size = workload.captured
    assert workload.parameters == parameters
    assert workload.flop(size.batch, size.seq_len) == pytest.approx(flop, rel=0.02)
    assert workload.flop(2 * size.batch, size.seq_len) == pytest.approx(
        2 * workload.flop(size.batch, size.seq_len), rel=1e-3
    )


@pytest.mark.parametrize("model", ["bert-small", "qwen1.5-0.5b", "vit-base"])
@pytest.mark.parametrize(("maker", "accelerator"), [("h100", "h100-sxm"), ("mi300x", "mi300x")])
def test_a_recorded_pass_priced_takes_about_the_time_it_took(
    reference_data: Path, tmp_path: Path, model: str, maker: str, accelerator: str
) -> None:
    kernels = import_trace(reference_data / "data" / "kineto" / f"{maker}_{model}.json.gz").kernels
    workload = from_kernels(kernels, name="mine", source="", where="here")
    path, size = tmp_path / "mine.workload.yaml", workload.captured
    path.write_text(write_workload(workload), "utf-8")
    batches = f"seq_len: {size.seq_len}, global_batch: {8 * size.batch}"
    changes = [
        f"workload={{model: {path}, tokens: 1 Gtoken, {batches}, precision: bf16}}",
        f"cluster={{accelerator: {accelerator}, num_nodes: 1}}", f"layout={{micro_batch: {size.batch}}}",
        "software={framework: torchtitan}", "method=none", "reliability=none",
    ]  # fmt: skip
    priced_s = float(simtool.run("quickstart", changes).phases[0].estimate.seconds["forward"])
    (step,) = kernels.steps
    measured_s = float(kernels.of_step(step).numbers("duration_s").sum())
    assert priced_s == pytest.approx(measured_s, rel=0.45)
