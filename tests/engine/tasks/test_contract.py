"""What every task promises, whatever it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from simtool.engine.budget import Budget
from simtool.engine.plan import StepPlan
from simtool.engine.task import TASKS, Batch, Task, TaskOptions
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError

Options = dict[str, TaskOptions]


def draw(task: Task, size: int | None = None, num_samples: int = 4) -> Batch:
    return task.batch(np.arange(num_samples, dtype=np.int64), size, np.random.default_rng(3))


def test_every_task_is_tested(small: Options) -> None:
    assert sorted(small) == sorted(TASKS)


def test_the_seed_decides_the_parameters_and_nothing_else_changes(task: Task) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (task.build(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_second_task_is_the_same_task(task: Task, small: Options) -> None:
    again = TASKS[task.name](small[task.name])
    assert again.describe() == task.describe()
    one, two = draw(task), draw(again)
    assert torch.equal(one.inputs, two.inputs)
    assert torch.equal(one.targets, two.targets)


def test_it_says_what_it_is(task: Task) -> None:
    assert task.name in TASKS
    assert task.family in {"decoder", "encoder", "convnet", "vit", "mlp", "recurrent"}
    assert {"name", "family", "metric", "samples", "data", "data_digest"} <= set(task.describe())
    assert all(isinstance(value, str | int | float | bool) for value in task.describe().values())
    assert task.num_samples >= 2 * task.recipe.batch_size


def test_the_loss_of_every_row_is_told_at_every_size(task: Task) -> None:
    model = task.build(0)
    for size in (*task.sizes, None):
        batch = draw(task, size)
        outputs = model(batch.inputs)
        losses = task.loss(outputs, batch)
        assert losses.shape[0] == len(batch.indices) == len(batch.inputs)
        assert losses.shape in {batch.inputs.shape[:1], batch.inputs.shape[:2]}
        assert bool(torch.isfinite(losses).all())
        assert bool((losses >= 0.0).all())
        if batch.mask is not None:
            assert batch.mask.shape == losses.shape
        assert set(batch.indices.tolist()) == {0, 1, 2, 3}


def test_rows_do_not_depend_on_each_other_in_evaluation_mode(task: Task) -> None:
    model = task.build(0).eval()
    batch = draw(task)
    with torch.no_grad():
        together = task.loss(model(batch.inputs), batch)
        first = batch.rows(torch.tensor([0]))
        alone = task.loss(model(first.inputs), first)
    assert torch.allclose(together[:1], alone, atol=1e-4)


def test_sizes_rise_to_the_full_size(task: Task) -> None:
    assert ("sizes" in task.offers) == (len(task.sizes) > 1)
    assert list(task.sizes) == sorted(set(task.sizes))
    if task.sizes:
        full = draw(task).inputs
        assert torch.equal(full, draw(task, task.sizes[-1]).inputs)
        numbers = [draw(task, size).inputs[0].numel() for size in task.sizes]
        assert numbers == sorted(numbers)


def test_a_size_above_the_full_one_is_refused(task: Task) -> None:
    full = task.sizes[-1] if task.sizes else 1
    for size in (2 * full, full + 1, 0):
        with pytest.raises(InputError, match="size"):
            draw(task, size)


def test_offers_are_kept(task: Task) -> None:
    model = task.build(0).eval()
    hidden = model.stem(draw(task).inputs)
    if "tokens" in task.offers:
        assert model.has_tokens
        kept = torch.arange(0, hidden.shape[1], 2)
        for block in model.blocks:
            assert torch.allclose(block(hidden), block(hidden, torch.arange(hidden.shape[1])), atol=1e-5)
            assert block(hidden[:, kept], kept).shape == hidden[:, kept].shape
    if "blocks" in task.offers:
        shapes = [[parameter.shape for parameter in block.parameters()] for block in model.blocks]
        assert all(shape == shapes[0] for shape in shapes)
        assert len(shapes) >= 2
    if "fixed-inputs" in task.offers:
        other = task.batch(np.arange(4, dtype=np.int64), None, np.random.default_rng(99))
        assert torch.equal(other.inputs, draw(task).inputs)
    if "counts" in task.offers:
        assert task.tokens.ndim == 1  # type: ignore[attr-defined]
        assert 0 <= task.tokens.min() <= task.tokens.max() < task.vocab_size  # type: ignore[attr-defined]
        assert isinstance(model.stem.embedding, torch.nn.Embedding)
        assert model.head.linear.out_features == task.vocab_size  # type: ignore[attr-defined]
        assert len(task.tokens) == task.num_samples * task.context + 1  # type: ignore[attr-defined]


def test_frozen_and_whole_plans_run(task: Task) -> None:
    model = task.build(0)
    batch = draw(task)
    for frozen in range(len(model.blocks) + 1):
        plan = StepPlan(num_samples=4, frozen=frozen)
        model.prepare(plan)
        task.loss(model(batch.inputs, plan), batch).mean().backward()
        for module in model.frozen_modules(plan):
            assert all(parameter.grad is None for parameter in module.parameters())


def test_evaluation_is_fixed_and_leaves_no_trace(task: Task) -> None:
    model = task.build(0)
    model.train()
    model.blocks[0].eval()
    before = torch.random.get_rng_state()
    first = task.evaluate(model, "test")
    assert first == task.evaluate(model, "test")
    assert first != task.evaluate(model, "validation")
    assert {task.metric, "loss"} <= set(first)
    assert model.training
    assert not model.blocks[0].training
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sixty_steps_teach_something(task: Task) -> None:
    untrained = task.evaluate(task.build(0), "validation")["loss"]
    budget = Budget(60.0 * task.recipe.batch_size, "samples")
    outcome = Trainer(task, [], RunSettings(budget=budget, num_evaluations=0)).run()
    assert outcome.status == "finished"
    assert outcome.validation["loss"] < 0.95 * untrained


def test_the_right_sized_task_costs_less(task: Task) -> None:
    smaller = task.right_sized()
    assert smaller is not None
    assert smaller.name == task.name
    assert smaller.num_samples == task.num_samples
    cost = {}
    for name, each in (("whole", task), ("small", smaller)):
        model = each.build(0)
        cost[name] = draw(each).inputs.numel() * sum(parameter.numel() for parameter in model.parameters())
    assert cost["small"] < cost["whole"]


@pytest.mark.parametrize("changed", [{"width": 0}, {"width": 10**6}, {"depth": 0}, {"max_samples": 0}])
@pytest.mark.parametrize("name", list(TASKS))
def test_absurd_shapes_are_refused(name: str, changed: dict[str, int], small: Options) -> None:
    with pytest.raises(InputError, match=next(iter(changed))):
        TASKS[name](replace(small[name], **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(TASKS))
def test_unknown_settings_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="unknown setting"):
        TASKS[name](TaskOptions(settings={"no-such": "1"}))


def test_fewer_samples_can_be_asked_for(task: Task, small: Options) -> None:
    assert TASKS[task.name](replace(small[task.name], max_samples=50)).num_samples == 50
