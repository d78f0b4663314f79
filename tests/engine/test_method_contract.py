"""What every registered method must do on every registered task: pay for all it does, and resume exactly."""

from __future__ import annotations

import importlib
import io
import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, shape_wrapper

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.method import METHODS, Method, check_methods, parse_methods
from simtool.engine.settings import Settings
from simtool.engine.task import TASKS, Task, TaskOptions
from simtool.engine.trainer import RunOutcome, RunSettings, Trainer
from simtool.engine.watch import Nobody
from simtool.errors import InputError
from simtool.methods.rewrite import METHODS as REWRITES
from tests.engine.toy import ToyTask
from tests.house.tree import ROOT

torch.set_num_threads(1)

NUM_STEPS, BATCH, SAMPLES = 6, 8, 24
STOP_AFTER = 3

WRITTEN = {
    "infobatch": "infobatch:until=1",
    "layer-freezing": "layer-freezing:rule=scheduled,start=0.3,window=0.1,max=1,cache=off",
    "muon": "muon:gate=off,every=2,iterations=2",
    "random-subset": "random-subset:keep=0.8",
    "selective-backprop": "selective-backprop:interrupt=3",
    "stochastic-depth": "stochastic-depth:until=0.7",
    "tensor-selection": "tensor-selection:times=2,probe=1",
    "weight-averaging": "weight-averaging:start=0.3,every=2",
}
"""Settings with which something happens in a few steps."""
VARIANTS = (
    "layer-freezing:rule=scheduled,start=0.3,window=0.1,max=1,cache=on,views=2",
    "layer-freezing:rule=converged,start=0.1,window=0.1,threshold=1",
    "selective-backprop:weight=inverse",
    "weight-averaging:kind=ema,start=0,every=1",
)
WINDOW = "progressive-size:what=window"
"""Only where blocks take a window."""
TEXTS = sorted({WRITTEN.get(name, name) for name in METHODS})
CASES = (
    [(name, text) for name in ("toy", *TASKS) for text in TEXTS]
    + [(name, text) for name in ("toy", "image-cnn") for text in VARIANTS]
    + [(name, WINDOW) for name in ("toy", "char-gpt", "masked-encoder")]
)

SMALL: dict[str, TaskOptions] = {
    "tabular-mlp": TaskOptions(width=8, max_samples=SAMPLES),
    "image-cnn": TaskOptions(width=4, max_samples=SAMPLES),
    "image-vit": TaskOptions(width=8, depth=3, max_samples=SAMPLES),
    "fine-tune-cnn": TaskOptions(width=2, max_samples=SAMPLES),
    "series-gru": TaskOptions(width=4, depth=3, max_samples=SAMPLES, settings={"window": "6"}),
} | {
    name: TaskOptions(width=8, depth=3, max_samples=SAMPLES, settings={"context": "32", "megabytes": "0.2"})
    for name in ("char-gpt", "byte-gpt", "masked-encoder")
}


@cache
def small(name: str) -> Task:
    """A task, as small as it gets, that is evaluated at no cost: quality is not the subject here."""
    task = (
        ToyTask(num_blocks=3)
        if name == "toy"
        else TASKS[name](SMALL.get(name, TaskOptions(max_samples=SAMPLES)))
    )
    task.evaluate = lambda *_: {task.metric: 0.0, "loss": 0.0}  # type: ignore[method-assign]
    task.build(0)  # a task that trains its own starting point does so now, not inside a run that is counted
    return task


def settings_for(task: Task, **changes: Any) -> RunSettings:
    recipe = replace(task.recipe, batch_size=BATCH)
    budget = Budget(NUM_STEPS * BATCH, "samples")
    return RunSettings(**{"budget": budget, "recipe": recipe, "num_evaluations": 0, **changes})


def fits(text: str, task: Task) -> bool:
    """Whether the task offers what the method needs; if not, it has to be refused by name."""
    methods = parse_methods(text)
    if missing := set().union(*(method.needs for method in methods)) - task.offers:
        with pytest.raises(InputError, match=min(missing)):
            check_methods(methods, task)
        return False
    return True


class Interrupting(Nobody):
    """A recorder that presses Ctrl-C after some steps."""

    def __init__(self) -> None:
        self.num_steps = 0

    def step(self, row: Any) -> None:
        self.num_steps += 1
        if self.num_steps == STOP_AFTER:
            raise KeyboardInterrupt


