"""Splits of a model over ranks: conservation, published memory, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.scenario import Layout
from simtool.errors import InputError
from simtool.layout.check import resolve_layout
from simtool.layout.layouts import Layouts, divides, parameters_on, split_stages
from simtool.layout.memory import estimate_memory
from simtool.layout.search import enumerate_layouts, pick
from simtool.layout.shard import shard
from simtool.stepgraph import Kind
from simtool.units import BYTES_PER_GIB
from simtool.workload.transformer import Transformer, build_step_graph

GPT3 = Transformer(num_layers=96, hidden_size=12288, num_heads=96, ffn_hidden_size=49152, vocab_size=51200)
BLOOM = Transformer(
    num_layers=70,
    hidden_size=14336,
    num_heads=112,
    ffn_hidden_size=57344,
    vocab_size=250880,
    positions="alibi",
)
ONE = Layouts(
    tp=1.0, pp=1.0, vpp=1.0, dp=1.0, zero=0.0, micro_batch=1.0, sequence_parallel=False, num_micro_batches=8.0
)


def memory(model, layouts, *, recompute="none", attention="unfused"):
    return estimate_memory(
        model,
        layouts,
        seq_len=2048,
        precision="fp16",
        recompute=recompute,
        attention=attention,
        capacity_bytes=80 * BYTES_PER_GIB,
        workspace_bytes=0.0,
    )


def test_memory_of_the_published_175b_layout():
    """Korthikanti et al. 2022 print 66.84 GiB of activations without recomputation, 12.35 with selective
    recomputation and sequence parallelism, 45.56 for weights, gradients and optimizer (tables left out)."""
    layouts = replace(ONE, tp=8.0, pp=8.0, vpp=3.0, num_micro_batches=64.0)
    plain = memory(GPT3, layouts)
    state = plain.weights_bytes + plain.gradients_bytes + plain.optimizer_bytes
    assert plain.activations_bytes / BYTES_PER_GIB == pytest.approx(66.84375, rel=1e-6)
    assert state / BYTES_PER_GIB == pytest.approx(45.56, rel=0.04)
    selective = memory(GPT3, replace(layouts, sequence_parallel=True), recompute="selective")
    assert selective.activations_bytes / BYTES_PER_GIB == pytest.approx(12.3515625, rel=0.03)


@given(st.sampled_from([1, 2, 4, 8, 16]))
def test_tensor_parallel_work_adds_up_to_the_whole(tp):
    graph = build_step_graph(GPT3, seq_len=2048, micro_batch=1, precision="bf16", attention="flash")
    sharded = shard(graph, GPT3, replace(ONE, tp=float(tp)))
    products = (Kind.GEMM, Kind.ATTENTION)
    whole = sum(graph.executions(op) * op.flop for op in graph if op.kind in products)
    part = sum(sharded.executions(op) * op.flop for op in sharded if op.kind in products)
    assert part * tp == pytest.approx(whole, rel=1e-12)
    for op in sharded:
        if op.kind is Kind.GEMM:
            assert op.flop == pytest.approx(2.0 * op.m * op.n * op.k)


@given(st.sampled_from([1, 2, 3, 4, 6, 8, 12]), st.sampled_from([1, 2, 4, 8]))
def test_pipeline_stages_hold_the_whole_model(pp, tp):
    model = GPT3.model_copy(update={"tied_embeddings": False})
    layouts = replace(ONE, tp=float(tp), pp=float(pp))
    first, middle, last = (float(part) for part in parameters_on(model, layouts))
    total = first if pp == 1 else first + last + (pp - 2) * middle
    assert total * tp == pytest.approx(model.num_parameters, rel=1e-12)


def test_bloom_counts_embedding_and_head_as_layers():
    stages = split_stages(BLOOM, 12, 1)
    assert float(stages.first) + float(stages.last) + 10 * float(stages.middle) == 70
    assert bool(divides(BLOOM, 12, 1))
    assert not bool(divides(BLOOM, 11, 1))


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 3]))
def test_zero_never_needs_more_memory(dp, zero):
    layouts = replace(ONE, tp=8.0, pp=8.0, dp=float(dp))
    plain, sharded = memory(GPT3, layouts), memory(GPT3, replace(layouts, zero=float(zero)))
    gathered = 2.0 * GPT3.parameters_per_layer * 2.0 / 8.0 if zero == 3 else 0.0
    assert sharded.total_bytes <= plain.total_bytes + gathered


def test_recomputation_trades_memory_in_the_stated_order():
    layouts = replace(ONE, tp=8.0, pp=8.0)
    none, selective, full = (memory(GPT3, layouts, recompute=kind) for kind in ("none", "selective", "full"))
    assert none.activations_bytes > selective.activations_bytes > full.activations_bytes


@pytest.mark.parametrize(
    ("layout", "field"),
    [
        ({"tp": 8, "pp": 8, "dp": 2}, "layout"),
        ({"tp": 7, "pp": 8}, "layout.tp"),
        ({"tp": 5, "pp": 8}, "layout.tp"),
        ({"tp": 8, "pp": 8, "vpp": 5}, "layout.pp"),
        ({"tp": 8, "pp": 8, "micro_batch": 3}, "workload.global_batch"),
    ],
)
def test_layouts_that_cannot_run_are_refused_where_they_stand(layout, field):
    with pytest.raises(InputError) as caught:
        resolve_layout(
            Layout(**layout),
            GPT3,
            num_devices=64,
            seq_len=2048,
            global_batch=64,
            locate=lambda name: f"at {name}",
        )
    assert field in {problem.field for problem in caught.value.problems}
    assert all(problem.where.startswith("at ") and problem.mend for problem in caught.value.problems)


def test_all_problems_of_a_layout_come_at_once():
    with pytest.raises(InputError) as caught:
        resolve_layout(
            Layout(tp=5, pp=7, dp=1),
            GPT3,
            num_devices=64,
            seq_len=2048,
            global_batch=64,
            locate=lambda name: name,
        )
    assert len(caught.value.problems) >= 4


def test_a_batch_in_tokens_is_a_target():
    layouts = resolve_layout(
        Layout(tp=8, pp=2, micro_batch=1), GPT3, num_devices=64, seq_len=2048, global_batch=62.5, locate=str
    )
    assert layouts.global_batch == 64


@given(st.sampled_from([8, 16, 48, 64, 384]), st.sampled_from([96, 1024, 1536]))
def test_every_searched_layout_can_be_written_down(num_devices, global_batch):
    found = enumerate_layouts(
        GPT3, num_devices=num_devices, max_tp=8, seq_len=2048, global_batch=global_batch
    )
    assert found is not None
    np.testing.assert_array_equal(np.asarray(found.num_devices), num_devices)
    np.testing.assert_array_equal(np.asarray(found.global_batch), global_batch)
    one = pick(found, len(np.asarray(found.tp)) // 2)
    written = Layout(
        tp=int(one.tp), pp=int(one.pp), vpp=int(one.vpp), dp=int(one.dp), zero=int(one.zero),
        micro_batch=int(one.micro_batch), sequence_parallel=bool(one.sequence_parallel),
    )  # fmt: skip
    again = resolve_layout(
        written, GPT3, num_devices=num_devices, seq_len=2048, global_batch=global_batch, locate=str
    )
    assert again == one
