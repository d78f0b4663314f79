"""Small ledgers and scenarios for the tests of the accounts."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from simtool.config.scenario import Money, Own, Site
from simtool.ledger import LEDGER_STATES, Ledger, Pattern, Share
from simtool.profiles.schema import Accelerator, Node
from simtool.provenance import Sourced
from simtool.signals import Basis, Signal

HOUR_S = 3600.0
MONEY = Money(year=2025, kind="nominal")
SCENARIO = {"bare_kind": "assumed", "bare_source": "scenario"}


def number(value: float, unit: str = "", spread: float | None = None) -> Sourced:
    return Sourced(value=value, unit=unit, kind="assumed", source="test", spread=spread)


def pattern(name: str, *shares: tuple[str, float, tuple[float, float, float]]) -> Pattern:
    return Pattern(
        name=name,
        shares=tuple(Share(state=state, device_frac=frac, power_w=power) for state, frac, power in shares),
    )


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Any devices doing anything between second 0 and about a day, with power or without."""
    watts = st.tuples(*[st.one_of(st.just(0.0), st.floats(0.1, 2000.0))] * 3)
    patterns = []
    for index in range(draw(st.integers(1, 4))):
        cut = draw(st.floats(0.05, 0.95))
        states = draw(st.lists(st.sampled_from(LEDGER_STATES), min_size=2, max_size=2))
        patterns.append(
            pattern(f"p{index}", (states[0], cut, draw(watts)), (states[1], 1.0 - cut, draw(watts)))
        )
    ledger = Ledger()
    for _ in range(draw(st.integers(1, 10))):
        begin = draw(st.floats(0.0, 40_000.0))
        length = draw(st.floats(1.0, 40_000.0))
        devices = draw(st.integers(1, 5000))
        ledger.append(begin, begin + length, "job", draw(st.sampled_from(patterns)), devices)
    return ledger


@st.composite
def step_signals(draw: st.DrawFn, unit: str = "USD/kWh", basis: Basis | None = None) -> Signal:
    """Hourly steps over a day, or a constant; prices may be negative."""
    low = 0.0 if basis else -0.2
    values = st.floats(low, 1.0).map(lambda value: round(value, 4))
    if draw(st.booleans()):
        return Signal.constant(draw(values), unit, basis=basis)
    heights = draw(st.lists(values, min_size=24, max_size=24))
    edges = [index * HOUR_S for index in range(24)]
    return Signal.from_steps(edges, heights, end_s=24 * HOUR_S, unit=unit, basis=basis)


def own(**changes: Any) -> Own:
    written = {
        "mode": "own",
        "node_price": "300 kUSD",
        "network_share": 0.2,
        "lifetime": "43800 h",
        "interest_per_year": 0.09,
        "residual_value": 0.0,
        "utilisation": 0.9,
        "facility_price": "11 USD/W",
        "facility_lifetime": "122640 h",
        "maintenance_per_year": 0.04,
    }
    kept = {key: value for key, value in (written | changes).items() if value is not None}
    return Own.model_validate(kept, context=SCENARIO)


def site(**changes: Any) -> Site:
    written: dict[str, Any] = {
        "start": "2022-01-01T00:00Z",
        "cooling": {"pue": 1.2},
        "price": "0.08 USD/kWh",
        "carbon": {"average": "0.4 kgCO2e/kWh"},
    }
    return Site.model_validate(written | changes, context=SCENARIO)


def accelerator(**changes: Any) -> Accelerator:
    fields: dict[str, Any] = {
        "name": "toy",
        "price": number(30_000.0, "USD"),
        "embodied": number(164.0, "kgCO2e"),
    }
    return Accelerator.model_construct(**fields | changes)


def node(**changes: Any) -> Node:
    fields: dict[str, Any] = {
        "name": "toy-node",
        "num_accelerators": 8,
        "price": number(320_000.0, "USD"),
        "embodied_host": number(5700.0, "kgCO2e"),
    }
    return Node.model_construct(**fields | changes)
