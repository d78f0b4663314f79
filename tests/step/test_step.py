"""The price of a step: bounds, monotonicity, broadcasting, and what a method leaves alone."""

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
from simtool.methods.effect import EffectPhase
from simtool.profiles.find import default_library
from simtool.provenance import Sourced
from simtool.step.estimate import STEP_PARTS, STEP_STATES
from simtool.step.step import Job, MethodPhase, estimate_step

LIBRARY = default_library()


def machine(accelerator="h100-sxm", framework="megatron-core", cap_w=None):
    cap = None if cap_w is None else Sourced(value=cap_w, unit="W", kind="assumed", source="test")
    return build_machine(
        LIBRARY,
        Cluster(accelerator=accelerator, num_nodes=1, power_cap=cap),
        framework,
        attention=None,
        power_limit_w=None,
        locate=str,
    )


def job(preset="llama3.1-8b", *, seq_len=8192, recompute="none", attention="flash"):
    model = LIBRARY.get("model", preset).shape()
    return Job(model=model, seq_len=seq_len, precision="bf16", recompute=recompute, attention=attention)


H100 = machine()
LLAMA = job()
EIGHT = Layouts(
    tp=2.0, pp=1.0, vpp=1.0, dp=4.0, zero=1.0, micro_batch=1.0, sequence_parallel=True, num_micro_batches=8.0
)
NEUTRAL = MethodPhase(method="fewer-operations", effect=EffectPhase())


def fewer(frac):
    effect = EffectPhase(forward_frac=frac, backward_input_frac=frac, backward_weight_frac=frac)
    return MethodPhase(method="fewer-operations", effect=effect)


def test_every_part_is_named_counted_once_and_in_one_state():
    estimate = estimate_step(LLAMA, EIGHT, H100)
    assert set(estimate.seconds) == set(STEP_PARTS)
    assert all(float(seconds) >= 0.0 for seconds in estimate.seconds.values())
    assert sorted(part for parts in STEP_STATES.values() for part in parts) == sorted(STEP_PARTS)
    assert sum(float(estimate.state_frac(state)) for state in STEP_STATES) == pytest.approx(1.0, rel=1e-12)


def test_arrays_of_candidates_equal_one_by_one():
    found = enumerate_layouts(LLAMA.model, num_devices=64, max_tp=8, seq_len=8192, global_batch=512)
    assert found is not None
    many = estimate_step(LLAMA, found, H100)
    for index in range(0, len(np.asarray(found.tp)), 37):
        one = estimate_step(LLAMA, pick(found, index), H100)
        assert float(one.step_time_s) == pytest.approx(float(np.asarray(many.step_time_s)[index]), rel=1e-12)
        total = np.broadcast_to(many.memory.total_bytes, np.shape(found.tp))
        assert float(one.memory.total_bytes) == pytest.approx(float(total[index]), rel=1e-12)


def test_no_layout_beats_the_peak_rate():
    found = enumerate_layouts(LLAMA.model, num_devices=64, max_tp=8, seq_len=8192, global_batch=512)
    assert found is not None
    assert np.all(np.asarray(estimate_step(LLAMA, found, H100).mfu) < 1.0)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_less_work_is_never_slower_and_saves_at_most_its_share(one, other):
    low, high = sorted((one, other))
    fast, slow = (float(estimate_step(LLAMA, EIGHT, H100, fewer(frac)).step_time_s) for frac in (low, high))
    plain = float(estimate_step(LLAMA, EIGHT, H100).step_time_s)
    assert fast <= slow * (1 + 1e-12)
    assert slow >= high * plain * (1 - 1e-12)


def test_a_neutral_method_changes_nothing():
    plain, neutral = estimate_step(LLAMA, EIGHT, H100), estimate_step(LLAMA, EIGHT, H100, NEUTRAL)
    assert neutral.seconds == plain.seconds
    assert float(neutral.energy_it_j) == float(plain.energy_it_j)


def test_what_is_not_skipped_does_not_shrink():
    plain, method = estimate_step(LLAMA, EIGHT, H100), estimate_step(LLAMA, EIGHT, H100, fewer(0.6))
    for part in ("tensor_communication", "pipeline_communication", "optimizer", "host"):
        assert float(method.seconds[part]) == float(plain.seconds[part])
    assert float(method.seconds["launch"]) >= float(plain.seconds["launch"])
    assert float(method.seconds["forward"]) < float(plain.seconds["forward"])


