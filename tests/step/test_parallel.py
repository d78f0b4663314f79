"""The price of experts, long sequences, partial shards and low precision, and of families without layers of tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.scenario import Cluster
from simtool.layout.layouts import Layouts
from simtool.layout.search import enumerate_layouts, pick
from simtool.machine.build import build_machine
from simtool.profiles.find import default_library
from simtool.provenance import Sourced
from simtool.step.estimate import STEP_PARTS
from simtool.step.step import Job, estimate_step
from simtool.workload.families import PRESET_KINDS

LIBRARY = default_library()
PRESETS = [(kind, name) for kind in PRESET_KINDS for name in LIBRARY.names(kind)]


def machine(accelerator="h100-sxm", framework="megatron-core"):
    cluster = Cluster(accelerator=accelerator, num_nodes=8)
    return build_machine(LIBRARY, cluster, framework, attention=None, power_limit_w=None, locate=str)


def job(name="mixtral-8x7b", *, kind="model", seq_len=4096, precision="bf16", recompute="none"):
    model = LIBRARY.get(kind, name).shape()
    return Job(model=model, seq_len=seq_len, precision=precision, recompute=recompute, attention="flash")


H100, GB200 = machine(), machine("gb200", "megatron-bridge")
MIXTRAL, LLAMA = job(), job("llama3.1-8b")
BASE = Layouts(
    tp=1.0, pp=1.0, vpp=1.0, dp=64.0, zero=1.0, micro_batch=1.0, sequence_parallel=True, num_micro_batches=4.0
)


def seconds(what, layouts, on=H100):
    return {
        part: float(np.asarray(value)) for part, value in estimate_step(what, layouts, on).seconds.items()
    }


def test_dense_models_never_exchange_tokens_or_keys():
    parts = seconds(LLAMA, BASE)
    assert parts["expert_communication"] == parts["context_communication"] == 0.0


@given(st.sampled_from([1.0, 2.0, 4.0, 8.0]))
def test_experts_spread_over_a_node_cost_messages_and_save_gradients(ep):
    parts = seconds(MIXTRAL, replace(BASE, ep=ep))
    whole = seconds(MIXTRAL, BASE)
    assert (parts["expert_communication"] > 0.0) == (ep > 1.0)
    assert parts["optimizer"] == pytest.approx(whole["optimizer"], rel=1e-9)
    assert parts["data_communication"] <= whole["data_communication"] * (1 + 1e-9)


def test_experts_over_several_nodes_are_dearer_than_in_one():
    model = job("qwen3-30b-a3b")
    inside, across = (seconds(model, replace(BASE, ep=ep))["expert_communication"] for ep in (8.0, 64.0))
    assert across > 2.0 * inside


def test_a_rack_that_is_one_domain_keeps_the_exchange_cheap():
    model = job("qwen3-30b-a3b")
    exchanged = []
    for on in (GB200, machine("b200-sxm", "megatron-bridge")):
        plain = replace(
            on, software=on.software.model_copy(update={"ep_exposed": None, "ep_exposed_across": None})
        )
        exchanged.append(seconds(model, replace(BASE, ep=64.0), plain)["expert_communication"])
    assert GB200.fabric.accelerators_per_domain >= 64
    assert exchanged[0] < 0.25 * exchanged[1]


@given(st.floats(1.0, 3.0), st.floats(1.0, 3.0))
def test_an_unbalanced_router_never_saves_time(one, other):
    low, high = sorted((one, other))
    times = []
    for load in (low, high):
        number = Sourced(value=load, unit="", kind="assumed", source="test", spread=0.1)
        on = replace(H100, software=H100.software.model_copy(update={"expert_load": number}))
        times.append(sum(seconds(MIXTRAL, replace(BASE, ep=8.0), on).values()))
    assert times[0] <= times[1] * (1 + 1e-12)


@given(st.integers(1, 8), st.integers(1, 8))
def test_more_experts_a_token_take_longer(one, other):
    low, high = sorted((one, other))
    times = [
        float(
            estimate_step(
                replace(MIXTRAL, model=MIXTRAL.model.model_copy(update={"top_k": k})), BASE, H100
            ).step_time_s
        )
        for k in (low, high)
    ]
    assert times[0] <= times[1] * (1 + 1e-12)


def test_few_rows_an_expert_use_the_device_worse():
    """As many tokens on 16 times as many experts: the same products, but thinner."""
    few, many = (
        replace(MIXTRAL, model=MIXTRAL.model.model_copy(update={"num_experts": num})) for num in (8, 128)
    )
    assert seconds(many, BASE)["forward"] > 1.2 * seconds(few, BASE)["forward"]


@pytest.mark.parametrize("kind", ["ring", "all_to_all", "all_gather"])
def test_sharing_long_sequences_costs_messages_and_saves_memory(kind):
    long = job("llama3.1-8b", seq_len=65536)
    alone = replace(BASE, dp=8.0, tp=8.0)
    shared = replace(alone, dp=2.0, cp=4.0, context_kind=kind)
    parts = seconds(long, shared)
    assert parts["context_communication"] > 0.0
    assert parts["forward"] < 0.3 * seconds(long, alone)["forward"]
    before, after = (estimate_step(long, layouts, H100) for layouts in (alone, shared))
    assert float(after.memory.total_bytes) < float(before.memory.total_bytes)
    assert float(after.tokens_per_step) == 0.25 * float(before.tokens_per_step)


def test_a_ring_hides_behind_attention_where_sequences_are_long():
    exposed = []
    for seq_len in (16384, 262144):
        what = job("llama3.1-8b", seq_len=seq_len)
        parts = seconds(what, replace(BASE, dp=8.0, cp=8.0))
        exposed.append(parts["context_communication"] / parts["forward"])
    assert exposed[1] < 0.5 * exposed[0]


def test_partial_shards_gather_inside_a_node_and_sum_across():
    """On a slow network; DGX H100's is as fast as NVLink, and there is nothing to gain."""
    slow = replace(
        H100, fabric=replace(H100.fabric, scale_out=replace(H100.fabric.scale_out, bandwidth_bytes_per_s=5e9))
    )
    whole = replace(BASE, zero=3.0)
    hybrid = replace(whole, dp_shard=8.0)
    inside, everywhere = (seconds(LLAMA, layouts, slow)["data_communication"] for layouts in (hybrid, whole))
    assert inside < 0.5 * everywhere
    assert seconds(LLAMA, replace(whole, dp_shard=64.0)) == seconds(LLAMA, whole)


