"""Scenarios at the edge of what numbers can hold: right, or refused; never a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

import simtool as st
from simtool.errors import InfeasibleError, InputError
from simtool.profiles.find import default_library
from simtool.result.prepare import prepare

RATE = "reliability.node_failures_per_1000_node_days"


@pytest.mark.parametrize("rate", ["5e-324", "1e-308", "1e-300", "1e-12"])
def test_failures_that_never_come_are_none(rate: str) -> None:
    never = st.run("quickstart", ["method=none", f"{RATE}=0"])
    almost = st.run("quickstart", ["method=none", f"{RATE}={rate}"])
    assert almost.quantities["duration_s"].value == never.quantities["duration_s"].value
    assert almost.outcome.events == never.outcome.events


@pytest.mark.parametrize("rate", ["1e-9", "1e-6"])
def test_rare_failures_have_finite_intervals(rate: str) -> None:
    rare = st.run("quickstart", ["method=none", f"{RATE}={rate}"])
    assert rare.quantities["goodput_frac"].value > 0.999


@pytest.mark.parametrize("rate", ["1e4", "1e7", "1e12"])
def test_failures_without_end_are_infeasible(rate: str) -> None:
    with pytest.raises((InfeasibleError, InputError)):
        st.run("quickstart", ["method=none", f"{RATE}={rate}"])


def notes(cap: str) -> list[str]:
    prepared = prepare(st.load_scenario("quickstart", [f"cluster.power_cap={cap}"]), default_library())
    return [note for note in prepared.notes if "power cap" in note]


def test_a_deep_power_cap_says_that_it_is_not_held() -> None:
    assert notes("350 W") == []
    assert notes("700 W") == []
    (note,) = notes("349 W")
    assert "349 W is 50% of the limit of h100-sxm" in note
    assert "extrapolation" in note
    (note,) = notes("100 W")
    assert "14%" in note


@pytest.mark.parametrize("cap", ["70 W", "30 W", "1 mW"])
def test_a_power_cap_at_idle_or_below_is_refused(cap: str) -> None:
    with pytest.raises(InputError, match=r"cluster\.power_cap: .*above idle \(70 W\)"):
        notes(cap)


def test_a_series_that_the_run_leaves_is_told_at_the_scenarios_line(tmp_path: Path) -> None:
    text = Path(st.load_scenario("quickstart").path).read_text("utf-8")
    path = tmp_path / "mine.yaml"
    price = "price: {series: price-ercot}\n"
    lines = [price if "price: 0.08" in line else line for line in text.splitlines(keepends=True)]
    lines = [line.replace("price: {", "  price: {").replace("2025-01-01", "2024-12-31") for line in lines]
    path.write_text("".join(lines), "utf-8")
    number = 1 + next(index for index, line in enumerate(lines) if "price-ercot}" in line)
    with pytest.raises(InputError, match=rf"mine\.yaml:{number}:10: site\.price: price-ercot: the run takes"):
        st.run(path)
