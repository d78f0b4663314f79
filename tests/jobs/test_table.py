"""The table of jobs: what it refuses, and what selecting, joining and counting keep."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.jobs.campaign import CampaignRow, campaign_table
from simtool.jobs.summary import describe
from simtool.jobs.table import COLUMNS, JobTable, concat, same_jobs

START = datetime(2024, 3, 1, tzinfo=UTC)
words = st.sampled_from(["ann", "bob", ""])


@st.composite
def tables(draw: st.DrawFn, least: int = 1) -> JobTable:
    """Any table of a few jobs."""
    num = draw(st.integers(least, 12))

    def row(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=num, max_size=num))

    run_s = row(st.floats(1e-3, 1e7))
    devices = row(st.integers(1, 4096))
    submit_s = row(st.floats(0.0, 1e7))
    return JobTable.of(
        submit_s=submit_s,
        num_devices=devices,
        run_s=run_s,
        limit_s=[draw(st.one_of(st.just(math.inf), st.floats(run, 1e9))) for run in run_s],
        outcome=row(st.integers(0, 2)),
        user=row(words),
        priority=row(st.integers(-5, 5)),
        preemptible=row(st.booleans()),
        deadline_s=[draw(st.one_of(st.just(math.inf), st.floats(at + 1.0, 1e9))) for at in submit_s],
        min_devices=[draw(st.integers(1, size)) for size in devices],
        max_devices=[draw(st.integers(size, 5000)) for size in devices],
        accelerator=row(st.sampled_from(["h100", "a100", ""])),
        group=row(words),
    )


@given(tables())
def test_jobs_stand_in_the_order_of_submission_and_cannot_change(table: JobTable) -> None:
    assert (np.diff(table.submit_s) >= 0.0).all()
    for column in COLUMNS:
        assert not getattr(table, column).flags.writeable


@given(tables())
def test_hours_are_the_exact_sum_rounded_once(table: JobTable) -> None:
    products = [Fraction(float(run * size)) for run, size in zip(table.run_s, table.num_devices, strict=True)]
    assert table.gpu_hours == float(sum(products)) / 3600.0


@given(tables(), st.data())
def test_two_parts_of_a_table_join_to_the_table(table: JobTable, data: st.DataObject) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table))))
    parts = [part for part in (table.select(mask), table.select(~mask)) if len(part)]
    joined = concat(parts)
    assert sorted(joined.name) == sorted(table.name)
    assert joined.gpu_hours == table.gpu_hours
    if len(np.unique(table.submit_s)) == len(table):
        assert same_jobs(joined, table)


def test_tables_of_different_days_join_on_one_clock() -> None:
    one = JobTable.of(name=["a"], submit_s=[0.0], num_devices=1, run_s=60.0, start=START + timedelta(days=1))
    other = JobTable.of(
        name=["b"], submit_s=[5.0], num_devices=1, run_s=60.0, deadline_s=[100.0], start=START
    )
    joined = concat([one, other])
    assert joined.name == ("b", "a")
    assert joined.submit_s.tolist() == [5.0, 86400.0]
    assert joined.deadline_s.tolist() == [100.0, math.inf]
    assert joined.start == START


@given(tables(least=2))
def test_shares_of_outcomes_add_up(table: JobTable) -> None:
    told = describe(table)
    for what in ("jobs", "gpu_hours"):
        shares = [told[f"{word}_{what}_frac"] for word in ("completed", "failed", "cancelled")]
        assert sum(shares) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"run_s": [60.0, -5.0]}, "jobs, row 2: run_s: found -5 for job 'job-1'"),
        ({"run_s": [0.0, 60.0]}, "jobs, row 1: run_s: found 0 for job 'job-0'; a time above 0 s"),
        ({"run_s": [math.nan, 60.0]}, "jobs, row 1: run_s: found nan"),
        ({"submit_s": [0.0, math.inf]}, "jobs, row 2: submit_s: found inf"),
        ({"submit_s": [-1.0, 0.0]}, "jobs, row 1: submit_s: found -1"),
        ({"num_devices": [0, 1]}, "jobs, row 1: num_devices: found 0"),
        ({"num_devices": [1.5, 1.0]}, "jobs, row 1: num_devices: found 1.5; a whole number"),
        ({"limit_s": [59.0, 60.0]}, "jobs, row 1: run_s: found 60 for job 'job-0'; at most limit_s"),
        ({"limit_s": [math.nan, 60.0]}, "jobs, row 1: limit_s: found nan"),
        ({"deadline_s": [0.0, 99.0]}, "jobs, row 1: deadline_s: found 0"),
        ({"min_devices": [2, 1]}, "jobs, row 1: min_devices: found 2"),
        ({"max_devices": [1, 0]}, "jobs, row 2: max_devices: found 0"),
        ({"outcome": ["completed", "lost"]}, "jobs: outcome: found 'lost'"),
        ({"name": ["a", "a"]}, "jobs, row 2: name: found 'a' again, first in row 1"),
        ({"name": ["a"]}, "jobs: found columns of different length: name 1"),
    ],
)
def test_what_is_no_job_is_told_by_row_and_column(change: dict[str, Any], told: str) -> None:
    columns: dict[str, Any] = {"submit_s": [0.0, 1.0], "num_devices": [1, 1], "run_s": [60.0, 60.0]}
    with pytest.raises(InputError) as caught:
        JobTable.of(**(columns | change))
    assert told in str(caught.value)


def test_a_thousand_wrong_rows_are_counted_not_listed() -> None:
    with pytest.raises(InputError, match="and 990 rows more like these") as caught:
        JobTable.of(submit_s=np.arange(1000.0), num_devices=1, run_s=-1.0)
    assert len(caught.value.problems) == 11


def test_jobs_that_no_cluster_holds_are_named() -> None:
    table = JobTable.of(
        submit_s=[0, 1, 2], num_devices=[8, 64, 16], run_s=60.0, min_devices=[8, 64, 4], name=["a", "b", "c"]
    )
    table.require_fits(64)
    with pytest.raises(InputError, match="num_devices of job 'b': found 64; the cluster has 8 accelerators"):
        table.require_fits(8)


def test_a_campaign_is_told_with_its_models() -> None:
    rows = [
        CampaignRow(
            name="b", model="70b", submit_s=100.0, num_devices=512, run_s=1e6, priority=2, deadline_s=2e6
        ),
        CampaignRow(name="a", model="7b", submit_s=0.0, num_devices=64, run_s=1e5, min_devices=32),
    ]
    table = campaign_table(rows, start=START)
    assert table.name == ("a", "b")
    assert table.words("group") == ["7b", "70b"]
    assert table.priority.tolist() == [0, 2]
    assert table.min_devices.tolist() == [32, 512]
    with pytest.raises(InputError, match="campaign: found no run"):
        campaign_table([])


def test_numbers_that_are_not_whole_or_too_large_are_told_by_row() -> None:
    with pytest.raises(InputError) as caught:
        JobTable.of(
            submit_s=[0, 1, 2], num_devices=[8.5, 1.0, 1e20], run_s=1.0, place="f.csv", lines=[2, 5, 9]
        )
    assert str(caught.value).splitlines() == [
        "f.csv:2: num_devices: found 8.5; a whole number, at most 9,007,199,254,740,992",
        "f.csv:9: num_devices: found 1e+20; a whole number, at most 9,007,199,254,740,992",
    ]


def test_a_job_has_a_name() -> None:
    with pytest.raises(InputError, match="jobs, row 2: name: found ''; a word"):
        JobTable.of(name=["a", ""], submit_s=[0, 1], num_devices=1, run_s=1.0)
