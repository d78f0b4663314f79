"""Traces of the PyTorch profiler: joins, classes, phases, steps, and what real files say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.trace import KernelTable, import_trace, read_trace
from simtool.trace.kernels import NOTHING
from tests.trace.kineto_files import ADD, FLASH, GEMM, H100, NCCL, Recorder, two_steps, write


def column(kernels: KernelTable, name: str) -> list[object]:
    return list(kernels.table[name].to_pylist())


def test_a_kernel_knows_its_operator_shapes_and_operations(tmp_path: Path) -> None:
    kernels = import_trace(write(tmp_path / "t.json", two_steps())).kernels
    assert column(kernels, "op_class") == ["gemm", "memory", "communication"] * 2
    assert column(kernels, "operator") == ["aten::mm", "aten::add", None] * 2
    assert column(kernels, "shapes")[0] == "[[128,64],[64,32]]"
    assert column(kernels, "settings")[0] == '{"layout":"TN"}'
    assert column(kernels, "dtype")[:2] == ["bfloat16", "float32"]
    assert column(kernels, "flop")[:3] == [2.0 * 128 * 64 * 32, None, None]
    assert column(kernels, "size_bytes")[:3] == [
        2.0 * (128 * 64 + 64 * 32 + 128 * 32),
        3 * 128 * 32 * 4,
        2000,
    ]
    assert column(kernels, "group_size")[2] == 8
    assert column(kernels, "variant")[2] == "all_reduce"
    assert column(kernels, "phase")[:3] == ["forward", "forward", "communication"]
    assert column(kernels, "step") == [1, 1, 1, 2, 2, 2]


def test_steps_tell_busy_and_exposed_time(tmp_path: Path) -> None:
    imported = import_trace(write(tmp_path / "t.json.gz", two_steps()))
    assert [step.step for step in imported.steps] == [1, 2]
    for step in imported.steps:
        assert step.duration_s == pytest.approx(100e-6)
        assert step.busy_s == pytest.approx(40e-6)  # 10 to 20 and 30 to 60
        assert step.compute_s == pytest.approx(30e-6)
        assert step.communication_s == pytest.approx(20e-6)
        assert step.exposed_communication_s == pytest.approx(10e-6)
        assert step.flop == 2.0 * 128 * 64 * 32


def test_a_step_begins_when_the_device_comes_to_it(tmp_path: Path) -> None:
    """Where the host runs ahead, its annotations are shorter than the device's steps."""
    recorder = Recorder()
    for number in range(3):
        recorder.step(number, 1000.0 + 20 * number, 20)
        recorder.product(1002.0 + 20 * number, duration_us=100.0)
        recorder.events[-1]["ts"] = 1100.0 + 100 * number
    imported = import_trace(write(tmp_path / "t.json", recorder.document()))
    durations = [step.duration_s for step in imported.steps]
    assert durations == pytest.approx([200e-6, 100e-6, 100e-6])
    assert [step.busy_s for step in imported.steps] == pytest.approx([100e-6] * 3)
    assert sum(durations) == pytest.approx(imported.steps[-1].end_s - imported.steps[0].begin_s)