def attention_forward(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Scores and output, the whole square: torch counts nothing for this kernel."""
    batch, heads, length, width = query
    return 2 * batch * heads * length * key[2] * (width + value[3])


def attention_backward(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
    """The scores again, and two products for the gradients of each."""
    batch, heads, length, width = query
    return 2 * batch * heads * length * key[2] * (3 * width + 2 * value[3])


OWN_FORMULAS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_forward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
}
FORMULAS = flop_registry | {op: shape_wrapper(formula) for op, formula in OWN_FORMULAS.items()}


class WholeRun(TorchDispatchMode):
    """What torch's own counter sums up, without its account by module, which takes most of its time."""

    def __init__(self) -> None:
        super().__init__()
        self.flop = 0.0

    def get_total_flops(self) -> float:
        """Everything so far."""
        return self.flop

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            self.flop += formula(*args, **(kwargs or {}), out_val=out)
        return out


def run(task: Task, text: str, settings: RunSettings) -> tuple[Trainer, RunOutcome, float]:
    """One run, and an independent count of everything that it executed."""
    is_toy = task.name == "toy"
    whole = FlopCounterMode(display=False, custom_mapping=OWN_FORMULAS) if is_toy else WholeRun()
    with whole:
        trainer = Trainer(task, parse_methods(text), settings)
        outcome = trainer.run()
    return trainer, outcome, float(whole.get_total_flops())


def bits(state: Any) -> list[torch.Tensor]:
    """All tensors of nested state, in order."""
    if isinstance(state, torch.Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for value in values for tensor in bits(value)]


def assert_same_bits(one: Any, other: Any) -> None:
    left, right = bits(one), bits(other)
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize(("name", "text"), CASES)
def test_everything_is_paid_for_and_a_resumed_run_is_the_same_run(name, text, tmp_path):
    task = small(name)
    if not fits(text, task):
        return
    settings = settings_for(task)
    trainer, outcome, counted = run(task, text, settings)

    assert outcome.status == "finished"
    assert outcome.progress.frac >= 1.0
    assert trainer.schedule.factor(outcome.progress.frac) == 0.0
    by_phase = outcome.costs.flop_by_phase()
    assert by_phase["eval"] == 0.0
    assert sum(by_phase.values()) - sum(outcome.costs.declared_flop.values()) == counted > 0.0

    for method in trainer.methods:
        held = io.BytesIO()
        torch.save(method.state_dict(), held)
        held.seek(0)
        assert_same_bits(torch.load(held, weights_only=True), method.state_dict())

    store = CheckpointStore(tmp_path, interval_s=1e9)
    stopped = Trainer(task, parse_methods(text), settings, recorder=Interrupting()).run(store)
    assert stopped.status == "interrupted"
    resumed = Trainer(task, parse_methods(text), settings)
    again = resumed.run(store)
    assert again.status == "finished"
    assert dict(again.steps) == dict(outcome.steps)
    assert again.costs.flop_by_phase() == by_phase
    assert_same_bits(trainer.model.state_dict(), resumed.model.state_dict())
    assert_same_bits(
        [optimizer.state_dict() for optimizer in trainer.work.optimizers],
        [optimizer.state_dict() for optimizer in resumed.work.optimizers],
    )


@pytest.mark.parametrize("text", TEXTS)
def test_the_seed_decides_and_nothing_else(text):
    task = small("toy")
    once, again, other = (
        Trainer(task, parse_methods(text), settings_for(task, seed=seed)) for seed in (1, 1, 2)
    )
    for trainer in (once, again, other):
        trainer.run()
        torch.rand(3)  # somebody else draws from the global stream
    assert_same_bits(once.model.state_dict(), again.model.state_dict())
    assert once.order.state_dict() == again.order.state_dict()
    assert once.order.state_dict()["indices"] != other.order.state_dict()["indices"]


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_that_writes_a_field_twice_is_refused(name):
    methods = parse_methods(f"{name}+{name}")
    clashes = methods[0].writes - methods[1].shares
    if not clashes:
        return
    with pytest.raises(InputError, match=f"sets {min(clashes)}"):
        check_methods(methods, small("toy"))


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_tells_what_it_is_and_refuses_what_it_does_not_know(name):
    made = METHODS[name]({})
    assert isinstance(made, Method)
    assert made.name == name
    assert name in REWRITES, f"no rewrite is called {name}"
    page = importlib.import_module(METHODS[name].__module__).__doc__ or ""
    assert re.search(r"[Ss]kips", page), "the docstring of the module says what is skipped"
    assert METHODS.summaries()[name]
    with pytest.raises(InputError, match="nonsense"):
        METHODS[name]({"nonsense": "1"})
    if name != "none":
        assert repr(made.settings) == repr(METHODS[name]({}).settings)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", list(METHODS))
def test_a_method_has_a_page_that_explains_every_setting(name, monkeypatch):
    known: list[str] = []
    monkeypatch.setattr(Settings, "done", lambda self: known.extend(self._known))
    METHODS[name]({})
    page = (ROOT / "docs" / "reference" / "methods" / f"{name}.md").read_text("utf-8")
    for part in ("What it skips", "What is known", "Settings", "When it pays", "When it does not"):
        assert f"## {part}\n" in page
    assert {f"`{setting}`" for setting in known} <= set(re.findall(r"^\| (`\w+`) \|", page, re.MULTILINE))
