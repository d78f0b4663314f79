"""Figures of a datacenter: each is drawn, repeats byte by byte, and its table tells the run's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from simtool.errors import InputError
from simtool.report import site_gallery, site_words, style
from simtool.report.figures import site_power, site_supply, site_weather
from simtool.report.site_gallery import PLATES, SiteSubject, choose, write_plate
from simtool.report.table import Table, from_rows
from simtool.units import JOULES_PER_KWH
from tests.result.datacenter.sites import ONE_SITE, TWO_SITES, jobs_csv, solved


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SiteSubject:
    return SiteSubject(result=solved(tmp_path_factory.mktemp("pair"), TWO_SITES))


@pytest.fixture(scope="module")
def tables(pair: SiteSubject) -> dict[str, Table]:
    return {plate.name: plate.tabulate(pair) for plate in PLATES}


def test_every_plate_is_drawn_and_repeats(pair: SiteSubject, tmp_path: Path) -> None:
    for plate in PLATES:
        assert plate.lacks(pair.result) == "", plate.name
        first = write_plate(plate, pair, tmp_path / "one")
        again = write_plate(plate, pair, tmp_path / "two")
        assert [path.suffix for path in first] == [".svg", ".png", ".csv"]
        for one, two in zip(first, again, strict=True):
            assert one.read_bytes() == two.read_bytes(), one.name
        assert b"simtool" in first[0].read_bytes() or b"path" in first[0].read_bytes()


def test_the_power_of_all_parts_is_that_of_the_site(pair: SiteSubject, tables: dict[str, Table]) -> None:
    numbers = tables["site-power"].where("piece", "run")
    parts = [name for name in numbers.columns if name.startswith("power_") and name.endswith("_mean_w")]
    parts = [name for name in parts if name not in ("power_facility_mean_w", "power_grid_mean_w")]
    total = np.sum([numbers.numbers(name) for name in parts], axis=0)
    assert total == pytest.approx(numbers.numbers("power_facility_mean_w"), rel=1e-9)
    length = numbers.numbers("end_s") - numbers.numbers("begin_s")
    assert (total * length).sum() == pytest.approx(pair.result.value("energy_facility_j"), rel=1e-9)
    assert numbers.numbers("power_facility_max_w").max() == pytest.approx(
        pair.result.value("power_facility_peak_w"), rel=1e-9
    )
    grid = numbers.numbers("power_grid_mean_w")
    assert (grid < total - 1.0).any(), "panels and battery take a part"


def test_energy_and_cost_are_told_twice_the_same(pair: SiteSubject, tables: dict[str, Table]) -> None:
    sums = {
        str(panel): tables["site-energy-and-cost"].where("panel", panel).numbers("value").sum()
        for panel in tables["site-energy-and-cost"].unique("panel")
    }
    assert sums["state"] == pytest.approx(pair.result.value("energy_facility_j"), rel=1e-9)
    assert sums["component"] == pytest.approx(sums["state"], rel=1e-9)
    assert sums["outcome"] == pytest.approx(pair.result.value("cost_total_usd"), rel=1e-9)
    assert sums["user"] == pytest.approx(sums["outcome"], rel=1e-9)


def test_the_other_tables_tell_the_runs_numbers(pair: SiteSubject, tables: dict[str, Table]) -> None:
    bill = tables["site-bill"]
    assert bill.numbers("total_usd").sum() == pytest.approx(
        sum(pair.result.value(f"bill_{kind}_usd") for kind in ("energy", "demand", "fixed")), rel=1e-9
    )
    weather = tables["site-weather"]
    assert weather.unique("site") == ["east"], "the other one is a constant PUE"
    assert weather.numbers("water_kg").sum() == pytest.approx(pair.result.value("water_site_kg"), rel=1e-9)
    waits = tables["site-waits"]
    for name in waits.unique("accelerators"):
        assert np.all(np.diff(waits.where("accelerators", name).numbers("wait_s")) >= 0.0)
    queue = tables["site-queue"]
    used = queue.numbers("accelerators_held_mean") / queue.numbers("accelerators")
    assert used.mean() == pytest.approx(pair.result.value("utilisation_frac"), rel=1e-9)
    assert tables["site-failures"].numbers("num_events").sum() == len(pair.result.outcome.interruptions)
    signals = tables["site-signals"]
    length = signals.numbers("end_s") - signals.numbers("begin_s")
    west = (signals.numbers("west:power_grid_w") * length).sum() / JOULES_PER_KWH
    assert west == pytest.approx(pair.result.value("energy_facility_west_j") / JOULES_PER_KWH, rel=1e-9)


def test_a_plain_site_says_why_figures_are_missing(tmp_path: Path) -> None:
    result = solved(tmp_path, ONE_SITE)
    lacking = {plate.name: plate.lacks(result) for plate in PLATES if plate.lacks(result)}
    assert lacking == {
        "site-supply": "the grid alone gives all power",
        "site-signals": "price and carbon intensity are constant",
        "site-weather": "the building is a constant PUE, which knows no weather",
        "site-failures": "nothing stopped a job",
    }


def test_an_unknown_figure_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="site-power"):
        choose(["site-powr"])
    assert {plate.name for plate in choose([])} == {plate.name for plate in site_gallery.PLATES}


def test_every_quantity_has_a_place_in_the_report(pair: SiteSubject) -> None:
    """Or is a share of a state or one site's own, which other tables show."""
    summary = {name: {"value": number.value} for name, number in pair.result.quantities.items()}
    told = {row.name for group in site_words.GROUPS for row in group.rows}
    told |= {row.name for row in (*site_words.cost_rows(summary), *site_words.bill_rows(summary))}
    told |= {row.name for one in site_words.QUESTIONS for row in site_words.carbon_rows(one, summary)}
    left = {name for name in summary if name not in told}
    left -= {name for name in left if name.startswith("share_") or "_east" in name or "_west" in name}
    assert left <= {"duration_s", "bill_after_end_usd"}, left


