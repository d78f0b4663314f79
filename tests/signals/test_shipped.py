"""The series that travel with simtool: whole, small, licensed, and what their sources say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from simtool.config.times import parse_utc
from simtool.errors import InputError
from simtool.signals import Basis, ShippedSeries, find_series, list_series
from simtool.signals.shipped import FOLDER

MAX_BYTES_PER_YEAR = 200_000
ALL = list_series()


def years(series: ShippedSeries) -> int:
    return parse_utc(series.end).year - parse_utc(series.begin).year


@pytest.mark.parametrize("series", ALL, ids=lambda series: series.name)
def test_a_shipped_series_is_whole_small_and_licensed(series: ShippedSeries) -> None:
    begin, end = parse_utc(series.begin), parse_utc(series.end)
    question = series.basis.question if series.basis else None
    signal = find_series(series.name, begin, series.unit, question=question)
    assert (signal.begin_s, signal.end_s) == (0.0, (end - begin).total_seconds())
    assert signal.values.size == (end - begin).total_seconds() / 3600
    assert signal.basis is series.basis
    assert signal.kind == "published"
    assert series.path.stat().st_size <= MAX_BYTES_PER_YEAR * years(series)
    assert series.licence
    assert series.source
    assert series.title in signal.source


def test_nothing_else_lies_in_the_folder() -> None:
    files = {path.name for path in FOLDER.iterdir()}
    assert files == {"index.json", *(series.file for series in ALL)}


def test_shipped_carbon_counts_life_cycles_and_answers_the_average_question_only() -> None:
    carbon = [series for series in ALL if series.unit == "kgCO2e/kWh"]
    assert carbon
    assert {series.basis for series in carbon} == {Basis.AVERAGE_LIFE_CYCLE}
    with pytest.raises(InputError, match="average life cycle"):
        find_series("carbon-pjm", datetime(2022, 1, 1, tzinfo=UTC), "kgCO2e/kWh", question="marginal")


def test_another_unit_and_a_misspelt_name_are_refused() -> None:
    start = datetime(2022, 1, 1, tzinfo=UTC)
    with pytest.raises(InputError, match="a series in USD/kWh"):
        find_series("carbon-pjm", start, "USD/kWh", field="site.price")
    with pytest.raises(InputError, match="did you mean 'price-ercot'"):
        find_series("price-ercto", start, "USD/kWh", field="site.price")


def test_years_repeat_on_request_only() -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with pytest.raises(InputError, match="2025-01-01T00:00Z"):
        find_series("carbon-ercot", start, "kgCO2e/kWh", question="average").at(0.0)
    again = find_series(
        "carbon-ercot",
        start,
        "kgCO2e/kWh",
        question="average",
        repeat="yearly",
        until=datetime(2025, 3, 1, tzinfo=UTC),
    )
    own = find_series("carbon-ercot", datetime(2022, 1, 1, tzinfo=UTC), "kgCO2e/kWh", question="average")
    hours = np.arange(0.0, 59 * 86400.0, 3600.0)
    assert again.at(hours).tolist() == own.at(hours).tolist()


@pytest.mark.parametrize("series", [s for s in ALL if s.unit == "USD/kWh"], ids=lambda series: series.name)
def test_prices_are_those_of_the_source(series: ShippedSeries, reference_data: Path) -> None:
    path = reference_data / "data/facility/hpe_sustaincluster/electricity_price_hourly_2020_2024.parquet"
    table = pq.read_table(path, columns=["utc", series.zone])
    moments = table.column("utc").cast("int64").to_numpy() / 1e6
    signal = find_series(series.name, parse_utc(series.begin), series.unit)
    offset = parse_utc(series.begin).timestamp()
    chosen = (moments >= offset) & (moments < parse_utc(series.end).timestamp())
    expected = table.column(series.zone).to_numpy()[chosen] / 1000
    assert np.abs(signal.at(moments[chosen] - offset) - expected).max() <= 0.00501 / 1000


@pytest.mark.parametrize("series", [s for s in ALL if s.basis], ids=lambda series: series.name)
def test_intensities_are_those_of_the_source_and_follow_from_the_mix(
    series: ShippedSeries, reference_data: Path
) -> None:
    table = pa_csv.read_csv(reference_data / "data/facility/hpe_dcrl/eia_hourly_mix_avgci_2022.csv.gz")
    rows = table.filter(pc.equal(table.column("zone"), series.zone))
    stated = rows.column("avg_CI").to_numpy()
    signal = find_series(series.name, parse_utc(series.begin), series.unit, question="average")
    hours = np.arange(stated.size) * 3600.0
    shipped = signal.at(hours) * 1000
    same = np.abs(shipped - stated) < 0.06
    num_filled = int(next((word for word in series.notes.split() if word.isdigit()), "0"))
    assert int((~same).sum()) == num_filled
    # Life-cycle factors, IPCC AR5 medians: a direct intensity would have zeros for all but coal, gas and oil.
    factors = {"WND": 11, "SUN": 41, "WAT": 24, "OIL": 650, "NG": 490, "COL": 820, "NUC": 12, "OTH": 230}
    mix = np.array([np.clip(rows.column(fuel).to_numpy(), 0, None) for fuel in factors], dtype=float)
    with np.errstate(invalid="ignore"):
        computed = np.array(list(factors.values())) @ mix / mix.sum(axis=0)
    assert np.nanmax(np.abs(computed - stated)[same]) < 1.0
