"""Sizes and work of dense decoders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simtool.stepgraph import Kind, Phase, Scope
from simtool.workload.recompute import with_recompute
from simtool.workload.transformer import Transformer, build_step_graph

GATED = {
    "mlp": "swiglu",
    "positions": "rotary",
    "norm": "rmsnorm",
    "tied_embeddings": False,
    "output_bias": False,
    "mlp_bias": False,
}


def gated(layers: int, hidden: int, heads: int, kv: int, ffn: int, vocab: int, *, qkv_bias: bool = False):
    return Transformer(
        num_layers=layers,
        hidden_size=hidden,
        num_heads=heads,
        num_kv_heads=kv,
        ffn_hidden_size=ffn,
        vocab_size=vocab,
        qkv_bias=qkv_bias,
        **GATED,
    )


@pytest.mark.parametrize(
    ("model", "published"),
    [
        (gated(32, 4096, 32, 8, 14336, 128256), 8_030_261_248),
        (gated(80, 8192, 64, 8, 28672, 128256), 70_553_706_496),
        (gated(126, 16384, 128, 8, 53248, 128256), 405_853_388_800),
        (gated(32, 4096, 32, 8, 14336, 32000), 7_241_732_096),
        (gated(28, 3584, 28, 4, 18944, 152064, qkv_bias=True), 7_615_616_512),
    ],
    ids=["llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "mistral-7b", "qwen2-7b"],
)
def test_published_parameter_counts_are_exact(model, published):
    assert model.num_parameters == published


def test_bloom_and_gpt2_parameter_counts_are_exact():
    bloom = Transformer(
        num_layers=70,
        hidden_size=14336,
        num_heads=112,
        ffn_hidden_size=57344,
        vocab_size=250880,
        positions="alibi",
        embedding_norm=True,
    )
    gpt2 = Transformer(
        num_layers=12,
        hidden_size=768,
        num_heads=12,
        ffn_hidden_size=3072,
        vocab_size=50257,
        max_positions=1024,
    )
    assert bloom.num_parameters == 176_247_271_424
    assert gpt2.num_parameters == 124_439_808


models = st.builds(
    lambda layers, heads, groups, head, ffn, vocab, mlp: Transformer(
        num_layers=layers,
        hidden_size=heads * groups * head,
        num_heads=heads * groups,
        num_kv_heads=heads,
        ffn_hidden_size=ffn,
        vocab_size=vocab,
        mlp=mlp,
    ),
    st.integers(1, 40),
    st.integers(1, 8),
    st.integers(1, 4),
    st.sampled_from([32, 64, 128]),
    st.integers(64, 8192),
    st.integers(100, 200_000),
    st.sampled_from(["gelu", "relu", "swiglu"]),
)


@given(models, st.sampled_from([128, 1024, 8192]), st.integers(1, 8))
def test_graph_does_six_flop_per_weight_and_token_plus_attention(model, seq_len, micro_batch):
    """The graph is built product by product; the closed form counts weights. They must agree."""
    graph = build_step_graph(
        model, seq_len=seq_len, micro_batch=micro_batch, precision="bf16", attention="unfused"
    )
    matrix = sum(
        graph.executions(op) * op.flop for op in graph if op.kind in (Kind.GEMM, Kind.UNFUSED_ATTENTION)
    )
    tokens = micro_batch * seq_len
    assert matrix == pytest.approx(tokens * model.model_flop_per_token(seq_len), rel=1e-12)


@given(models)
def test_backward_is_twice_forward_for_every_product(model):
    graph = build_step_graph(model, seq_len=256, micro_batch=2, precision="bf16", attention="flash")
    products = graph.select(lambda op: op.kind is Kind.GEMM)
    assert products.flop(Phase.BACKWARD_INPUT) == pytest.approx(products.flop(Phase.FORWARD))
    assert products.flop(Phase.BACKWARD_WEIGHT) == pytest.approx(products.flop(Phase.FORWARD))


def test_flash_attention_skips_the_masked_half_and_never_stores_scores():
    model = gated(2, 1024, 8, 8, 4096, 1000)
    flash, unfused = (
        build_step_graph(model, seq_len=4096, micro_batch=1, precision="bf16", attention=kernel)
        for kernel in ("flash", "unfused")
    )
    one, other = (
        next(op for op in graph if op.name == "attention" and op.phase is Phase.FORWARD)
        for graph in (flash, unfused)
    )
    assert one.flop == other.flop / 2
    assert one.bytes < other.bytes / 10


def test_full_recomputation_repeats_the_layers_forward_and_nothing_else():
    model = gated(4, 512, 8, 4, 2048, 1000)
    graph = build_step_graph(model, seq_len=512, micro_batch=1, precision="bf16", attention="flash")
    full = with_recompute(graph, "full")
    layers = graph.select(lambda op: op.scope is Scope.LAYER)
    assert full.flop() - graph.flop() == pytest.approx(layers.flop(Phase.FORWARD))
    assert with_recompute(graph, "none") is graph
    selective = with_recompute(graph, "selective")
    assert {op.name for op in selective if op.is_recompute} == {"attention"}


def test_micro_batch_may_be_an_array_of_candidates():
    model = gated(2, 512, 8, 8, 2048, 1000)
    sizes = np.array([1.0, 2.0, 5.0])
    many = build_step_graph(model, seq_len=128, micro_batch=sizes, precision="bf16", attention="flash").flop()
    each = [
        build_step_graph(
            model, seq_len=128, micro_batch=float(size), precision="bf16", attention="flash"
        ).flop()
        for size in sizes
    ]
    np.testing.assert_allclose(many, each, rtol=1e-14)


@pytest.mark.parametrize(
    "broken", [{"num_heads": 7}, {"num_kv_heads": 3}, {"num_layers": 0}, {"mlp": "geglu"}]
)
def test_impossible_shapes_are_refused(broken):
    shape = {"num_layers": 2, "hidden_size": 512, "num_heads": 8, "ffn_hidden_size": 2048, "vocab_size": 1000}
    with pytest.raises(ValidationError):
        Transformer(**(shape | broken))
