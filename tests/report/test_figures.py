"""Every figure reconciles with the result it shows, has units on its axes, and repeats byte by byte."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.ticker import FixedFormatter

from simtool.profiles.find import default_library
from simtool.report import gallery, projection, style, writer
from simtool.report.figures import comparison, cost, energy, power, projections, step
from simtool.report.table import Table, from_rows
from simtool.result.result import Result
from tests.report import made

MONEY = "nominal USD of 2025"
SOURCE = "Source: a test"


@pytest.fixture(scope="module")
def plain() -> Result:
    return made.run(1.0)


@pytest.fixture(scope="module")
def improved() -> Result:
    return made.with_method()


def devices_table() -> Table:
    rows = [
        {
            "run": run,
            "num_devices": 64 * ratio,
            "is_scenario": int(ratio == 1),
            "cost_usd": 1e6 * (1 + 0.1 * ratio) * frac,
            "energy_facility_j": None,
            "duration_s": 40 * 86400 / ratio * frac,
        }
        for run, frac in (("without method", 1.0), ("with method", 0.7))
        for ratio in (0.5, 1.0, 2.0)
    ]
    return from_rows(rows)


DRAWINGS: dict[str, Callable[[Result], Any]] = {
    "energy": energy.figure,
    "power": power.figure,
    "step": step.figure,
    "cost": cost.figure,
    "tokens": lambda result: projections.draw_tokens(
        projection.over_tokens(result), money=MONEY, source=SOURCE, num_parameters=8e9
    ),
    "devices": lambda _: projections.draw_devices(devices_table(), money=MONEY, source=SOURCE),
    "years": lambda result: projections.draw_start_years(
        projection.over_start_years(result), money=MONEY, source=SOURCE
    ),
}


def draw(name: str, result: Result) -> Any:
    with style.styled():
        return DRAWINGS[name](result)


# ------------------------------------------------------------------ the tables reconcile with the result


def test_energy_by_state_and_component_sums_to_the_facility(improved: Result) -> None:
    table = energy.table(improved)
    for name, run in (("with method", improved), ("without method", improved.reference)):
        assert run is not None
        total = table.where("run", name).numbers("energy_j").sum()
        assert total == pytest.approx(run.value("energy_facility_j"), rel=1e-12)


@pytest.mark.parametrize("num_bins", [3, 7, 480])
def test_power_over_time_integrates_to_the_energy(
    plain: Result, monkeypatch: pytest.MonkeyPatch, num_bins: int
) -> None:
    monkeypatch.setattr(power, "NUM_BINS", num_bins)
    table = power.table(plain)
    assert table.num_rows <= num_bins
    length_s = table.numbers("end_s") - table.numbers("begin_s")
    energy_j = (table.numbers("power_it_mean_w") * length_s).sum()
    assert energy_j == pytest.approx(plain.value("energy_it_j"), rel=1e-12)
    facility_j = (table.numbers("power_facility_mean_w") * length_s).sum()
    assert facility_j == pytest.approx(plain.value("energy_facility_j"), rel=1e-12)
    mean, low, high = (table.numbers(f"power_it_{what}_w") for what in ("mean", "min", "max"))
    assert (low <= mean * (1 + 1e-12)).all()
    assert (mean <= high * (1 + 1e-12)).all()
    assert high.max() == plain.outcome.ledger.power_w().max()
    assert low.min() == plain.outcome.ledger.power_w().min()


def test_cost_so_far_ends_at_the_bill_and_never_falls(plain: Result) -> None:
    table = cost.table(plain)
    total = table.numbers("total_usd")
    assert total[0] == 0.0
    assert total[-1] == pytest.approx(plain.value("cost_total_usd"), rel=1e-12)
    assert (np.diff(total) >= 0).all()


def test_the_parts_of_a_step_follow_each_other_and_sum_to_it(improved: Result) -> None:
    table = step.table(improved)
    for name, run in (("with method", improved), ("without method", improved.reference)):
        assert run is not None
        rows = table.where("run", name)
        begin, length = rows.numbers("begin_s"), rows.numbers("duration_s")
        assert begin[1:] == pytest.approx((begin + length)[:-1])
        assert length.sum() == pytest.approx(float(run.phases[0].estimate.step_time_s))


def test_every_part_of_a_step_has_its_place() -> None:
    from simtool.step.estimate import STEP_PARTS

    assert set(step.ORDER) == set(STEP_PARTS) == set(step.NAMES) == set(step.STATE_OF)


def test_the_method_is_compared_with_the_operations_it_saves(improved: Result) -> None:
    table = comparison.method_table(improved)
    with_method = table.where("run", "with method")
    ratios = dict(zip(with_method.texts("quantity"), with_method.numbers("ratio_to_first"), strict=True))
    assert ratios[comparison.OPERATIONS] == pytest.approx(0.64)
    for name in ("duration_s", "energy_facility_j", "cost_total_usd"):
        assert ratios[name] == pytest.approx(1 - (improved.saved_frac(name) or 0.0))
    assert set(table.where("run", "without method").numbers("ratio_to_first")) == {1.0}


def test_tokens_are_projected_in_proportion_through_the_scenario(improved: Result) -> None:
    table = projection.over_tokens(improved)
    for name, run in projection.runs_of(improved):
        rows = table.where("run", name)
        own = rows.where("is_scenario", 1)
        assert own.num_rows == 1
        assert own.numbers("cost_usd")[0] == pytest.approx(run.value("cost_total_usd"))
        assert own.numbers("duration_s")[0] == pytest.approx(run.value("duration_s"))
        per_token = rows.numbers("energy_facility_j") / rows.numbers("tokens")
        assert per_token == pytest.approx(per_token[0])


def test_start_years_begin_at_the_run_and_spread_with_time(improved: Result) -> None:
    table = projection.over_start_years(improved)
    assert table.unique("hardware") == [projections.SAME, projections.NEWEST]
    for hardware in table.unique("hardware"):
        rows = table.where("hardware", hardware).where("run", "with method")
        median, low, high = (rows.numbers(name) for name in ("cost_usd", "cost_usd_p10", "cost_usd_p90"))
        assert rows.numbers("start_year")[0] == improved.scenario.site.start.year
        assert median[0] == low[0] == high[0] == pytest.approx(improved.value("cost_total_usd"))
        assert (np.diff(high / low) > 0).all()
        assert ((low <= median) & (median <= high)).all()
    newest = table.where("hardware", projections.NEWEST).where("run", "with method")
    assert (np.diff(newest.numbers("energy_facility_j")) < 0).all()


def test_a_trend_of_the_scenario_takes_the_place_of_the_shipped_one(plain: Result) -> None:
    from simtool.config.load import load_scenario

    loaded = load_scenario(made.SCENARIO, ["projection.rental_price.per_year=0.5"])
    table = projection.over_start_years(replace(plain, loaded=loaded)).where("hardware", projections.SAME)
    assert table.numbers("cost_usd")[1] == pytest.approx(1.5 * plain.value("cost_total_usd"))


# ------------------------------------------------------------------------------------------- the figures


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("kind", ["plain", "improved"])
def test_every_axis_with_numbers_says_its_unit(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    unitless = {"accelerators"}
    figure = draw(name, request.getfixturevalue(kind))
    for axes in figure.axes:
        words = [axes.get_xlabel()]
        if not isinstance(axes.yaxis.get_major_formatter(), FixedFormatter):
            words.append(axes.get_ylabel())
        for word in words:
            assert not word or word in unitless or "(" in word or word.startswith("tokens per"), word
    assert any(axes.get_xlabel() for axes in figure.axes)


@pytest.mark.parametrize("name", ["cost", "tokens", "devices", "years"])
def test_money_on_an_axis_says_which_money(name: str, improved: Result) -> None:
    labels = [axes.get_ylabel() for axes in draw(name, improved).axes]
    assert any("USD, nominal 2025" in label for label in labels)


def test_every_figure_names_its_source(improved: Result) -> None:
    library: Any = None
    subject = gallery.Subject(result=improved, library=library)
    assert "scenario quickstart" in subject.source
    for plate in gallery.PLATES:
        if plate.name == "projection-devices":
            continue
        numbers = plate.tabulate(subject)
        with style.styled():
            figure = plate.draw(subject, numbers)
        assert subject.source in figure.get_supxlabel()


def test_drawing_changes_no_setting_and_opens_no_window(plain: Result) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    draw("energy", plain)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_files_repeat_byte_by_byte(plain: Result, tmp_path: Path) -> None:
    numbers = power.table(plain)
    paths = [
        writer.write(tmp_path / place, "power", numbers, lambda: power.draw(numbers, source=SOURCE))
        for place in ("a", "b")
    ]
    assert [path.name for path in paths[0]] == ["power.svg", "power.png", "power.csv"]
    for first, second in zip(*paths, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert b"<dc:date>" not in paths[0][0].read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["power.csv", "power.png", "power.svg"]


def test_a_failed_write_leaves_no_partial_file(
    plain: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def full_for_csv(self: Path, data: bytes) -> int:
        if ".csv" in self.name:
            raise OSError(28, "No space left on device")
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", full_for_csv)
    numbers = energy.table(plain)
    with pytest.raises(OSError, match="No space"):
        writer.write(tmp_path, "energy", numbers, lambda: energy.draw(numbers, source=SOURCE))
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_lacks_is_said(plain: Result) -> None:
    without_energy = replace(
        plain, quantities={name: one for name, one in plain.quantities.items() if "energy" not in name}
    )
    plates = {plate.name: plate for plate in gallery.PLATES}
    assert plates["method-comparison"].missing(plain) == "the run uses no method"
    assert "no energy_it_j" in plates["power-over-time"].missing(without_energy)
    assert plates["step-timeline"].missing(without_energy) == ""


# --------------------------------------------------------------------------------------------- the table


def test_a_table_is_written_with_its_units_and_twelve_digits() -> None:
    table = Table({"time_s": [0.0, 1 / 3], "name": ["a,b", "c"], "p10_usd": [None, 2]})
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [["time_s", "name", "p10_usd"], ["0", "a,b", ""], ["0.333333333333", "c", "2"]]


def test_a_table_has_columns_of_one_length() -> None:
    with pytest.raises(ValueError, match="different length"):
        Table({"a": [1], "b": [1, 2]})


def test_bars_of_a_comparison_begin_at_zero(improved: Result) -> None:
    numbers = comparison.method_table(improved)
    with style.styled():
        (axes,) = comparison.draw(numbers, source="").axes
    assert axes.get_xlim()[0] == 0.0
    ratios = [100 * one for one in numbers.where("run", "with method").numbers("ratio_to_first")]
    assert [bar.get_x() for bar in axes.patches] == [0.0] * len(ratios)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(ratios)


def test_one_seed_with_failures_is_said_to_hold_luck(improved: Result) -> None:
    subject = gallery.Subject(result=improved, library=default_library())
    assert "One seed" in subject.source_of_method
    assert "One seed" not in replace(subject, seeds=20).source_of_method
    calm = improved.loaded.scenario.model_copy(update={"reliability": "none"})
    unfailing = replace(improved, loaded=replace(improved.loaded, scenario=calm))
    assert "One seed" not in replace(subject, result=unfailing).source_of_method
