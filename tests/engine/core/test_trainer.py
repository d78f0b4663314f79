"""The loop: what is counted, how a run ends, what is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from simtool.engine.budget import Budget, Progress
from simtool.engine.method import Method, StepResult
from simtool.engine.plan import StepPlan
from simtool.engine.trainer import RunOutcome, RunSettings, Trainer
from simtool.engine.watch import Nobody
from simtool.engine.work import Work
from simtool.errors import InputError
from tests.engine.toy import LENGTH, ToyTask


class Short(Method):
    """Half the sequence in the first half of training, with a scoring pass in every step."""

    name = "short"
    writes = frozenset({"size"})

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        return plan.changed(size=LENGTH // 2) if progress.frac < 0.5 else plan

    def batch(self, work: Work, plan: StepPlan, batch: Any) -> Any:
        with work.phase("score") as model, torch.no_grad():
            model(batch.inputs)
        return batch

    def setup(self, work: Work) -> None:
        with work.phase("prepare") as model, torch.no_grad():
            model(torch.zeros(3, LENGTH, dtype=torch.int64))


class Unevaluated(ToyTask):
    """Evaluation would be seen by a counter of the whole process."""

    def evaluate(self, model: Any, part: Any) -> dict[str, float]:
        return {"loss": 0.0}


class Log(Nobody):
    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.events: list[str] = []

    def step(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        self.events.append(kind)


def run(
    *methods: Method, budget: str = "160 samples", task: ToyTask | None = None, **more: Any
) -> RunOutcome:
    return Trainer(task or ToyTask(), methods, RunSettings(budget=Budget.parse(budget)), **more).run()


def test_phases_sum_to_a_count_of_the_whole_run() -> None:
    """Including the steps that were never counted, the scoring pass, and what was done once."""
    with FlopCounterMode(display=False) as whole:
        result = run(Short(), task=Unevaluated())
    by_phase = result.costs.flop_by_phase()
    assert sum(by_phase.values()) == whole.get_total_flops()
    assert set(result.steps) == {f"n8 size={LENGTH // 2}", "n8"}
    assert by_phase["score"] == by_phase["forward"] > 0.0
    assert by_phase["prepare"] > 0.0
    assert by_phase["backward_weight"] == by_phase["forward"]


def test_a_frozen_front_costs_no_gradient_and_does_not_move() -> None:
    class Freeze(Method):
        writes = frozenset({"frozen"})

        def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
            return plan.changed(frozen=2)

    trainer = Trainer(ToyTask(), [Freeze()], RunSettings(budget=Budget.parse("80 samples")))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    outcome = trainer.run()
    moved = {
        name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved
    assert not any(name.startswith(("stem.", "blocks.0.", "blocks.1.")) for name in moved)
    whole, part = run(budget="80 samples").costs.flop_by_phase(), outcome.costs.flop_by_phase()
    assert part["forward"] == whole["forward"]
    assert part["backward_weight"] < 0.7 * whole["backward_weight"]
    assert part["backward_input"] < 0.7 * whole["backward_input"]


def test_the_learning_rate_falls_to_exactly_zero() -> None:
    log = Log()
    trainer = Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("160 samples")), recorder=log)
    outcome = trainer.run()
    rates = [row["learning_rate"] for row in log.rows]
    assert rates[-1] < 0.1 * max(rates)
    assert trainer.schedule.factor(outcome.progress.frac) == 0.0
    assert log.events[0] == "start"
    assert log.events[-1] == "end"


@pytest.mark.parametrize("budget", ["96 samples", "3 MFLOP", "0.5 s"])
def test_a_run_ends_with_the_first_step_that_uses_up_its_budget(budget: str) -> None:
    log = Log()
    outcome = run(budget=budget, recorder=log)
    assert outcome.status == "finished"
    assert outcome.progress.frac >= 1.0
    assert log.rows[-2]["progress_frac"] < 1.0


def test_a_diverged_run_is_a_recorded_failure() -> None:
    log = Log()
    outcome = run(task=ToyTask(is_broken="nan"), recorder=log)
    assert outcome.status == "diverged"
    assert "step 1" in outcome.reason
    assert outcome.quality == {}
    assert log.events[-1] == "diverged"


def test_a_reduced_loss_is_refused_with_its_mend() -> None:
    with pytest.raises(InputError, match="reduction='none'"):
        run(task=ToyTask(is_broken="reduced"))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(InputError, match="exceeds the 96 training samples"):
        run(task=ToyTask(batch_size=97))


@pytest.mark.parametrize("budget", ["4 samples", "1 kFLOP"])
def test_a_budget_below_one_step_is_refused(budget: str) -> None:
    with pytest.raises(InputError, match="less than"):
        run(budget=budget)


def test_two_methods_that_write_one_field_are_refused() -> None:
    with pytest.raises(InputError, match="sets size, as short does"):
        run(Short(), Short())


def test_a_method_that_needs_what_the_task_lacks_is_refused() -> None:
    class Wants(Method):
        name = "wants"
        needs = frozenset({"moon"})

    with pytest.raises(InputError, match="needs moon"):
        run(Wants())


def test_the_model_is_reached_through_a_phase_only() -> None:
    trainer = Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("80 samples")))
    public = [name for name in vars(trainer.work) if not name.startswith("_")]
    assert not any(isinstance(getattr(trainer.work, name), torch.nn.Module) for name in public)
    with pytest.raises(RuntimeError, match="no phase is called"), trainer.work.phase("secret"):
        pass
    with (
        pytest.raises(RuntimeError, match="inside phase"),
        trainer.work.phase("score"),
        trainer.work.phase("data"),
    ):
        pass


def test_evaluation_is_never_charged() -> None:
    few, many = (
        Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("160 samples"), num_evaluations=number)).run()
        for number in (1, 8)
    )
    assert few.costs.flop() == many.costs.flop()
    assert few.quality == many.quality
    assert many.costs.once_s["eval"] > 0.0


def test_equal_seeds_give_equal_runs_and_other_seeds_others() -> None:
    def quality(seed: int) -> float:
        settings = RunSettings(budget=Budget.parse("160 samples"), seed=seed)
        return Trainer(ToyTask(), [], settings).run().quality["loss"]

    torch.rand(3)  # what others draw must not matter
    first = quality(1)
    torch.rand(5)
    assert first == quality(1) != quality(2)


def test_weights_scale_the_loss_and_its_gradient() -> None:
    class Heavy(Method):
        writes = frozenset({"weights", "order"})

        def order(self, work: Work, epoch: int, indices: Any) -> Any:
            return indices, indices * 0.0 + 2.0

    def gradient(*methods: Method) -> torch.Tensor:
        trainer = Trainer(ToyTask(), methods, RunSettings(budget=Budget.parse("160 samples")))
        trainer.recipe = trainer.recipe.__class__(learning_rate=0.0, batch_size=8, clip_norm=0.0)
        trainer.set_up()
        trainer.step(trainer.progress())
        found = next(trainer.model.head.parameters()).grad
        assert found is not None
        return found

    assert torch.allclose(gradient(Heavy()), 2.0 * gradient())


def test_observed_losses_belong_to_their_samples() -> None:
    seen: list[StepResult] = []

    class Watch(Method):
        watches_samples = True

        def observe(self, work: Work, result: StepResult) -> None:
            seen.append(result)

    run(Watch(), budget="96 samples")
    indices = [int(index) for result in seen for index in result.row_indices]
    assert sorted(indices) == list(range(96))
    assert all(len(result.row_losses) == len(result.row_indices) for result in seen)
    assert all(math.isclose(result.row_losses.mean(), result.loss, rel_tol=1e-5) for result in seen)


def test_an_interrupt_ends_the_run_with_what_is_there() -> None:
    class Stop(Nobody):
        def step(self, row: Mapping[str, Any]) -> None:
            if row["step"] == 3:
                raise KeyboardInterrupt

    outcome = run(recorder=Stop())
    assert outcome.status == "interrupted"
    assert outcome.progress.step == 3


def test_a_profiled_step_is_run_inside_the_sampling_context() -> None:
    entered: list[tuple[int, str]] = []

    class Sampling(Nobody):
        @contextmanager
        def sampling(self, step: int, signature: str) -> Any:
            entered.append((step, signature))
            yield

    run(budget="24 samples", recorder=Sampling())
    assert entered == [(0, "n8"), (1, "n8"), (2, "n8")]
