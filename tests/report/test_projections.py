"""Projections carry carbon, say what moves them, and keep lines apart that coincide."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from simtool import run
from simtool.profiles.find import default_library
from simtool.report import gallery, projection, style
from simtool.report.figures import power, projections
from simtool.result.result import Result

RENT = "economics={mode: rent, price: 2.5 USD/h}"
MARGINAL = "site.carbon={marginal: 0.6 kgCO2e/kWh}"
BOTH = "site.carbon={average: 0.3 kgCO2e/kWh, marginal: 0.6 kgCO2e/kWh}"


@pytest.fixture(scope="module")
def owned() -> Result:
    return run("quickstart", [BOTH])


@pytest.fixture(scope="module")
def rented() -> Result:
    return run("quickstart", [RENT, "method=none", MARGINAL])


def drawn(result: Result, name: str):
    subject = gallery.Subject(result=result, library=default_library())
    (plate,) = gallery.choose([name])
    with style.styled():
        return plate.draw(subject, plate.tabulate(subject))


def test_carbon_is_projected_through_the_scenario(owned: Result) -> None:
    library = default_library()
    for table in (projection.over_tokens(owned), projection.over_devices(owned, library)):
        own = table.where("is_scenario", 1).where("run", "with method")
        assert own.numbers("carbon_kgco2e")[0] == pytest.approx(owned.value("carbon_total_kgco2e"), rel=1e-9)
        marginal = owned.value("carbon_electricity_marginal_kgco2e")
        assert own.numbers("carbon_marginal_kgco2e")[0] == pytest.approx(marginal, rel=1e-9)


def test_carbon_over_years_begins_at_the_run_and_falls_with_the_grid(owned: Result) -> None:
    table = projection.over_start_years(owned)
    assert "carbon_marginal_kgco2e" not in table.columns
    ends = {}
    for hardware in (projections.SAME, projections.NEWEST):
        rows = table.where("hardware", hardware).where("run", "with method")
        median, low, high = (rows.numbers(f"carbon_kgco2e{end}") for end in ("", "_p10", "_p90"))
        assert median[0] == pytest.approx(owned.value("carbon_total_kgco2e"))
        assert (np.diff(median) < 0).all()
        assert ((low <= median) & (median <= high)).all()
        ends[hardware] = median[-1]
    assert ends[projections.NEWEST] < ends[projections.SAME]


def test_the_two_accounts_never_share_a_panel(owned: Result, rented: Result) -> None:
    for result, account in ((owned, "average"), (rented, "marginal")):
        figure = drawn(result, "projection-tokens")
        panels = [axes for axes in figure.axes if axes.get_ylabel().startswith("carbon")]
        assert len(panels) == 1
        assert f"Carbon: {account} intensity" in figure.get_supxlabel()
    years = drawn(rented, "projection-start-year")
    assert not [axes for axes in years.axes if axes.get_ylabel().startswith("carbon")]


def test_the_footer_gives_the_sources_of_the_trends_that_move_something(
    owned: Result, rented: Result
) -> None:
    for result, moving, others in (
        (owned, ("electricity price", "carbon intensity", "hardware efficiency"), ("rental price",)),
        (rented, ("rental price", "hardware efficiency"), ("electricity price", "carbon intensity")),
    ):
        footer = " ".join(drawn(result, "projection-start-year").get_supxlabel().split())
        for name in moving:
            assert f"Trend: {name}" in footer
        assert not [name for name in others if f"Trend: {name}" in footer]
        for trend in (*projection.trends_of(result, projections.NEWEST).values(),):
            if trend.source[:40] in footer:
                assert " ".join(trend.source.split()) in footer


def test_lines_that_coincide_are_told_apart(rented: Result) -> None:
    figure = drawn(rented, "projection-start-year")
    same, newest = figure.axes[0].get_lines()
    assert np.allclose(same.get_ydata(), newest.get_ydata())
    assert same.get_linewidth() > 2 * newest.get_linewidth()
    assert same.get_color() != newest.get_color()
    assert same.get_marker() != newest.get_marker()
    assert "In a the lines of both kinds of hardware coincide" in figure.get_supxlabel()


def test_lines_apart_are_not_said_to_coincide(owned: Result) -> None:
    assert "coincide" not in drawn(owned, "projection-start-year").get_supxlabel()


def test_the_lowest_power_never_covers_the_highest(owned: Result) -> None:
    numbers = power.table(owned)
    with style.styled():
        axes = power.draw(numbers, source="").axes[0]
    (dots,) = [line for line in axes.get_lines() if line.get_label() == "all IT, lowest"]
    highest = numbers.numbers("power_it_max_w").max() / 1e3
    assert 0 < len(dots.get_ydata()) < numbers.num_rows
    assert (dots.get_ydata() < 0.99 * highest).all()


def test_figures_of_one_of_two_runs_say_which(owned: Result, rented: Result) -> None:
    for name in ("power-over-time", "cost-over-run"):
        assert drawn(owned, name).get_suptitle().endswith(", with the method")
        assert "method" not in drawn(rented, name).get_suptitle()


def test_figures_of_money_say_what_the_bill_lacks(rented: Result) -> None:
    short = replace(rented, bill_lacks=("electricity", "facility"))
    for name in ("projection-tokens", "projection-start-year", "cost-over-run"):
        told = re.sub(r"\s+", " ", drawn(short, name).get_supxlabel())
        assert "The bill is too low: electricity and facility need a power" in told
        assert "too low" not in drawn(rented, name).get_supxlabel()


def test_the_projection_begins_with_what_the_run_prints() -> None:
    """Prices of a scenario are those of its own start, whatever year its money is of."""
    result = run("llama2-70b", ["economics.money.year=2021", "method=none"])
    table = projection.over_start_years(result)
    for column, quantity in (("cost_usd", "cost_total_usd"), ("energy_facility_j", "energy_facility_j")):
        assert table.columns[column][0] == pytest.approx(result.value(quantity), rel=1e-9)
