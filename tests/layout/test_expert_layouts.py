"""Experts, long sequences and partial shards over ranks: what adds up, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.scenario import Layout
from simtool.errors import InputError
from simtool.layout.check import resolve_layout
from simtool.layout.layouts import Layouts, held_by_stage, parameters_on
from simtool.layout.memory import estimate_memory
from simtool.layout.search import enumerate_layouts, pick
from simtool.layout.shard import shard
from simtool.profiles.find import default_library
from simtool.stepgraph import Kind, Phase, Scope
from simtool.workload.transformer import Transformer, build_step_graph

LIBRARY = default_library()
MIXTRAL = LIBRARY.get("model", "mixtral-8x7b").shape()
DEEPSEEK = LIBRARY.get("model", "deepseek-v3").shape()
DENSE = LIBRARY.get("model", "llama3.1-8b").shape()
ONE = Layouts(
    tp=1.0, pp=1.0, vpp=1.0, dp=1.0, zero=0.0, micro_batch=1.0, sequence_parallel=True, num_micro_batches=8.0
)

ranks = st.sampled_from([1, 2, 4, 8])


def graph(model, seq_len=4096):
    return build_step_graph(model, seq_len=seq_len, micro_batch=1, precision="bf16", attention="flash")


def memory(model, layouts, **changes):
    options = {"seq_len": 4096, "precision": "bf16", "recompute": "none", "attention": "flash"} | changes
    return estimate_memory(model, layouts, capacity_bytes=1e11, workspace_bytes=0.0, **options)


@given(st.sampled_from([MIXTRAL, DEEPSEEK]), ranks, ranks, ranks, st.sampled_from([1, 2]))
def test_work_of_all_ranks_is_the_work_of_the_model(model, tp, cp, ep, etp):
    """Each rank works on 1/(tp cp) of a micro-batch's work, wherever its experts stand."""
    whole = graph(model)
    dp = max(1.0, ep * etp / (tp * cp))
    part = shard(whole, model, replace(ONE, tp=tp * 1.0, cp=cp * 1.0, ep=ep * 1.0, etp=etp * 1.0, dp=dp))
    assert part.flop() * tp * cp == pytest.approx(whole.flop(), rel=1e-12)
    for op in part:
        if op.kind in (Kind.GEMM, Kind.GROUPED_GEMM):
            assert op.flop == pytest.approx(2.0 * op.batch * op.m * op.n * op.k, rel=1e-12)


@given(ranks, st.sampled_from([1, 2, 4, 8]))
def test_a_rank_reads_only_the_experts_that_it_holds(ep, etp):
    part = shard(graph(MIXTRAL), MIXTRAL, replace(ONE, ep=ep * 1.0, etp=etp * 1.0, dp=64.0))
    ups = [op for op in part if op.kind is Kind.GROUPED_GEMM and op.phase is Phase.FORWARD]
    held = MIXTRAL.num_layers * sum(op.batch * op.n * op.k for op in ups)
    assert held == pytest.approx(
        MIXTRAL.num_layers * MIXTRAL.expert_parameters_per_layer / (ep * etp), rel=1e-12
    )


@given(st.sampled_from([MIXTRAL, DEEPSEEK]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 8]), ranks)
def test_stages_and_expert_ranks_hold_the_whole_model(model, tp, pp, ep):
    pp = pp if model.num_layers % pp == 0 else 1
    layouts = replace(ONE, tp=tp * 1.0, pp=pp * 1.0, ep=ep * 1.0, dp=8.0)
    stages = held_by_stage(model, layouts)
    counts = (1, 0, 0) if pp == 1 else (1, pp - 2, 1)
    total = sum(
        count * (float(held.common) * tp + float(held.experts) * ep)
        for count, held in zip(counts, stages, strict=True)
    )
    assert total == pytest.approx(model.num_parameters, rel=1e-9)


def test_layers_without_experts_stand_on_the_first_stage():
    first, middle, last = (
        float(one.experts) for one in held_by_stage(DEEPSEEK, replace(ONE, pp=61.0, dp=8.0))
    )
    assert first == 0.0
    assert middle == last == pytest.approx(DEEPSEEK.routed_parameters(7168))


def test_one_expert_rank_of_one_expert_is_dense():
    layouts = replace(ONE, tp=2.0, pp=2.0, dp=4.0)
    same = Transformer(**(DENSE.model_dump() | {"num_experts": 1, "top_k": 1}))
    assert shard(graph(same), same, layouts).ops == shard(graph(DENSE), DENSE, layouts).ops
    assert memory(same, layouts) == memory(DENSE, layouts)
    assert parameters_on(same, layouts) == parameters_on(DENSE, layouts)


@given(ranks, st.sampled_from([0, 1, 2, 3]))
def test_memory_falls_with_expert_ranks_and_parts_add_up(ep, zero):
    layouts = replace(ONE, pp=1.0, dp=64.0, zero=zero * 1.0)
    whole, spread = memory(MIXTRAL, layouts), memory(MIXTRAL, replace(layouts, ep=ep * 1.0))
    parts = ("weights", "gradients", "optimizer", "activations", "workspace")
    assert float(spread.total_bytes) == pytest.approx(
        sum(float(getattr(spread, f"{part}_bytes")) for part in parts)
    )
    assert spread.total_bytes <= whole.total_bytes * (1 + 1e-12)
    # Fully split state is as large wherever the experts stand: all ranks hold the model once.
    if zero == 3:
        assert float(spread.optimizer_bytes) == pytest.approx(float(whole.optimizer_bytes), rel=1e-9)


