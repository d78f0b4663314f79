"""Mixtures of experts, latent attention and windows: sizes, work, and what falls together with a dense model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simtool.stepgraph import PRODUCTS, Kind, Phase, Scope
from simtool.workload.transformer import Transformer, build_step_graph

BARE = {
    "mlp": "swiglu",
    "positions": "rotary",
    "norm": "rmsnorm",
    "tied_embeddings": False,
    "qkv_bias": False,
    "output_bias": False,
    "mlp_bias": False,
}
SMALL = {
    "num_layers": 6,
    "hidden_size": 512,
    "num_heads": 8,
    "ffn_hidden_size": 2048,
    "vocab_size": 1000,
} | BARE
LATENT = {"kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32}

experts = st.builds(
    lambda layers, first, period, num, top, shared, inner, gate, latent: Transformer(
        **SMALL
        | {
            "num_layers": layers + first,
            "num_dense_layers": first,
            "expert_layer_period": min(period, layers),
            "num_experts": num,
            "top_k": min(top, num),
            "expert_ffn_hidden_size": inner,
            "num_shared_experts": shared,
            "shared_expert_gate": gate and shared > 0,
        }
        | (LATENT if latent else {})
    ),
    st.integers(1, 12),
    st.integers(0, 3),
    st.integers(1, 3),
    st.sampled_from([2, 8, 64]),
    st.integers(1, 8),
    st.integers(0, 2),
    st.sampled_from([128, 768]),
    st.booleans(),
    st.booleans(),
)


def graph(model, **changes):
    options = {"seq_len": 512, "micro_batch": 2, "precision": "bf16", "attention": "unfused"} | changes
    return build_step_graph(model, **options)


@given(experts)
def test_products_do_six_flop_per_active_weight_and_token(model):
    """The graph is built product by product; the closed form counts the weights that a token uses."""
    built = graph(model)
    kinds = (*PRODUCTS, Kind.UNFUSED_ATTENTION)
    work = sum(built.executions(op) * op.flop for op in built if op.kind in kinds)
    assert work == pytest.approx(2 * 512 * model.model_flop_per_token(512), rel=1e-12)


@given(experts)
def test_weights_of_the_products_are_the_weights_of_the_model(model):
    """Every weight that multiplies is met once in the forward pass; norms and biases are what is left."""
    built = graph(model).select(lambda op: op.phase is Phase.FORWARD and op.scope is Scope.LAYER)
    met = sum(
        built.executions(op) * op.batch * op.n * op.k
        for op in built
        if op.kind in (Kind.GEMM, Kind.GROUPED_GEMM)
    )
    layers = model.num_layers * model.parameters_per_layer
    assert met <= layers * (1 + 1e-12)
    assert layers - met <= model.num_layers * (4 * model.hidden_size + 64 + 2 * model.num_experts)


@given(experts)
def test_sizes_add_up(model):
    layers = model.num_layers * model.parameters_per_layer
    assert layers + model.embedding_parameters + model.head_parameters == pytest.approx(
        model.num_parameters, rel=1e-12
    )
    assert model.num_active_parameters <= model.num_parameters
    every = model.model_copy(update={"top_k": model.num_experts})
    assert every.num_active_parameters == model.num_parameters


@pytest.mark.parametrize("precision", ["bf16", "fp8", "mxfp8", "nvfp4", "fp32"])
def test_one_expert_is_the_dense_model(precision):
    dense, one = Transformer(**SMALL), Transformer(**SMALL, num_experts=1, top_k=1)
    assert one == dense
    assert graph(one, precision=precision).ops == graph(dense, precision=precision).ops


def test_a_capacity_factor_adds_rows_and_no_weights():
    model = Transformer(**SMALL, num_experts=8, top_k=2)
    padded = model.model_copy(update={"capacity_factor": 1.25})
    assert padded.num_parameters == model.num_parameters
    rows = [next(op.m for op in graph(one) if op.kind is Kind.GROUPED_GEMM) for one in (model, padded)]
    assert rows == [2 * 512 * 2 / 8, 1.25 * 2 * 512 * 2 / 8]


def test_eight_bits_change_linear_layers_alone_and_cost_quantisation():
    model = Transformer(**SMALL, num_experts=8, top_k=2)
    plain, low = graph(model), graph(model, precision="mxfp8")
    changed = {op.name for op in low if op.dtype == "mxfp8"}
    assert changed == {"qkv", "attention_output", "expert_up", "expert_down"}
    added = {op.name for op in low} - {op.name for op in plain}
    assert added == {f"quantise_{name}" for name in changed}
    assert low.flop() == plain.flop()
    assert all(op.kind is Kind.MEMORY and op.bytes > 0 for op in low if op.name in added)


@pytest.mark.parametrize(
    ("window", "kind", "seq_len", "keys"),
    [
        (128, "sliding", 128, 64.0),
        (128, "sliding", 1024, 128 - 128 * 128 / 2048),
        (128, "chunked", 1024, 64.0),
        (4096, "chunked", 1024, 512.0),
    ],
)
def test_a_window_shows_a_token_so_many_keys(window, kind, seq_len, keys):
    model = Transformer(**SMALL, attention_window=window, window_kind=kind)
    assert model.windowed_keys(seq_len) == pytest.approx(keys)
    counted = [
        min(max(0, q - window + 1) if kind == "sliding" else q - q % window, q) for q in range(seq_len)
    ]
    exact = sum(q - first + 1 for q, first in enumerate(counted)) / seq_len
    assert model.windowed_keys(seq_len) == pytest.approx(exact, abs=0.6)


@given(st.integers(1, 4096), st.sampled_from([256, 1024, 4096]))
def test_a_window_never_adds_work_and_a_wide_one_is_none(window, seq_len):
    plain = Transformer(**SMALL)
    for kind in ("sliding", "chunked"):
        slid = plain.model_copy(update={"attention_window": window, "window_kind": kind})
        less, all_ = (graph(model, seq_len=seq_len, attention="flash").flop() for model in (slid, plain))
        assert less <= all_ * (1 + 1e-12)
        if window >= seq_len:
            assert less == pytest.approx(all_, rel=1e-12)


def test_every_nth_layer_sees_all():
    model = Transformer(**SMALL, attention_window=128, full_attention_period=4)
    cores = [
        op
        for op in graph(model, attention="flash")
        if op.kind is Kind.ATTENTION and op.phase is Phase.FORWARD
    ]
    assert [op.count for op in cores] == [0.25, 0.75]
    assert cores[0].keys == 0.0 < cores[1].keys < 128


@pytest.mark.parametrize(
    "broken",
    [
        {"num_experts": 4, "top_k": 5},
        {"num_shared_experts": 1},
        {"num_experts": 4, "num_dense_layers": 6},
        {"kv_lora_rank": 64},
        {"v_head_dim": 64},
        {"q_lora_rank": 64},
        {"full_attention_period": 4},
        {"num_experts": 4, "capacity_factor": 0.0},
    ],
)
def test_impossible_shapes_are_refused(broken):
    with pytest.raises(ValidationError):
        Transformer(**(SMALL | broken))
