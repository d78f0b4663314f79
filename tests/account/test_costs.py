"""The bill: by hand, conserved, and spread over what the devices did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.account.costs import (
    CostLine,
    Key,
    electricity_cost,
    grouped,
    rent_cost,
    total_cost,
)
from simtool.account.electricity import tariff_cost
from simtool.account.energy import FACILITY, energy_scopes
from simtool.account.own import Hardware, own_cost
from simtool.account.tariff import Tariff, tariff_of
from simtool.account.tariffs.demand import Demand
from simtool.account.tariffs.fixed import Fixed
from simtool.account.tariffs.flat import Flat
from simtool.config.scenario import Money
from simtool.errors import InputError
from simtool.ledger import Ledger
from simtool.signals import Signal
from tests.account.builders import (
    HOUR_S,
    MONEY,
    accelerator,
    ledgers,
    node,
    number,
    own,
    pattern,
    step_signals,
)

WORK = pattern("work", ("compute", 0.75, (600.0, 90.0, 10.0)), ("bubble", 0.25, (200.0, 90.0, 10.0)))
IDLE = pattern("idle", ("idle", 1.0, (70.0, 50.0, 5.0)))
HARDWARE = Hardware(accelerator=accelerator(), node=node())


def two_hours() -> Ledger:
    """16 accelerators: all work for an hour, then half of them idle for the next."""
    ledger = Ledger()
    ledger.append(0.0, HOUR_S, "job", WORK, 16)
    ledger.append(HOUR_S, 2 * HOUR_S, "job", WORK, 8)
    ledger.append(HOUR_S, 2 * HOUR_S, "", IDLE, 8)
    return ledger


def of(lines: tuple[CostLine, ...], name: str) -> CostLine:
    return next(line for line in lines if line.name == name)


def test_energy_scopes_by_hand() -> None:
    scopes = energy_scopes(two_hours(), number(1.2))
    kwh = {name: scope.value / 3.6e6 for name, scope in scopes.items()}
    # accelerator: 24 device-hours at 0.75 x 600 + 0.25 x 200 = 500 W, 8 at 70 W
    assert kwh["accelerator"] == pytest.approx(24 * 0.5 + 8 * 0.07)
    assert kwh["node"] == pytest.approx(kwh["accelerator"] + 24 * 0.09 + 8 * 0.05)
    assert kwh["it"] == pytest.approx(kwh["node"] + 24 * 0.01 + 8 * 0.005)
    assert kwh["facility"] == pytest.approx(1.2 * kwh["it"])


def test_a_bill_by_hand() -> None:
    # Hour 1: 16 x 600 W, hour 2: 8 x 600 W + 8 x 125 W; PUE 1.2.
    price = Signal.from_steps([0.0, HOUR_S], [0.10, 0.30], end_s=2 * HOUR_S, unit="USD/kWh")
    (line,) = electricity_cost(two_hours(), price, number(1.2), MONEY)
    first, second = 16 * 0.6 * 1.2 * 0.10, (8 * 0.6 + 8 * 0.125) * 1.2 * 0.30
    assert line.amount_usd == pytest.approx(first + second, rel=1e-14)
    where = grouped([(line.name, line.portions)], ["state"])
    assert where["idle",] == pytest.approx(8 * 0.125 * 1.2 * 0.30, rel=1e-14)
    assert where["bubble",] == pytest.approx((16 * 0.1 + 8 * 0.3) * 0.25 * 0.3 * 1.2, rel=1e-14)
    by_component = grouped([(line.name, line.portions)], ["component"])
    assert by_component[FACILITY,] == pytest.approx(line.amount_usd / 6, rel=1e-12)

    (rent,) = rent_cost(two_hours(), number(2.5, "USD/h"), MONEY)
    assert rent.amount_usd == pytest.approx(32 * 2.5)
    assert grouped([("rent", rent.portions)], ["state"]) == pytest.approx(
        {("compute",): 45.0, ("bubble",): 15.0, ("idle",): 20.0}
    )
    assert total_cost([line, rent]).value == math.fsum((line.amount_usd, rent.amount_usd))


def test_owning_by_hand() -> None:
    lines = own_cost(two_hours(), own(residual_value=0.1), HARDWARE)
    per_accelerator, hours = 300_000 / 8 * 1.2, 32
    factor = 0.09 * 1.09**5 / (1.09**5 - 1)
    hardware = hours / (8760 * 0.9) * per_accelerator * (1 - 0.1 / 1.09**5) * factor
    maintenance = hours / (8760 * 0.9) * per_accelerator * 0.04
    building = 0.09 * 1.09**14 / (1.09**14 - 1)
    # The building is made for the highest IT power: 16 x 700 W... of which the pattern draws 600 W.
    facility = hours / (8760 * 0.9) * (11 * 600) * building
    assert of(lines, "hardware").amount_usd == pytest.approx(hardware, rel=1e-12)
    assert of(lines, "maintenance").amount_usd == pytest.approx(maintenance, rel=1e-12)
    assert of(lines, "facility").amount_usd == pytest.approx(facility, rel=1e-12)
    assert {line.driver for line in lines} == {"device time"}


def test_an_owned_run_costs_what_published_models_of_2025_say() -> None:
    # The worked check of test_annuity as a ledger: 8.4 kW drawn by 8 accelerators for a year, 2.0 USD/GPU-h.
    ledger = Ledger()
    drawn = pattern("work", ("compute", 1.0, (700.0, 330.0, 20.0)))
    ledger.append(0.0, 8760 * HOUR_S, "job", drawn, 8)
    electricity = electricity_cost(ledger, Signal.constant(0.08, "USD/kWh"), number(1.2), MONEY)
    rated = own_cost(ledger, own(), HARDWARE, it_capacity_w=10_200.0)
    per_hour = total_cost([*rated, *electricity]).value / (8 * 8760)
    assert per_hour == pytest.approx(2.0, rel=0.02)
    drawn_only = own_cost(ledger, own(), HARDWARE)
    assert total_cost([*drawn_only, *electricity]).value / (8 * 8760) == pytest.approx(2.0, rel=0.05)


@given(ledgers(), step_signals(), st.floats(1.0, 2.0))
def test_lines_sum_to_the_bill_and_portions_to_their_line(ledger: Ledger, price: Signal, pue: float) -> None:
    electricity = electricity_cost(ledger, price, number(pue), MONEY)
    lines = [
        *electricity,
        *rent_cost(ledger, number(2.0, "USD/h"), MONEY),
        *own_cost(ledger, own(), HARDWARE),
    ]
    bill = total_cost(lines).value
    assert bill == math.fsum(line.amount_usd for line in lines)
    for line in lines:
        scale = math.fsum(abs(portion.amount) for portion in line.portions)
        parts = math.fsum(portion.amount for portion in line.portions)
        assert abs(parts - line.amount_usd) <= 1e-12 * scale
    named = [(line.name, line.portions) for line in lines]
    keys: tuple[Sequence[Key], ...] = (["line"], ["state"], ["component"], ["line", "state", "component"])
    for by in keys:
        gross = math.fsum(abs(amount) for amount in grouped(named, by).values())
        assert abs(math.fsum(grouped(named, by).values()) - bill) <= 1e-12 * gross
    assert {state for (state,) in grouped(named, ["state"])} <= set(ledger.device_s_by("state"))


@given(ledgers(), step_signals(), st.floats(1.0, 2.0))
def test_electricity_is_power_times_price_by_brute_force(ledger: Ledger, price: Signal, pue: float) -> None:
    (line,) = electricity_cost(ledger, price, number(pue), MONEY)
    columns = ledger.columns()
    energy = columns["quantity"] == "energy_j"
    edges = price.edges_s if price.is_constant is False else np.array([0.0])
    ends = [*edges[1:], np.inf]
    usd = math.fsum(
        rate * max(0.0, min(end, t1) - max(edge, t0)) * value * pue / 3.6e6
        for t0, t1, rate in zip(
            columns["t0_s"][energy], columns["t1_s"][energy], columns["rate"][energy], strict=True
        )
        for edge, end, value in zip(edges, ends, price.values, strict=True)
    )
    gross = math.fsum(abs(portion.amount) for portion in line.portions)
    assert abs(line.amount_usd - usd) <= 1e-9 * gross + 1e-300


def test_what_the_scenario_leaves_open_is_said() -> None:
    lines = own_cost(two_hours(), own(facility_price=None, facility_lifetime=None), HARDWARE)
    assert "facility_price and facility_lifetime not given" in of(lines, "facility").note
    assert of(lines, "facility").amount.weakest() == "assumed"
    assert of(own_cost(two_hours(), own(facility_price="0 USD/W"), HARDWARE), "facility").amount_usd == 0


@pytest.mark.parametrize(
    ("changes", "node_changes", "expected"),
    [
        ({}, {}, 300_000 / 8),
        ({"node_price": None, "accelerator_price": "20 kUSD"}, {}, 20_000),
        ({"node_price": None}, {}, 320_000 / 8),
        ({"node_price": None}, {"price": None}, 30_000),
    ],
)
def test_the_price_is_the_first_that_is_stated(
    changes: dict[str, str | None], node_changes: dict[str, None], expected: float
) -> None:
    hardware = Hardware(accelerator=accelerator(), node=node(**node_changes))
    lines = own_cost(two_hours(), own(**changes, network_share=0.0), hardware)
    shared = next(d for _, d in of(lines, "hardware").amount.walk() if d.name == "price_per_accelerator_usd")
    assert getattr(shared, "value", None) == expected


def test_without_any_price_owning_is_an_error_that_says_what_to_write() -> None:
    bare = Hardware(accelerator=accelerator(price=None), node=node(price=None))
    with pytest.raises(InputError, match="accelerator_price: 30000 USD"):
        own_cost(two_hours(), own(node_price=None), bare)


def test_two_moneys_are_never_added() -> None:
    real = rent_cost(two_hours(), number(2.0, "USD/h"), Money(year=2025, kind="real"))
    nominal = rent_cost(two_hours(), number(2.0, "USD/h"), MONEY)
    with pytest.raises(InputError, match="real USD of 2025 and nominal USD of 2025"):
        total_cost([*real, *nominal])


def test_nothing_happened_costs_nothing() -> None:
    empty = Ledger()
    lines = [
        *electricity_cost(empty, Signal.constant(0.1, "USD/kWh"), number(1.1), MONEY),
        *rent_cost(empty, number(2.0, "USD/h"), MONEY),
        *own_cost(empty, own(), HARDWARE),
    ]
    assert total_cost(lines).value == 0
    assert all(portion.amount == 0 for line in lines for portion in line.portions)


def test_a_whole_tariff_is_billed_and_spread_over_what_the_devices_did() -> None:
    demand = Demand(price_usd_per_kw_month=10.0, interval_s=HOUR_S)
    flat = Flat(Signal.constant(0.1, "USD/kWh"))
    tariff = Tariff(parts=(flat, demand, Fixed(amount_usd_per_month=62.0)), part_month="full")
    lines = tariff_cost(two_hours(), tariff, datetime(2025, 1, 1, tzinfo=UTC), "UTC", number(1.2), MONEY)
    (plain,) = electricity_cost(two_hours(), flat.signal, number(1.2), MONEY)
    electricity = of(lines, "electricity")
    assert electricity.amount_usd == pytest.approx(plain.amount_usd, rel=1e-12)
    by_part = {(part.state, part.component): part.amount for part in plain.portions}
    assert {(part.state, part.component): part.amount for part in electricity.portions} == pytest.approx(
        by_part
    )
    # The highest hour is the first, in which nobody is idle: idle devices owe nothing to the demand charge.
    assert of(lines, "demand").amount_usd == pytest.approx(16 * 0.6 * 1.2 * 10.0)
    assert grouped([("demand", of(lines, "demand").portions)], ["state"])["idle",] == 0.0
    assert of(lines, "customer charge").amount_usd == pytest.approx(62.0)
    assert total_cost(lines).value == math.fsum(line.amount_usd for line in lines)


@given(ledgers(), step_signals(), st.floats(1.0, 2.0))
def test_a_tariff_of_one_price_is_that_price(ledger: Ledger, price: Signal, pue: float) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    lines = tariff_cost(ledger, tariff_of(price), start, "Asia/Kathmandu", number(pue), MONEY)
    (plain,) = electricity_cost(ledger, price, number(pue), MONEY)
    gross = math.fsum(abs(portion.amount) for portion in plain.portions)
    assert abs(math.fsum(line.amount_usd for line in lines) - plain.amount_usd) <= 1e-9 * gross + 1e-12
    for by in ("state", "component"):
        one, other = (grouped([("e", line.portions)], [by]) for line in (plain, *lines))
        assert one.keys() == other.keys()
        assert all(abs(one[key] - other[key]) <= 1e-9 * gross + 1e-12 for key in one)
