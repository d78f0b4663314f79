"""Figures of a datacenter: each is drawn, repeats byte by byte, and its table tells the run's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.report import site_gallery, site_words
from simtool.report.site_gallery import PLATES, SiteSubject, choose, write_plate
from simtool.report.table import Table
from simtool.units import JOULES_PER_KWH
from tests.result.datacenter.sites import ONE_SITE, TWO_SITES, solved


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