def test_a_launch_bound_model_keeps_little_of_the_saving():
    """Small model, small micro-batch, many devices: the host sets the pace, so skipping work hardly helps."""
    small = job("gpt3-350m", seq_len=1024)
    layouts = replace(EIGHT, tp=8.0, dp=1.0)
    saved = []
    for what in (small, LLAMA):
        plain, method = (float(estimate_step(what, layouts, H100, m).step_time_s) for m in (None, fewer(0.6)))
        saved.append(1.0 - method / plain)
    assert saved[0] < 0.1 < 0.25 < saved[1] < 0.4


def test_recomputation_costs_time_and_counts_as_hardware_work_only():
    none, full = estimate_step(LLAMA, EIGHT, H100), estimate_step(job(recompute="full"), EIGHT, H100)
    assert float(full.step_time_s) > float(none.step_time_s)
    assert float(full.hfu) > float(full.mfu)
    assert float(none.hfu) == pytest.approx(float(none.mfu), rel=1e-12)
    assert float(full.model_flop_per_step) == float(none.model_flop_per_step)


@given(st.sampled_from([1.0, 2.0, 4.0, 16.0]))
def test_the_bubble_shrinks_with_micro_batches_and_with_virtual_stages(count):
    pipeline = replace(EIGHT, tp=1.0, pp=8.0, dp=1.0, num_micro_batches=8.0 * count)
    estimate = estimate_step(LLAMA, pipeline, H100)
    interleaved = estimate_step(LLAMA, replace(pipeline, vpp=4.0), H100)
    frac = float(estimate.seconds["bubble"]) / float(estimate.step_time_s)
    assert frac < 0.83 * 7 / (8 * count)
    assert float(interleaved.seconds["bubble"]) == pytest.approx(float(estimate.seconds["bubble"]) / 4.0)


@given(st.floats(250.0, 700.0))
def test_a_power_cap_lowers_power_and_never_speeds_up(cap_w):
    plain, capped = estimate_step(LLAMA, EIGHT, H100), estimate_step(LLAMA, EIGHT, machine(cap_w=cap_w))
    assert float(capped.step_time_s) >= float(plain.step_time_s)
    assert float(capped.power_peak_w) <= cap_w * (1 + 1e-12)
    if cap_w >= 0.6 * 700.0:  # memory-bound work keeps its time until the clock falls far
        assert float(capped.seconds["optimizer"]) == float(plain.seconds["optimizer"])
    assert float(capped.power["compute"].accelerator_w) <= float(plain.power["compute"].accelerator_w)


def test_power_rises_from_idle_to_compute():
    power = estimate_step(LLAMA, EIGHT, H100).power
    watts = [
        float(power[state].accelerator_w) for state in ("idle", "bubble", "exposed_communication", "compute")
    ]
    assert watts == sorted(watts)
    assert watts[-1] <= 700.0


def test_a_tensor_group_over_two_nodes_uses_the_whole_networks_of_both():
    """Slower than inside a node, but far from every message on one slow card per accelerator (9 x here)."""
    big = job("megatron-175b", seq_len=2048)
    inside = replace(EIGHT, tp=8.0, pp=8.0, dp=2.0)
    across = replace(EIGHT, tp=16.0, pp=8.0, dp=1.0)
    slow, fast = (
        float(estimate_step(big, layouts, H100).seconds["tensor_communication"])
        for layouts in (across, inside)
    )
    assert 1.0 < slow / fast < 5.0


def test_zero_3_gathers_weights_in_every_micro_batch():
    sharded = replace(EIGHT, tp=1.0, dp=8.0, zero=3.0)
    once = replace(sharded, zero=1.0)
    three, one = estimate_step(LLAMA, sharded, H100), estimate_step(LLAMA, once, H100)
    assert float(three.seconds["data_communication"]) > float(one.seconds["data_communication"])
    assert float(three.memory.weights_bytes) < float(one.memory.weights_bytes)


@pytest.mark.parametrize("accelerator", LIBRARY.names("accelerator"))
def test_every_accelerator_prices_a_step(accelerator):
    profile = LIBRARY.get("accelerator", accelerator)
    precision = next((p for p in ("bf16", "fp16", "fp32") if p in profile.peak), None)
    assert precision is not None
    what = replace(job("gpt2", seq_len=1024), precision=precision)
    layouts = replace(EIGHT, tp=1.0, dp=float(machine(accelerator).accelerators_per_node))
    estimate = estimate_step(what, layouts, machine(accelerator))
    assert 0.0 < float(estimate.mfu) < 1.0
    assert float(estimate.energy_it_j) >= 0.0
