"""What a file asks for in vain is said; what it uses is not."""

from __future__ import annotations

from pathlib import Path

from tests.result.datacenter.sites import ONE_SITE, solved

JOBS = "name,submit_s,num_devices,run_s\na,0,8,3600\nb,200000,8,60\n"
OUTSIDE = """
power:
  limit: 100 kW
  changes: [{begin: 2023-01-01T00:00Z, power: 90 kW}]
  curtailments: [{begin: 2021-12-01T00:00Z, length: 1 d, power: 90 kW}]
reliability: {maintenance: {pumps: {first: 3 d, length: 1 h}}}
supply: {battery: {energy: 100 kWh, policy: peak-shaving, threshold: 2 kW}}
"""


def test_what_lies_outside_the_run_is_said(tmp_path: Path) -> None:
    notes = " | ".join(solved(tmp_path, ONE_SITE + OUTSIDE, jobs=JOBS).notes)
    assert "1 of 2 jobs are submitted after the end of the run" in notes
    assert "power.changes[0] begins after the end of the run" in notes
    assert "power.curtailments[0] is over before the start of the run" in notes
    assert "reliability.maintenance.pumps begins after the end of the run" in notes
    assert "supply.battery: nothing was ever taken from it" in notes


def test_what_lies_inside_is_not(tmp_path: Path) -> None:
    inside = (
        OUTSIDE.replace("2023-01-01", "2022-01-02").replace("2021-12-01", "2022-01-01").replace("3 d", "1 d")
    )
    inside = inside.replace("2 kW", "17 kW")  # above what idle servers draw, below what they draw with job a
    rows = JOBS.replace("200000", "9000").replace("b,9000,8,60", "b,9000,32,3600")
    notes = " | ".join(solved(tmp_path, ONE_SITE + inside, jobs=rows).notes)
    for words in ("of the run", "nothing was ever taken"):
        assert words not in notes, notes


def test_a_threshold_that_the_battery_cannot_hold_is_said(tmp_path: Path) -> None:
    """Idle servers draw above it from the first moment on, and so for all of two days."""
    supply = "supply: {battery: {energy: 100 kWh, policy: peak-shaving, threshold: 2 kW, price: 9000 USD}}\n"
    notes = solved(tmp_path, ONE_SITE + supply, jobs=JOBS).notes
    assert any(
        note.startswith("supply.battery.threshold: 2 kW was exceeded for 48 h, up to ") for note in notes
    )
    assert any(note.startswith("supply: costs hold no capital of battery") for note in notes)
    assert not any(note.startswith("supply") for note in solved(tmp_path, ONE_SITE, jobs=JOBS).notes)
