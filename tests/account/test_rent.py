"""Renting: billing steps, spot, reservations, price lists with their traps."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.account.defaults import economics
from simtool.account.price_table import PriceTable, read_price_table
from simtool.account.rent import BillingTerms, Leases, Reservation, rent_bill, reserved_price
from simtool.errors import InputError
from simtool.signals import Signal

HOUR_S, YEAR_S = 3600.0, 365 * 86400.0
HEADER = "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice"


@st.composite
def leases(draw: st.DrawFn, *, with_spot: bool = True) -> Leases:
    num = draw(st.integers(0, 12))
    begin = draw(st.lists(st.floats(0.0, 1e5), min_size=num, max_size=num))
    length = draw(st.lists(st.floats(0.0, 1e5), min_size=num, max_size=num))
    held = draw(st.lists(st.integers(0, 64), min_size=num, max_size=num))
    spot = draw(st.lists(st.booleans(), min_size=num, max_size=num)) if with_spot else [False] * num
    starts = np.array(begin, dtype=np.float64)
    return Leases(
        begin_s=starts,
        end_s=starts + np.array(length),
        num_accelerators=np.array(held, dtype=np.int64),
        is_spot=np.array(spot, dtype=bool),
    )


@pytest.mark.parametrize(
    ("terms", "duration", "billed"),
    [
        (BillingTerms(), 17.3, 17.3),
        (BillingTerms(minimum_s=60.0), 17.3, 60.0),
        (BillingTerms(step_s=1.0, minimum_s=60.0), 61.2, 62.0),
        (BillingTerms(step_s=HOUR_S), 3 * HOUR_S, 3 * HOUR_S),
        (BillingTerms(step_s=HOUR_S), 3 * HOUR_S + 1e-8, 3 * HOUR_S),  # rounding begins no hour
        (BillingTerms(step_s=HOUR_S), 3 * HOUR_S + 1.0, 4 * HOUR_S),
        (BillingTerms(step_s=0.1), 0.3, 0.3),
    ],
)
def test_durations_are_rounded_up(terms: BillingTerms, duration: float, billed: float) -> None:
    assert float(terms.billed_s(duration)) == pytest.approx(billed, rel=1e-12)


@given(leases(), st.sampled_from([0.0, 60.0, HOUR_S]), st.sampled_from([0.0, 600.0]), st.integers(0, 100))
def test_what_leases_owe_and_what_nobody_used_is_the_bill(
    held: Leases, step_s: float, minimum_s: float, reserved: int
) -> None:
    spot = Signal.from_steps([0.0, 5e4], [1.0, 3.0], end_s=3e5, unit="USD/h")
    reservation = Reservation(num_accelerators=reserved, usd_per_accelerator_hour=1.5, term_s=YEAR_S)
    found = rent_bill(
        held,
        on_demand_usd_per_hour=4.0,
        spot_usd_per_hour=spot,
        reservation=reservation,
        terms=BillingTerms(step_s=step_s, minimum_s=minimum_s),
    )
    assert math.fsum(found.lease_usd) + found.unused_reservation_usd == pytest.approx(
        found.total_usd, rel=1e-9
    )
    for line in found.lines:
        assert line.amount_usd == pytest.approx(line.accelerator_hours * line.usd_per_accelerator_hour)
    used = held.num_accelerators * (held.end_s - held.begin_s) / HOUR_S
    plain = rent_bill(held, on_demand_usd_per_hour=4.0, spot_usd_per_hour=spot)
    assert (found.lease_usd <= rent_bill(held, on_demand_usd_per_hour=4.0, spot_usd_per_hour=spot,
            terms=BillingTerms(step_s=step_s, minimum_s=minimum_s)).lease_usd + 1e-9).all()  # fmt: skip
    assert plain.total_usd == pytest.approx(
        math.fsum(used[~held.is_spot]) * 4.0
        + math.fsum(
            held.num_accelerators[held.is_spot] * spot.integral(held.begin_s, held.end_s)[held.is_spot]
        )
        / HOUR_S
    )


def test_a_reservation_by_hand() -> None:
    # 10 reserved; the first lease takes 8, the second finds 2 of its 6, the third comes once the first is over.
    held = Leases.of([0.0, HOUR_S, 2 * HOUR_S], [2 * HOUR_S, 4 * HOUR_S, 3 * HOUR_S], [8, 6, 8])
    year = Reservation(num_accelerators=10, usd_per_accelerator_hour=1.0, term_s=YEAR_S)
    found = rent_bill(held, on_demand_usd_per_hour=3.0, reservation=year)
    assert [(line.name, line.amount_usd) for line in found.lines] == [
        ("on demand", pytest.approx(4 * 3 * 3.0)),
        ("reserved", pytest.approx(10 * 8760.0)),
    ]
    assert found.lease_usd.tolist() == pytest.approx([16.0, 2 * 3 + 36.0, 8.0])
    own_time = Reservation(
        num_accelerators=10, usd_per_accelerator_hour=1.0, term_s=YEAR_S, commitment="span"
    )
    assert rent_bill(held, on_demand_usd_per_hour=3.0, reservation=own_time).total_usd == pytest.approx(
        36 + 40
    )
    longer = rent_bill(held, on_demand_usd_per_hour=3.0, reservation=year, end_s=1.5 * YEAR_S)
    assert longer.lines[1].accelerator_hours == pytest.approx(10 * 2 * 8760)


def test_spot_follows_its_price() -> None:
    price = Signal.from_steps([0.0, HOUR_S], [1.0, 3.0], end_s=4 * HOUR_S, unit="USD/h")
    held = Leases.of([1800.0], [3 * HOUR_S - 900.0], [4], is_spot=True)
    assert rent_bill(held, spot_usd_per_hour=price).total_usd == pytest.approx(4 * (0.5 * 1 + 1.75 * 3))
    hourly = rent_bill(held, spot_usd_per_hour=price, terms=BillingTerms(step_s=HOUR_S))
    assert hourly.total_usd == pytest.approx(4 * (0.5 * 1 + 2.5 * 3))
    with pytest.raises(InputError, match="the series covers"):
        rent_bill(Leases.of([0.0], [9 * HOUR_S], [1], is_spot=True), spot_usd_per_hour=price)


def test_leases_without_a_price_are_refused() -> None:
    with pytest.raises(InputError, match=r"rent\.on_demand"):
        rent_bill(Leases.of([0.0], [1.0], [1]))
    with pytest.raises(InputError, match=r"rent\.spot"):
        rent_bill(Leases.of([0.0], [1.0], [1], is_spot=True), on_demand_usd_per_hour=1.0)
    with pytest.raises(ValueError, match="USD/h"):
        rent_bill(
            Leases.of([0.0], [1.0], [1], is_spot=True), spot_usd_per_hour=Signal.constant(1.0, "USD/kWh")
        )
    with pytest.raises(ValueError, match="ends after its begin"):
        Leases.of([1.0], [0.0], [1])
    assert rent_bill(Leases.of([], [], [])).total_usd == 0


def test_reserved_prices_lie_below_those_on_demand() -> None:
    known = economics()
    three, one = (
        float(reserved_price(2.95, share.value))
        for share in (known.reserved_three_years_frac, known.reserved_one_year_frac)
    )
    assert 0 < three < one < 2.95


def table(folder: Path, *rows: str, header: str = HEADER) -> PriceTable:
    path = folder / "vms.csv"
    path.write_text("\n".join((header, *rows)) + "\n", "utf-8")
    return read_price_table(path)


def test_prices_of_an_accelerator_hour(tmp_path: Path) -> None:
    found = table(
        tmp_path,
        "gpu-h100-sxm_1gpu,16,200,H100,1,,eu-north1,,2.95,1.25",
        "gpu-h100-sxm_8gpu,128,1600,H100,8,,eu-north1,,23.6,10.0",
        "gpu-h100-sxm_8gpu,128,1600,H100,8,,us-central1,,24.8,700.0",
        "gpu-b200-sxm_8gpu,160,1792,B200,8,,us-central1,,700.0,",
        "cpu-only,4,16,,,,eu-north1,,0.1,",
    )
    assert found.accelerators() == ["B200", "H100"]
    assert found.notes == ("2 prices of 700 USD were taken as not offered",)
    assert found.price("H100").value == pytest.approx(2.95)
    assert found.price("h100", count=8, region="us-central1").value == pytest.approx(3.1)
    spot = found.price("H100", market="spot")
    assert (spot.value, spot.unit, spot.kind) == (pytest.approx(1.25), "USD/h", "published")
    assert spot.source.endswith("vms.csv:2, gpu-h100-sxm_1gpu in eu-north1, spot")
    for kind, market in (("B200", "on demand"), ("B200", "spot")):
        with pytest.raises(InputError, match=f"not offered {market}"):
            found.price(kind, market=market)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not offered spot"):
        found.price("H100", region="us-central1", market="spot")
    with pytest.raises(InputError, match="did you mean 'H100'"):
        found.price("H10")
    with pytest.raises(InputError, match="found no 4 H100 in any region"):
        found.price("H100", count=4)


def test_accelerators_that_are_listed_apart_from_their_host(tmp_path: Path) -> None:
    found = table(
        tmp_path,
        "a3-highgpu-8g,208,1872,H100-80GB,8,,us-central1,us-central1-a,9.46,2.89",
        ",,,H100-80GB,8,,us-central1,us-central1-a,78.64,20.0",
        ",,,T4,1,,us-central1,us-central1-a,0.35,0.14",
        "n1-standard-8,8,30,,,,us-central1,us-central1-a,0.38,0.08",
        "n1-standard-8,8,30,,,,europe-west4,europe-west4-a,0.42,0.09",
    )
    together = found.price("H100-80GB")
    assert together.value == pytest.approx((9.46 + 78.64) / 8)
    assert "with a3-highgpu-8g of line 2" in together.source
    assert found.price("H100-80GB", market="spot").value == pytest.approx((2.89 + 20.0) / 8)
    assert found.price("T4", host="n1-standard-8").value == pytest.approx(0.73)
    with pytest.raises(InputError, match="line 4 lists T4 without its host"):
        found.price("T4")


def test_chips_of_a_tpu_slice(tmp_path: Path) -> None:
    found = table(
        tmp_path,
        "TPU-VM,,,tpu-v5p-12288,1,,us-central1,,25804.8,5705.05421",
        "TPU-VM,,,tpu-v6e-8,1,,us-central1,,21.6,4.5828",
        "TPU-VM,,,tpu-v6e-1,1,,us-east5,,2.7,1.35",
    )
    assert found.price("tpu-v5p").value == pytest.approx(4.2)
    assert found.price("tpu-v5p-12288", market="spot").value == pytest.approx(0.9286, abs=1e-4)
    assert found.price("tpu-v6e", region="us-central1").value == pytest.approx(2.7)
    assert found.price("tpu-v6e", count=8, market="spot").value == pytest.approx(0.57285)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,1,1,H100,8,,r,,free,", "vms.csv:2: Price: found 'free'"),
        ("x,1,1,H100,8,,r,,-3,", "Price: found '-3'"),
        ("x,1,1,H100,0,,r,,3,", "AcceleratorCount: found '0'"),
        ("x,1,1,H100,,,r,,3,", "AcceleratorCount: found ''"),
        ("x,1,1,H100,8,,r,,3", "another number of values"),
        ("x,1,1,H100,8,,r,,3,1,9", "another number of values"),
        (",1,1,,,,r,,3,1", "neither an instance nor an accelerator"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        table(tmp_path, row)


def test_files_that_are_no_price_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add InstanceType, SpotPrice"):
        table(tmp_path, "H100,8,r,3", header="AcceleratorName,AcceleratorCount,Region,Price")
    with pytest.raises(InputError, match="found no rows"):
        table(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_price_table(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="and 10 rows more"):
        table(tmp_path, *["x,1,1,H100,8,,r,,free,"] * 30)


def test_a_published_list_is_read_to_the_cent(tmp_path: Path, reference_data: Path) -> None:
    path = reference_data / "data" / "facility" / "skypilot_catalog" / "gpu_prices_distilled.csv"
    rows = [
        row
        for row in csv.DictReader(io.StringIO(path.read_text("utf-8")))
        if row["price_scope"] == "instance"
    ]
    written = [
        f'{row["instance"]},,,{row["accelerator"]},{row["count"]},,"{row["region"]}",,'
        f"{row['on_demand_usd_h']},{row['spot_usd_h']}"
        for row in rows
    ]
    found = table(tmp_path, *written)
    for row in rows:
        if row["on_demand_usd_h"]:
            price = found.price(row["accelerator"], count=float(row["count"]), region=row["region"])
            assert price.value <= float(row["on_demand_usd_gpu_h"]) + 5e-5
    assert found.price("H200", region="us-central1", market="spot").value == pytest.approx(1.45)
