"""The run folder of a datacenter: what it holds, that it is whole or absent, and that damage is told."""

from __future__ import annotations

import csv
import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from simtool.config.load_datacenter import load_datacenter
from simtool.errors import OutputError
from simtool.result.datacenter import folder as folders
from simtool.result.datacenter import tables
from simtool.result.datacenter.files import FILES
from simtool.result.datacenter.folder import site_folder, write_site_folder
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.folder import is_whole
from simtool.result.saved import foreign_files, kind_of, read_manifest, read_summary, remove
from tests.result.datacenter.sites import ONE_SITE, TWO_SITES, solved


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> DatacenterResult:
    return solved(tmp_path_factory.mktemp("pair"), TWO_SITES)


@pytest.fixture(scope="module")
def run_folder(pair: DatacenterResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site_folder(pair, tmp_path_factory.mktemp("out"), command="simtool run site.yaml")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_holds_the_files_of_the_contract_and_no_other(pair: DatacenterResult, run_folder: Path) -> None:
    assert {path.name for path in run_folder.iterdir()} == set(FILES)
    assert is_whole(run_folder)
    assert foreign_files(run_folder) == []
    manifest = read_manifest(run_folder)
    assert kind_of(manifest) == "datacenter"
    assert manifest["hash"][:8] == run_folder.name
    assert run_folder == site_folder(run_folder.parents[1], pair.site)
    assert [site["name"] for site in manifest["setup"]["sites"]] == ["east", "west"]
    assert manifest["setup"]["pools"][0]["num_devices"] == 13 * 8


def test_the_summary_has_every_quantity_with_unit_and_provenance(
    pair: DatacenterResult, run_folder: Path
) -> None:
    summary = read_summary(run_folder)
    assert set(summary) == set(pair.quantities)
    for name, entry in summary.items():
        assert entry["value"] == pytest.approx(pair.value(name), rel=1e-11)
        assert {"unit", "p10", "p50", "p90", "provenance"} <= set(entry)
    assert summary["energy_it_j"]["scope"] == "IT"
    assert summary["energy_facility_j"]["scope"] == "facility"


def test_the_files_tell_the_same_totals(run_folder: Path) -> None:
    summary = {name: entry["value"] for name, entry in read_summary(run_folder).items()}
    ledger = parquet.read_table(run_folder / "ledger.parquet").to_pydict()
    length = np.array(ledger["t1_s"]) - np.array(ledger["t0_s"])
    energy = sum(
        (np.array(ledger[f"power_{name}_w"]) * length).sum() for name in ("accelerator", "host", "network")
    )
    assert energy == pytest.approx(summary["energy_it_j"], rel=1e-9)
    hours = np.array(ledger["num_devices"]) * length / 3600.0
    held = hours[np.array(ledger["job"]) != ""].sum()
    assert held == pytest.approx(summary["accelerator_hours"], rel=1e-9)
    assert hours.sum() == pytest.approx((13 + 4) * 8 * 96.0, rel=1e-9)
    power = parquet.read_table(run_folder / "power.parquet").to_pydict()
    length = np.array(power["end_s"]) - np.array(power["begin_s"])
    assert (np.array(power["power_facility_w"]) * length).sum() == pytest.approx(
        summary["energy_facility_j"], rel=1e-9
    )
    assert set(power["site"]) == {"east", "west"}
    jobs = parquet.read_table(run_folder / "jobs.parquet").to_pydict()
    assert len(jobs["name"]) == summary["num_jobs"]
    assert jobs["status"].count("completed") == summary["num_jobs_completed"]
    assert sum(jobs["energy_lost_work_j"]) == pytest.approx(summary["energy_lost_work_j"], rel=1e-9)
    bill = rows(run_folder / "bill.csv")
    assert sum(float(line["amount_usd"]) for line in bill) == pytest.approx(
        sum(summary[f"bill_{kind}_usd"] for kind in ("energy", "demand", "fixed")), rel=1e-9
    )
    costs = rows(run_folder / "costs.csv")
    assert sum(float(line["amount_usd"]) for line in costs) == pytest.approx(
        summary["cost_total_usd"], rel=1e-9
    )
    users = rows(run_folder / "by_user.csv")
    assert sum(int(line["num_jobs"]) for line in users) == summary["num_jobs"]


def test_the_timeline_is_a_trace_in_which_no_track_runs_two_jobs_at_once(run_folder: Path) -> None:
    trace = json.loads(gzip.decompress((run_folder / "timeline.perfetto.json.gz").read_bytes()))
    events = trace["traceEvents"]
    by_track: dict[int, list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "X":
            by_track.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    assert by_track
    for slices in by_track.values():
        slices.sort()
        for (_, end), (begin, _) in pairwise(slices):
            assert end <= begin + 0.002
    names = {event["name"] for event in events if event["ph"] == "C"}
    assert {"jobs waiting", "east: power of the site (W)", "west: carbon, average (kgCO2e/kWh)"} <= names
    assert "east: dry bulb (degC)" in names
    assert "west: dry bulb (degC)" not in names
    assert any(event["ph"] == "i" for event in events), "interruptions"


def test_a_long_timeline_is_thinned_and_says_so(
    pair: DatacenterResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simtool.result.datacenter import timeline
    from simtool.result.datacenter.history import holdings

    monkeypatch.setattr(timeline, "MAX_SLICES", 10)
    monkeypatch.setattr(timeline, "MAX_POINTS", 20)
    held = holdings(pair.outcome)
    timeline.write_timeline(tmp_path / "t.gz", pair, held)
    trace = json.loads(gzip.decompress((tmp_path / "t.gz").read_bytes()))
    shown = [event["name"] for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(shown) == 10
    largest = np.argsort(-held.device_s)[:10]
    assert sorted(shown) == sorted(pair.outcome.names[held.job[index]] for index in largest)
    assert trace["otherData"]["stretches_shown"] == "10"
    counters = [event for event in trace["traceEvents"] if event.get("name") == "jobs waiting"]
    assert len(counters) == 21


def test_the_ledger_in_parts_is_the_ledger(pair: DatacenterResult, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(tables.ledger_parts(pair))
    monkeypatch.setattr(tables, "CHUNK", 7)
    parts = list(tables.ledger_parts(pair))
    assert len(parts) > len(whole)
    for name in ("t0_s", "num_devices", "power_host_w"):
        one = np.concatenate([np.asarray(part[name]) for part in parts])
        assert np.array_equal(one, np.concatenate([np.asarray(part[name]) for part in whole]))


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = solved(tmp_path / "a", ONE_SITE)
    again = solved(tmp_path / "a", ONE_SITE)
    one = write_site_folder(first, tmp_path / "one", command="c")
    two = write_site_folder(again, tmp_path / "two", command="c")
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_the_resolved_file_gives_the_same_run(tmp_path: Path) -> None:
    result = solved(tmp_path, ONE_SITE)
    written = write_site_folder(result, tmp_path / "out", command="c")
    again = load_datacenter(written / "scenario.resolved.yaml")
    assert again.datacenter == result.datacenter


def test_what_goes_in_names_the_folder(tmp_path: Path) -> None:
    from simtool.result.datacenter.prepare import prepare_site
    from tests.result.datacenter.sites import LIBRARY, jobs_csv, written

    def name(*changes: str) -> str:
        site = prepare_site(load_datacenter(tmp_path / "site.yaml", changes), LIBRARY)
        return site_folder(Path("out"), site).name

    written(tmp_path, ONE_SITE)
    first = name()
    assert name() == first
    assert name("seed=2") != first
    assert name("scheduler.name=fcfs") != first
    (tmp_path / "jobs.csv").write_text(jobs_csv(seed=6), "utf-8")
    assert name() != first, "the trace beside the file counts"


def test_a_damaged_folder_is_told_and_written_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = solved(tmp_path, ONE_SITE)
    written = write_site_folder(result, tmp_path / "out", command="c")
    (written / "by_hour.csv").write_text("site\n", "utf-8")
    assert not is_whole(written)
    again = write_site_folder(result, tmp_path / "out", command="c")
    assert again == written
    assert is_whole(written)
    assert "damaged" in caplog.text


def test_files_of_others_are_kept(tmp_path: Path) -> None:
    result = solved(tmp_path, ONE_SITE)
    written = write_site_folder(result, tmp_path / "out", command="c")
    (written / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        write_site_folder(result, tmp_path / "out", command="c", force=True)
    assert foreign_files(written) == ["notes.txt"]
    (written / "notes.txt").unlink()
    remove(written)
    assert not written.exists()


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = solved(tmp_path, ONE_SITE)

    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "write_timeline", stops)
    with pytest.raises(KeyboardInterrupt):
        write_site_folder(result, tmp_path / "out", command="c")
    assert not (tmp_path / "out").exists()
