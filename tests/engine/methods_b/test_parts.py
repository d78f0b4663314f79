"""Methods that train part of the model: what they skip is skipped, and what is left is right."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.method import parse_methods
from simtool.engine.methods._front_cache import CHUNK
from simtool.engine.methods._knapsack import Link, backward_flop, select
from simtool.engine.methods.stochastic_depth import MAX_GROUPS, groups
from simtool.engine.task import Batch
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError
from tests.engine.toy import LENGTH, SAMPLES, WIDTH, ToyTask

torch.set_num_threads(1)


class AugmentedToy(ToyTask):
    """Inputs and targets change with every look."""

    name = "augmented-toy"
    offers = ToyTask.offers - {"fixed-inputs"}

    def batch(self, indices, size, generator):
        whole = super().batch(indices, size, generator)
        shift = torch.as_tensor(generator.integers(0, 12, size=(len(whole.indices), 1)))
        turned = [(tensor + shift) % 12 for tensor in (whole.inputs, whole.targets)]
        return Batch(*turned, whole.indices, extra=whole.extra)


def trainer(text, *, steps=24, task=None, **changes):
    task = task or ToyTask(num_blocks=4)
    settings = RunSettings(budget=Budget(steps * 8, "samples"), num_evaluations=0, **changes)
    return Trainer(task, parse_methods(text), settings)


def run(text, **changes):
    running = trainer(text, **changes)
    return running, running.run()


def entry(outcome, part):
    """The cost of the one kind of step whose signature holds `part`."""
    (found,) = [entry for name, entry in outcome.costs.by_signature.items() if part in name]
    return found


# -------------------------------------------------------------------------------------- layer freezing

FREEZE = "layer-freezing:rule=scheduled,start=0.25,max=0.5,window=0.05"


def test_a_frozen_front_costs_no_backward_pass_and_does_not_move():
    running = trainer(FREEZE)
    running.set_up()
    while running.progress().frac < 0.5:
        running.step(running.progress())
    front = {
        name: value.clone()
        for name, value in running.model.state_dict().items()
        if name.startswith(("stem", "blocks.0", "blocks.1"))
    }
    outcome = running.run()
    for name, value in front.items():
        assert torch.equal(running.model.state_dict()[name], value), name
    whole = outcome.costs.by_signature["n8"]
    frozen = entry(outcome, "frozen=2")
    assert frozen.flop["forward"] == whole.flop["forward"]
    block = WIDTH * 2 * WIDTH * 2 * 2 * 8 * LENGTH
    assert whole.flop["backward_weight"] - frozen.flop["backward_weight"] == 2 * block
    # The first block needs no gradient towards the frozen one below it.
    assert whole.flop["backward_input"] - frozen.flop["backward_input"] >= 2 * block


def test_a_cache_changes_the_cost_and_not_the_result():
    plain, _ = run(FREEZE)
    cached, outcome = run(f"{FREEZE},cache=on")
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(cached.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    frozen = entry(outcome, "cached=True")
    assert frozen.flop["forward"] < outcome.costs.by_signature["n8"].flop["forward"]
    block = WIDTH * 2 * WIDTH * 2 * 2 * SAMPLES * LENGTH
    assert outcome.costs.once_flop["prepare"] >= 2 * block


def test_a_cache_of_views_keeps_inputs_and_targets_together():
    running, outcome = run(f"{FREEZE},cache=on,views=3", task=AugmentedToy(num_blocks=4))
    assert outcome.status == "finished"
    cache = running.methods[0]._cache
    assert cache._front.shape == (3 * SAMPLES, LENGTH, WIDTH)
    rows = np.arange(3 * SAMPLES)
    parts = [cache._views(running.work, rows[begin : begin + CHUNK]) for begin in range(0, len(rows), CHUNK)]
    assert torch.equal(torch.cat([part.targets for part in parts]), cache._targets)
    with torch.no_grad():
        running.model.eval()
        hidden = running.model.stem(torch.cat([part.inputs for part in parts]))
        for block in list(running.model.blocks)[:2]:
            hidden = block(hidden)
    torch.testing.assert_close(hidden, cache._front)


def test_freezing_block_by_block_extends_the_cache():
    text = "layer-freezing:rule=converged,start=0.1,max=0.75,window=0.1,threshold=1,cache=on"
    running, outcome = run(text, steps=40)
    frozen = sorted(name for name in outcome.steps if "frozen" in name)
    assert len(frozen) >= 1
    assert running.methods[0]._cache.frozen == running.methods[0].state_dict()["frozen"] > 0


def test_nothing_freezes_that_still_moves():
    running, outcome = run("layer-freezing:threshold=0,start=0,window=0.05")
    assert list(outcome.steps) == ["n8"]
    assert running.methods[0].state_dict()["frozen"] == 0


@pytest.mark.parametrize(
    ("text", "task", "found"),
    [
        ("layer-freezing:cache=on", AugmentedToy(), "augments its inputs"),
        ("layer-freezing:cache=on,views=16,memory=1", ToyTask(num_blocks=4), "would take"),
        ("layer-freezing:max=0.1", ToyTask(num_blocks=2), "leaves no block"),
        ("stochastic-depth", ToyTask(num_blocks=2), "has 2 blocks"),
        ("layer-freezing:cache=on+stochastic-depth", ToyTask(num_blocks=4), "sets active"),
        ("progressive-size+layer-freezing:cache=on", ToyTask(num_blocks=4), "sets size"),
        ("layer-freezing+tensor-selection", ToyTask(num_blocks=4), "sets frozen"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_step(text, task, found):
    if "memory" in text:
        task.num_samples = 10**6
    with pytest.raises(InputError, match=found):
        trainer(text, task=task).set_up()


# ------------------------------------------------------------------------------------ stochastic depth


@given(count=st.integers(1, 40), drop=st.floats(0.01, 1.0))
def test_groups_drop_every_block_equally_often(count, drop):
    found = groups(list(range(count)), drop)
    assert 1 <= len(found) <= MAX_GROUPS
    assert len({len(group) for group in found}) == 1
    assert len(set(found)) == len(found)
    times = [sum(block in group for group in found) for block in range(count)]
    assert len(set(times)) == 1
    assert times[0] >= 1


def test_dropped_blocks_cost_nothing_and_the_ends_always_run():
    _, outcome = run("stochastic-depth:drop=0.3,until=0.7", task=ToyTask(num_blocks=5), steps=40)
    whole = outcome.costs.by_signature["n8"]
    short = [entry for name, entry in outcome.costs.by_signature.items() if "active" in name]
    assert len(short) == 3
    assert len({entry.flop["forward"] for entry in short}) == 1
    assert short[0].flop["forward"] < whole.flop["forward"]
    for name in outcome.steps:
        if "active" in name:
            ran = name.partition("active=")[2].split("+")
            assert (ran[0], ran[-1], len(ran)) == ("0", "4", 4)


# ------------------------------------------------------------------------------------ tensor selection


def test_a_selected_step_stays_within_its_budget():
    for budget in (0.2, 0.5, 0.8, 1.0):
        running, outcome = run(f"tensor-selection:budget={budget},times=2,probe=1")
        backward = {
            name: entry.flop["backward_input"] + entry.flop["backward_weight"]
            for name, entry in outcome.costs.by_signature.items()
        }
        whole = backward.pop("n8")
        links = running.methods[0]._links
        for name, flop in backward.items():
            assert flop <= budget * whole * (1 + 1e-9), name
        if backward:
            chosen = running.methods[0]._chosen
            assert backward_flop(links, chosen) * 8 == pytest.approx(list(backward.values())[-1], rel=1e-9)


def test_tensors_that_are_not_chosen_do_not_move():
    running = trainer("tensor-selection:budget=0.3,times=1,probe=2")
    running.set_up()
    for _ in range(3):
        running.step(running.progress())
    before = {name: value.detach().clone() for name, value in running.model.named_parameters()}
    chosen = running.methods[0]._chosen
    assert chosen is not None
    assert set() < chosen < set(before)
    running.step(running.progress())
    moved = {name for name, value in running.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved
    assert moved <= chosen


small = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=7)


@given(links=small, budget=st.integers(1, 120))
def test_the_knapsack_is_within_budget_and_near_the_best(links, budget):
    made = [
        Link((f"t{index}",), (1 if flop else 0,), float(flop), float(free))
        for index, (flop, _, free) in enumerate(links)
    ]
    worth = {f"t{index}": float(value) for index, (_, value, _) in enumerate(links)}
    chosen = select(made, worth, float(budget))
    assert not chosen or backward_flop(made, chosen) <= budget * (1 + 1e-9)

    def best(limit):
        sets = itertools.chain.from_iterable(
            itertools.combinations(worth, size) for size in range(1, len(worth) + 1)
        )
        fitting = [
            sum(worth[name] for name in names)
            for names in sets
            if backward_flop(made, frozenset(names)) <= limit
        ]
        return max(fitting, default=0.0)

    # Costs are rounded up by at most one part in 512 each.
    assert sum(worth[name] for name in chosen) >= best(budget * (1 - (len(made) + 1) / 512)) - 1e-9


# ------------------------------------------------------------------------------------ weight averaging


def states_of(text):
    running = trainer(text, steps=20)
    states = []
    observe = running.methods[0].observe

    def noted(work, result):
        observe(work, result)
        states.append((result.progress, {n: v.clone() for n, v in running.model.state_dict().items()}))

    running.methods[0].observe = noted
    running.run()
    return running, states


def test_the_tail_is_averaged_evenly():
    running, states = states_of("weight-averaging:start=0.5,every=2")
    tail = [state for progress, state in states if progress.frac >= 0.5 and progress.step % 2 == 0]
    assert len(tail) == 6
    for name, value in running.model.state_dict().items():
        by_hand = torch.stack([state[name] for state in tail]).double().mean(0)
        torch.testing.assert_close(value.double(), by_hand, rtol=1e-5, atol=1e-6)


def test_a_fading_average_weighs_late_states_more():
    running, states = states_of("weight-averaging:kind=ema,start=0,every=1,decay=0.5")
    expected = {}
    for count, (_, state) in enumerate(states, start=1):
        share = max(1.0 / count, 0.5)
        expected = {
            name: value.double() if count == 1 else expected[name] + share * (value.double() - expected[name])
            for name, value in state.items()
        }
    for name, value in running.model.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_averaging_costs_time_and_bytes_but_no_step():
    _, plain = run("none")
    _, averaged = run("weight-averaging:start=0,every=1")
    assert dict(averaged.steps) == dict(plain.steps)
    assert averaged.costs.once_s["optimizer"] > 0.0
    moved = sum(
        count.size_bytes for key, count in averaged.costs.once.ops.items() if key.phase == "optimizer"
    )
    assert moved > 0.0


# ------------------------------------------------------------------------- precision, and interruption


@pytest.mark.parametrize("text", [f"{FREEZE},cache=on", "selective-backprop", "tensor-selection:times=2"])
def test_methods_run_in_the_precision_of_the_step(text):
    _, outcome = run(text, precision="bfloat16")
    assert outcome.status == "finished"
    assert all("bfloat16" in name for name in outcome.steps)


def test_a_cache_that_an_interruption_lost_is_not_charged_again(tmp_path):
    task, text = ToyTask(num_blocks=4), f"{FREEZE},cache=on"
    settings = RunSettings(budget=Budget(2.5e7, "flop"), num_evaluations=0)
    whole = Trainer(task, parse_methods(text), settings)
    outcome = whole.run()
    store = CheckpointStore(tmp_path, interval_s=1e9)
    stopped = Trainer(task, parse_methods(text), settings)
    stopped.set_up()
    while stopped.progress().frac < 0.6:
        stopped.step(stopped.progress())
    store.save(stopped)
    resumed = Trainer(task, parse_methods(text), settings)
    again = resumed.run(store)
    assert again.costs.flop_by_phase() == outcome.costs.flop_by_phase()
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
