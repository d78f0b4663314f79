"""What all five methods promise: neutral settings change nothing, a resumed run is the same run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from simtool.engine.method import parse_methods
from simtool.engine.optimizer import set_learning_rate
from simtool.engine.trainer import Trainer
from simtool.errors import InputError
from tests.engine.methods_a.runs import Diary, are_same, decoder, held, run, trainer_for
from tests.engine.toy import ToyTask

ALL = "muon:gate=off,every=2+counted-priors+progressive-size+growth:at=0.4+token-dropping:until=1"
EACH = ALL.split("+")
NEUTRAL = (
    "counted-priors:teacher=off,start=off",
    "counted-priors:weight=0,start=off",
    "progressive-size:from=1",
    "progressive-size:until=0",
    "progressive-size:buckets=1",
    "growth:at=0",
    "growth:from=4",
    "token-dropping:keep=1",
    "token-dropping:until=0",
)


@pytest.mark.parametrize("text", NEUTRAL)
def test_neutral_settings_leave_the_run_as_it_is(text):
    plain, outcome = run("none")
    neutral, other = run(text)
    assert are_same(plain, neutral)
    assert outcome.steps == other.steps
    assert outcome.costs.flop() == other.costs.flop()


@pytest.mark.parametrize("text", ["growth:at=0.4", ALL])
@pytest.mark.parametrize("stop_after", [3, 17])
def test_a_resumed_run_is_the_same_run(text, stop_after, tmp_path):
    whole, expected = run(text)
    stopped, outcome = run(text, folder=tmp_path, recorder=Diary(stop_after))
    assert outcome.status == "interrupted"
    assert stopped.num_steps == stop_after
    resumed, outcome = run(text, folder=tmp_path)
    assert outcome.steps == expected.steps
    assert outcome.costs.flop_by_phase() == expected.costs.flop_by_phase()
    assert are_same(whole, resumed)


def test_the_seed_decides():
    once, again, other = (run(ALL, seed=seed)[0] for seed in (1, 1, 2))
    assert are_same(once, again)
    assert not are_same(once, other)


@pytest.mark.parametrize("text", ["muon:gate=off,every=2+token-dropping:until=1", ALL])
def test_all_that_runs_is_charged(text):
    task = ToyTask()
    task.evaluate = lambda *_: {"loss": 0.0}  # type: ignore[method-assign]
    with FlopCounterMode(display=False) as whole:
        _, outcome = run(text, task)
    costs = outcome.costs
    assert costs.flop() - sum(costs.declared_flop.values()) == whole.get_total_flops() > 0
    assert bool(costs.declared_flop) == ("counted-priors" in text)


@pytest.mark.parametrize("text", [*EACH, ALL])
def test_the_learning_rate_ends_at_zero_and_then_nothing_moves(text):
    diary = Diary()
    trainer, _ = run(text, recorder=diary)
    assert diary.rows[-1]["learning_rate"] < diary.rows[len(diary.rows) // 2]["learning_rate"]
    end = trainer.progress()
    assert trainer.schedule.factor(end.frac) == 0.0
    before = [value.clone() for value in trainer.model.state_dict().values()]
    trainer.step(end)
    set_learning_rate(trainer.work.optimizers, trainer.schedule.factor(end.frac))
    assert {group["lr"] for optimizer in trainer.work.optimizers for group in optimizer.param_groups} == {0.0}
    after = trainer.model.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_all_of_them_together_show_in_the_signatures():
    _, outcome = run(ALL)
    signatures = " ".join(outcome.steps)
    for part in ("size=8", "active=0+1", "tokens_kept=8", "orthogonalise", "teacher"):
        assert part in signatures
    assert outcome.status == "finished"


def test_all_of_them_together_learn_more_of_the_same_samples():
    plain, combined = (
        run(text, budget=replace(trainer_for("none").settings.budget, amount=160.0))[1].quality["loss"]
        for text in ("none", "muon:gate=off+counted-priors+progressive-size+growth")
    )
    assert combined < plain


@pytest.mark.parametrize("name", ["progressive-size", "growth", "token-dropping", "muon"])
def test_two_that_write_the_same_field_are_refused(name):
    with pytest.raises(InputError, match="sets"):
        trainer_for(f"{name}+{name}")


def test_a_task_without_the_parts_is_refused():
    task = ToyTask()
    task.offers = frozenset()
    for name in ("progressive-size", "growth", "token-dropping", "counted-priors"):
        with pytest.raises(InputError, match=f"{name}: needs"):
            trainer_for(name, task)


def test_method_state_is_plain():
    trainer = Trainer(decoder(), parse_methods(ALL), trainer_for(ALL).settings)
    trainer.run()
    for method in trainer.methods:
        method.load_state_dict(method.state_dict())
    assert held(trainer)
