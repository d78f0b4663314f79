"""A signal is exact: its integrals are those of a step function, whatever spans are asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.provenance import Sourced
from simtool.signals import Basis, Signal, same_basis

values = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    lengths = draw(st.lists(st.floats(0.5, 5000.0), min_size=1, max_size=12))
    begin = draw(st.floats(-1e4, 1e4))
    edges = begin + np.concatenate([[0.0], np.cumsum(lengths)])
    heights = draw(st.lists(values, min_size=len(lengths), max_size=len(lengths)))
    return Signal.from_steps(edges[:-1], heights, end_s=float(edges[-1]), unit="USD/kWh")


@st.composite
def spans(draw: st.DrawFn, signal: Signal) -> tuple[float, float]:
    shares = sorted((draw(st.floats(0, 1)), draw(st.floats(0, 1))))
    length = signal.end_s - signal.begin_s
    low, high = (min(signal.begin_s + share * length, signal.end_s) for share in shares)
    return low, high


def by_hand(signal: Signal, begin_s: float, end_s: float) -> float:
    ends = [*signal.edges_s[1:], signal.end_s]
    return math.fsum(
        value * max(0.0, min(end, end_s) - max(edge, begin_s))
        for edge, end, value in zip(signal.edges_s, ends, signal.values, strict=True)
    )


@given(st.data())
def test_an_integral_is_the_sum_over_the_steps(data: st.DataObject) -> None:
    signal = data.draw(signals())
    begin_s, end_s = data.draw(spans(signal))
    expected = by_hand(signal, begin_s, end_s)
    scale = float(np.abs(signal.values).max()) * (signal.end_s - signal.begin_s) + 1e-300
    assert abs(float(signal.integral(begin_s, end_s)) - expected) <= 1e-12 * scale
    assert float(signal.integral(end_s, begin_s)) == -float(signal.integral(begin_s, end_s))


@given(st.data())
def test_cutting_a_span_changes_nothing(data: st.DataObject) -> None:
    signal = data.draw(signals())
    cuts = sorted(
        signal.begin_s + share * (signal.end_s - signal.begin_s)
        for share in data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=20))
    )
    cuts = [min(cut, signal.end_s) for cut in cuts]
    pieces = signal.integral(cuts[:-1], cuts[1:])
    scale = float(np.abs(signal.values).max()) * (signal.end_s - signal.begin_s) + 1e-300
    assert abs(math.fsum(pieces) - float(signal.integral(cuts[0], cuts[-1]))) <= 1e-12 * scale


@given(st.data())
def test_the_product_with_a_step_function_is_exact(data: st.DataObject) -> None:
    signal = data.draw(signals())
    shares = data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=8, unique=True))
    times = sorted({min(signal.begin_s + s * (signal.end_s - signal.begin_s), signal.end_s) for s in shares})
    watts = data.draw(st.lists(st.floats(0, 1e6), min_size=len(times) - 1, max_size=len(times) - 1))
    expected = math.fsum(
        power * by_hand(signal, begin, end)
        for power, begin, end in zip(watts, times[:-1], times[1:], strict=True)
    )
    scale = 1e6 * float(np.abs(signal.values).max()) * (signal.end_s - signal.begin_s) + 1e-300
    assert abs(float(signal.integrate_product(times, np.array(watts))) - expected) <= 1e-12 * scale


def test_everything_broadcasts() -> None:
    signal = Signal.from_steps([0.0, 10.0, 20.0], [1.0, 2.0, 4.0], end_s=30.0, unit="USD/kWh")
    begin = np.array([[0.0], [5.0]])
    end = np.array([10.0, 20.0, 30.0])
    assert signal.integral(begin, end).tolist() == [[10.0, 30.0, 70.0], [5.0, 25.0, 65.0]]
    assert signal.at([0.0, 10.0, 29.9, 30.0]).tolist() == [1.0, 2.0, 4.0, 4.0]
    power = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert signal.integrate_product([0.0, 10.0, 30.0], power).tolist() == [10.0, 60.0]
    assert signal.mean(5.0, 5.0) == 1.0
    assert signal.mean(0.0, 30.0) == pytest.approx(70 / 30, rel=1e-15)


def test_a_short_span_late_in_a_long_series_keeps_its_digits() -> None:
    edges = np.arange(200_000) * 300.0
    values = 0.05 + 0.01 * np.sin(np.arange(200_000))
    signal = Signal.from_steps(edges, values, end_s=float(edges[-1] + 300.0), unit="USD/kWh")
    late = float(edges[150_000]) + 17.0
    assert float(signal.integral(late, late + 0.5)) == pytest.approx(0.5 * values[150_000], rel=1e-14)


def test_a_constant_holds_for_ever() -> None:
    number = Sourced(value=0.07, unit="USD/kWh", kind="published", source="a bill")
    signal = Signal.constant(number)
    assert signal.is_constant
    assert signal.covers(-1e12, 1e12)
    assert float(signal.integral(-100.0, 100.0)) == pytest.approx(14.0)
    assert signal.sourced(0.0, 5.0) == number


def test_outside_the_range_the_message_says_how_to_mend_it() -> None:
    signal = Signal.from_steps([0.0], [1.0], end_s=10.0, unit="USD/kWh")
    assert signal.covers(0.0, 10.0)
    assert not signal.covers(0.0, 10.1)
    with pytest.raises(InputError, match="repeat: yearly"):
        signal.integral(-1.0, 5.0)
    with pytest.raises(InputError, match="repeat: yearly"):
        signal.mean(0.0, 11.0)
    with pytest.raises(InputError, match="repeat: yearly"):
        signal.at(11.0)


def test_a_signal_never_changes() -> None:
    values = np.array([1.0, 2.0])
    signal = Signal.from_steps([0.0, 1.0], values, end_s=2.0, unit="USD/kWh")
    values[0] = 99.0
    assert signal.values.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        signal.values[0] = 5.0
    assert signal.scaled(2.0).values.tolist() == [2.0, 4.0]


def test_bases_do_not_mix() -> None:
    assert same_basis([Basis.AVERAGE, Basis.AVERAGE]) is Basis.AVERAGE
    for mixed in ([Basis.AVERAGE, Basis.MARGINAL], [Basis.AVERAGE_DIRECT, Basis.AVERAGE_LIFE_CYCLE], []):
        with pytest.raises(InputError, match="one basis"):
            same_basis(mixed)
    with pytest.raises(ValueError, match="basis"):
        Signal.constant(0.3, "kgCO2e/kWh")
    with pytest.raises(ValueError, match="basis"):
        Signal.constant(0.3, "USD/kWh", basis=Basis.AVERAGE)
    assert [basis.question for basis in Basis] == [*["average"] * 3, "marginal", "market-based"]


@pytest.mark.parametrize(
    ("edges", "heights", "end_s"),
    [
        ([0.0, 1.0], [1.0], 2.0),
        ([], [], 1.0),
        ([1.0, 0.0], [1.0, 2.0], 3.0),
        ([0.0], [math.nan], 1.0),
        ([0.0], [1.0], 0.0),
    ],
)
def test_what_is_no_step_function_is_refused(edges: list[float], heights: list[float], end_s: float) -> None:
    with pytest.raises(ValueError, match=r"edges|last step"):
        Signal.from_steps(edges, heights, end_s=end_s, unit="USD/kWh")
