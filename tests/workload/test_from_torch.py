"""Capturing of models: against torch's own counter, real tensors, the analytic decoder, and themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import simtool  # noqa: E402
from simtool.engine.count import OpCounter  # noqa: E402
from simtool.profiles.find import shipped_folder  # noqa: E402
from simtool.stepgraph import Kind, Phase, Scope  # noqa: E402
from simtool.workload.captured import write_workload  # noqa: E402
from simtool.workload.captured_model import REFERENCE_LAUNCHES, CapturedModel  # noqa: E402
from simtool.workload.from_torch import capture  # noqa: E402
from simtool.workload.from_torch.kernels import FusedKernels  # noqa: E402
from simtool.workload.graphs import step_graph  # noqa: E402
from simtool.workload.transformer import Transformer  # noqa: E402
from tests.house.tree import ROOT  # noqa: E402
from tests.workload import captured_models  # noqa: E402

PHASES = (Phase.FORWARD, Phase.BACKWARD_INPUT, Phase.BACKWARD_WEIGHT)


def loss_of(built: tuple[Any, ...]) -> Any:
    module, inputs, *more = built
    output = module(**inputs) if isinstance(inputs, dict) else module(inputs)
    return more[0](output) if more else output.float().mean()


def torch_flop(build: Callable[..., Any], **sizes: int) -> int:
    """What torch's own counter counts for a forward and backward pass."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"):
        built = build(**sizes)
        with counter, FusedKernels():
            loss_of(built).backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("build", captured_models.ALL, ids=lambda build: build.__name__)
def test_work_is_what_torch_counts_at_any_size(build: Callable[..., Any]) -> None:
    workload = capture(build)
    first = {"batch": workload.captured.batch}
    sizes = [{"batch": 5}, first]
    if workload.any_seq_len:
        sizes = [first | {"seq_len": workload.captured.seq_len}, {"batch": 3, "seq_len": 40}]
    for size in sizes:
        assert workload.flop(size["batch"], size.get("seq_len", 1)) == torch_flop(build, **size)


@pytest.mark.parametrize("build", captured_models.ALL, ids=lambda build: build.__name__)
def test_weights_are_counted_once(build: Callable[..., Any]) -> None:
    workload = capture(build)
    module = build()[0]
    assert workload.parameters == sum(weight.numel() for weight in module.parameters())
    assert sum(times * part.parameters for times, part in workload.parts) == workload.parameters
    assert workload.optimizer.state_elements in (0, 2 * workload.parameters)


def test_a_shared_table_is_told() -> None:
    workload = capture(captured_models.gpt)
    assert workload.tied_parameters == 300 * 64
    assert CapturedModel(workload).num_layers == 2


@pytest.mark.parametrize(
    "build", [captured_models.mlp, captured_models.convnet, captured_models.llama], ids=lambda f: f.__name__
)
def test_every_phase_is_that_of_real_tensors(build: Callable[..., Any]) -> None:
    """The engine's counter, on a real forward and backward pass on the CPU."""
    built = build()
    module = built[0].train()
    if build is captured_models.llama:
        module = module.float()  # flash attention of a CPU in the format that it has everywhere
    with OpCounter(module.parameters()) as counter:
        counter.phase = "forward"
        loss = loss_of((module, *built[1:]))
        counter.phase = "backward"
        loss.backward()
    workload = capture(build)
    size = (workload.captured.batch, workload.captured.seq_len)
    counted = counter.counts.flop_by_phase()
    for phase in PHASES:
        assert workload.flop(*size, phase) == counted[phase.value], phase


@given(
    widths=st.lists(st.integers(1, 40), min_size=2, max_size=5), batch=st.integers(1, 9), bias=st.booleans()
)
@settings(max_examples=15)
def test_any_mlp(widths: list[int], batch: int, bias: bool) -> None:
    def build(batch: int = batch) -> tuple[Any, Any]:
        layers = [nn.Linear(*pair, bias=bias) for pair in pairwise(widths)]
        parts = [part for layer in layers for part in (layer, nn.GELU())]
        return nn.Sequential(*parts), torch.zeros(batch, widths[0])

    workload = capture(build)
    products = sum(before * after for before, after in pairwise(widths))
    first = widths[0] * widths[1]
    assert workload.flop(batch, 1, Phase.FORWARD) == 2 * batch * products
    assert workload.flop(batch, 1, Phase.BACKWARD_WEIGHT) == 2 * batch * products
    assert workload.flop(batch, 1, Phase.BACKWARD_INPUT) == 2 * batch * (products - first)


