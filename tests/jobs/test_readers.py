"""Files of jobs: every format, every way to be wrong."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.jobs.files import read_jobs, write_jobs
from simtool.jobs.readers import JOB_READERS
from simtool.jobs.readers.slurm import clock_s
from simtool.jobs.table import JobTable, same_jobs
from tests.jobs.test_table import tables

OWN = "name,submit_s,num_devices,run_s,limit_s\na,0,1,60,\nb,10,8,3600,7200\n"


def write(folder: Path, text: str | bytes, name: str = "jobs.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_jobs(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


# ------------------------------------------------------------------------------------------ own columns


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@given(table=tables())
def test_what_is_written_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, table: JobTable
) -> None:
    path = tmp_path_factory.mktemp("jobs") / f"jobs.{suffix}"
    write_jobs(path, table)
    assert same_jobs(read_jobs(path), table)


def test_a_table_with_a_calendar_keeps_its_moments(tmp_path: Path) -> None:
    start = datetime(2024, 2, 29, 12, tzinfo=UTC)
    table = JobTable.of(
        submit_s=[0.0, 90.5], num_devices=1, run_s=60.0, start=start, deadline_s=[1e5, math.inf]
    )
    for name in ("jobs.csv", "jobs.parquet"):
        write_jobs(tmp_path / name, table)
        assert same_jobs(read_jobs(tmp_path / name), table)


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_cells_may_be_set_apart_in_four_ways(tmp_path: Path, delimiter: str) -> None:
    table = read_jobs(write(tmp_path, OWN.replace(",", delimiter)))
    assert table.name == ("a", "b")
    assert table.limit_s.tolist() == [math.inf, 7200.0]


def test_a_packed_file_with_a_byte_order_mark_and_blank_lines_reads_the_same(tmp_path: Path) -> None:
    plain = read_jobs(write(tmp_path, OWN))
    odd = gzip.compress(b"\xef\xbb\xbf\n" + OWN.replace("\n", "\r\n\r\n").encode())
    assert same_jobs(read_jobs(write(tmp_path, odd, "jobs.csv.gz")), plain)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OWN.replace("3600", "-3600"), "jobs.csv:3: run_s: found -3600 for job 'b'"),
        (OWN.replace("3600", "0"), "jobs.csv:3: run_s: found 0 for job 'b'; a time above 0 s"),
        (OWN.replace("3600", "7201"), "jobs.csv:3: run_s: found 7201 for job 'b'; at most limit_s"),
        (OWN.replace("3600", "1 h"), "jobs.csv:3: run_s: found '1 h'; a number"),
        (OWN.replace("3600", ""), "jobs.csv:3: run_s: found ''; a number"),
        (OWN.replace("3600", "nan"), "jobs.csv:3: run_s: found 'nan'; a number"),
        (OWN.replace("b,10", "a,10"), "jobs.csv:3: name: found 'a' again, first in line 2"),
        (OWN.replace("a,0", "a,20"), "jobs.csv:3: submit_s: found '10'; times that never go back"),
        (OWN.replace(",8,", ",0.5,"), "jobs.csv:3: num_devices: found 0.5; a whole number"),
        (OWN.replace("limit_s", "limt_s"), "limt_s: found an unknown column; did you mean 'limit_s'?"),
        (OWN.replace("run_s", "walltime"), "needs run_s"),
        ("a,b\n1,2\n", "known formats: alibaba-openb, columns, philly, slurm"),
        (
            "JobID,submit,gpus,hours\n1,0,8,2\n",
            "the format columns needs submit_s or submit_utc, num_devices, run_s; the format slurm needs Submit,",
        ),
        (OWN + "c,20,1\n", "jobs.csv:4: found 3 values; 1 such rows; 5 values, as in the header"),
        (OWN.replace("limit_s", "run_s"), "name each column once"),
        ("", "the file is empty"),
        ("name,submit_s,num_devices,run_s\n", "found a header and no rows"),
        (OWN.encode("utf-16"), "is not UTF-8 text"),
        (OWN.encode() + b"\xff,20,1,60,\n", "line 4 is not UTF-8 text"),
        (b"\x00\x01\x02", "jobs.csv: "),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert told in refusal(write(tmp_path, text))


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = (
        "name,submit_s,num_devices,run_s,limit_s,outcome,prio\n"
        "a,-5,1,60,,completed,1\nb,10,8,0,7200,,\nc,20,8,90,30,lost,\nd,15,0.5,90,,failed,\n"
    )
    told = refusal(write(tmp_path, text))
    for words in (
        "prio: found an unknown column",
        "jobs.csv:2: submit_s: found -5",
        "jobs.csv:3: run_s: found 0 for job 'b'",
        "jobs.csv:4: run_s: found 90 for job 'c'; at most limit_s",
        "jobs.csv:4: outcome: found 'lost'",
        "jobs.csv:5: submit_s: found '15'; times that never go back",
        "jobs.csv:5: num_devices: found 0.5; a whole number",
    ):
        assert words in told, told
    assert len(told.splitlines()) == 7


def test_lines_are_those_of_the_file_even_behind_blank_ones(tmp_path: Path) -> None:
    text = OWN.replace("\nb", "\n\n\nb").replace("3600", "-1")
    assert "jobs.csv:5: run_s: found -1" in refusal(write(tmp_path, text))


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.csv")
    assert "cannot be read" in refusal(write(tmp_path, "no parquet", "jobs.parquet"))
    assert "cannot be read" in refusal(write(tmp_path, "no gzip", "jobs.csv.gz"))
    assert "cannot be read" in refusal(tmp_path)
    assert "unknown job format 'phily'" in refusal(write(tmp_path, OWN), format="phily")
    assert "the format slurm needs JobID" in refusal(write(tmp_path, OWN), format="slurm")
    assert "did you mean 'Europe/Berlin'" in refusal(write(tmp_path, OWN), time_zone="Europe/Berln")


def test_zero_length_jobs_may_be_left_out_with_a_count(tmp_path: Path) -> None:
    table = read_jobs(write(tmp_path, OWN.replace("3600", "0")), drop_zero_length=True)
    assert table.name == ("a",)
    assert "1 jobs that ran for 0 s are left out" in table.notes


def test_jobs_out_of_order_may_be_sorted_with_a_note(tmp_path: Path) -> None:
    table = read_jobs(write(tmp_path, OWN.replace("a,0", "a,20")), sort=True)
    assert table.name == ("b", "a")
    assert any("sorted by submission" in note for note in table.notes)


@pytest.mark.parametrize(
    ("first", "second", "zone", "apart_s", "start"),
    [
        ("2024-03-31T00:30:00Z", "2024-03-31T01:30:00Z", None, 3600.0, "2024-03-31T00:30:00+00:00"),
        ("2024-03-31T00:30:00+01:00", "2024-03-31T01:30:00+01:00", None, 3600.0, "2024-03-30T23:30:00+00:00"),
        ("2024-03-31 01:30:00", "2024-03-31 03:30:00", "Europe/Berlin", 3600.0, "2024-03-31T00:30:00+00:00"),
        ("2024-10-27 01:30:00", "2024-10-27 03:30:00", "Europe/Berlin", 10800.0, "2024-10-26T23:30:00+00:00"),
        ("1709251200", "1709254800", None, 3600.0, "2024-03-01T00:00:00+00:00"),
    ],
)
def test_times_mean_what_their_clock_showed(
    tmp_path: Path, first: str, second: str, zone: str | None, apart_s: float, start: str
) -> None:
    text = f"submit_utc,num_devices,run_s\n{first},1,60\n{second},1,60\n"
    table = read_jobs(write(tmp_path, text), time_zone=zone)
    assert table.submit_s.tolist() == [0.0, apart_s]
    assert table.start is not None
    assert table.start.isoformat() == start


def test_an_hour_that_the_clocks_skip_is_refused(tmp_path: Path) -> None:
    text = "submit_utc,num_devices,run_s\n2024-03-31 02:30:00,1,60\n"
    assert "clocks of Europe/Berlin show" in refusal(write(tmp_path, text), time_zone="Europe/Berlin")


@pytest.mark.parametrize("when", ["soon", "2024-13-01T00:00:00Z", "31.12.2024", ""])
def test_a_time_that_is_none_is_told(tmp_path: Path, when: str) -> None:
    text = f"submit_utc,num_devices,run_s\n2024-01-01T00:00:00Z,1,60\n{when},1,60\n"
    assert "jobs.csv:3: submit_utc: found" in refusal(write(tmp_path, text))


def test_times_with_and_without_offset_do_not_mix(tmp_path: Path) -> None:
    text = "submit_utc,num_devices,run_s\n2024-01-01T00:00:00Z,1,60\n2024-01-01T01:00:00,1,60\n"
    assert "with and without an offset" in refusal(write(tmp_path, text))


# ------------------------------------------------------------------------------------------------ slurm

SACCT = """JobID|User|Submit|Start|Elapsed|Timelimit|AllocTRES|ReqTRES|State
100|ann|2024-01-01T00:00:00|2024-01-01T00:00:10|2-03:04:05|3-00:00:00|cpu=8,gres/gpu:h100=8,gres/gpu=8||COMPLETED
100.batch||2024-01-01T00:00:10|2024-01-01T00:00:10|2-03:04:05||cpu=64,node=1||COMPLETED
100.extern||2024-01-01T00:00:10|2024-01-01T00:00:10|2-03:04:05||cpu=64,node=1||COMPLETED
100.0||2024-01-01T00:00:10|2024-01-01T00:00:10|2-03:04:00||cpu=64,node=1||COMPLETED
101_7|bob|2024-01-01T00:01:00|2024-01-01T00:02:00|00:10:31|00:10:00|gres/gpu:a100=4,node=1||TIMEOUT
101_[8-9%1]|bob|2024-01-01T00:01:00|Unknown|00:00:00|UNLIMITED||gres/gpu=1|PENDING
102|bob|2024-01-01T00:02:00|2024-01-01T00:03:00|01:00:00|UNLIMITED|gres/gpu:a100=1,gres/gpu:h100=2||CANCELLED by 7
103|ann|2024-01-01T00:03:00|None|00:00:00|01:00:00||gres/gpu=8|CANCELLED by 0
104|ann|2024-01-01T00:04:00|2024-01-01T00:05:00|00:01:00|01:00:00|cpu=1,node=1||COMPLETED
105|ann|2024-01-01T00:05:00|2024-01-01T00:05:10|00:01:00|01:00:00|gres/gpu=2||NODE_FAIL
105|ann|2024-01-01T00:07:00|2024-01-01T00:07:10|00:20:00|01:00:00|gres/gpu=2||COMPLETED
106|cat|2024-01-01T00:06:00|2024-01-01T00:07:10|00:20:00|01:00:00|gres/gpu=2||RUNNING
"""


def test_slurm_accounts_become_allocations_that_ended(tmp_path: Path) -> None:
    table = read_jobs(write(tmp_path, SACCT, "sacct.txt"))
    assert table.name == ("100", "101_7", "102", "105", "105#2")
    assert table.num_devices.tolist() == [8, 4, 3, 2, 2]
    assert table.run_s.tolist() == [183845.0, 631.0, 3600.0, 60.0, 1200.0]
    assert table.limit_s.tolist() == [259200.0, 631.0, math.inf, 3600.0, 3600.0]
    assert table.words("outcome") == ["completed", "failed", "cancelled", "failed", "completed"]
    assert table.words("accelerator") == ["h100", "a100", "", "", ""]
    assert table.words("user") == ["ann", "bob", "bob", "ann", "ann"]
    assert table.submit_s.tolist() == [0.0, 60.0, 120.0, 300.0, 420.0]
    notes = "\n".join(table.notes)
    for told in (
        "3 rows of job steps",
        "2 jobs that had not ended",
        "1 jobs that ended before they started",
        "1 jobs without a GPU",
        "1 jobs ran past their limit",
        "1 jobs have no limit",
        "1 runs of requeued jobs",
        "taken as UTC",
    ):
        assert told in notes


def test_slurm_hours_are_those_of_its_allocations(tmp_path: Path) -> None:
    table = read_jobs(write(tmp_path, SACCT, "sacct.txt"), time_zone="America/Chicago")
    assert table.gpu_hours == (8 * 183845 + 4 * 631 + 3 * 3600 + 2 * 60 + 2 * 1200) / 3600.0
    assert table.start == datetime(2024, 1, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("2-03:04:05|3-00", "2-3h|3-00", "sacct.txt:2: Elapsed: found '2-3h'"),
        ("00:10:31|00:10:00", "00:10:61|00:10:00", "sacct.txt:6: Elapsed: found '00:10:61'"),
        ("|TIMEOUT", "|TIMED_OUT", "sacct.txt:6: State: found 'TIMED_OUT'"),
        ("00:10:31|00:10:00", "00:10:31|ten", "sacct.txt:6: Timelimit: found 'ten'"),
        (
            "2024-01-01T00:01:00|2024-01-01T00:02:00",
            "Unknown|2024-01-01T00:02:00",
            "sacct.txt:6: Submit: found",
        ),
        (
            "\n105|ann|2024-01-01T00:07:00|2024-01-01T00:07:10",
            "\n105|ann|2024-01-01T00:07:00|2024-01-01T00:05:10",
            "'105' again",
        ),
        ("01:00:00|UNLIMITED|gres", "00:00:00|UNLIMITED|gres", "sacct.txt:8: run_s: found 0 for job '102'"),
    ],
)
def test_a_wrong_account_is_told_by_line_and_field(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in SACCT
    assert told in refusal(write(tmp_path, SACCT.replace(old, new), "sacct.txt"))


def test_raw_seconds_and_minutes_of_slurm_are_taken_too(tmp_path: Path) -> None:
    text = (
        "JobIDRaw|Submit|State|ElapsedRaw|TimelimitRaw|AllocTRES\n"
        "7|2024-01-01T00:00:00|COMPLETED|90|2|gres/gpu=4\n"
        "8|2024-01-01T00:00:05|CANCELLED by 7|0|2|gres/gpu=4\n"
        "9|2024-01-01T00:00:09|OUT_OF_ME+|60|Partition_Limit|gres/gpu=4\n"
    )
    table = read_jobs(write(tmp_path, text))
    assert table.name == ("7", "9")
    assert table.limit_s.tolist() == [120.0, math.inf]
    assert table.words("outcome") == ["completed", "failed"]


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_clock_of_slurm_reads_back(days: int, hours: int, minutes: int, seconds: int) -> None:
    written = f"{hours:02}:{minutes:02}:{seconds:02}"
    assert clock_s(f"{days}-{written}") == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert clock_s(written) == (hours * 60 + minutes) * 60 + seconds


# ---------------------------------------------------------------------------------------------- traces


def test_every_reader_says_what_it_reads() -> None:
    assert set(JOB_READERS) >= {"alibaba-openb", "columns", "philly", "slurm"}
    assert all(len(summary) > 20 for summary in JOB_READERS.summaries().values())


def test_the_replay_of_philly_has_the_accelerator_hours_of_the_trace(reference_data: Path) -> None:
    path = reference_data / "data/cluster/philly/philly_gpu_jobs.parquet"
    table = read_jobs(path)
    gpu_time = parquet.read_table(path, columns=["gpu_time"])["gpu_time"].to_numpy()
    assert len(table) == 82_247
    assert table.gpu_hours == math.fsum(gpu_time.tolist()) / 3600.0
    assert table.num_devices.max() == 128
    assert table.start == datetime(2017, 9, 4, 10, 30, 41, tzinfo=UTC)
    assert any("no requested limits" in note for note in table.notes)


def test_a_row_of_philly_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    text = "timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-09 07:01:55,66,2,66,a\n"
    assert "jobs.csv:2: gpu_time: found '66'; duration x num_gpus" in refusal(write(tmp_path, text))


def test_pods_that_share_a_gpu_hold_a_whole_one(reference_data: Path) -> None:
    path = reference_data / "data/cluster/alibaba_openb/openb_pods_default.parquet"
    table = read_jobs(path)
    pods = parquet.read_table(path).to_pydict()
    ran = [
        (num, share, deleted - scheduled)
        for num, share, deleted, scheduled in zip(
            pods["num_gpu"], pods["gpu_milli"], pods["deletion_time"], pods["scheduled_time"], strict=True
        )
        if num > 0 and scheduled is not None and not math.isnan(scheduled)
    ]
    assert len(table) == len(ran)
    assert table.gpu_hours * 3600.0 == pytest.approx(sum(num * run for num, _, run in ran), rel=1e-12)
    added_h = sum((1.0 - share / 1000) * run for _, share, run in ran) / 3600.0
    assert any(f"{added_h:.6g} accelerator-hours more" in note for note in table.notes)
    assert np.isinf(table.limit_s).all()


def test_a_job_without_a_name_is_called_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("name,submit_s,num_devices,run_s\na,0,1,60\n,1,1,60\n", "utf-8")
    assert read_jobs(path).name == ("a", "job-3")
