"""Jobs of a file in a datacenter: deadlines, types of accelerators, names, and what the reader is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.config.load_datacenter import load_datacenter
from simtool.errors import InfeasibleError, InputError
from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.prepare import jobs_of, prepare_site
from tests.result.datacenter.sites import LIBRARY, ONE_SITE, TWO_SITES, solved, written

HEAD = "name,submit_s,num_devices,run_s"
TWO_TYPES = ONE_SITE.replace(
    "pools: [{name: main, accelerator: h100-sxm, num_nodes: 4}]",
    "pools: [{name: a, accelerator: a100-sxm-80, num_nodes: 2}, {name: h, accelerator: h100-sxm, num_nodes: 2}]",
)


def jobs(folder: Path, rows: str, *changes: str, text: str = ONE_SITE) -> SiteJobs:
    return jobs_of(prepare_site(load_datacenter(written(folder, text, rows), changes), LIBRARY))


def test_a_deadline_that_no_start_meets_is_infeasible_and_names_file_and_row(tmp_path: Path) -> None:
    rows = f"{HEAD},deadline_s\na,0,8,60,60\nb,10,8,3600,1000\nc,20,8,60,\n"
    with pytest.raises(
        InfeasibleError, match=r"jobs\.csv: job 'b', row 2 in order of submission, runs for 3,600 s"
    ):
        jobs(tmp_path, rows)
    assert len(jobs(tmp_path, rows.replace("1000", "3610")).table) == 3


def test_jobs_run_on_the_accelerators_that_the_file_ties_them_to(tmp_path: Path) -> None:
    rows = f"{HEAD},accelerator\na,0,8,3600,A100\nb,0,16,3600,h100-sxm\nc,1,16,3600,H100\n"
    site = solved(tmp_path, TWO_TYPES, jobs=rows)
    ran = {
        (pool, job)
        for pool, ledger in site.outcome.ledgers.items()
        for job in set(ledger.jobs) & {"a", "b", "c"}
        if ledger.device_s(job=job) > 0.0
    }
    assert ran == {("a", "a"), ("h", "b"), ("h", "c")}


def test_a_type_that_no_pool_has_is_refused_unless_any_will_do(tmp_path: Path) -> None:
    rows = f"{HEAD},accelerator\na,0,8,3600,V100\n"
    with pytest.raises(
        InputError, match=r"jobs\.csv: accelerator: found jobs tied to 'V100'; pools have h100-sxm"
    ):
        jobs(tmp_path, rows)
    assert len(jobs(tmp_path, rows, "jobs.trace.any_accelerator=true").table) == 1
    large = f"{HEAD},accelerator\na,0,24,3600,a100\n"
    with pytest.raises(InputError, match="the cluster has 16 accelerators"):
        jobs(tmp_path, large, text=TWO_TYPES)


def test_who_makes_use_of_elastic_jobs_is_said(tmp_path: Path) -> None:
    rows = f"{HEAD},max_devices\na,0,8,3600,16\nb,0,8,3600,8\n"
    assert any("1 jobs are elastic; of the shipped" in note for note in jobs(tmp_path, rows).notes)
    assert not any("elastic" in note for note in jobs(tmp_path, rows, "scheduler.name=elastic").notes)


def test_an_elastic_job_grows_and_is_told(tmp_path: Path) -> None:
    """Two of 8 accelerators for an hour each, one of which can use 24: it grows when the other has gone."""
    rows = f"{HEAD},max_devices\na,0,16,36000,32\nb,0,16,3600,16\n"
    work = "jobs.work={activity: 0.5, restart: 2 min, checkpoint: {write: 1 min, interval: 1 h}, limit: 2}"
    site = solved(tmp_path, ONE_SITE, "scheduler.name=elastic", work, jobs=rows)
    assert site.value("num_moves") == 1.0
    assert site.outcome.devices.tolist() == [32, 16]
    assert (
        site.outcome.finish_s[0] < 36000.0 < solved(tmp_path, ONE_SITE, work, jobs=rows).outcome.finish_s[0]
    )


def test_the_reader_is_told_what_to_do_with_order_and_empty_runs(tmp_path: Path) -> None:
    rows = f"{HEAD}\na,10,8,60\nb,0,8,0\nc,0,8,60\n"
    with pytest.raises(InputError, match="set sort to true"):
        jobs(tmp_path, rows)
    with pytest.raises(InputError, match="or set drop_zero_length"):
        jobs(tmp_path, rows, "jobs.trace.sort=true")
    found = jobs(tmp_path, rows, "jobs.trace.sort=true", "jobs.trace.drop_zero_length=true")
    assert found.table.name == ("c", "a")


def test_a_run_that_is_called_as_a_job_of_the_file_stands_at_its_field(tmp_path: Path) -> None:
    run = "{name: a, scenario: megatron-22b, tokens: 1 Mtoken, num_nodes: 1, layout: auto"
    with pytest.raises(InputError, match=r"jobs\.campaign\[0\]\.name: found 'a', as a job of jobs\.csv"):
        jobs(tmp_path, f"{HEAD}\na,0,8,60\n", f"jobs.campaign=[{run}}}]")
    run = run.replace("name: a", "name: job-0").replace("1 Mtoken", "100 Mtoken")
    with pytest.raises(InputError, match=r"jobs\.campaign\[0\]\.limit: found 60 s for a run that takes"):
        jobs(tmp_path, f"{HEAD}\na,0,8,60\n", f"jobs.campaign=[{run}, limit: 1 min}}]")
    with pytest.raises(
        InputError, match=r"jobs\.campaign\[0\]: scenario megatron-22b, layout: found tp 8 x pp 1"
    ):
        jobs(
            tmp_path, f"{HEAD}\na,0,8,60\n", "jobs.campaign=[{name: b, scenario: megatron-22b, num_nodes: 3}]"
        )
    large = "jobs.campaign=[{name: b, scenario: megatron-22b, num_nodes: 400, layout: auto}]"
    with pytest.raises(
        InputError, match=r"jobs\.campaign\[0\]\.num_nodes: found 400 nodes; up to the 4 nodes"
    ):
        jobs(tmp_path, f"{HEAD}\na,0,8,60\n", large)
    with pytest.raises(InfeasibleError, match=r"jobs\.campaign\[0\] \(b\): layout") as caught:
        jobs(tmp_path, f"{HEAD}\na,0,8,60\n", large, "pools[0].num_nodes=400")
    assert "jobs.campaign[0].num_nodes" in str(caught.value)
    both = jobs(
        tmp_path,
        f"{HEAD}\na,0,8,60\n",
        f"jobs.campaign=[{run}}}]",
        "jobs.generator={profile: philly-2017, num_jobs: 3}",
    )
    assert set(both.table.name) == {"a", "job-0", "generator/job-0", "generator/job-1", "generator/job-2"}


def test_a_state_that_moves_has_a_size(tmp_path: Path) -> None:
    moving = "moving={bandwidth: 10 GB/s}"
    rows = f"{HEAD}\na,0,8,60\n"
    pattern = r"jobs\.work\.checkpoint\.size: found no size of the state that moves"
    with pytest.raises(InputError, match=pattern):
        jobs(tmp_path, rows, moving, text=TWO_SITES)
    sized = "jobs.work.checkpoint={size: 60 GB, bandwidth: 1 GB/s, interval: 30 min}"
    [kind] = jobs(tmp_path, rows, moving, sized, text=TWO_SITES).kinds
    assert kind.state_bytes == 60e9


def test_a_tariff_with_another_clock_than_the_site_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, ONE_SITE)
    tariff = "electricity={tariff: pge-industrial-tou}"

    def notes(zone: str) -> list[str]:
        site = prepare_site(load_datacenter(path, [tariff, f"time_zone={zone}"]), LIBRARY)
        return [note for note in site.notes if "clock" in note]

    assert notes("America/Los_Angeles") == []
    [note] = notes("America/New_York")
    assert "its own clock, America/Los_Angeles" in note


def test_a_file_begins_where_it_says_that_it_does(tmp_path: Path) -> None:
    """Seconds count from the site's start; of moments the first job's lies there, or `first`."""
    seconds = jobs(tmp_path, f"{HEAD}\na,3600,8,60\nb,7200,8,60\n")
    assert seconds.table.submit_s.tolist() == [3600.0, 7200.0]
    assert any(
        "their times count from when the site starts, 2022-01-01T00:00Z" in note for note in seconds.notes
    )
    rows = "name,submit_utc,num_devices,run_s,deadline_s\n"
    rows += "a,2021-05-03T10:00:00Z,8,60,7200\nb,2021-05-03T11:00:00Z,8,60,\n"
    moments = jobs(tmp_path, rows)
    assert moments.table.submit_s.tolist() == [0.0, 3600.0]
    assert moments.table.deadline_s[0] == 7200.0
    assert any("the first is submitted when the site starts" in note for note in moments.notes)
    later = jobs(tmp_path, rows, "jobs.trace.first=2021-05-03T08:00Z")
    assert later.table.submit_s.tolist() == [7200.0, 10800.0]
    assert later.table.deadline_s[0] == 14400.0
    assert any("it is 2021-05-03T08:00Z in the file when the site starts" in note for note in later.notes)
    assert jobs(tmp_path, rows, "jobs.trace.first=2021-05-03T10:30Z").table.submit_s.tolist() == [1800.0]


def test_what_is_said_wrongly_of_the_file_stands_in_the_datacenter(tmp_path: Path) -> None:
    trace = "jobs.trace={file: no.csv, time_zone: Mars, format: tape}"
    with pytest.raises(InputError) as caught:
        jobs(tmp_path, f"{HEAD}\na,0,8,60\n", trace)
    said = str(caught.value)
    assert "--set: jobs.trace.time_zone: found 'Mars'; allowed: an IANA name" in said
    assert "--set: jobs.trace.format: unknown job format 'tape'; known: " in said
    assert "--set: jobs.trace.file: " in said
    assert "no.csv: cannot be read: No such file or directory" in said


@pytest.mark.parametrize("user", ["(no job)", "(unnamed)"])
def test_a_user_is_not_called_as_something_else_in_results(user: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found a user called '\(.*\)', which means something else"):
        jobs(tmp_path, f"{HEAD},user\na,0,8,60,{user}\n")
