"""A replayed trace: what was submitted is what is run, whatever the scheduler does in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.jobs.files import read_jobs
from simtool.result.datacenter.result import DatacenterResult
from simtool.units import SECONDS_PER_HOUR
from tests.result.datacenter.test_accounts import solved

FILE = """
schema: simtool/datacenter/1
name: replay
start: 2017-10-01T00:00Z
pools: [{name: main, accelerator: p100-sxm2, num_nodes: 312}]
jobs:
  trace: {file: TRACE, first: 2017-10-01T00:00Z, last: 2017-10-15T00:00Z}
  work: {activity: 0.42, limit: 2}
facility: {pue: 1.25}
electricity: {price: 0.08 USD/kWh}
"""


@pytest.fixture(scope="module")
def trace(reference_data: Path) -> Path:
    return reference_data / "data" / "cluster" / "philly" / "philly_gpu_jobs.parquet"


def replayed(trace: Path, folder: Path, *changes: str) -> DatacenterResult:
    return solved(folder, *changes, text=FILE.replace("TRACE", str(trace)))


@pytest.mark.parametrize("scheduler", ["fcfs", "easy"])
def test_every_gpu_hour_that_was_submitted_is_run(trace: Path, tmp_path: Path, scheduler: str) -> None:
    site = replayed(trace, tmp_path, f"scheduler.name={scheduler}")
    submitted = site.jobs.table
    assert len(submitted) > 5000
    assert site.value("num_jobs") == len(submitted)
    assert site.value("accelerator_hours") == pytest.approx(submitted.gpu_hours, rel=1e-9)
    whole = read_jobs(trace)
    assert submitted.gpu_hours < whole.gpu_hours
    assert site.value("num_jobs_unfinished") == site.value("num_jobs_never_started") == 0.0
    held = site.outcome.num_running_mean * site.outcome.end_s
    assert held == pytest.approx(float(submitted.run_s.sum()), rel=1e-9)
    assert site.value("duration_s") >= float((submitted.submit_s + submitted.run_s).max())
    assert site.value("accelerator_hours") * SECONDS_PER_HOUR <= site.value("duration_s") * 2496


def test_a_job_larger_than_the_site_is_named_with_its_file(trace: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"philly_gpu_jobs\.parquet"):
        replayed(trace, tmp_path, "pools=[{name: main, accelerator: p100-sxm2, num_nodes: 1}]")
