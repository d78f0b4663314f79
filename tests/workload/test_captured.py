"""Workload files: amounts as text, reading, writing, and a workload priced on a machine; all without torch."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simtool
from simtool.errors import InputError
from simtool.stepgraph import Kind, Phase, Scope
from simtool.workload.amount import POWERS, Amount
from simtool.workload.captured import CapturedWorkload, read_workload, write_workload
from simtool.workload.captured_model import CapturedModel
from simtool.workload.graphs import step_graph
from simtool.workload.recompute import with_recompute
from simtool.workload.sizes import NoPolynomialError, Sizes

FILE = Path(__file__).with_name("small.workload.yaml")
amounts = st.dictionaries(
    st.sampled_from(POWERS), st.integers(0, 10**9).map(lambda twice: Fraction(twice, 2)), max_size=6
).map(Amount.of)


@given(amounts)
def test_amounts_survive_their_text(amount: Amount) -> None:
    assert Amount.parse(str(amount)) == amount


@given(amounts, amounts, st.integers(1, 99), st.integers(1, 9999))
def test_amounts_add_up(left: Amount, right: Amount, batch: int, seq_len: int) -> None:
    assert (left + right).exactly(batch, seq_len) == left.exactly(batch, seq_len) + right.exactly(
        batch, seq_len
    )
    assert left.at(batch, seq_len) == pytest.approx(float(left.exactly(batch, seq_len)), rel=1e-12)


@given(amounts, st.integers(1, 16), st.integers(2, 64).map(lambda quarter: 4 * quarter))
def test_any_amount_is_found_from_its_values(amount: Amount, batch: int, seq_len: int) -> None:
    sizes = Sizes.around(batch, seq_len)
    assert sizes.solve([amount.exactly(*size) for size in sizes.all]) == amount


@given(st.integers(1, 10**6), st.integers(0, 6))
def test_what_is_no_polynomial_is_told(wrong_by: int, index: int) -> None:
    sizes = Sizes.around(2, 64)
    values = [Amount.parse("3*b*s^2 + 5*s + 7").exactly(*size) for size in sizes.all]
    values[index] += wrong_by
    with pytest.raises(NoPolynomialError):
        sizes.solve(values)


@pytest.mark.parametrize(
    "text",
    ["", "b*b", "s^3", "2b", "b+", "x", "b**s", "-b", "1e9*b", "b*-s", "9" * 40, True, None, [1], "b\n\n*"],
)
def test_other_text_is_no_amount(text: Any) -> None:
    with pytest.raises(ValueError, match="found"):
        Amount.parse(text)


@pytest.fixture
def workload() -> CapturedWorkload:
    return read_workload(FILE)


def test_reading_and_writing_are_inverse(workload: CapturedWorkload, tmp_path: Path) -> None:
    again = tmp_path / "again.yaml"
    again.write_text(write_workload(workload))
    assert read_workload(again) == workload


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("m: b*s", "m: b*t", "b\\*t"),
        ("phase: forward", "phase: optimizer", "belongs below optimizer"),
        ("any_seq_len: true", "any_seq_len: false", "any_seq_len"),
        ("kernels: fused", "kernels: fast", "fused"),
        ("schema: simtool/workload/1", "schema: simtool/workload/2", "newer simtool"),
        ("schema: simtool/workload/1", "schema: simtool/model/1", "another kind"),
        ("repeats: 2", "repeats: 0", "repeats"),
        ("name: small", "nane: small", "name"),
    ],
)
def test_mistakes_in_a_file_are_told_with_their_place(old: str, new: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    text = FILE.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words) as caught:
        read_workload(file)
    assert "wrong.yaml:" in str(caught.value)


def graph_of(workload: CapturedWorkload, **changes: Any) -> Any:
    options = {"seq_len": 128, "micro_batch": 2.0, "precision": "bf16", "attention": "flash"} | changes
    return step_graph(CapturedModel(workload), **options)


def test_work_is_linear_in_the_batch_and_repeats_with_the_layers(workload: CapturedWorkload) -> None:
    one, four = (graph_of(workload, micro_batch=batch).flop() for batch in (1.0, 4.0))
    assert four == pytest.approx(4.0 * one, rel=1e-12)
    doubled = workload.model_copy(
        update={
            "layers": tuple(
                layer.model_copy(update={"repeats": 2 * layer.repeats}) for layer in workload.layers
            )
        }
    )
    edges = sum(float(op.flop * op.count) for op in graph_of(workload) if op.scope is not Scope.LAYER)
    whole = graph_of(workload).flop()
    assert graph_of(doubled).flop() - edges == pytest.approx(2.0 * (whole - edges))


def test_precision_scales_what_the_model_holds_in_its_own_format(workload: CapturedWorkload) -> None:
    half, full = (graph_of(workload, precision=precision) for precision in ("bf16", "fp32"))
    products = [op for op in half if op.kind is Kind.GEMM]
    assert {op.dtype for op in products} == {"bf16"}
    for left, right in zip(half, full, strict=True):
        if left.kind is Kind.GEMM and left.scope is not Scope.STEP:
            assert right.bytes == pytest.approx(2.0 * left.bytes)


def test_eight_bits_are_for_products_in_layers(workload: CapturedWorkload) -> None:
    graph = graph_of(workload, precision="fp8")
    formats = {op.dtype for op in graph if op.kind is Kind.GEMM and op.scope is Scope.LAYER}
    assert formats == {"fp8"}
    assert any(op.name.startswith("quantise_") for op in graph)


def test_recomputation_repeats_the_layers(workload: CapturedWorkload) -> None:
    graph = graph_of(workload)
    again = [op for op in with_recompute(graph, "full") if op.is_recompute]
    layers = [op for op in graph if op.scope is Scope.LAYER and op.phase is Phase.FORWARD]
    assert sum(float(op.flop) for op in again) == sum(float(op.flop) for op in layers)
    selective = [op for op in with_recompute(graph, "selective") if op.is_recompute]
    assert [op.kind for op in selective] == [Kind.ATTENTION]


def test_eager_kernels_move_more_and_launch_more(workload: CapturedWorkload) -> None:
    eager = workload.model_copy(update={"kernels": "eager"})
    assert CapturedModel(eager).kept_bytes(128, "bf16", "flash").between > 0.0
    fused_bytes, eager_bytes = (
        sum(float(op.bytes) for op in graph_of(one) if op.kind is Kind.MEMORY and op.scope is Scope.LAYER)
        for one in (workload, eager)
    )
    assert eager_bytes > fused_bytes


SCENARIO = """
extends: quickstart.yaml
schema: simtool/scenario/1
name: captured
workload: {model: small.workload.yaml, seq_len: 128}
method: none
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from simtool.profiles.find import shipped_folder

    (tmp_path / FILE.name).write_bytes(FILE.read_bytes())
    (tmp_path / "quickstart.yaml").write_bytes((shipped_folder("scenarios") / "quickstart.yaml").read_bytes())
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.mark.parametrize(
    "layout", ["{tp: 1, pp: 1, zero: 1, micro_batch: 4}", "{tp: 1, pp: 2, zero: 0, micro_batch: 1}", "auto"]
)
def test_a_scenario_runs_on_it(layout: str, folder: Path) -> None:
    result = simtool.run(folder / "mine.yaml", [f"layout={layout}"])
    assert result.value("num_parameters") == read_workload(FILE).parameters
    assert result.value("step_time_s") > 0.0
    assert 0.0 < result.value("mfu") < 1.0


def test_another_file_is_another_run(folder: Path) -> None:
    first = simtool.run(folder / "mine.yaml", ["layout={tp: 1, pp: 1, zero: 1}"])
    file = folder / FILE.name
    file.write_text(file.read_text("utf-8").replace("repeats: 2", "repeats: 1"))
    second = simtool.run(folder / "mine.yaml", ["layout={tp: 1, pp: 1, zero: 1}"])
    assert first.profile_digests != second.profile_digests
    assert second.value("step_time_s") < first.value("step_time_s")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("layout={tp: 2, pp: 1}", "cannot be divided"),
        ("layout={tp: 1, pp: 1, cp: 2}", "cp"),
        ("workload.model=missing.yaml", "found no such file"),
        ("workload.model=quickstart.yaml", "another kind"),
    ],
)
def test_what_cannot_be_is_refused(override: str, words: str, folder: Path) -> None:
    with pytest.raises(InputError, match=words):
        simtool.run(folder / "mine.yaml", [override])


def test_samples_of_one_size(workload: CapturedWorkload) -> None:
    fixed = CapturedModel(workload.model_copy(update={"any_seq_len": False}))
    assert fixed.sequence_problem(1) is None
    assert "a sample then counts as a token" in str(fixed.sequence_problem(128))