@given(
    heads=st.sampled_from([1, 2, 4]),
    width=st.sampled_from([8, 16]),
    groups=st.sampled_from([1, 2]),
    causal=st.booleans(),
    masked=st.booleans(),
)
@settings(max_examples=12)
def test_any_attention(heads: int, width: int, groups: int, causal: bool, masked: bool) -> None:
    class Core(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(heads * width, heads * width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            query = self.project(x).unflatten(-1, (heads, width)).transpose(1, 2)
            key = query[:, :: groups if heads % groups == 0 else 1]
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool) if masked else None
            return functional.scaled_dot_product_attention(
                query, key, key, attn_mask=mask, is_causal=causal and not masked, enable_gqa=True
            )

    def build(batch: int = 2, seq_len: int = 16) -> tuple[Any, Any]:
        return Core(), torch.zeros(batch, seq_len, heads * width)

    workload = capture(build)
    pairs = 3 * heads * width * 24**2  # batch 3, 24 tokens
    linear = 2 * 3 * 24 * (heads * width) ** 2
    assert workload.flop(3, 24, Phase.FORWARD) == 4 * pairs + linear
    assert workload.flop(3, 24, Phase.BACKWARD_INPUT) == 10 * pairs
    (attention,) = [
        op
        for layer in workload.layers
        for op in layer.ops
        if op.kind == "attention" and op.phase == "forward"
    ]
    assert bool(attention.keys) == (masked or not causal)


LLAMA = {
    "num_layers": 3,
    "hidden_size": 128,
    "num_heads": 4,
    "num_kv_heads": 2,
    "ffn_hidden_size": 352,
    "vocab_size": 512,
}
STYLE: dict[str, Any] = {
    "mlp": "swiglu",
    "positions": "rotary",
    "norm": "rmsnorm",
    "tied_embeddings": False,
    "qkv_bias": False,
    "output_bias": False,
    "mlp_bias": False,
}


@pytest.mark.parametrize("attention", ["flash", "unfused"])
def test_a_llama_in_plain_torch_is_the_analytic_one(attention: str) -> None:
    analytic = Transformer(**LLAMA, **STYLE)
    captured = CapturedModel(capture(captured_models.llama))
    assert captured.num_parameters == analytic.num_parameters
    assert captured.embedding_parameters == analytic.embedding_parameters
    assert captured.head_parameters == analytic.head_parameters
    assert captured.parameters_per_layer == analytic.parameters_per_layer
    assert captured.hidden_size == analytic.hidden_size
    assert captured.optimizer_state_bytes == analytic.optimizer_state_bytes
    assert captured.model_flop_per_token(4096) == analytic.model_flop_per_token(4096)
    graphs = [
        step_graph(model, seq_len=4096, micro_batch=3.0, precision="bf16", attention=attention)
        for model in (captured, analytic)
    ]
    for phase in PHASES:
        ours, theirs = (
            sum(graph.executions(op) * op.flop for op in graph if op.phase is phase) for graph in graphs
        )
        assert ours == theirs
    kept = [model.kept_bytes(4096, "bf16", attention) for model in (captured, analytic)]
    ours, theirs = (one.between + one.inside + one.scores for one in kept)
    assert ours == pytest.approx(theirs, rel=0.15)
    assert kept[0].layer_input == kept[1].layer_input


def test_the_launches_of_a_reference_block_are_those_of_a_llama() -> None:
    workload = capture(captured_models.llama)
    (layer,) = workload.layers
    assert sum(op.count for op in layer.ops) == REFERENCE_LAUNCHES["fused"]
    assert sum(op.count * op.launches for op in layer.ops) == REFERENCE_LAUNCHES["eager"]
    for kernels in ("fused", "eager"):
        assert CapturedModel(workload.model_copy(update={"kernels": kernels})).launches_per_layer == 1.0


def test_compiled_kernels_move_less_and_keep_less() -> None:
    for build in (captured_models.llama, captured_models.gpt, captured_models.convnet):
        workload = capture(build)
        size = (workload.captured.batch, workload.captured.seq_len)
        fused, eager = (workload.num_bytes(*size, element_bytes=2.0, eager=eager) for eager in (False, True))
        assert 0.0 < fused < 0.8 * eager


def test_a_gated_activation_moves_three_tensors_forward_and_five_backward() -> None:
    """gate and up in, product out; gate, up and the gradient in, two gradients out."""

    def build(batch: int = 2) -> tuple[Any, Any]:
        return captured_models.GatedMlp(8, 32), torch.zeros(batch, 8)

    ops = [op for _, part in capture(build).parts for op in part.ops if "silu" in op.of]
    assert {op.phase: str(op.elements) for op in ops} == {"forward": "96*b", "backward_input": "160*b"}


def test_equal_blocks_are_one_and_others_are_told_apart() -> None:
    def build(batch: int = 2) -> tuple[Any, Any]:
        blocks = [
            nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 16)) for width in (32, 64, 32, 32)
        ]
        return nn.Sequential(*blocks), torch.zeros(batch, 16)

    workload = capture(build)
    assert sorted((layer.repeats, layer.parameters) for layer in workload.layers) == [
        (1, 1072),
        (1, 2128),
        (2, 1072),
    ]
    assert CapturedModel(workload).pipeline_problem() is not None
    graph = step_graph(
        CapturedModel(workload), seq_len=1, micro_batch=4.0, precision="fp32", attention="flash"
    )
    assert graph.num_layers == 4
    assert graph.flop(*PHASES) == pytest.approx(workload.flop(4, 1))


