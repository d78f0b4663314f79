"""Jobs of a generator: the load that was asked for, whatever is drawn, and no job that no pool can hold."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from simtool.config.load_datacenter import load_datacenter
from simtool.errors import InputError
from simtool.result.datacenter.check import check_site
from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.prepare import PreparedSite, jobs_of, prepare_site
from simtool.units import SECONDS_PER_DAY
from tests.result.datacenter.sites import LIBRARY

FILE = """
schema: simtool/datacenter/1
name: drawn
start: 2022-01-01T00:00Z
duration: 20 days
pools: [{name: main, accelerator: h100-sxm, num_nodes: 64}, {name: side, accelerator: h100-sxm, num_nodes: 4}]
jobs:
  generator: {profile: philly-2017, load: 0.55, pool: main}
  work: {activity: 0.5}
facility: {pue: 1.2}
electricity: {price: 0.08 USD/kWh}
"""
SPAN_S = 20 * SECONDS_PER_DAY


def prepared(folder: Path, *changes: str) -> PreparedSite:
    path = folder / "site.yaml"
    path.write_text(FILE, "utf-8")
    return prepare_site(load_datacenter(path, changes), LIBRARY)


def work_s(jobs: SiteJobs) -> float:
    return float(np.sum(jobs.table.num_devices * jobs.table.run_s))


@pytest.mark.parametrize("load", [0.05, 0.55, 1.4])
def test_a_load_is_met_in_every_run(tmp_path: Path, load: float) -> None:
    site = prepared(tmp_path, f"jobs.generator.load={load}")
    tables = [jobs_of(site, run) for run in range(10)]
    for jobs in tables:
        assert work_s(jobs) == pytest.approx(load * 512 * SPAN_S, rel=1e-6)
        assert 0.0 <= jobs.table.submit_s[0] <= jobs.table.submit_s[-1] < SPAN_S
        # They fill the time: no run has all of its jobs in a corner of it.
        assert jobs.table.submit_s[-1] > 0.5 * SPAN_S
    assert len({jobs.table.submit_s[0] for jobs in tables}) == 10
    again = jobs_of(site, 3).table
    assert np.array_equal(again.submit_s, tables[3].table.submit_s)


def test_a_load_is_met_under_every_seed_and_for_pools_together(tmp_path: Path) -> None:
    for seed in range(5):
        site = prepared(tmp_path, "jobs.generator.pool=any", "jobs.generator.load=0.3", f"seed={seed}")
        assert work_s(jobs_of(site)) == pytest.approx(0.3 * 544 * SPAN_S, rel=1e-6)


def test_a_number_of_jobs_asks_for_its_load_over_its_own_time(tmp_path: Path) -> None:
    site = prepared(tmp_path, "jobs.generator.num_jobs=500")
    for run in range(10):
        jobs = jobs_of(site, run)
        assert len(jobs.table) == 500
        assert work_s(jobs) / (512 * jobs.table.span_s) == pytest.approx(0.55, rel=1e-9)


def test_a_higher_load_brings_the_same_jobs_earlier_and_more(tmp_path: Path) -> None:
    tables = [
        jobs_of(prepared(tmp_path, f"jobs.generator.load={load}"), 1).table for load in (0.2, 0.4, 0.400001)
    ]
    for low, high in pairwise(tables):
        whole = len(low) - 1  # the last is cut
        assert len(high) >= len(low)
        assert np.array_equal(high.run_s[:whole], low.run_s[:whole])
        assert np.array_equal(high.num_devices[:whole], low.num_devices[:whole])
        assert (high.submit_s[:whole] <= low.submit_s[:whole]).all()


@pytest.mark.parametrize("how", ["load: 0.5", "num_jobs: 800", "num_jobs: 800, load: 0.5"])
def test_jobs_larger_than_the_pool_are_left_out_and_counted(tmp_path: Path, how: str) -> None:
    for seed in range(3):
        site = prepared(
            tmp_path, f"jobs.generator={{profile: philly-2017, pool: side, {how}}}", f"seed={seed}"
        )
        jobs = jobs_of(site)
        assert jobs.table.num_devices.max() <= 32
        if "num_jobs" in how:
            assert len(jobs.table) == 800
        check_site(site, jobs)
    one_node = prepared(
        tmp_path,
        "jobs.generator={profile: philly-2017, pool: side, num_jobs: 3000}",
        "pools=[{name: main, accelerator: h100-sxm, num_nodes: 9}, {name: side, accelerator: h100-sxm, num_nodes: 1}]",
    )
    jobs = jobs_of(one_node)
    whole = jobs_of(prepared(tmp_path, "jobs.generator={profile: philly-2017, pool: main, num_jobs: 3000}"))
    own = whole.table.submit_s <= jobs.table.submit_s[-1]
    large = int((whole.table.num_devices[own] > 8).sum())
    assert large > 0
    [note] = [note for note in jobs.notes if "left out" in note]
    assert f"philly-2017: {large:,} jobs" in note


def test_what_cannot_be_drawn_is_refused_at_its_field(tmp_path: Path) -> None:
    site = prepared(tmp_path, "jobs.generator={profile: philly-2017}", "duration=1 s")
    with pytest.raises(InputError, match=r"jobs\.generator: found no job in 1 s"):
        jobs_of(site)
    site = prepared(tmp_path, "jobs.generator.num_jobs=60000000")
    with pytest.raises(InputError, match=r"jobs\.generator: found a time or a load of more than"):
        jobs_of(site)


def test_a_tiny_load_is_one_short_job(tmp_path: Path) -> None:
    jobs = jobs_of(prepared(tmp_path, "jobs.generator.load=0.0000001"))
    assert len(jobs.table) >= 1
    assert work_s(jobs) == pytest.approx(1e-7 * 512 * SPAN_S)
    assert jobs.table.name[0] == "generator/job-0"