@pytest.mark.parametrize("precision", ["fp8", "mxfp8", "nvfp4"])
def test_low_precision_speeds_up_products_and_nothing_else(precision):
    plain, low = (
        seconds(job("llama3.1-70b", precision=p), replace(BASE, tp=4.0), GB200) for p in ("bf16", precision)
    )
    assert low["forward"] < plain["forward"]
    assert low["forward"] > 0.25 * plain["forward"]
    assert low["optimizer"] == plain["optimizer"]
    assert low["tensor_communication"] == plain["tensor_communication"]


def test_a_window_shortens_long_sequences_and_not_short_ones():
    plain = job("llama3.1-8b", seq_len=32768)
    slid = replace(plain, model=plain.model.model_copy(update={"attention_window": 4096}))
    assert seconds(slid, BASE)["forward"] < 0.9 * seconds(plain, BASE)["forward"]
    short = replace(slid, seq_len=2048)
    assert seconds(short, BASE)["forward"] == pytest.approx(
        seconds(replace(plain, seq_len=2048), BASE)["forward"]
    )


def test_arrays_of_candidates_equal_one_by_one():
    found = enumerate_layouts(MIXTRAL.model, num_devices=64, max_tp=8, seq_len=4096, global_batch=256)
    assert found is not None
    many = estimate_step(MIXTRAL, found, H100)
    for index in range(0, len(np.asarray(found.tp)), 61):
        one = estimate_step(MIXTRAL, pick(found, index), H100)
        assert float(one.step_time_s) == pytest.approx(float(np.asarray(many.step_time_s)[index]), rel=1e-12)
        total = np.broadcast_to(many.memory.total_bytes, np.shape(found.tp))
        assert float(one.memory.total_bytes) == pytest.approx(float(total[index]), rel=1e-12)
        assert float(one.mfu) < 1.0


def seq_len_of(model) -> int:
    return 1 if model.sequence_problem(512) is not None else 512


@pytest.mark.parametrize(("kind", "name"), PRESETS)
def test_every_preset_has_a_price(kind, name):
    model = LIBRARY.get(kind, name).shape()
    layouts = replace(BASE, dp=64.0, zero=0.0, micro_batch=8.0)
    what = Job(model=model, seq_len=seq_len_of(model), precision="bf16", recompute="none", attention="flash")
    estimate = estimate_step(what, layouts, H100)
    assert 0.0 < float(estimate.mfu) < 1.0
    assert set(estimate.seconds) == set(STEP_PARTS)
    assert all(float(np.asarray(value)) >= 0.0 for value in estimate.seconds.values())
    assert float(estimate.memory.total_bytes) > model.num_parameters / 64
    double = estimate_step(what, replace(layouts, micro_batch=16.0), H100)
    assert float(double.tokens_per_s) > float(estimate.tokens_per_s)
    # Where the host sets the pace, more work hides more communication.
    assert float(double.step_time_s) > 0.99 * float(estimate.step_time_s)


def test_tables_are_exchanged_among_all_and_their_gradients_are_not_summed():
    dlrm = job("dlrm-criteo", kind="recommender", seq_len=1)
    layouts = replace(BASE, dp=8.0, zero=0.0, micro_batch=4096.0, num_micro_batches=1.0)
    parts = seconds(dlrm, layouts)
    assert parts["expert_communication"] > parts["data_communication"] > 0.0
    memory = estimate_step(dlrm, layouts, H100).memory
    tables = dlrm.model.table_parameters * 4.0 / 8.0
    assert tables < float(memory.weights_bytes) < 1.01 * tables


def test_a_trillion_parameters_are_priced_in_one_go():
    kimi = job("kimi-k2", precision="mxfp8")
    layouts = replace(BASE, pp=4.0, vpp=4.0, ep=64.0, num_micro_batches=32.0)
    estimate = estimate_step(kimi, layouts, GB200)
    assert 0.05 < float(estimate.mfu) < 0.6
