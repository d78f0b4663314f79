"""`simtool jobs`: a file of jobs described, a source of such jobs fitted, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.jobs.files import read_jobs
from tests.cli.conftest import Called
from tests.result.datacenter.sites import ONE_SITE, jobs_csv, written

Call = Callable[..., Called]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(jobs_csv(num=300, days=20.0), "utf-8")
    return path


def test_a_file_of_jobs_is_described(simtool: Call, table: Path) -> None:
    called = simtool("jobs", "mine.csv")
    assert (called.code, called.err) == (0, "")
    assert "mine.csv: 300 jobs of 3 users" in called.out
    assert max(len(line) for line in called.out.splitlines()) <= 80
    told = json.loads(simtool("jobs", "mine.csv", "--json").out)
    jobs = read_jobs(table)
    assert told["num_jobs"] == 300
    assert told["gpu_hours"] == pytest.approx(float((jobs.num_devices * jobs.run_s).sum()) / 3600.0)
    assert told["written"] is None
    shares = [told[f"{word}_jobs_frac"] for word in ("completed", "failed", "cancelled")]
    assert sum(shares) == pytest.approx(1.0)


@pytest.mark.usefixtures("table")
def test_a_fitted_source_runs_in_a_datacenter(simtool: Call, tmp_path: Path) -> None:
    called = simtool("jobs", "mine.csv", "-o", "like-mine.yaml")
    assert called.code == 0, called.err
    assert "profile: like-mine.yaml" in called.out
    assert "like-mine.yaml: ok (jobs profile)" in simtool("check", "like-mine.yaml").out
    text = ONE_SITE.replace("trace: {file: jobs.csv}", "generator: {profile: like-mine.yaml}").replace(
        "2 days", "9 d"
    )
    written(tmp_path, text)
    ran = simtool("run", "site.yaml", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["quantities"]["num_jobs"]["value"] > 30
    assert simtool("jobs", "mine.csv", "-o", "like-mine.yaml").code == 2, "it is there already"
    assert simtool("jobs", "mine.csv", "-o", "like-mine.yaml", "--force").code == 0


@pytest.mark.parametrize("name", ["same.csv", "same.parquet"])
def test_jobs_go_into_our_own_columns_and_back(name: str, simtool: Call, table: Path, tmp_path: Path) -> None:
    assert simtool("jobs", "mine.csv", "-o", name).code == 0
    before, after = read_jobs(table), read_jobs(tmp_path / name)
    assert after.name == before.name
    assert after.run_s.tolist() == pytest.approx(before.run_s.tolist())
    assert after.words("outcome") == before.words("outcome")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["mine.csv", name])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["mine.csv", "--format", "slurn"], "slurm"),
        (["mine.csv", "--format", "philly"], "timestamp"),
        (["mine.csv", "--time-zone", "Mars"], "IANA"),
        (["mine.csv", "-o", "jobs.txt"], "a name ending in .yaml"),
        (["mine.csv", "-o", "no/folder/jobs.yaml"], "there is no folder"),
        (["short.csv", "-o", "short.yaml"], "at least a day of jobs"),
        (["zero.csv"], "zero.csv:2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("table")
def test_what_cannot_be_read_or_written_is_one_clear_error(
    words: list[str], said: str, simtool: Call, tmp_path: Path
) -> None:
    (tmp_path / "short.csv").write_text("name,submit_s,num_devices,run_s\na,0,1,9\nb,60,1,9\n", "utf-8")
    (tmp_path / "zero.csv").write_text("name,submit_s,num_devices,run_s\na,0,1,0\nb,60,1,9\n", "utf-8")
    before = sorted(path.name for path in tmp_path.iterdir())
    called = simtool("jobs", *words)
    assert called.code == 2, called.err
    assert said in called.err
    assert "Traceback" not in called.err
    assert called.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_handful_of_jobs_has_no_rates_and_gives_no_source(simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("submit_s,num_devices,run_s\n0,8,3600\n3600,8,60000\n", "utf-8")
    called = simtool("jobs", "two.csv")
    assert called.code == 0
    assert "2 jobs of 1 users in 3,600 s, 141 accelerator-hours" in called.out
    assert "too few jobs, or too short a time, for rates a day" in called.out
    assert "jobs a day" not in called.out
    (tmp_path / "three.csv").write_text("submit_s,num_devices,run_s\n0,8,60\n900,8,60\n200000,8,6\n", "utf-8")
    called = simtool("jobs", "three.csv", "-o", "like.yaml")
    assert called.code == 2
    assert "three.csv: found 3 jobs in 3 batches; at least 30 batches" in called.err
    assert not (tmp_path / "like.yaml").exists()


def test_a_source_of_few_jobs_says_so(simtool: Call, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text(jobs_csv(num=60, days=20.0), "utf-8")
    called = simtool("jobs", "few.csv", "-o", "like.yaml")
    assert called.code == 0, called.err
    assert "note: fitted to 60 jobs in" in called.out
    assert "fitted to 60 jobs in" in " ".join((tmp_path / "like.yaml").read_text("utf-8").split())
