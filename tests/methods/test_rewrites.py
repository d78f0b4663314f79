"""What every registered method must do, and what the claimed one does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simtool.methods.effect import Effect, EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import Phase
from simtool.workload.recompute import with_recompute
from simtool.workload.transformer import Transformer, build_step_graph

MODEL = Transformer(num_layers=4, hidden_size=256, num_heads=4, ffn_hidden_size=1024, vocab_size=1000)
GRAPH = with_recompute(
    build_step_graph(MODEL, seq_len=128, micro_batch=2, precision="bf16", attention="flash"), "full"
)
fractions = st.floats(0.0, 1.0)


@pytest.mark.parametrize("name", list(METHODS))
def test_neutral_parameters_are_the_identity(name):
    assert METHODS[name](GRAPH, EffectPhase()).ops == GRAPH.ops


@pytest.mark.parametrize("name", list(METHODS))
@given(forward=fractions, backward_input=fractions, backward_weight=fractions)
def test_work_never_turns_negative_or_grows_without_scoring(name, forward, backward_input, backward_weight):
    effect = EffectPhase(
        forward_frac=forward, backward_input_frac=backward_input, backward_weight_frac=backward_weight
    )
    rewritten = METHODS[name](GRAPH, effect)
    for phase in Phase:
        assert 0.0 <= rewritten.flop(phase) <= GRAPH.flop(phase) * (1 + 1e-12)


@pytest.mark.parametrize("name", list(METHODS))
def test_what_the_host_launches_does_not_shrink(name):
    rewritten = METHODS[name](GRAPH, EffectPhase(forward_frac=0.1, backward_input_frac=0.1))
    assert sum(op.launches for op in rewritten) == sum(op.launches for op in GRAPH)


def test_each_phase_shrinks_by_its_own_fraction():
    effect = EffectPhase(forward_frac=0.5, backward_input_frac=0.25, backward_weight_frac=0.125)
    plain = GRAPH.select(lambda op: not op.is_recompute)
    rewritten = METHODS["fewer-operations"](plain, effect)
    assert rewritten.flop(Phase.FORWARD) == pytest.approx(0.5 * plain.flop(Phase.FORWARD))
    assert rewritten.flop(Phase.BACKWARD_INPUT) == pytest.approx(0.25 * plain.flop(Phase.BACKWARD_INPUT))
    assert rewritten.flop(Phase.BACKWARD_WEIGHT) == pytest.approx(0.125 * plain.flop(Phase.BACKWARD_WEIGHT))


def test_scoring_costs_forward_work():
    plain = GRAPH.select(lambda op: not op.is_recompute)
    scored = METHODS["fewer-operations"](plain, EffectPhase(score_frac=1.0))
    assert scored.flop(Phase.FORWARD) == pytest.approx(2.0 * plain.flop(Phase.FORWARD))
    assert scored.flop(Phase.BACKWARD_WEIGHT) == plain.flop(Phase.BACKWARD_WEIGHT)


def effect_with(phases):
    return Effect.model_validate(
        {
            "schema": "simtool/effect/1",
            "name": "x",
            "title": "x",
            "method": "fewer-operations",
            "evidence": "assumed",
            "source": "test",
            "phases": phases,
        }
    )


def test_phases_must_cover_training_without_gap_or_overlap():
    effect_with([{"progress": [0, 0.3]}, {"progress": [0.3, 1]}])
    for broken in ([[0, 0.3], [0.4, 1]], [[0, 0.5], [0.4, 1]], [[0, 0.5]], [[0.1, 1]], [[0, 0], [0, 1]]):
        with pytest.raises(ValidationError, match="cover 0 to 1"):
            effect_with([{"progress": progress} for progress in broken])


@pytest.mark.parametrize("outside", [-0.1, 1.1, float("nan"), float("inf")])
def test_fractions_of_work_outside_zero_to_one_are_refused(outside):
    with pytest.raises(ValidationError):
        EffectPhase(forward_frac=outside)
