"""The shipped trends are what their sources give."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from simtool.account.defaults import economics


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def log_linear(years: list[float], values: list[float]) -> tuple[float, float]:
    """Slope of ln(value) a year and its standard error (nan with two points)."""
    x, y = np.array(years) - np.mean(years), np.log(values)
    slope = float(x @ (y - y.mean()) / (x @ x))
    residual = y - y.mean() - slope * x
    error = math.sqrt(residual @ residual / (len(x) - 2) / (x @ x)) if len(x) > 2 else math.nan
    return slope, error


def month(written: str) -> float:
    year, number = written.split("-")
    return int(year) + (int(number) - 0.5) / 12


def test_rental_price(reference_data: Path) -> None:
    path = reference_data / "data/facility/price_anchors/list_price_anchors.csv"
    price = {
        (row["instance"], row["when"].startswith(("2025-06", '"2025-06'))): float(row["usd_per_hour"])
        for row in rows(path)
        if row["instance"] in ("p5.48xlarge", "p4d.24xlarge")
    }
    first_listed = {"p5.48xlarge": "2023-07", "p4d.24xlarge": "2020-11"}
    slopes = [
        log_linear([month(begin), month("2025-06")], [price[name, False], price[name, True]])[0]
        for name, begin in first_listed.items()
    ]
    trend = economics().trends.rental_price
    assert math.expm1(np.mean(slopes)) == pytest.approx(trend.value, abs=0.001)
    assert np.std(slopes, ddof=1) * (1 + trend.value) == pytest.approx(trend.spread, abs=0.001)


def test_electricity_price_has_no_trend_that_can_be_told_from_none(reference_data: Path) -> None:
    path = reference_data / "data/facility/hpe_sustaincluster/electricity_price_hourly_2020_2024.parquet"
    table = pq.read_table(path)
    years = table.column("utc").cast("timestamp[us]").to_numpy().astype("datetime64[Y]").astype(int) + 1970
    zones = [name for name in table.column_names if name != "utc"]
    hourly = [table.column(zone).to_numpy() for zone in zones]
    logs = np.log([[prices[years == year].mean() for year in range(2020, 2025)] for prices in hourly])
    slope, error = log_linear(
        list(range(2020, 2025)), np.exp((logs - logs.mean(axis=1, keepdims=True)).mean(axis=0)).tolist()
    )
    assert (slope, error) == pytest.approx((0.110, 0.154), abs=0.001)
    trend = economics().trends.electricity_price
    assert abs(slope) < error
    assert trend.value == 0
    assert trend.spread == pytest.approx(error, abs=0.001)


def test_carbon_intensity(reference_data: Path) -> None:
    path = reference_data / "data/facility/gcp_region_carbon/region_carbon_2019_2024.csv"
    regions: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows(path):
        if row["grid_gco2_kwh"] and float(row["grid_gco2_kwh"]) > 0:
            regions[row["region"]].append((float(row["year"]), float(row["grid_gco2_kwh"])))
    rates = [
        math.expm1(log_linear(*map(list, zip(*points, strict=True)))[0])
        for points in regions.values()
        if len(points) >= 5
    ]
    trend = economics().trends.carbon_intensity
    assert len(rates) == 26
    assert np.mean(rates) == pytest.approx(trend.value, abs=0.0005)
    assert np.std(rates, ddof=1) == pytest.approx(trend.spread, abs=0.0005)


def test_hardware_efficiency(reference_data: Path) -> None:
    # Data-centre GPUs with bf16; not workstation cards, the export-cut H20, or the GH200 whose limit
    # includes a CPU.
    chosen = [
        row
        for row in rows(reference_data / "data/hardware/accelerators.csv")
        if row["vendor"] == "NVIDIA"
        and row["bf16_tflops"]
        and row["tdp_w"]
        and "-" in row["launch"]
        and row["status"] != "announced"
        and not row["id"].startswith("rtx-")
        and row["id"] not in ("h20", "gh200-96")
    ]
    assert len(chosen) == 22
    slope, error = log_linear(
        [month(row["launch"]) for row in chosen],
        [float(row["tdp_w"]) / float(row["bf16_tflops"]) for row in chosen],
    )
    trend = economics().trends.hardware_efficiency
    assert (slope, error) == pytest.approx((-0.195, 0.058), abs=0.0005)
    assert math.expm1(slope) == pytest.approx(trend.value, abs=0.0005)
    assert error * (1 + trend.value) == pytest.approx(trend.spread, abs=0.0005)
