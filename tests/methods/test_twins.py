"""What each rewrite cuts, and that it comes to what the effect file says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.layout.layouts import Layouts
from simtool.layout.shard import shard
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import Kind, Phase, Scope
from simtool.workload.recompute import with_recompute
from simtool.workload.transformer import Transformer, build_step_graph

MODEL = Transformer(num_layers=8, hidden_size=256, num_heads=4, ffn_hidden_size=1024, vocab_size=1000)
ATTENTION = (Kind.ATTENTION, Kind.UNFUSED_ATTENTION)


def graph(micro_batch=2, seq_len=512, attention="flash", recompute="none"):
    whole = build_step_graph(
        MODEL, seq_len=seq_len, micro_batch=micro_batch, precision="bf16", attention=attention
    )
    return with_recompute(whole, recompute)


PLAIN = graph()
# Above these, every rewrite can reach the multiplier: head, first and last layer are not cut by all.
reachable = st.floats(0.5, 1.0)


def effect(forward=1.0, backward_input=1.0, backward_weight=1.0, **others):
    return EffectPhase(
        forward_frac=forward,
        backward_input_frac=backward_input,
        backward_weight_frac=backward_weight,
        **others,
    )


@pytest.mark.parametrize("name", list(METHODS))
@given(forward=reachable, backward_input=reachable, backward_weight=reachable)
def test_each_pass_comes_to_its_multiplier(name, forward, backward_input, backward_weight):
    rewritten = METHODS[name](PLAIN, effect(forward, backward_input, backward_weight))
    for phase, frac in (
        (Phase.FORWARD, forward),
        (Phase.BACKWARD_INPUT, backward_input),
        (Phase.BACKWARD_WEIGHT, backward_weight),
    ):
        assert rewritten.flop(phase) == pytest.approx(frac * PLAIN.flop(phase), rel=1e-9)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("attention", ["flash", "unfused"])
def test_candidates_broadcast(name, attention):
    many = graph(micro_batch=np.array([1.0, 2.0, 4.0]), attention=attention, recompute="full")
    one = graph(micro_batch=2.0, attention=attention, recompute="full")
    changes = effect(0.7, 0.6, 0.5, score_frac=0.3, optimizer_frac=1.5)
    both = METHODS[name](many, changes), METHODS[name](one, changes)
    assert both[0].flop()[1] == pytest.approx(both[1].flop())
    for op, alone in zip(*both, strict=True):
        for field in ("count", "flop", "bytes", "m", "n", "k"):
            value = np.broadcast_to(getattr(op, field), 3)[1]
            assert value == pytest.approx(float(getattr(alone, field))), (op.name, field)


@pytest.mark.parametrize("name", list(METHODS))
def test_nothing_left_is_nothing_done(name):
    rewritten = METHODS[name](PLAIN, effect(0.0, 0.0, 0.0))
    assert np.all(np.isfinite([op.bytes + op.m + op.n + op.k + op.count for op in rewritten]))
    assert rewritten.flop() <= PLAIN.flop() * 0.3


@pytest.mark.parametrize("name", list(METHODS))
def test_scoring_adds_forward_work(name):
    scored = METHODS[name](PLAIN, effect(score_frac=0.5))
    assert scored.flop(Phase.FORWARD) == pytest.approx(1.5 * PLAIN.flop(Phase.FORWARD))


def in_scope(made, scope, phase, kind=None):
    return made.select(lambda op: op.scope is scope and op.phase is phase and kind in (None, op.kind))


@pytest.mark.parametrize("name", ["layer-freezing", "growth", "stochastic-depth", "tensor-selection"])
def test_the_head_is_spared(name):
    cut = METHODS[name](PLAIN, effect(0.7, 0.7, 0.7))
    for phase in (Phase.FORWARD, Phase.BACKWARD_INPUT, Phase.BACKWARD_WEIGHT):
        assert in_scope(cut, Scope.HEAD, phase).ops == in_scope(PLAIN, Scope.HEAD, phase).ops


def test_a_frozen_front_keeps_its_forward_pass_unless_it_is_cached():
    frozen = METHODS["layer-freezing"](PLAIN, effect(backward_input=0.6, backward_weight=0.6))
    assert frozen.select(lambda op: op.phase is Phase.FORWARD).ops == (
        PLAIN.select(lambda op: op.phase is Phase.FORWARD).ops
    )
    assert all(op.count == 0.0 for op in in_scope(frozen, Scope.EMBEDDING, Phase.BACKWARD_INPUT))
    cached = METHODS["layer-freezing"](PLAIN, effect(0.6, 0.6, 0.6))
    assert all(op.count == 0.0 for op in in_scope(cached, Scope.EMBEDDING, Phase.FORWARD))


@pytest.mark.parametrize("name", ["selective-backprop", "batch-ramp"])
def test_fewer_rows_read_the_weights_as_before(name):
    cut = METHODS[name](PLAIN, effect(0.5, 0.5, 0.5))
    for before, after in zip(PLAIN, cut, strict=True):
        if before.kind is Kind.GEMM and before.phase is Phase.FORWARD:
            weight_bytes = 2.0 * before.n * before.k
            assert after.m == 0.5 * before.m
            assert after.bytes - weight_bytes == pytest.approx(0.5 * (before.bytes - weight_bytes))


def test_short_sequences_save_attention_before_products():
    forward = PLAIN.flop(Phase.FORWARD)
    attention = PLAIN.select(lambda op: op.phase is Phase.FORWARD and op.kind in ATTENTION).flop()
    mild = METHODS["progressive-size"](PLAIN, effect(1.0 - 0.5 * attention / forward))
    for before, after in zip(PLAIN, mild, strict=True):
        if before.kind in ATTENTION and before.phase is Phase.FORWARD:
            assert after.m == pytest.approx(0.5 * before.m)
            assert after.m * after.k == pytest.approx(before.m * before.k)  # as many tokens
        else:
            assert after == before
    strong = METHODS["progressive-size"](PLAIN, effect(0.3))
    products = [op.m for op in strong if op.kind is Kind.GEMM and op.phase is Phase.FORWARD]
    assert all(m < 1024 for m in products)


def test_dropped_tokens_spare_the_first_and_the_last_layer():
    cut = METHODS["token-dropping"](PLAIN, effect(0.6, 0.6, 0.6))
    linear = [op for op in cut if op.name == "mlp_up" and op.phase is Phase.FORWARD]
    whole, part = sorted(linear, key=lambda op: -op.m)
    assert whole.count * MODEL.num_layers == pytest.approx(2.0)
    assert part.count * MODEL.num_layers == pytest.approx(MODEL.num_layers - 2.0)
    score = [op for op in cut if op.kind in ATTENTION and op.phase is Phase.FORWARD]
    long, short = sorted(score, key=lambda op: -op.m)
    kept = float(part.m / whole.m)
    assert short.m / long.m == pytest.approx(kept)
    assert short.flop / long.flop == pytest.approx(kept**2)


def test_orthogonalising_costs_what_the_shapes_say():
    rewritten = METHODS["muon"](PLAIN, effect(optimizer_frac=2.0))
    added = [op for op in rewritten if op.name.startswith("orthogonalise")]
    h, f = MODEL.hidden_size, MODEL.ffn_hidden_size
    shapes = [(h, 3 * h), (h, h), (h, f), (h, f)]
    by_hand = sum(5 * (4.0 * short**2 * long + 2.0 * short**3) for short, long in shapes)
    assert sum(op.count * op.flop for op in added) == pytest.approx(MODEL.num_layers * by_hand)
    assert {op.phase for op in added} == {Phase.OPTIMIZER}
    half = METHODS["muon"](PLAIN, effect(optimizer_frac=1.5))
    assert sum(op.count for op in half if op.name.startswith("orthogonalise")) == pytest.approx(
        0.5 * sum(op.count for op in added)
    )
    before, after = (next(op for op in made if op.name == "adam") for made in (PLAIN, rewritten))
    assert 0.0 < after.bytes < before.bytes


def test_orthogonalising_is_dealt_out_over_the_ranks():
    rewritten = METHODS["muon"](PLAIN, effect(optimizer_frac=2.0))
    counts = []
    for zero in (0, 1):
        layouts = Layouts(
            tp=1.0,
            pp=1.0,
            vpp=1.0,
            dp=4.0,
            zero=zero,
            micro_batch=2.0,
            sequence_parallel=False,
            num_micro_batches=1.0,
        )
        rank = shard(rewritten, MODEL, layouts)
        counts.append(sum(float(op.count) for op in rank if op.name.startswith("orthogonalise")))
    assert counts[1] == pytest.approx(counts[0] / 4)
