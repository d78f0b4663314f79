"""The run folder: its files, its name, and that it is whole or absent."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simtool.config.load import load_scenario
from simtool.errors import InputError, OutputError
from simtool.result import folder
from simtool.result.folder import read_manifest, read_summary, run_folder, write_run_folder
from simtool.result.manifest import run_hash
from simtool.result.result import Result
from simtool.result.saved import sealed
from tests.report import made

FILES = {
    "costs.csv",
    "ledger.parquet",
    "manifest.json",
    "scenario.resolved.yaml",
    "summary.json",
    "timeline.perfetto.json.gz",
}


@pytest.fixture(scope="module")
def result() -> Result:
    return made.with_method()


def write(result: Result, out: Path, **options: Any) -> Path:
    return write_run_folder(result, out, command="simtool run quickstart", **options)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def leftovers(out: Path) -> list[Path]:
    return sorted(out.rglob("*")) if out.exists() else []


def test_the_folder_holds_what_is_promised_and_nothing_else(result: Result, tmp_path: Path) -> None:
    path = write(result, tmp_path)
    assert {file.name for file in path.iterdir()} == FILES
    assert path.parent == tmp_path / "quickstart"
    assert read_manifest(path)["hash"].startswith(path.name)
    assert set(read_manifest(path)["files"]) == FILES


def test_what_is_not_built_is_absent_and_named(result: Result, tmp_path: Path) -> None:
    path = write(result, tmp_path)
    absent = read_manifest(path)["not_built"]
    assert absent
    assert not [name for name in absent if (path / name).exists()]


def test_a_quantity_has_value_unit_percentiles_and_provenance(result: Result, tmp_path: Path) -> None:
    result = replace(result, intervals={"duration_s": (1.0, 2.0, 3.0)})
    summary = read_summary(write(result, tmp_path))
    assert summary["duration_s"]["value"] == 2.0
    assert summary["duration_s"] | {"value": 0} == {
        "value": 0,
        "unit": "s",
        "p10": 1.0,
        "p50": 2.0,
        "p90": 3.0,
        "provenance": "assumed",
        "without_method": result.reference.value("duration_s") if result.reference else None,
        "saved_frac": pytest.approx(result.saved_frac("duration_s"), rel=1e-11),
    }
    scopes = {name: entry["scope"] for name, entry in summary.items() if "scope" in entry}
    assert scopes == {
        "energy_accelerator_j": "accelerator",
        "energy_it_j": "IT",
        "energy_facility_j": "facility",
    }
    assert all(name in scopes for name in summary if name.startswith("energy_"))


def test_numbers_have_twelve_digits(result: Result, tmp_path: Path) -> None:
    for entry in read_summary(write(result, tmp_path)).values():
        assert entry["value"] == float(f"{entry['value']:.12g}")


def test_the_bill_sums_to_its_total(result: Result, tmp_path: Path) -> None:
    path = write(result, tmp_path)
    lines = (path / "costs.csv").read_text("utf-8").splitlines()
    assert lines[0] == "name,amount_usd,note"
    total = sum(float(line.split(",")[1]) for line in lines[1:])
    assert total == pytest.approx(read_summary(path)["cost_total_usd"]["value"], rel=1e-11)


def test_the_ledger_is_read_back_whole(result: Result, tmp_path: Path) -> None:
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    table = parquet.read_table(write(result, tmp_path) / "ledger.parquet")
    energy = table.filter(compute.equal(compute.cast(table["quantity"], "string"), "energy_j"))
    total = compute.sum(energy["amount"]).as_py()
    assert total == pytest.approx(result.value("energy_it_j"), rel=1e-12)


def test_the_timeline_has_slices_of_the_job_and_counters_of_power(result: Result, tmp_path: Path) -> None:
    path = write(result, tmp_path) / "timeline.perfetto.json.gz"
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert {event["name"] for event in slices} == {"training", "saving", "again"}
    last = max(event["ts"] + event["dur"] for event in slices)
    assert last == pytest.approx(1e6 * result.value("duration_s"))
    power = [event for event in events if event["ph"] == "C"]
    assert power[0]["args"] == {"accelerator": 600.0 * 64, "host": 150.0 * 64, "network": 20.0 * 64}
    assert power[-1]["args"] == {"accelerator": 0.0, "host": 0.0, "network": 0.0}


def test_the_resolved_scenario_asks_the_same_question(result: Result, tmp_path: Path) -> None:
    path = write(result, tmp_path)
    again = load_scenario(path / "scenario.resolved.yaml")
    assert again.scenario == result.scenario
    assert run_folder(tmp_path, again.scenario, result.profile_digests) == path


def test_the_same_run_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    first = contents(write(result, tmp_path / "a"))
    second = contents(write(made.with_method(), tmp_path / "b"))
    assert first == second


def test_the_same_question_is_answered_once(result: Result, tmp_path: Path) -> None:
    path = write(result, tmp_path)
    (path / "mine.txt").write_text("kept", "utf-8")
    assert write(result, tmp_path) == path
    assert (path / "mine.txt").exists()
    (path / "mine.txt").unlink()
    assert write(result, tmp_path, force=True) == path
    assert {file.name for file in path.iterdir()} == FILES


def test_whatever_decides_the_result_decides_the_name(result: Result) -> None:
    scenario, digests = result.scenario, result.profile_digests
    hashes = {
        run_hash(scenario, digests),
        run_hash(scenario, digests, 2),
        run_hash(scenario.model_copy(update={"seed": 2}), digests),
        run_hash(scenario, {**digests, "accelerator/h100-sxm": "1" * 64}),
    }
    assert len(hashes) == 4
    assert run_hash(scenario, dict(reversed(digests.items()))) == run_hash(scenario, digests)


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "step", ["write_json", "resolved_yaml", "_write_costs", "write_ledger", "write_timeline"]
)
def test_a_full_disk_leaves_nothing(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(folder, step, no_space)
    with pytest.raises(OutputError, match="the disk is full"):
        write(result, tmp_path / "out")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "may not be written to"),
        (errno.EROFS, "may not be written to"),
        (errno.EDQUOT, "the disk is full"),
        (errno.ENOTDIR, "a file stands where a folder is needed"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_every_refusal_of_the_file_system_is_told(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder, "write_timeline", refused)
    with pytest.raises(OutputError, match=said):
        write(result, tmp_path / "out")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("step", ["write_json", "write_timeline"])
def test_an_interruption_leaves_nothing(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(folder, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(result, tmp_path / "out")
    assert leftovers(tmp_path) == []


def test_a_failed_replacement_leaves_the_old_folder(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(result, tmp_path)
    before = contents(path)
    monkeypatch.setattr(folder, "write_timeline", no_space)
    with pytest.raises(OutputError):
        write(result, tmp_path, force=True)
    assert contents(path) == before
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_rename_brings_the_old_folder_back(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(result, tmp_path)
    before = contents(path)
    rename = Path.rename

    def fails_for_new(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_new)
    with pytest.raises(OutputError):
        write(result, tmp_path, force=True)
    assert contents(path) == before
    assert list(path.parent.iterdir()) == [path]


def test_a_twin_that_was_faster_is_accepted(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., None] = folder.write_json

    def twin_finishes_first(path: Path, content: dict[str, Any]) -> None:
        original(path, content)
        if path.name == "manifest.json":  # the last file
            path.parent.rename(run_folder(tmp_path, result.scenario, result.profile_digests))
            path.parent.mkdir()

    monkeypatch.setattr(folder, "write_json", twin_finishes_first)
    path = write(result, tmp_path)
    assert {file.name for file in path.iterdir()} == FILES


def test_a_folder_that_is_not_a_run_is_not_touched(result: Result, tmp_path: Path) -> None:
    path = run_folder(tmp_path, result.scenario, result.profile_digests)
    path.mkdir(parents=True)
    (path / "thesis.tex").write_text("years of work", "utf-8")
    with pytest.raises(OutputError, match="not a whole run folder"):
        write(result, tmp_path)
    assert contents(path) == {"thesis.tex": b"years of work"}


def test_another_run_with_the_same_short_hash_is_not_overwritten(result: Result, tmp_path: Path) -> None:
    path = write(result, tmp_path)
    other = sealed(read_manifest(path) | {"hash": "f" * 64}, path)
    (path / "manifest.json").write_text(json.dumps(other), "utf-8")
    with pytest.raises(OutputError, match="another run"):
        write(result, tmp_path)


def test_a_file_in_the_way_is_named(result: Result, tmp_path: Path) -> None:
    (tmp_path / "quickstart").write_text("a file", "utf-8")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        write(result, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_damaged_folder_is_bad_input(result: Result, tmp_path: Path, text: str) -> None:
    path = write(result, tmp_path)
    (path / "summary.json").write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"summary\.json"):
        read_summary(path)


def test_no_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the file of a run folder"):
        read_manifest(tmp_path / "nowhere")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB, where this machine allows one; a folder that is full at once elsewhere."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode == 0:
        (place / "ballast").write_bytes(b"0" * 56 * 1024)
    yield place
    if mounted.returncode == 0:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(result: Result, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.ismount(tiny_disk):  # mounting takes rights that not every machine gives
        monkeypatch.setattr(folder, "write_ledger", no_space)
    with pytest.raises(OutputError, match="the disk is full"):
        write(result, tiny_disk / "out")
    assert {path.name for path in tiny_disk.iterdir()} <= {"ballast"}
