"""Compiling: a few kinds of steps and no more, told in the trace, and never in the price of a step."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from simtool.engine.budget import Budget, Progress
from simtool.engine.compiled import MAX_SHAPES, Compiled
from simtool.engine.method import Method
from simtool.engine.plan import StepPlan
from simtool.engine.trainer import RunSettings, Trainer
from simtool.engine.watch import Nobody
from simtool.errors import InputError
from tests.engine.toy import ToyTask

BUSY_S = 0.2


class Telling(Nobody):
    """Keeps events and steps."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.rows: list[dict[str, Any]] = []

    def event(self, kind: str, detail: Any) -> None:
        self.events.append((kind, dict(detail)))

    def step(self, row: Any) -> None:
        self.rows.append(dict(row))

    def compiles(self) -> list[dict[str, Any]]:
        return [detail for kind, detail in self.events if kind == "compile"]


class ManySizes(Method):
    """Ten batch sizes in turn, and a tag that changes nothing in the model."""

    name = "many-sizes"
    writes = frozenset({"num_samples", "tags"})
    numbers = (8,)

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        number = self.numbers[progress.step // 4 % len(self.numbers)]
        plan = plan.changed(num_samples=number)
        return plan.tagged("odd") if progress.step % 4 > 1 else plan


class TenSizes(ManySizes):
    numbers = tuple(range(2, 12))


def run(
    method: Method, budget: str, monkeypatch: pytest.MonkeyPatch, compile_: Any
) -> tuple[Trainer, Telling, Any]:
    monkeypatch.setattr(torch, "compile", compile_)
    telling = Telling()
    settings = RunSettings(budget=Budget.parse(budget), compile=True, num_evaluations=2)
    trainer = Trainer(ToyTask(), [method], settings, recorder=telling)
    return trainer, telling, trainer.run()


def test_at_most_eight_shapes_are_compiled_and_the_rest_run_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []

    def compiled(module: Any, *, dynamic: bool) -> Any:
        assert not dynamic
        made.append(module)
        return module

    _, telling, outcome = run(TenSizes(), "500 samples", monkeypatch, compiled)
    assert outcome.status == "finished"
    assert len(made) == MAX_SHAPES == 8
    told = telling.compiles()
    assert [one["is_compiled"] for one in told] == [True] * 8 + [False] * 2
    assert len({one["shape"] for one in told}) == 10  # neither tags nor evaluations compile a shape again


def test_what_compiling_takes_is_prepared_once_and_in_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_at_first(module: Any, *, dynamic: bool) -> Any:  # noqa: ARG001 - as torch.compile is called
        calls = iter(range(10**6))

        def forward(*arguments: Any) -> Any:
            if next(calls) == 0:
                end_s = time.process_time() + BUSY_S
                while time.process_time() < end_s:
                    pass
            return module(*arguments)

        return forward

    trainer, telling, _ = run(ManySizes(), "400 samples", monkeypatch, slow_at_first)
    costs = trainer.work.costs
    assert len(telling.compiles()) == 1
    assert 0.5 * BUSY_S < costs.once_s["prepare"] < 2.0 * BUSY_S
    assert all(entry.mean_s() < 0.25 * BUSY_S for entry in costs.by_signature.values())
    assert sum(entry.num_timed for entry in costs.by_signature.values()) == len(telling.rows) - 3
    # two kinds were counted, one step compiled


def test_compiling_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.compile
    eager, _, _ = run(Method(), "80 samples", monkeypatch, lambda module, **_: module)
    module, _, outcome = run(
        Method(), "80 samples", monkeypatch, lambda module, **kept: real(module, backend="aot_eager", **kept)
    )
    assert outcome.status == "finished"
    for one, other in zip(eager.model.parameters(), module.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_compiler_that_fails_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class CompilerError(RuntimeError):
        __module__ = "torch._inductor.exc"

    def broken(module: Any, *, dynamic: bool) -> Any:  # noqa: ARG001 - as torch.compile is called
        def forward(*_: Any) -> Any:
            raise CompilerError("no C++ compiler was found\nat length")

        return forward

    with pytest.raises(
        InputError, match=r"--compile: the compiler failed: CompilerError: no C\+\+ compiler was found"
    ):
        run(Method(), "80 samples", monkeypatch, broken)


def test_another_module_is_compiled_anew_without_using_up_a_shape() -> None:
    made: list[Any] = []
    compiled = Compiled(
        is_wanted=True, tell=lambda *_: None, make=lambda module: made.append(module) or module
    )
    plan = StepPlan(num_samples=8)
    assert not compiled.begins(plan, "first", is_counted=True)
    assert compiled.begins(plan, "first", is_counted=False)
    assert not compiled.begins(plan, "first", is_counted=False)
    assert compiled.begins(plan, "second", is_counted=False)
    assert made == ["first", "second"]
