"""Plans, budgets, schedules, settings and counts: the values that everything else rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from simtool.engine.budget import Budget, Schedule
from simtool.engine.costs import CostTable
from simtool.engine.count import Counts, OpCounter, OpKey
from simtool.engine.method import parse_methods
from simtool.engine.plan import UNPRICED, StepPlan
from simtool.engine.settings import Settings
from simtool.errors import InputError

CHANGES = {
    "num_samples": 3,
    "size": 64,
    "window": 16,
    "active": (0, 2),
    "frozen": 1,
    "cached": True,
    "backward_rows": 4,
    "tokens_kept": 5,
    "update": frozenset({"head.weight"}),
    "precision": "bfloat16",
    "tags": frozenset({"x"}),
}


@given(st.sets(st.sampled_from(sorted(CHANGES))), st.sets(st.sampled_from(sorted(CHANGES))))
def test_two_plans_share_a_signature_if_and_only_if_their_fields_agree(
    first: set[str], second: set[str]
) -> None:
    plans = [
        StepPlan(num_samples=9).changed(**{name: CHANGES[name] for name in names})
        for names in (first, second)
    ]
    assert (plans[0].signature() == plans[1].signature()) is (first == second)


def test_every_field_but_the_choice_of_samples_is_priced() -> None:
    assert set(CHANGES) | UNPRICED == set(StepPlan.__dataclass_fields__)
    some = StepPlan(num_samples=2, indices=np.array([1, 2]))
    assert some.signature() == StepPlan(num_samples=2, indices=np.array([3, 4])).signature()


@given(st.floats(0.0, 0.9), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_learning_rate_rises_then_falls_to_zero(warmup: float, first: float, second: float) -> None:
    schedule = Schedule(warmup_frac=warmup)
    assert schedule.factor(1.0) == schedule.factor(1.7) == 0.0
    assert 0.0 <= schedule.factor(first) <= 1.0
    low, high = sorted((first, second))
    if low >= warmup:
        assert schedule.factor(low) >= schedule.factor(high)
    if high < warmup:
        assert schedule.factor(low) <= schedule.factor(high)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("16 ksamples", 16e3, "samples"),
        ("150 GFLOP", 150e9, "flop"),
        ("60s", 60.0, "seconds"),
        ("2 kJ", 2e3, "joules"),
    ],
)
def test_budgets_are_read_as_people_write_them(text: str, amount: float, unit: str) -> None:
    assert Budget.parse(text) == Budget(amount, unit)


@pytest.mark.parametrize(
    "text", ["", "10", "-5 s", "0 samples", "nan s", "1e999 J", "3 epochs", "GFLOP", "1.2.3 s"]
)
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"write e\.g\."):
        Budget.parse(text)


def test_settings_refuse_what_nobody_asked_for_and_what_is_out_of_range() -> None:
    settings = Settings("m", {"kep": "0.5"})
    settings.number("keep", 0.5, 0.0, 1.0)
    with pytest.raises(InputError, match="did you mean 'keep'"):
        settings.done()
    for bad in ("2", "nan", "x", ""):
        with pytest.raises(InputError, match=r"0\.0 to 1\.0"):
            Settings("m", {"keep": bad}).number("keep", 0.5, 0.0, 1.0)
    with pytest.raises(InputError, match="key=value"):
        parse_methods("none:keep")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("needs_input_gradient", [True, False])
def test_a_convolution_is_counted_as_torch_counts_it(stride: int, needs_input_gradient: bool) -> None:
    layer = nn.Conv2d(3, 5, 3, stride=stride, padding=1)
    image = torch.randn(2, 3, 8, 8, requires_grad=needs_input_gradient)
    with FlopCounterMode(display=False) as whole, OpCounter(layer.parameters()) as counter:
        out = layer(image)
        counter.phase = "backward"
        out.sum().backward()
    assert counter.counts.flop() == whole.get_total_flops()
    assert (counter.counts.flop("backward_input") > 0) is needs_input_gradient
    assert counter.counts.flop("backward_weight") == counter.counts.flop("forward")


def test_attention_on_a_cpu_is_counted_by_hand() -> None:
    """Two products forward, five backward, each 2 x batch x heads x length^2 x width; torch counts none."""
    query, key, value = (torch.randn(2, 3, 16, 8, requires_grad=True) for _ in range(3))
    with OpCounter([]) as counter:
        out = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        counter.phase = "backward"
        out.sum().backward()
    product = 2 * 2 * 3 * 16 * 16 * 8
    assert counter.counts.flop("forward") == 2 * product
    assert counter.counts.flop("backward_input") == 5 * product
    assert counter.counts.flop("backward_weight") == 0


def test_views_move_no_bytes_and_copies_do() -> None:
    with OpCounter([]) as counter:
        torch.ones(4, 6).t().reshape(3, 8)
    names = {key.name for key in counter.counts.ops}
    assert "t" not in names
    assert sum(count.size_bytes for count in counter.counts.ops.values()) >= 4 * 6 * 4


def test_a_cost_table_survives_its_own_state() -> None:
    table = CostTable()
    counts = Counts()
    counts.add(OpKey("forward", "mm", ((2, 3), (3, 4)), "float32"), 48.0, 100.0)
    table.entry("a").book({"forward": 2.0}, counts)
    table.entry("a").book({"forward": 1.0}, None)
    table.entry("a").book({"forward": 3.0}, None)
    table.book_once("prepare", 0.5, counts, declared_flop=7.0)
    again = CostTable.from_state(table.state_dict())
    assert again == table
    assert again.flop() == 3 * 48.0 + 48.0 + 7.0
    assert again.duration_s() == pytest.approx(3 * 2.0 + 0.5), (
        "the counted step counts at the mean of the others"
    )
    assert again.price_s({"a": 10}) == pytest.approx(20.0)