# ------------------------------------------------------------------------------------------- supply


def test_sources_of_power_cover_load_battery_and_the_rest(
    pair: SiteSubject, tables: dict[str, Table]
) -> None:
    numbers = tables["site-supply"]
    assert numbers.unique("site") == ["east"], "the grid alone supplies the other one"
    given = np.sum([numbers.numbers(f"power_{name}_mean_w") for name in site_supply.SOURCES], axis=0)
    names = ("load", "standby", *site_supply.USES)
    used = np.sum([numbers.numbers(f"power_{name}_mean_w") for name in names], axis=0)
    assert given == pytest.approx(used, rel=1e-9)
    balance = pair.result.sites[0].balance
    assert balance is not None
    length = numbers.numbers("end_s") - numbers.numbers("begin_s")
    for name in (*names, *site_supply.SOURCES):
        energy = (numbers.numbers(f"power_{name}_mean_w") * length).sum()
        assert energy == pytest.approx(balance.integral(f"{name}_w"), rel=1e-9), name
    assert numbers.numbers("power_solar_mean_w").any()
    assert numbers.numbers("power_discharge_mean_w").any()


def test_the_charge_of_a_battery_lies_between_its_extremes(
    pair: SiteSubject, tables: dict[str, Table]
) -> None:
    numbers = tables["site-supply"]
    low, high = numbers.numbers(site_supply.LOWEST), numbers.numbers(site_supply.HIGHEST)
    capacity = numbers.numbers("battery_capacity_j")
    assert set(capacity) == {100.0 * JOULES_PER_KWH}
    assert (low >= 0.0).all()
    assert (low <= high).all()
    assert (high <= capacity * (1.0 + 1e-12)).all()
    balance = pair.result.sites[0].balance
    assert balance is not None
    assert balance.battery is not None
    assert high.max() == balance.battery.stored_j.max()
    assert low[0] == balance.battery.stored_j[0], "empty at the begin"


def test_a_long_run_shows_the_week_in_which_the_battery_worked(tmp_path: Path) -> None:
    text = ONE_SITE.replace("duration: 2 days", "duration: 20 days") + (
        "supply:\n  battery: {energy: 40 kWh, policy: peak-shaving, threshold: 20 kW}\n"
    )
    late = jobs_csv(days=3.0).splitlines()
    moved = [row.split(",") for row in late[1:]]
    rows = [",".join((name, str(float(submit) + 13 * 86_400.0), *rest)) for name, submit, *rest in moved]
    first = "first,0.0,1,60.0,completed,user-0"
    result = solved(tmp_path, text, jobs="\n".join([late[0], first, *rows]) + "\n")
    week = site_supply.table(result).where("piece", "week")
    begin, end = week.numbers("begin_s")[0], week.numbers("end_s")[-1]
    assert end - begin == 7 * 86_400.0
    assert week.numbers("power_discharge_mean_w").any()
    (path, *_) = write_plate(choose(["site-supply"])[0], SiteSubject(result=result), tmp_path / "drawn")
    assert path.exists()


# ------------------------------------------------------------------------------- what a drawing says


def drawn(name: str, subject: SiteSubject, numbers: Table | None = None) -> Figure:
    (plate,) = choose([name])
    with style.styled():
        return plate.draw(plate.tabulate(subject) if numbers is None else numbers, subject)