def test_what_was_launched_before_the_first_step_is_in_none(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.kernel(ADD, 0, 1000, 50, launched=False)
    recorder.step(7, 1010, 100)
    recorder.product(1012)
    recorder.events[-1]["ts"] = 1055.0
    imported = import_trace(write(tmp_path / "t.json", recorder.document()))
    assert column(imported.kernels, "step") == [None, 7]
    (step,) = imported.steps
    assert (step.begin_s, step.num_ops) == (pytest.approx(50e-6), 1)
    assert any("launch of 1 of 2 kernels" in note for note in imported.notes)


def test_phases_follow_the_names_around_the_launch(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.step(1, 1000, 1000)
    recorder.product(1010)
    recorder.host("autograd::engine::evaluate_function: MmBackward0", 1100, 50)
    recorder.host("MmBackward0", 1101, 48)
    recorder.product(1110)
    recorder.host("Optimizer.step#AdamW.step", 1200, 100, "user_annotation")
    recorder.host("aten::_foreach_add_", 1210, 10)
    recorder.kernel(ADD, 1212, 1220, 5)
    recorder.kernel("Memcpy HtoD (Pinned -> Device)", 1401, 1402, 5, category="gpu_memcpy", bytes=4096)
    recorder.host("aten::copy_", 1400, 5)
    kernels = import_trace(write(tmp_path / "t.json", recorder.document())).kernels
    assert column(kernels, "phase") == ["forward", "backward", "optimizer", "data"]
    assert column(kernels, "op_class") == ["gemm", "gemm", "optimizer", "copy"]
    assert column(kernels, "size_bytes")[3] == 4096
    assert column(kernels, "variant")[3] == "host_to_device"


def test_the_innermost_operator_counts_and_kernels_share_its_work(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.host(
        "aten::linear", 1000, 100, **{"Input Dims": [[4, 8], [2, 8]], "Input type": ["float", "float"]}
    )
    recorder.host("aten::addmm", 1010, 50, **{
        "Input Dims": [[2], [4, 8], [8, 2], [], []], "Input type": ["float"] * 3 + ["Scalar"] * 2})  # fmt: skip
    recorder.kernel("ampere_sgemm_128x64_nn", 1020, 1030, 30)
    recorder.kernel("void splitKreduce_kernel<float>()", 1025, 1070, 10)
    kernels = import_trace(write(tmp_path / "t.json", recorder.document())).kernels
    assert set(column(kernels, "operator")) == {"aten::addmm"}
    assert column(kernels, "flop") == pytest.approx([2 * 4 * 8 * 2 * 0.75, 2 * 4 * 8 * 2 * 0.25])
    assert column(kernels, "dtype") == ["float32", "float32"]


def test_a_product_whose_kernel_has_an_unknown_name_is_still_one(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.product(1000, name="some_vendors_kernel_7", duration_us=20.0)
    kernels = import_trace(write(tmp_path / "t.json", recorder.document())).kernels
    assert column(kernels, "op_class") == ["gemm"]
    assert column(kernels, "flop") == [2.0 * 128 * 64 * 32]


def test_the_table_can_be_cut_by_step_and_rank_and_is_written_and_read_back(tmp_path: Path) -> None:
    imported = import_trace(
        write(tmp_path / "t.json", two_steps(distributedInfo={"rank": 3, "world_size": 8}))
    )
    kernels = imported.kernels
    assert (kernels.ranks, kernels.steps) == ((3,), (1, 2))
    assert len(kernels.of_step(2)) == len(kernels.of_step(2, rank=3)) == 3
    assert len(kernels.of_step(9)) == len(kernels.of_rank(0)) == 0
    trace = read_trace(imported.write(tmp_path / "out"))
    assert trace.device_ops.equals(kernels.plain())
    assert not trace.is_cut
    assert trace.manifest.device.name == H100["name"]
    assert trace.manifest.sources == ("t.json (kineto)",)
    again = KernelTable(trace.device_ops)
    assert np.array_equal(again.numbers("flop"), kernels.numbers("flop"), equal_nan=True)
    assert again.numbers("group_size").tolist() == kernels.numbers("group_size").tolist()
    assert NOTHING in again.numbers("group_size")
    assert trace.device_steps.num_rows == 2


def test_the_time_of_day_is_kept(tmp_path: Path) -> None:
    relative = import_trace(write(tmp_path / "a.json", two_steps()))
    assert (relative.manifest.clock.ops, relative.manifest.clock.started) == ("relative", "")
    based = import_trace(write(tmp_path / "b.json", two_steps(baseTimeNanoseconds=1_700_000_000 * 10**9)))
    assert based.manifest.clock.started == "2023-11-14T22:13:20.001100+00:00"


@pytest.mark.parametrize("form", ["array", "spaced", "events last", "braces in names"])
def test_every_way_to_write_the_json_is_the_same_trace(tmp_path: Path, form: str) -> None:
    import json

    document = two_steps()
    text = json.dumps(document)
    if form == "array":
        text = json.dumps(document["traceEvents"])
    elif form == "spaced":
        text = json.dumps(document, indent=3)
    elif form == "events last":
        text = json.dumps({"metadata": {"traceEvents": [{"a": "}, {"}]}, **document})
    else:
        document["traceEvents"].insert(2, {"ph": "X", "cat": "cpu_op", "name": '}, {"ph": "X', "ts": 1, "dur": 0,
                                           "pid": 100, "tid": 100, "args": {"x": [{"y": 1}, {"z": "]}"}]}})  # fmt: skip
        text = json.dumps(document)
    path = tmp_path / "t.json"
    path.write_text(text, "utf-8")
    kernels = import_trace(path).kernels
    assert column(kernels, "op_class") == ["gemm", "memory", "communication"] * 2


def test_two_ranks_in_one_file(tmp_path: Path) -> None:
    """Two processes whose correlation numbers are the same: each kernel is joined to its own launch."""
    first, second = Recorder(process=100, device=0), Recorder(process=200, device=1)
    for offset_us, recorder in ((0.0, first), (500.0, second)):
        recorder.step(1, 1000 + offset_us, 400)
        recorder.product(1010 + offset_us)
        recorder.kernel(NCCL, 1050 + offset_us, 1060 + offset_us, 30, stream=20)
    document = first.document(deviceProperties=[H100, {**H100, "id": 1}])
    document["traceEvents"] = first.events + second.events
    imported = import_trace(write(tmp_path / "t.json", document))
    assert imported.kernels.ranks == (0, 1)
    assert [step.duration_s for step in imported.steps] == pytest.approx([400e-6, 400e-6])
    assert all(step.num_ops == 2 for step in imported.steps)
    assert {"the work of 2 ranks stands in one file"} <= set(imported.notes)
    assert imported.manifest.device.num_devices == 2
    alone = import_trace(tmp_path / "t.json", rank=1)
    assert alone.kernels.ranks == (1,)
    with pytest.raises(InputError, match="no file holds rank 5"):
        import_trace(tmp_path / "t.json", rank=5)


def test_files_of_several_ranks_become_one_trace(tmp_path: Path) -> None:
    base = {"baseTimeNanoseconds": 1_700_000_000 * 10**9}
    one = write(tmp_path / "a.json", two_steps(**base, distributedInfo={"rank": 0}))
    later = two_steps(**base, distributedInfo={"rank": 1})
    for event in later["traceEvents"]:
        event["ts"] += 50
    two = write(tmp_path / "b.json", later)
    imported = import_trace([one, two])
    assert imported.kernels.ranks == (0, 1)
    starts = imported.kernels.numbers("start_s")
    assert np.all(np.diff(starts) >= 0)
    first, second = (imported.kernels.of_rank(rank).numbers("start_s") for rank in (0, 1))
    assert second - first == pytest.approx(np.full(6, 50e-6), abs=3e-7)  # as fine as seconds since 1970 are


def test_mixed_devices_are_refused_unless_one_is_chosen(tmp_path: Path) -> None:
    first, second = Recorder(process=100, device=0), Recorder(process=200, device=1, first=1000)
    first.product(1000)
    second.product(1000)
    document = first.document(deviceProperties=[H100, {"id": 1, "name": "NVIDIA A100-SXM4-40GB"}])
    document["traceEvents"] = first.events + second.events
    path = write(tmp_path / "t.json", document)
    with pytest.raises(InputError, match=r"several kinds of device: .*H100.*rank 0.*A100.*rank 1.*--rank"):
        import_trace(path)
    assert import_trace(path, rank=1).manifest.device.name == "NVIDIA A100-SXM4-40GB"


def test_negative_and_missing_times_are_left_out_and_told(tmp_path: Path) -> None:
    document = two_steps()
    kernels = [event for event in document["traceEvents"] if event["cat"] == "kernel"]
    kernels[0]["dur"] = -3
    kernels[1]["ts"] = -5
    kernels[2]["ts"] = "soon"
    imported = import_trace(write(tmp_path / "t.json", document))
    assert len(imported.kernels) == 3
    assert any(
        "3 events of device work without a time or with a negative one" in note for note in imported.notes
    )
    for event in kernels:
        event["dur"] = -1
    with pytest.raises(
        InputError, match=r"has no kernel of a device .* and 6 of them have no time or a negative one"
    ):
        import_trace(write(tmp_path / "t.json", document))


def test_overlapping_kernels_count_once_as_busy(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.kernel(GEMM, 1000, 1010, 50)
    recorder.kernel(FLASH, 1001, 1030, 50)
    imported = import_trace(write(tmp_path / "t.json", recorder.document()))
    assert imported.steps[0].busy_s == pytest.approx(70e-6)
    assert any("1 kernel overlapping" in note for note in imported.notes)
    assert any("no step is annotated" in note for note in imported.notes)
    assert any("no shapes were recorded" in note for note in imported.notes)
    assert imported.steps[0].step == 0


def test_missing_steps_are_told(tmp_path: Path) -> None:
    recorder = Recorder()
    for place, number in enumerate((4, 5, 8)):
        recorder.step(number, 1000.0 + 100 * place, 100)
        recorder.product(1005.0 + 100 * place)
    notes = import_trace(write(tmp_path / "t.json", recorder.document())).notes
    assert any("step 6, 7 is missing between 4 and 8" in note for note in notes)


def test_an_unknown_device_is_a_result_without_a_share_of_peak(tmp_path: Path) -> None:
    from simtool.profiles.find import default_library
    from simtool.trace import summarise

    known = import_trace(write(tmp_path / "a.json", two_steps()))
    told = summarise(known, default_library())
    assert told.achieved is not None
    assert told.achieved.profile == "h100-sxm"
    strange = two_steps(deviceProperties=[{"id": 0, "name": "Frobnicator 9000"}])
    untold = summarise(import_trace(write(tmp_path / "b.json", strange)), default_library())
    assert untold.achieved is None
    assert "Frobnicator" in untold.peak_note
    nameless = summarise(
        import_trace(write(tmp_path / "c.json", two_steps(deviceProperties=None))), default_library()
    )
    assert nameless.peak_note == "the device has no name"


# ------------------------------------------------------------------------------------------- real traces


@pytest.mark.parametrize("model", ["bert-small", "qwen1.5-0.5b", "vit-base"])
def test_the_same_model_counts_the_same_operations_on_two_devices(reference_data: Path, model: str) -> None:
    steps = {
        device: import_trace(reference_data / "data" / "kineto" / f"{device}_{model}.json.gz").steps
        for device in ("h100", "mi300x")
    }
    assert len(steps["h100"]) == len(steps["mi300x"]) == 1
    assert steps["h100"][0].flop == steps["mi300x"][0].flop


def test_a_decoder_counts_what_its_configuration_says(reference_data: Path) -> None:
    """Qwen1.5-0.5B: 24 layers of width 1024 and 2816, 16 heads of 64, 16 x 559 tokens, no output layer."""
    kernels = import_trace(reference_data / "data" / "kineto" / "h100_qwen1.5-0.5b.json.gz").kernels
    tokens, width, inner, length = 16 * 559, 1024, 2816, 559
    flop = kernels.numbers("flop")
    products = np.nansum(flop[kernels.where("op_class", "gemm")])
    assert products == pytest.approx(24 * 2.0 * tokens * (4 * width**2 + 3 * width * inner), rel=1e-3)
    attention = np.nansum(flop[kernels.where("op_class", "attention")])
    assert attention == pytest.approx(24 * 4.0 * 16 * 16 * 64 * length * (length + 1) / 2, rel=1e-9)


def test_training_steps_with_collectives(reference_data: Path) -> None:
    imported = import_trace(reference_data / "data" / "kineto" / "a100_recsys_8rank.json.gz")
    assert imported.kernels.ranks == (3,)
    assert [step.step for step in imported.steps] == list(range(1009, 1015))
    assert len({step.flop for step in imported.steps}) == 1
    phases = set(imported.kernels.texts("phase")[1])
    assert phases == {"data", "forward", "backward", "optimizer", "communication"}
    for step in imported.steps:
        assert 0 < step.exposed_communication_s < step.communication_s < step.busy_s < step.duration_s
        assert step.busy_s <= step.compute_s + step.communication_s + step.duration_s
    assert imported.kernels.where("dtype", "tf32").any()


def test_a_trace_without_shapes_still_tells_classes(reference_data: Path) -> None:
    imported = import_trace(reference_data / "data" / "kineto" / "a100_cnn_ddp_2rank.json.gz")
    kernels = imported.kernels
    assert all(step.flop is None for step in imported.steps)
    assert kernels.where("op_class", "conv").sum() > 500
    reduced = kernels.where("variant", "all_reduce") & ~np.isnan(kernels.numbers("size_bytes"))
    assert kernels.numbers("size_bytes")[reduced].sum() == pytest.approx(
        3 * 4 * 25_557_032, rel=0.01
    )  # ResNet-50
    assert set(kernels.numbers("group_size")[reduced]) == {2}
