"""Memory: closed forms of published papers, what frameworks add, and what must not depend on the order of things."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.layout.habits import EAGER, FSDP2, HABITS, IDEAL, MEGATRON_CORE, MEGATRON_LM, habits_of
from simtool.layout.layouts import Layouts, held_by_stage, split_by_weights
from simtool.layout.memory import estimate_memory
from simtool.profiles.find import default_library
from simtool.workload.transformer import Transformer

GPT = Transformer(
    num_layers=24,
    hidden_size=4096,
    num_heads=32,
    ffn_hidden_size=16384,
    vocab_size=51200,
    tied_embeddings=False,
)
LLAMA = Transformer(
    num_layers=32,
    hidden_size=4096,
    num_heads=32,
    num_kv_heads=8,
    ffn_hidden_size=14336,
    vocab_size=128256,
    mlp="swiglu",
    norm="rmsnorm",
    positions="rotary",
    tied_embeddings=False,
    qkv_bias=False,
    output_bias=False,
    mlp_bias=False,
)
ONE = Layouts(
    tp=1.0,
    pp=1.0,
    vpp=1.0,
    dp=1.0,
    zero=0.0,
    micro_batch=1.0,
    sequence_parallel=False,
    num_micro_batches=64.0,
)


def memory(model, layouts, **changes):
    options = {
        "seq_len": 2048,
        "precision": "bf16",
        "recompute": "none",
        "attention": "flash",
        "capacity_bytes": 80e9,
        "workspace_bytes": 0.0,
    }
    return estimate_memory(model, layouts, **(options | changes))


ranks = st.sampled_from([1, 2, 4, 8])


@given(tp=ranks, pp=st.sampled_from([2, 4, 8]), batch=st.sampled_from([1, 2, 4]), parallel=st.booleans())
def test_activations_are_the_closed_form(tp, pp, batch, parallel):
    """Korthikanti et al. 2022, equations 2 and 4: the first stage holds L/pp layers of pp micro-batches."""
    s, h, a, layers = 2048, GPT.hidden_size, GPT.num_heads, GPT.num_layers
    layouts = replace(ONE, tp=tp * 1.0, pp=pp * 1.0, micro_batch=batch * 1.0, sequence_parallel=parallel)
    outside = 10 / tp if parallel else 10
    expected = s * batch * h * (outside + 24 / tp + 5 * a * s / (h * tp)) * layers
    found = memory(GPT, layouts, attention="unfused", stage="first")
    assert float(found.activations_bytes) == pytest.approx(expected, rel=1e-12)
    # selective recomputation drops the scores, and needs them for one layer at a time
    dropped = s * batch * h * ((outside + 24 / tp) * layers + 5 * a * s / (h * tp))
    selective = memory(GPT, layouts, attention="unfused", stage="first", recompute="selective")
    assert float(selective.activations_bytes) == pytest.approx(dropped, rel=1e-12)
    # full recomputation keeps 2 s b h a layer, and needs one layer at a time
    inputs = s * batch * h * 2 / (tp if parallel else 1) * layers
    full = memory(GPT, layouts, attention="unfused", stage="first", recompute="full")
    assert float(full.activations_bytes) == pytest.approx(inputs + expected / layers / 1.0, rel=1e-12)


def test_interleaving_keeps_more():
    """Section 4.2.3: 1 + (pp - 1)/(pp vpp) times as much."""
    layouts = replace(ONE, pp=4.0)
    plain = memory(GPT, layouts, stage="first").activations_bytes
    interleaved = memory(GPT, replace(layouts, vpp=2.0), stage="first").activations_bytes
    assert float(interleaved / plain) == pytest.approx(1 + 3 / 8)


def test_sharded_fp32_holds_sixteen_bytes_a_weight():
    """FSDP: 4 + 4 + 8 over the ranks; beside them two layers and an edge of 2 bytes are whole."""
    found = memory(LLAMA, replace(ONE, dp=8.0, zero=3.0), habits=FSDP2)
    whole = 2.0 * (2 * LLAMA.parameters_per_layer + LLAMA.vocab_size * LLAMA.hidden_size)
    shards = found.weights_bytes - whole + found.gradients_bytes + found.optimizer_bytes
    assert float(shards) == pytest.approx(16.0 * LLAMA.num_parameters / 8.0, rel=1e-4)
    mixed = memory(LLAMA, replace(ONE, dp=8.0), habits=MEGATRON_LM)
    held = mixed.weights_bytes + mixed.gradients_bytes + mixed.optimizer_bytes
    assert float(held) == pytest.approx(18.0 * LLAMA.num_parameters, rel=1e-12)


def test_unused_gradients_of_fused_accumulation():
    """One of every shape of a layer, at the weights' size; and at the loss one of the head's."""
    plain = memory(LLAMA, ONE, habits=replace(MEGATRON_CORE, placeholder_gradients=False))
    fused = memory(LLAMA, ONE, habits=MEGATRON_CORE)
    more = fused.gradients_bytes - plain.gradients_bytes
    assert float(more) == pytest.approx(2.0 * LLAMA.parameters_per_layer)


def test_the_loss_and_a_layers_backward_pass_take_turns():
    few = LLAMA.model_copy(update={"vocab_size": 256})
    many = LLAMA.model_copy(update={"vocab_size": 512})
    assert (
        memory(few, ONE, habits=EAGER).activations_bytes == memory(many, ONE, habits=EAGER).activations_bytes
    )
    logits = 2048 * (128256 - 64128)
    half = LLAMA.model_copy(update={"vocab_size": 64128})
    gap = (
        memory(LLAMA, ONE, habits=EAGER).activations_bytes - memory(half, ONE, habits=EAGER).activations_bytes
    )
    assert float(gap) == pytest.approx(logits * EAGER.logit_bytes)


def test_keeping_every_nth_input_trades_inputs_for_a_longer_stretch():
    layouts = replace(ONE, pp=4.0)
    every, fourth = (
        float(
            memory(GPT, layouts, recompute="full", recompute_layers=number, stage="first").activations_bytes
        )
        for number in (1.0, 4.0)
    )
    inputs = 2048 * 2 * GPT.hidden_size * GPT.num_layers
    assert fourth - inputs / 4 == pytest.approx(4 * (every - inputs))


def test_autograd_keeps_more_than_fused_kernels():
    fused = replace(EAGER, fused_norm=True, fused_gate=True, repeats_keys=False)
    gap = (
        memory(LLAMA, ONE, habits=EAGER).activations_bytes
        - memory(LLAMA, ONE, habits=fused).activations_bytes
    )
    each = 2 * 4 * 4096 + 2 * 14336 + 2 * 2 * (4096 - 1024)  # norms in fp32, gate, repeated keys and values
    assert float(gap) == pytest.approx(2048 * 32 * each)


def test_an_offloaded_optimizer_leaves_weights_and_activations():
    layouts = replace(ONE, dp=8.0, zero=3.0)
    kept, gone = (memory(LLAMA, layouts, offloaded_optimizer=offloaded) for offloaded in (False, True))
    assert float(gone.optimizer_bytes) == 0.0
    assert float(gone.weights_bytes) == float(kept.weights_bytes)
    assert float(gone.total_bytes) < float(kept.total_bytes)


@given(tp=ranks, pp=ranks, dp=ranks, zero=st.sampled_from([0, 1, 2, 3]))
@pytest.mark.parametrize("habits", [IDEAL, *dict.fromkeys(HABITS.values())], ids=lambda habits: habits.rule)
def test_the_fullest_stage_is_no_smaller_than_the_first(habits, tp, pp, dp, zero):
    layouts = replace(ONE, tp=tp * 1.0, pp=pp * 1.0, dp=dp * 1.0, zero=zero * 1.0, sequence_parallel=tp > 1)
    fullest, first = (memory(LLAMA, layouts, habits=habits, stage=stage) for stage in ("fullest", "first"))
    assert float(fullest.tensors_bytes) >= float(first.tensors_bytes) > 0.0
    assert float(fullest.total_bytes) == float(fullest.tensors_bytes)


def test_many_layouts_at_once_are_each_of_them():
    many = replace(
        ONE,
        tp=np.array([1.0, 2.0, 8.0]),
        pp=np.array([1.0, 4.0, 2.0]),
        zero=np.array([0.0, 1.0, 3.0]),
        dp=8.0,
    )
    together = memory(LLAMA, many, habits=FSDP2).total_bytes
    alone = [
        float(memory(LLAMA, replace(ONE, tp=tp, pp=pp, zero=zero, dp=8.0), habits=FSDP2).total_bytes)
        for tp, pp, zero in ((1.0, 1.0, 0.0), (2.0, 4.0, 1.0), (8.0, 2.0, 3.0))
    ]
    assert list(together) == pytest.approx(alone)


@given(pp=st.sampled_from([1, 2, 4, 8, 16]), tied=st.booleans())
def test_stages_balanced_by_weights_hold_all_layers_and_the_first_no_less(pp, tied):
    model = LLAMA.model_copy(update={"tied_embeddings": tied})
    stages = split_by_weights(model, float(pp))
    total = stages.first if pp == 1 else stages.first + stages.last + (pp - 2) * stages.middle
    assert float(total) == model.num_layers
    assert float(stages.last) <= model.num_layers / pp <= float(stages.first)
    held = held_by_stage(model, replace(ONE, pp=float(pp)), stages)
    weights = held[0].total if pp == 1 else held[0].total + held[2].total + (pp - 2) * held[1].total
    copies = model.tied_parameters if pp > 1 else 0  # a tied head on another stage keeps a copy
    assert float(weights) == pytest.approx(model.num_parameters + copies, rel=1e-12)


def test_every_software_profile_has_a_rule_and_every_rule_a_source():
    assert sorted(HABITS) == default_library().names("software")
    rules = {habits.rule: habits for habits in HABITS.values()}
    assert all(habits.source for habits in rules.values())
    assert len(rules) == len({id(habits) for habits in HABITS.values()})
    assert habits_of("a framework of one's own") is IDEAL


class Counted(Transformer):
    """A model whose bytes behind the layers were counted."""

    def kept_bytes(self, seq_len, precision, attention):
        return replace(super().kept_bytes(seq_len, precision, attention), head=1e6)


def test_what_was_counted_behind_the_layers_is_not_counted_again():
    counted = Counted(**LLAMA.model_dump())
    each = [memory(counted, ONE, habits=habits).activations_bytes for habits in (EAGER, FSDP2)]
    plain = [memory(LLAMA, ONE, habits=habits).activations_bytes for habits in (EAGER, FSDP2)]
    for found, usual, habits in zip(each, plain, (EAGER, FSDP2), strict=True):
        assert float(found - usual) == pytest.approx(2048 * (1e6 - 128256 * habits.logit_bytes))