def test_an_optimizer_with_products() -> None:
    class Orthogonal(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {})

        @torch.no_grad()
        def step(self) -> None:  # type: ignore[override]
            for weight in (weight for group in self.param_groups for weight in group["params"]):
                if weight.grad is not None:
                    weight.sub_(weight.grad @ weight.grad.T @ weight.grad)

    def build(batch: int = 2) -> tuple[Any, ...]:
        module = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(3)))
        return module, torch.zeros(batch, 8), None, Orthogonal

    workload = capture(build)
    assert workload.optimizer.name == "Orthogonal"
    assert sum(op.flop_at(1, 1) for op in workload.optimizer.ops) == 3 * 2 * 2 * 8**3
    graph = step_graph(
        CapturedModel(workload), seq_len=1, micro_batch=4.0, precision="bf16", attention="flash"
    )
    products = [op for op in graph if op.scope is Scope.STEP and op.kind is Kind.GEMM]
    assert sum(float(op.count * op.flop) for op in products) == 3 * 2 * 2 * 8**3


def test_batch_arrays_broadcast() -> None:
    model = CapturedModel(capture(captured_models.gpt))
    options: dict[str, Any] = {"seq_len": 32, "precision": "bf16", "attention": "flash"}
    many = step_graph(model, micro_batch=np.array([1.0, 4.0]), **options)
    one = step_graph(model, micro_batch=4.0, **options)
    for left, right in zip(many, one, strict=True):
        assert np.broadcast_to(left.bytes, 2)[1] == right.bytes
        assert np.broadcast_to(left.flop, 2)[1] == right.flop


QUICKSTART = """
extends: {shipped}
schema: simtool/scenario/1
name: captured
method: none
layout: {{tp: 1, pp: 1, zero: 3, micro_batch: 1}}
"""
WIDE = {"layers": 8, "hidden": 4096, "heads": 32, "kv_heads": 8, "inner": 14336, "vocab": 32064}


@pytest.mark.parametrize("framework", ["megatron-core", "torchtitan"])
def test_the_step_time_of_a_captured_llama_is_near_the_analytic_one(framework: str, tmp_path: Path) -> None:
    """Below it, by less than 5 %: a compiler fuses more than the frameworks that the analytic count follows."""
    file = tmp_path / "mine.workload.yaml"
    file.write_text(
        write_workload(capture(lambda batch=2, seq_len=8192: captured_models.llama(batch, seq_len, **WIDE)))
    )
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(QUICKSTART.format(shipped=shipped_folder("scenarios") / "quickstart.yaml"))
    words = ", ".join(
        f"{key}: {str(value).lower()}"
        for key, value in {
            "num_layers": 8,
            "hidden_size": 4096,
            "num_heads": 32,
            "num_kv_heads": 8,
            "ffn_hidden_size": 14336,
            "vocab_size": 32064,
            **STYLE,
        }.items()
    )
    ours, theirs = (
        simtool.run(scenario, [f"workload.model={model}", f"software.framework={framework}"])
        for model in (str(file), f"{{{words}}}")
    )
    assert ours.value("num_parameters") == theirs.value("num_parameters")
    assert 0.95 < ours.value("step_time_s") / theirs.value("step_time_s") < 1.0
    assert ours.value("energy_it_j") == pytest.approx(theirs.value("energy_it_j"), rel=0.05)


SEVEN_SIZES = """
import resource, time
from simtool.workload.from_torch import capture
from tests.workload.captured_models import llama

def build(batch=2, seq_len=8192):
    return llama(batch, seq_len, layers=126, hidden=16384, heads=128, kv_heads=8, inner=53248, vocab=128256)

workload = capture(build)
print(workload.parameters, [layer.repeats for layer in workload.layers])
print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_four_hundred_billion_weights_take_a_minute_and_two_gigabytes_at_most() -> None:
    """Llama 3.1 405B: all of its 126 layers are run on shapes, at seven sizes."""
    ran = subprocess.run([sys.executable, "-c", SEVEN_SIZES], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found, costs = ran.stdout.splitlines()
    assert found == "405853388800 [126]"
    duration_s, memory_gib = (float(word) for word in costs.split())
    assert duration_s < 60.0
    assert memory_gib < 2.0