def test_an_unbalanced_router_costs_memory_where_experts_are_spread():
    spread = replace(ONE, dp=8.0, ep=8.0)
    even, uneven = memory(MIXTRAL, spread), memory(MIXTRAL, spread, expert_load=1.5)
    assert uneven.activations_bytes > even.activations_bytes
    assert memory(MIXTRAL, ONE, expert_load=1.5) == memory(MIXTRAL, ONE)


@given(st.sampled_from([1, 2, 4, 8]))
def test_context_ranks_share_activations_and_hold_all_weights(cp):
    layouts = replace(ONE, dp=8.0, zero=1.0)
    plain, shared = memory(DENSE, layouts), memory(DENSE, replace(layouts, cp=cp * 1.0))
    assert float(shared.activations_bytes) * cp == pytest.approx(float(plain.activations_bytes), rel=1e-12)
    assert float(shared.optimizer_bytes) * cp == pytest.approx(float(plain.optimizer_bytes), rel=1e-12)
    assert float(shared.weights_bytes) == float(plain.weights_bytes)


def test_a_context_rank_meets_all_keys():
    whole, part = graph(DENSE, 8192), shard(graph(DENSE, 8192), DENSE, replace(ONE, cp=4.0))
    for one, shared in zip(whole, part, strict=True):
        if one.kind is Kind.ATTENTION:
            assert (shared.m, shared.keys, shared.flop) == (one.m / 4, one.m / 2, one.flop / 4)


@given(st.sampled_from([2, 4, 8, 16]), st.sampled_from([1, 2, 3]))
def test_partial_shards_hold_more_than_whole_ones(dp_shard, zero):
    layouts = replace(ONE, dp=16.0, zero=zero * 1.0)
    whole, partial = memory(DENSE, layouts), memory(DENSE, replace(layouts, dp_shard=dp_shard * 1.0))
    assert float(partial.optimizer_bytes) == pytest.approx(float(whole.optimizer_bytes) * 16 / dp_shard)


def test_eight_bits_keep_smaller_activations_and_copies_of_weights():
    layouts = replace(ONE, dp=8.0)
    plain, low = memory(DENSE, layouts), memory(DENSE, layouts, precision="fp8")
    assert low.activations_bytes < plain.activations_bytes
    assert float(low.weights_bytes) == 2.0 * float(plain.weights_bytes)
    assert low.optimizer_bytes == plain.optimizer_bytes


@pytest.mark.parametrize(
    ("model", "layout", "field"),
    [
        (MIXTRAL, {"ep": 16}, "layout.ep"),
        (MIXTRAL, {"ep": 8, "etp": 16}, "layout.ep"),
        (MIXTRAL, {"tp": 2, "sequence_parallel": False}, "layout.sequence_parallel"),
        (DENSE, {"ep": 2}, "layout.ep"),
        (DENSE, {"etp": 2}, "layout.etp"),
        (DENSE, {"cp": 3}, "layout.tp"),
        (DENSE, {"cp": 64}, "layout.cp"),
        (DENSE, {"zero": 3, "dp_shard": 5}, "layout.dp_shard"),
        (DENSE, {"dp_shard": 8}, "layout.dp_shard"),
    ],
)
def test_layouts_that_cannot_run_are_refused_where_they_stand(model, layout, field):
    with pytest.raises(InputError) as caught:
        resolve_layout(
            Layout(**layout),
            model,
            num_devices=64,
            seq_len=4096 + 32,
            global_batch=64,
            locate=lambda name: f"at {name}",
        )
    assert f"at {field}" in {problem.where for problem in caught.value.problems}
    assert all(problem.found and problem.mend for problem in caught.value.problems)


def test_context_parallelism_takes_its_ranks_from_data_parallelism():
    layouts = resolve_layout(
        Layout(tp=2, cp=4, cp_kind="all_to_all"),
        DENSE,
        num_devices=64,
        seq_len=4096,
        global_batch=64,
        locate=str,
    )
    assert (layouts.dp, layouts.num_devices, layouts.context_kind) == (8.0, 64.0, "all_to_all")


@pytest.mark.parametrize(("model", "seq_len"), [(MIXTRAL, 4096), (DENSE, 65536)])
def test_searched_layouts_use_the_new_dimensions_and_can_be_written_down(model, seq_len):
    found = enumerate_layouts(model, num_devices=64, max_tp=8, seq_len=seq_len, global_batch=256)
    assert found is not None
    np.testing.assert_array_equal(np.asarray(found.num_devices), 64)
    used = found.ep if model is MIXTRAL else found.cp
    assert len(np.unique(np.asarray(used))) > 2
    for index in range(0, len(np.asarray(found.tp)), 97):
        one = pick(found, index)
        written = Layout(
            tp=int(one.tp), pp=int(one.pp), vpp=int(one.vpp), dp=int(one.dp), zero=int(one.zero),
            micro_batch=int(one.micro_batch), sequence_parallel=bool(one.sequence_parallel),
            cp=int(one.cp), ep=int(one.ep),
        )  # fmt: skip
        again = resolve_layout(written, model, num_devices=64, seq_len=seq_len, global_batch=256, locate=str)
        assert again == one


def test_layer_work_is_per_layer_with_experts_too():
    part = shard(graph(DEEPSEEK), DEEPSEEK, replace(ONE, ep=8.0, dp=8.0))
    routers = [op for op in part if op.name == "router"]
    assert {op.count for op in routers} == {58 / 61}
    assert all(op.scope is Scope.LAYER for op in routers)
