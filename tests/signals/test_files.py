"""Reading series: what is right is read to the last digit, what is wrong is named row by row."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simtool.errors import InputError
from simtool.signals import Basis, Signal, find_series, load_series
from simtool.signals import rows as rows_module

START = datetime(2024, 3, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hours(num: int, begin: datetime = START) -> list[str]:
    return [(begin + index * HOUR).strftime("%Y-%m-%dT%H:%MZ") for index in range(num)]


def write(folder: Path, rows: list[tuple[str, str]], column: str = "price_usd_per_mwh") -> Path:
    path = folder / "series.csv"
    path.write_text(f"time_utc,{column}\n" + "".join(f"{time},{value}\n" for time, value in rows), "utf-8")
    return path


def price(path: Path, start: datetime = START) -> Signal:
    return load_series(path, start, "USD/kWh", field="site.price")


def refused(path: Path, unit: str = "USD/kWh", basis: Basis | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        load_series(path, START, unit, field="site.price", basis=basis)
    assert all(problem.field == "site.price" for problem in caught.value.problems)
    return caught.value


def test_a_series_begins_in_seconds_since_the_start(tmp_path: Path) -> None:
    path = write(tmp_path, list(zip(hours(4), ["10", "20", "-30", "40.5"], strict=True)))
    signal = price(path, START + HOUR)
    assert signal.edges_s.tolist() == [-3600.0, 0.0, 3600.0, 7200.0]
    assert signal.values.tolist() == pytest.approx([0.01, 0.02, -0.03, 0.0405], rel=1e-15)
    assert (signal.begin_s, signal.end_s) == (-3600.0, 10800.0)


@pytest.mark.parametrize(
    ("column", "unit", "basis", "factor"),
    [
        ("price_usd_per_kwh", "USD/kWh", None, 1.0),
        ("price_usd_per_mwh", "USD/kWh", None, 1e-3),
        ("carbon_gco2e_per_kwh", "kgCO2e/kWh", Basis.AVERAGE, 1e-3),
        ("carbon_gco2e_per_kwh", "kgCO2e/kWh", Basis.MARGINAL, 1e-3),
        ("carbon_marginal_kgco2e_per_mwh", "kgCO2e/kWh", Basis.MARGINAL, 1e-3),
        ("carbon_average_kgco2e_per_kwh", "kgCO2e/kWh", Basis.AVERAGE_DIRECT, 1.0),
    ],
)
def test_the_header_carries_the_unit(
    tmp_path: Path, column: str, unit: str, basis: Basis | None, factor: float
) -> None:
    path = write(tmp_path, list(zip(hours(2), ["350", "400"], strict=True)), column)
    signal = load_series(path, START, unit, basis=basis)
    assert signal.values.tolist() == pytest.approx([350 * factor, 400 * factor], rel=1e-14)
    assert signal.basis is basis


def test_gzip_and_parquet_hold_the_same(tmp_path: Path) -> None:
    plain = write(tmp_path, list(zip(hours(30), map(str, range(30)), strict=True)))
    packed = tmp_path / "series.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    parquet = tmp_path / "series.parquet"
    times = pa.array([START + index * HOUR for index in range(30)], pa.timestamp("ms", tz="Europe/Berlin"))
    table = pa.table({"time_utc": times, "price_usd_per_mwh": np.arange(30.0), "note": ["x"] * 30})
    pq.write_table(table, parquet)
    first = price(plain)
    for path in (packed, parquet):
        other = price(path)
        assert other.edges_s.tolist() == first.edges_s.tolist()
        assert other.values.tolist() == first.values.tolist()


def test_daylight_saving_is_no_event_in_utc(tmp_path: Path) -> None:
    # 31 March 2024: Central Europe skips 02:00 local time. Offsets say which hour is meant.
    offsets = ["+01:00"] * 25 + ["+02:00"] * 23
    local = [
        (START + index * HOUR + timedelta(hours=int(offset[1:3]))).strftime("%Y-%m-%dT%H:%M") + offset
        for index, offset in enumerate(offsets)
    ]
    assert "2024-03-31T01:00+01:00" in local
    assert "2024-03-31T03:00+02:00" in local
    numbers = [str(index) for index in range(48)]
    with_offsets = price(write(tmp_path, list(zip(local, numbers, strict=True))))
    in_utc = price(write(tmp_path, list(zip(hours(48), numbers, strict=True))))
    assert with_offsets.edges_s.tolist() == in_utc.edges_s.tolist()
    assert float(in_utc.integral(0.0, 48 * 3600.0)) == pytest.approx(3600.0 * sum(range(48)) / 1000)


def test_local_times_without_offset_are_refused(tmp_path: Path) -> None:
    error = refused(write(tmp_path, [("2024-03-30T00:00", "1"), ("2024-03-30T01:00", "2")]))
    (problem,) = error.problems  # one mistake, however many rows
    assert "series.csv:2" in problem.where
    assert "without an offset, e.g. 2024-03-30T00:00" in problem.found
    assert "2024-03-30T00:00Z if they are in UTC" in problem.mend


def test_a_doubled_hour_of_local_times_is_named(tmp_path: Path) -> None:
    times = ["2024-10-27T01:00", "2024-10-27T02:00", "2024-10-27T02:00", "2024-10-27T03:00"]
    (problem,) = refused(write(tmp_path, [(time, "1") for time in times])).problems
    assert "2024-10-27T02:00 stands twice, again in line 4: clocks were set back" in problem.found
    assert "the first is summer time" in problem.mend
    mended = [
        "2024-10-27T01:00+02:00",
        "2024-10-27T02:00+02:00",
        "2024-10-27T02:00+01:00",
        "2024-10-27T03:00+01:00",
    ]
    assert np.diff(price(write(tmp_path, [(time, "1") for time in mended])).edges_s).tolist() == [3600.0] * 3


def test_some_times_without_offset_are_named_row_by_row(tmp_path: Path) -> None:
    error = refused(
        write(tmp_path, [("2024-03-30T00:00Z", "1"), ("2024-03-30T01:00", "2"), ("2024-03-30T02:00Z", "3")])
    )
    assert [problem.where.rpartition(":")[2] for problem in error.problems] == ["3"]


def test_another_name_of_the_time_is_told(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_text("timestamp,price_usd_per_mwh\n2024-03-30T00:00Z,1\n", "utf-8")
    assert "rename 'timestamp'" in str(refused(path))


def test_an_offset_that_shifts_the_series_is_a_gap_or_a_doubled_hour(tmp_path: Path) -> None:
    # Summer's offset kept through winter's end: one hour is there twice, or missing.
    times = [
        "2024-03-31T00:00+01:00",
        "2024-03-31T01:00+01:00",
        "2024-03-31T03:00+01:00",
        "2024-03-31T04:00+01:00",
    ]
    assert "nothing from 2024-03-31T00:00Z to 2024-03-31T02:00Z" in str(
        refused(write(tmp_path, [(time, "1") for time in times]))
    )
    times = [
        "2024-03-31T00:00+01:00",
        "2024-03-31T01:00+01:00",
        "2024-03-31T02:00+02:00",
        "2024-03-31T03:00+02:00",
    ]
    assert "2024-03-31T00:00Z stands twice" in str(refused(write(tmp_path, [(time, "1") for time in times])))


def test_a_series_that_is_too_short_says_what_it_covers(tmp_path: Path) -> None:
    signal = price(write(tmp_path, [(time, "1") for time in hours(24)]))
    with pytest.raises(InputError, match="the run takes 2024-03-30T00:00Z to 2024-04-01T00:00Z") as caught:
        signal.integral(0.0, 2 * 86400.0)
    (problem,) = caught.value.problems
    assert problem.where.endswith("series.csv")
    assert problem.field == "site.price"
    assert "covers 2024-03-30T00:00Z to 2024-03-31T00:00Z" in problem.allowed


@pytest.mark.parametrize(("column", "unit"), [("price_usd_per_hour", "USD/h"), ("water_l_per_kwh", "L/kWh")])
def test_prices_by_the_hour_and_water_are_series_too(tmp_path: Path, column: str, unit: str) -> None:
    path = write(tmp_path, list(zip(hours(2), ["1.2", "0.9"], strict=True)), column)
    assert load_series(path, START, unit).values.tolist() == [1.2, 0.9]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, "1"), (1, "2"), (1, "3"), (2, "4")], "stands twice"),
        ([(0, "1"), (2, "2"), (1, "3"), (3, "4"), (4, "5"), (5, "6")], "sort by time_utc"),
        ([(0, "1"), (1, "2"), (4, "3"), (5, "4")], "nothing from 2024-03-30T01:00Z to 2024-03-30T04:00Z"),
        ([(0, "1"), (1, "nan"), (2, "3")], "a finite number"),
        ([(0, "1"), (1, ""), (2, "3")], "a finite number"),
        ([(0, "1"), (1, "inf"), (2, "3")], "a finite number"),
        ([(0, "1"), (1, "1,5"), (2, "3")], "rows without 2 values"),
        ([(0, "1")], "at least two"),
        ([], "at least two"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[tuple[int, str]], message: str) -> None:
    written = [((START + hour * HOUR).strftime("%Y-%m-%dT%H:%MZ"), value) for hour, value in rows]
    assert message in str(refused(write(tmp_path, written)))


def test_every_bad_row_has_its_line_and_a_long_list_is_cut(tmp_path: Path) -> None:
    rows = list(zip(hours(100), ["x"] * 100, strict=True))
    error = refused(write(tmp_path, rows))
    assert error.problems[0].where.endswith("series.csv:2")
    assert "and 80 rows more" in str(error)


def test_an_uneven_step_is_refused(tmp_path: Path) -> None:
    times = ["2024-03-30T00:00Z", "2024-03-30T01:00Z", "2024-03-30T01:15Z", "2024-03-30T02:00Z"]
    times += hours(5, START + 3 * HOUR)
    assert "a step of 900 s" in str(refused(write(tmp_path, [(time, "1") for time in times])))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("carbon_gco2e_per_kwh", "USD/kWh"),
        ("price_usd_per_kw", "did you mean 'price_usd_per_kwh'"),
        ("price_eur_per_mwh", "did you mean 'price_usd_per_mwh'"),
    ],
)
def test_another_unit_is_refused(tmp_path: Path, column: str, message: str) -> None:
    assert message in str(refused(write(tmp_path, [(time, "1") for time in hours(3)], column)))


def test_a_marginal_column_is_no_average(tmp_path: Path) -> None:
    path = write(tmp_path, [(time, "400") for time in hours(3)], "carbon_marginal_gco2e_per_kwh")
    assert "carbon_marginal" in str(refused(path, "kgCO2e/kWh", Basis.AVERAGE))
    assert load_series(path, START, "kgCO2e/kWh", basis=Basis.MARGINAL).basis is Basis.MARGINAL


def test_an_average_below_zero_is_refused_a_marginal_is_not(tmp_path: Path) -> None:
    path = write(tmp_path, list(zip(hours(3), ["4", "-1", "3"], strict=True)), "carbon_gco2e_per_kwh")
    assert "negative" in str(refused(path, "kgCO2e/kWh", Basis.AVERAGE))
    assert load_series(path, START, "kgCO2e/kWh", basis=Basis.MARGINAL).values[1] < 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("series.csv", b""),
        ("series.csv", b"\xff\xfe\x00t"),
        ("series.csv", b"time,price_usd_per_mwh\n2024-03-30T00:00Z,1\n"),
        ("series.csv", b"time_utc,price_usd_per_mwh,price_usd_per_mwh\n2024-03-30T00:00Z,1,1\n"),
        ("series.csv", b"time_utc,price_usd_per_mwh,price_usd_per_kwh\n2024-03-30T00:00Z,1,1\n"),
        ("series.csv", b'time_utc,price_usd_per_mwh\n"' + b"x" * 200_000),
        ("series.csv.gz", b"not gzip"),
        ("series.csv.gz", gzip.compress(b"time_utc,price_usd_per_mwh\n" * 50, mtime=0)[:-30]),
        ("series.parquet", b"PAR1 and no more"),
    ],
)
def test_a_file_of_another_kind_is_one_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert len(refused(path).problems) == 1


def test_a_parquet_without_time_zone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "series.parquet"
    times = pa.array([datetime(2024, 3, 30), datetime(2024, 3, 31)], pa.timestamp("ms"))  # noqa: DTZ001
    pq.write_table(pa.table({"time_utc": times, "price_usd_per_mwh": [1.0, 2.0]}), path)
    assert "no time zone" in str(refused(path))
    holes = {"time_utc": [None, "2024-03-31T00:00Z"], "price_usd_per_mwh": [1.0, None]}
    pq.write_table(pa.table(holes), path)
    assert len(refused(path).problems) == 2


def test_a_folder_a_missing_and_a_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "directory" in str(refused(tmp_path))
    assert "No such file" in str(refused(tmp_path / "absent.csv"))
    assert "cannot be read" in str(refused(tmp_path / "absent.parquet"))
    path = write(tmp_path, [(time, "1") for time in hours(100)])
    monkeypatch.setattr(rows_module, "MAX_BYTES", 1000)
    assert "too long" in str(refused(path))


def test_a_run_outside_the_series_names_both_ranges(tmp_path: Path) -> None:
    path = write(tmp_path, [(time, "1") for time in hours(24)])
    with pytest.raises(InputError) as caught:
        price(path, START - HOUR).integral(0.0, 7200.0)
    (problem,) = caught.value.problems
    assert problem.field == "site.price"
    assert "2024-03-29T23:00Z" in problem.found
    assert "2024-03-30T00:00Z to 2024-03-31T00:00Z" in problem.allowed
    with pytest.raises(InputError, match="2024-03-31T01:00Z"):
        price(path).integral(0.0, 25 * 3600.0)


def test_relative_paths_begin_at_the_scenarios_folder(tmp_path: Path) -> None:
    write(tmp_path, [(time, "50") for time in hours(24)])
    signal = find_series("series.csv", START, "USD/kWh", folder=tmp_path, field="site.price")
    assert float(signal.mean(0.0, 3600.0)) == pytest.approx(0.05)
    assert (signal.name, signal.kind) == ("series.csv", "assumed")


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    first = price(write(tmp_path, [(time, "1") for time in hours(3)]))
    second = price(write(tmp_path, [(time, "200") for time in hours(4)]))
    assert first.values.tolist() != second.values[:3].tolist()
    assert second.values.size == 4
