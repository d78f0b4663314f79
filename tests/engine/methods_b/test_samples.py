"""Methods that choose samples or rows: unbiased where they say so, bounded, and free of known defects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from simtool.engine.budget import Budget, Progress
from simtool.engine.method import parse_methods
from simtool.engine.methods.batch_ramp import BatchRamp, BatchRampSettings
from simtool.engine.methods.infobatch import prune
from simtool.engine.methods.selective_backprop import choose
from simtool.engine.plan import StepPlan
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError
from tests.engine.toy import SAMPLES, ToyTask

torch.set_num_threads(1)

losses = arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(0.0, 1e6))
shares = st.floats(0.0, 0.9)


def trainer(text, *, steps=24, unit="samples", **changes):
    task = ToyTask(num_blocks=4)
    settings = RunSettings(budget=Budget(steps * task.recipe.batch_size, unit), num_evaluations=0, **changes)
    return Trainer(task, parse_methods(text), settings)


# ------------------------------------------------------------------------------------------- infobatch


@given(losses=losses, drop=shares, data=st.data())
def test_pruning_spares_hard_samples_and_weighs_the_rest_up(losses, drop, data):
    chance = data.draw(arrays.arrays(np.float64, len(losses), elements=st.floats(0.0, 0.999)))
    kept, weights = prune(losses, drop, chance)
    easy = losses < losses.mean()
    assert kept[~easy].all()
    assert (weights[~easy] == 1.0).all()
    assert np.allclose(weights[easy] * (1.0 - drop), 1.0)


@given(losses=losses, drop=shares)
def test_pruning_is_unbiased(losses, drop):
    num_draws = 64
    ladder = (np.arange(num_draws) + 0.5) / num_draws
    total = np.zeros(len(losses))
    for chance in ladder:
        kept, weights = prune(losses, drop, np.full(len(losses), chance))
        total += kept * weights
    mean = total / num_draws
    assert np.allclose(mean, 1.0, atol=1.5 / num_draws / (1.0 - drop))


def test_a_sample_without_a_known_loss_stays():
    kept, weights = prune(np.array([np.nan, 0.0, 5.0]), 0.9, np.zeros(3))
    assert kept.tolist() == [True, False, True]
    assert weights[0] == 1.0
    assert prune(np.full(4, np.nan), 0.9, np.zeros(4))[0].all()


def epochs(text, **changes):
    """Samples and weights of every epoch of a run."""
    running = trainer(text, **changes)
    found = []
    begin = running.order._begin_epoch

    def noted():
        begin()
        found.append((running.order._indices.copy(), running.order._weights))

    running.order._begin_epoch = noted
    running.run()
    return found


def test_the_first_epoch_and_the_end_are_whole():
    found = epochs("infobatch:drop=0.6,until=0.8", steps=72)
    assert len(found) > 5
    (first, first_weights), (last, last_weights) = found[0], found[-1]
    assert sorted(first) == sorted(last) == list(range(SAMPLES))
    assert first_weights is None
    assert last_weights is None
    pruned = [(indices, weights) for indices, weights in found if weights is not None]
    assert pruned
    for indices, weights in pruned:
        assert len(indices) < SAMPLES
        assert len(set(indices)) == len(indices)
        assert set(np.round(weights, 6)) <= {1.0, 2.5}
        assert weights.sum() == pytest.approx(SAMPLES, rel=0.35)


def test_runs_of_different_seeds_prune_differently_and_the_global_stream_has_no_say():
    def second(seed):
        np.random.seed(0)  # noqa: NPY002 - the point is that it does not matter
        return epochs("infobatch", steps=40, seed=seed)[1][0].tolist()

    first = second(1)
    assert first == second(1)
    assert len(first) < SAMPLES
    assert sorted(first) != sorted(second(2))


def test_losses_are_kept_by_sample_whatever_the_size():
    running = trainer("progressive-size+infobatch", steps=12)
    running.run()
    known = running.methods[1].state_dict()["losses"]
    assert known.shape == (SAMPLES,)
    assert bool(torch.isfinite(known).all())


# -------------------------------------------------------------------------------- selective backprop


@given(losses=losses, keep=st.floats(0.01, 1.0), chance=st.floats(0.0, 0.999999))
def test_choosing_meets_number_and_probabilities(losses, keep, chance):
    num_kept = max(1, round(keep * len(losses)))
    kept, probability = choose(losses, num_kept, chance)
    assert len(kept) == len(set(kept)) == num_kept
    assert (np.diff(kept) > 0).all()
    assert probability.sum() == pytest.approx(num_kept)
    assert ((probability > 0.0) & (probability <= 1.0 + 1e-12)).all()
    order = np.argsort(losses, kind="stable")
    assert (np.diff(probability[order]) >= -1e-12).all()


def test_choosing_has_the_probabilities_it_tells():
    losses = np.array([0.3, 2.0, 1.0, 0.1, 4.0, 3.0, 0.2])
    counts, num_draws = np.zeros(7), 2000
    for chance in (np.arange(num_draws) + 0.5) / num_draws:
        kept, probability = choose(losses, 3, chance)
        counts[kept] += 1
    assert np.allclose(counts / num_draws, probability, atol=2e-3)


def test_a_loss_that_is_no_number_counts_as_hard():
    kept, probability = choose(np.array([1.0, np.nan, 2.0, 0.5]), 2, 0.5)
    assert probability[1] == probability.max()
    assert len(kept) == 2


def test_scoring_is_charged_and_leaves_no_trace():
    running = trainer("selective-backprop:keep=0.5,start=0.2,end=0.8,interrupt=4")
    running.set_up()
    for _ in range(8):
        running.step(running.progress())
        assert all(module.training for module in running.model.modules())
    outcome = running.run()
    by_phase = outcome.costs.flop_by_phase()
    entries = outcome.costs.by_signature
    whole = next(entry for name, entry in entries.items() if "backward_rows" not in name)
    chosen = next(entry for name, entry in entries.items() if "backward_rows" in name)
    assert chosen.flop["score"] == whole.flop["forward"]
    assert chosen.flop["forward"] == 0.5 * whole.flop["forward"]
    assert by_phase["score"] > 0.0
    assert "score" not in whole.flop


def test_keeping_all_rows_trains_what_no_method_trains():
    plain, whole = trainer("none"), trainer("selective-backprop:keep=1")
    for running in (plain, whole):
        running.run()
    for one, other in zip(plain.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


# --------------------------------------------------------------------- random subset and batch ramp


@given(keep=st.floats(0.1, 1.0), seed=st.integers(0, 5))
def test_a_subset_is_the_same_in_every_epoch(keep, seed):
    running = trainer(f"random-subset:keep={keep}", seed=seed)
    seen = []
    for _ in range(3):
        running.order._begin_epoch()
        seen.append(running.order._indices.copy())
    assert len({tuple(sorted(indices)) for indices in seen}) == 1
    assert len(seen[0]) == round(keep * SAMPLES)
    assert seen[0].tolist() != seen[1].tolist()


def test_a_subset_smaller_than_a_batch_is_refused():
    with pytest.raises(InputError, match="leaves 5 of 96 samples"):
        trainer("random-subset:keep=0.05")


@given(
    start=st.floats(0.01, 1.0),
    until=st.floats(0.01, 1.0),
    steps=st.integers(2, 8),
    whole=st.integers(1, 4096),
)
def test_a_ramp_rises_to_the_whole_batch_in_few_steps(start, until, steps, whole):
    ramp = BatchRamp(BatchRampSettings(start=start, until=until, steps=steps))
    sizes = [ramp.num_samples(frac, whole) for frac in np.linspace(0.0, 1.0, 101)]
    assert (np.diff(sizes) >= 0).all()
    assert sizes[-1] == whole
    assert min(sizes) >= 1
    assert len(set(sizes)) <= steps


def test_a_ramp_takes_more_steps_for_as_many_samples():
    plain, ramp = trainer("none").run(), trainer("batch-ramp").run()
    assert sum(ramp.steps.values()) > sum(plain.steps.values())
    assert ramp.progress.num_samples == pytest.approx(plain.progress.num_samples, abs=8)
    assert ramp.progress.flop == pytest.approx(plain.progress.flop, rel=0.05)


def test_methods_on_different_fields_compose():
    running = trainer("batch-ramp+random-subset:keep=0.5+selective-backprop+weight-averaging")
    assert running.run().status == "finished"
    plan = running.plan(replace(running.progress(), frac=0.1))
    assert (plan.num_samples, plan.backward_rows) == (2, 1)


def test_a_break_in_choosing_is_periodic():
    (method,) = parse_methods("selective-backprop:interrupt=3,start=0,end=1")
    rows = [
        method.plan(Progress(frac=0.5, step=step), StepPlan(num_samples=8)).backward_rows for step in range(6)
    ]
    assert rows == [4, 4, None, 4, 4, None]