def test_waits_are_those_that_jobs_had(pair: SiteSubject, tables: dict[str, Table]) -> None:
    outcome = pair.result.outcome
    waited_s = outcome.start_s - outcome.submit_s
    numbers = tables["site-waits"]
    assert np.isin(numbers.numbers("wait_s"), waited_s).all()
    sizes = pair.result.jobs.table.num_devices
    for name, low, high in (("1", 1, 1), ("2 to 8", 2, 8), ("9 to 64", 9, 64)):
        mine = waited_s[(sizes >= low) & (sizes <= high)]
        rows = numbers.where("accelerators", name)
        shares = [100.0 * (mine <= wait_s).mean() for wait_s in rows.numbers("wait_s")]
        assert rows.numbers("jobs_percent") == pytest.approx(shares)


def test_one_job_of_a_size_is_drawn_and_a_size_that_never_started_is_named(tmp_path: Path) -> None:
    jobs = "name,submit_s,num_devices,run_s\na,0,8,7200\nb,0,1,60\nc,10,32,90000\nd,20,16,90000\n"
    jobs += "e,30,1,100\nf,40,1,100\n"  # the queue's first asks for everything: nobody passes it
    result = solved(tmp_path, ONE_SITE.replace("duration: 2 days", "duration: 1 hour"), jobs=jobs)
    figure = drawn("site-waits", SiteSubject(result=result))
    (axes,) = figure.axes
    labels = axes.get_legend_handles_labels()[1]
    assert labels[0].startswith("1  (1 of 3 jobs, all at once")
    assert labels[1].startswith("2 to 8  (1 job, all at once")
    assert len(labels) == 2
    assert all(line.get_ydata()[-1] == 100.0 for line in axes.get_lines())
    assert "None of 2 jobs of 9 to 64 accelerators started." in figure.get_supxlabel().replace("\n", " ")


def test_axes_hold_every_line_and_the_title_names_the_highest(pair: SiteSubject) -> None:
    figure = drawn("site-power", pair)
    numbers = site_power.table(pair.result)
    highest = max(numbers.numbers("power_facility_max_w").max(), numbers.numbers("power_grid_max_w").max())
    assert figure.axes[0].get_ylim()[1] * 1e3 > highest
    assert f"load at most {pair.result.value('power_facility_peak_w') / 1e3:,.4g} kW" in figure.get_suptitle()


def test_sums_over_sites_say_so(pair: SiteSubject, tmp_path: Path) -> None:
    summed = ("site-power", "site-queue", "site-waits", "site-energy-and-cost", "site-bill", "site-failures")
    for name in summed:
        assert "all sites together" in drawn(name, pair).get_suptitle(), name
    one = SiteSubject(result=solved(tmp_path, ONE_SITE))
    for name in summed[:-1]:
        assert "together" not in drawn(name, one).get_suptitle(), name


def test_dates_say_year_and_utc(pair: SiteSubject) -> None:
    for name in ("site-power", "site-queue", "site-signals", "site-supply"):
        axes = drawn(name, pair).axes[-1]
        assert axes.get_xlabel() == "2022, UTC", name
        assert "2 Jan" in [tick.get_text() for tick in axes.get_xticklabels()], name


def test_small_part_months_are_told_in_money_that_suits_them(pair: SiteSubject) -> None:
    rows = [
        {"month": month, "energy_usd": usd, "demand_usd": 0.0, "fixed_usd": 0.0, "total_usd": usd}
        for month, usd in (("2021-12", 73.3), ("2022-01", 3412.0))
    ]
    figure = drawn("site-bill", pair, from_rows(rows))
    assert {text.get_text() for text in figure.axes[0].texts} == {"73", "3,412"}
    assert "3,485 USD" in figure.get_suptitle()


def test_sites_have_one_colour_each_in_both_panels_of_the_weather(pair: SiteSubject) -> None:
    numbers = site_weather.table(pair.result, pair.held)
    twin = {name: [*column, *column] for name, column in numbers.columns.items()}
    twin["site"] = ["east"] * numbers.num_rows + ["west"] * numbers.num_rows
    for water in (twin["water_kg"], [0.0] * len(twin["site"])):
        figure = drawn("site-weather", pair, Table({**twin, "water_kg": water}))
        found = [[tuple(dots.get_facecolor()[0]) for dots in axes.collections] for axes in figure.axes]
        assert len(figure.axes) == 2, "no scale of colours beside sites"
        assert found[0] == found[1]
        assert found[0][0] != found[0][1]
