"""What every tariff owes its customers, over the whole table of tariffs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.account.tariff import TARIFFS, PowerSteps, energy_usd, tariff_of
from simtool.errors import InputError
from simtool.signals import Signal

DAY_S = 86400.0
every_tariff = pytest.mark.parametrize("name", list(TARIFFS))
times = st.floats(0.0, DAY_S)


def test_the_table_holds_what_scenarios_mean() -> None:
    assert {"flat", "real_time"} <= set(TARIFFS)
    assert all(TARIFFS.summaries().values())
    with pytest.raises(InputError, match="did you mean 'flat'"):
        TARIFFS["flatt"]


@every_tariff
def test_the_energy_price_covers_what_it_was_asked_for(name: str) -> None:
    price = TARIFFS[name].example().energy_price(0.0, DAY_S)
    assert price.unit == "USD/kWh"
    assert price.covers(0.0, DAY_S)


@every_tariff
@given(data=st.data())
def test_the_energy_line_is_additive_under_any_cut(name: str, data: st.DataObject) -> None:
    price = TARIFFS[name].example().energy_price(0.0, DAY_S)
    cuts = np.array(sorted(data.draw(st.lists(times, min_size=2, max_size=30))))
    power_w = data.draw(st.floats(0.0, 1e8))
    whole = float(energy_usd(price, cuts[0], cuts[-1], power_w))
    pieces = energy_usd(price, cuts[:-1], cuts[1:], power_w)
    gross = power_w * DAY_S / 3.6e6 + 1e-300
    assert abs(math.fsum(pieces) - whole) <= 1e-12 * gross


@every_tariff
@given(begin=times, end=times, parts=st.lists(st.floats(0.0, 1e7), min_size=1, max_size=8))
def test_the_energy_line_is_additive_over_loads(
    name: str, begin: float, end: float, parts: list[float]
) -> None:
    price = TARIFFS[name].example().energy_price(0.0, DAY_S)
    together = float(energy_usd(price, begin, end, math.fsum(parts)))
    apart = math.fsum(energy_usd(price, begin, end, np.array(parts)))
    assert abs(together - apart) <= 1e-12 * (math.fsum(parts) * DAY_S / 3.6e6 + 1e-300)


@every_tariff
def test_no_load_takes_no_energy(name: str) -> None:
    price = TARIFFS[name].example().energy_price(0.0, DAY_S)
    assert energy_usd(price, np.arange(24) * 3600.0, np.arange(1, 25) * 3600.0, 0.0).tolist() == [0.0] * 24


@every_tariff
@given(cuts=st.lists(times, max_size=20))
def test_load_lines_do_not_see_how_the_period_is_cut(name: str, cuts: list[float]) -> None:
    tariff = TARIFFS[name].example()
    plain = np.array([0.0, DAY_S / 2, DAY_S])
    finer = np.unique([*plain, *cuts])
    power = np.where(finer[:-1] < DAY_S / 2, 1e6, 3e6)
    whole = tariff.load_lines(PowerSteps(breakpoints_s=plain, power_w=np.array([1e6, 3e6])))
    assert tariff.load_lines(PowerSteps(breakpoints_s=finer, power_w=power)) == whole


@every_tariff
def test_no_load_and_no_time_are_answered(name: str) -> None:
    tariff = TARIFFS[name].example()
    empty = PowerSteps(breakpoints_s=np.zeros(0), power_w=np.zeros(0))
    assert empty.peak_w == 0
    idle = PowerSteps(breakpoints_s=np.array([0.0, DAY_S]), power_w=np.zeros(1))
    fixed = tariff.load_lines(idle)
    assert all(line.amount_usd >= 0 for line in (*fixed, *tariff.load_lines(empty)))


def test_a_bare_price_is_flat_or_real_time() -> None:
    constant = Signal.constant(0.1, "USD/kWh")
    steps = Signal.from_steps([0.0, 10.0], [0.1, 0.1], end_s=20.0, unit="USD/kWh")
    assert type(tariff_of(constant)).__name__ == "Flat"
    assert type(tariff_of(steps)).__name__ == "RealTime"
    flat, real = (float(energy_usd(signal, 0.0, 20.0, 5e3)) for signal in (constant, steps))
    assert flat == pytest.approx(real, rel=1e-15)


def test_another_unit_is_no_price() -> None:
    with pytest.raises(ValueError, match="USD/kWh"):
        TARIFFS["flat"](Signal.constant(0.1, "USD/h"))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="USD/kWh"):
        TARIFFS["real_time"](Signal.constant(0.1, "USD/h"))  # type: ignore[call-arg]
