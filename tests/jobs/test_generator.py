"""The generator: what is drawn has what the file says, and what is fitted comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from simtool.config.load import load_document
from simtool.config.validate import validate
from simtool.errors import InputError
from simtool.jobs.batches import batches_of
from simtool.jobs.curves import LEVELS_PERCENT, curve_of, mean_of, values_at
from simtool.jobs.fit import fit_generator
from simtool.jobs.fit_shares import given_outcome
from simtool.jobs.generate import generate, jobs_per_day
from simtool.jobs.generator import Generator
from simtool.jobs.likeness import ks_distance, likeness, plain_p_value
from simtool.jobs.shipped import fit_philly, generator_yaml, philly_months, shape_acme
from simtool.jobs.summary import describe
from simtool.jobs.table import JobTable
from simtool.profiles.find import default_library, shipped_folder

DAY_S, WEEK_S = 86400.0, 7 * 86400.0
PHILLY = default_library().get("jobs", "philly-2017")
ACME = default_library().get("jobs", "acme-seren-2023")
assert isinstance(PHILLY, Generator)
assert isinstance(ACME, Generator)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


def plain(**changes: Any) -> Generator:
    """A generator of single jobs that come by a Poisson process."""
    uniform = np.asarray(LEVELS_PERCENT) / 100.0
    kind = {
        "per_day": 400.0,
        "week_spread": 0.0,
        "gap": tuple((-np.log1p(-np.clip(uniform, 0.0, 0.99995))).tolist()),
        "num_jobs": (1.0,) * len(LEVELS_PERCENT),
        "job_gap_s": (0.0,) * len(LEVELS_PERCENT),
        "job_gap_alike": 0.0,
        "sizes": (1, 8),
        "size_frac": (0.75, 0.25),
        "run_from": (1,),
        "run_s": (tuple(np.expm1(3.0 + 7.0 * uniform).tolist()),),
        "alike_frac": 0.0,
        "alike": 0.0,
        "week_alike": 0.0,
    }
    return Generator.model_validate(
        {
            "schema": "simtool/jobs/1",
            "name": "plain",
            "title": "plain",
            "kind": "assumed",
            "source": "made for a test",
            "batch_gap_s": 300.0,
            "levels_percent": LEVELS_PERCENT,
            "hour_frac": (1.0,) * 24,
            "weekday_frac": (1.0,) * 7,
            "batches": {"single": kind | changes.pop("kind", {})},
            "users": {"num": 20, "exponent": 1.0},
            "outcome": {
                "device_s": (1.0,),
                "failed_frac": (0.3,),
                "cancelled_frac": (0.1,),
                "kind": "assumed",
                "source": "made for a test",
            },
            **changes,
        }
    )


# ------------------------------------------------------------------------------------------------ drawing


@pytest.mark.parametrize("generator", [PHILLY, ACME], ids=lambda generator: generator.name)
def test_a_longer_stretch_begins_with_the_shorter_one(generator: Generator) -> None:
    short = generate(generator, 3, span_s=3 * DAY_S, start=MONDAY)
    long = generate(generator, 3, span_s=30 * DAY_S, start=MONDAY).between(0.0, 3 * DAY_S)
    assert short.name == long.name
    np.testing.assert_allclose(short.submit_s, long.submit_s, rtol=0.0, atol=1e-6)
    for column in ("num_devices", "run_s", "limit_s", "outcome", "user"):
        assert np.array_equal(getattr(short, column), getattr(long, column))


def test_so_many_jobs_are_the_first_ones() -> None:
    counted = generate(PHILLY, 3, num_jobs=5000, start=MONDAY)
    spanned = generate(PHILLY, 3, span_s=60 * DAY_S, start=MONDAY)
    assert len(counted) == 5000
    np.testing.assert_allclose(counted.submit_s, spanned.submit_s[:5000], atol=1e-6)
    assert np.array_equal(counted.run_s, spanned.run_s[:5000])


def test_seeds_and_runs_differ_and_repeat() -> None:
    one, again, other, run = (
        generate(PHILLY, seed, num_jobs=500, run=index).run_s
        for seed, index in ((1, 0), (1, 0), (2, 0), (1, 1))
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, run)


def test_single_jobs_of_exponential_gaps_are_a_poisson_process() -> None:
    jobs = generate(plain(), 1, span_s=100 * DAY_S)
    assert len(jobs) == pytest.approx(40_000, abs=4 * 200)
    gaps = np.diff(jobs.submit_s) / (DAY_S / 400.0)
    assert kstest(gaps, "expon").pvalue > 0.01
    assert (jobs.num_devices == 8).mean() == pytest.approx(0.25, abs=0.01)
    assert kstest(np.log1p(jobs.run_s), "uniform", args=(3.0, 7.0)).pvalue > 0.01
    assert [(jobs.outcome == code).mean() for code in range(3)] == pytest.approx([0.6, 0.3, 0.1], abs=0.01)
    shares = np.bincount(jobs.user, minlength=20) / len(jobs)
    assert shares[0] / shares[9] == pytest.approx(10.0, rel=0.15)


def test_hours_and_weekdays_follow_their_profile_on_the_clock_of_the_start() -> None:
    hours = tuple(0.0 if hour < 12 else 2.0 for hour in range(24))
    days = (1.4,) * 5 + (0.0, 0.0)
    generator = plain(hour_frac=hours, weekday_frac=days)
    start = datetime(2024, 1, 3, 6, 30, tzinfo=UTC)  # a Wednesday
    jobs = generate(generator, 1, span_s=50 * WEEK_S, start=start)
    since_monday = jobs.submit_s + 2 * DAY_S + 6.5 * 3600.0
    assert ((since_monday % DAY_S) >= 12 * 3600.0).all()
    assert ((since_monday % WEEK_S) < 5 * DAY_S).all()
    assert len(jobs) == pytest.approx(400 * 350, rel=0.01)


@given(st.integers(0, 2**31), st.sampled_from([PHILLY, ACME]))
def test_whatever_is_drawn_is_a_table_within_the_bounds_of_its_file(seed: int, generator: Generator) -> None:
    jobs = generate(generator, seed, span_s=2 * DAY_S)
    kinds = generator.batches.values()
    assert set(np.unique(jobs.num_devices).tolist()) <= {size for kind in kinds for size in kind.sizes}
    assert jobs.run_s.max(initial=1.0) <= max(row[-1] for kind in kinds for row in kind.run_s) * (1 + 1e-9)
    assert (jobs.limit_s >= jobs.run_s).all()
    assert (jobs.submit_s < 2 * DAY_S).all()


def test_a_call_without_an_end_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="give num_jobs or span_s"):
        generate(PHILLY, 1)
    with pytest.raises(ValueError, match="more than"):
        generate(PHILLY, 1, num_jobs=10**9)


# ------------------------------------------------------------------------------------------------ curves


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=50))
def test_a_curve_stays_within_its_sample_and_knows_its_mean(values: list[float]) -> None:
    curve = curve_of(values)
    assert (np.diff(curve) >= 0.0).all()
    assert min(values) == pytest.approx(curve[0], rel=1e-4)
    assert max(values) == pytest.approx(curve[-1], rel=1e-4)
    middles = (np.arange(200_000) + 0.5) / 200_000
    drawn = values_at(middles, LEVELS_PERCENT, curve)
    assert mean_of(LEVELS_PERCENT, curve) == pytest.approx(float(drawn.mean()), rel=1e-3, abs=1e-6)


# ------------------------------------------------------------------------------------------------ batches


def test_batches_are_of_one_user_and_size_and_close_in_time() -> None:
    jobs = JobTable.of(
        submit_s=[0, 100, 150, 200, 400, 701],
        num_devices=[1, 1, 8, 1, 1, 1],
        run_s=[60, 60, 60, 9000, 60, 60],
        user=["a", "a", "a", "b", "a", "a"],
    )
    assert [sorted(np.flatnonzero(batches_of(jobs).of_job == batch).tolist()) for batch in range(4)] == [
        [0, 1, 4],
        [5],
        [2],
        [3],
    ]


def test_jobs_that_come_by_the_clock_are_told_from_people() -> None:
    beats = np.arange(0.0, 3 * DAY_S, 600.0)
    people = np.sort(np.random.Generator(np.random.PCG64(1)).uniform(0.0, 3 * DAY_S, 300))
    jobs = JobTable.of(
        submit_s=np.concatenate([beats, people]),
        num_devices=1,
        run_s=np.concatenate([np.full(len(beats), 70.0), np.geomspace(500.0, 1e5, 300)]),
    )
    cut = batches_of(jobs)
    by_clock = cut.by_clock[cut.of_job]
    assert (jobs.run_s[by_clock] == 70.0).all()
    assert by_clock.sum() == len(beats)
    assert not batches_of(jobs.select(~by_clock)).by_clock.any()


# ------------------------------------------------------------------------------------------------ fitting


def test_what_was_drawn_is_fitted_again() -> None:
    drawn = generate(PHILLY, 5, span_s=60 * WEEK_S, start=MONDAY)
    again = fit_generator(drawn, name="again", source="drawn")
    assert jobs_per_day(again) == pytest.approx(jobs_per_day(PHILLY), rel=0.15)
    redrawn = generate(again, 6, span_s=60 * WEEK_S, start=MONDAY)
    assert ks_distance(drawn.run_s, redrawn.run_s) < 0.1
    assert ks_distance(drawn.num_devices.astype(float), redrawn.num_devices.astype(float)) < 0.02
    assert again.hour_frac == pytest.approx(PHILLY.hour_frac, rel=0.15)
    assert again.weekday_frac == pytest.approx(PHILLY.weekday_frac, rel=0.1)
    assert again.batches["sweep"].week_spread == pytest.approx(PHILLY.batches["sweep"].week_spread, rel=0.5)


def test_limits_of_a_trace_are_fitted() -> None:
    limited = plain(limit=PHILLY.limit)
    jobs = generate(limited, 7, num_jobs=30_000)
    again = fit_generator(jobs, name="again", source="drawn")
    assert limited.limit is not None
    assert again.limit is not None
    assert set(again.limit.usual_s) <= set(limited.limit.usual_s)
    told, found = describe(jobs), describe(generate(again, 8, num_jobs=30_000))
    assert found["limit_over_run_p50"] == pytest.approx(told["limit_over_run_p50"], rel=0.3)
    assert found["limited_jobs_frac"] == 1.0


def test_outcomes_of_a_trace_are_fitted() -> None:
    jobs = generate(PHILLY, 7, num_jobs=60_000)
    again = fit_generator(jobs, name="again", source="drawn")
    device_s = jobs.run_s * jobs.num_devices
    for code, word in ((1, "failed"), (2, "cancelled")):
        chance = chances(again, device_s, word)
        assert chance.mean() == pytest.approx((jobs.outcome == code).mean(), abs=0.01)
        told = device_s[jobs.outcome == code].sum() / device_s.sum()
        assert (chance @ device_s) / device_s.sum() == pytest.approx(told, abs=0.1)


def chances(generator: Generator, device_s: np.ndarray[Any, Any], word: str) -> Any:
    """Chance of an outcome for jobs of so many accelerator-seconds."""
    at = np.log(generator.outcome.device_s)
    return np.interp(np.log(device_s), at, getattr(generator.outcome, f"{word}_frac"))


@given(
    st.floats(0.05, 0.4),
    st.floats(0.05, 0.4),
    st.floats(-0.2, 0.3),
    st.floats(-0.2, 0.3),
)
def test_given_shares_of_outcomes_are_met_or_refused(
    failed: float, cancelled: float, more: float, extra: float
) -> None:
    run_s = np.geomspace(10.0, 1e6, 4000)
    jobs = JobTable.of(submit_s=np.arange(4000.0), num_devices=1, run_s=run_s)
    shares = {
        "failed_jobs": failed,
        "cancelled_jobs": cancelled,
        "failed_device_s": float(np.clip(failed + more, 0.03, 0.45)),
        "cancelled_device_s": float(np.clip(cancelled + extra, 0.03, 0.45)),
    }
    model = given_outcome([jobs], shares, "made for a test")
    at = np.log(run_s)
    for word in ("failed", "cancelled"):
        chance = np.interp(at, np.log(model.device_s), getattr(model, f"{word}_frac"))
        assert chance.mean() == pytest.approx(shares[f"{word}_jobs"], abs=0.005)
        assert (chance @ run_s) / run_s.sum() == pytest.approx(shares[f"{word}_device_s"], abs=0.005)


def test_a_trace_too_short_to_fit_is_refused() -> None:
    with pytest.raises(InputError, match="at least a day of jobs"):
        fit_generator(JobTable.of(submit_s=[0, 60], num_devices=1, run_s=60.0), name="x", source="x")


# ------------------------------------------------------------------------------------------------ likeness


def test_the_distance_and_its_chance_are_those_of_scipy() -> None:
    from scipy.stats import ks_2samp

    chance = np.random.Generator(np.random.PCG64(3))
    one, other = chance.normal(size=700), chance.normal(0.08, size=900)
    expected = ks_2samp(one, other, method="asymp")
    assert ks_distance(one, other) == pytest.approx(expected.statistic)
    assert plain_p_value(expected.statistic, 700, 900) == pytest.approx(expected.pvalue, rel=0.25)


@pytest.mark.parametrize(
    ("quantity", "change"),
    [
        ("none", lambda _: {}),
        ("arrival", lambda jobs: {"submit_s": np.linspace(0.0, 28 * DAY_S, len(jobs))}),
        ("size", lambda jobs: {"num_devices": np.where(jobs.num_devices == 1, 2, jobs.num_devices)}),
        ("duration", lambda jobs: {"run_s": jobs.run_s * 3.0}),
    ],
)
def test_the_judge_accepts_its_own_and_refuses_what_differs(quantity: str, change: Any) -> None:
    generator = plain()
    own = generate(generator, 99, span_s=28 * DAY_S, start=MONDAY)
    columns = {name: getattr(own, name) for name in ("submit_s", "num_devices", "run_s")} | change(own)
    judged = likeness(generator, JobTable.of(**columns, user=own.words("user"), start=MONDAY), num_draws=39)
    for found in judged:
        assert (found.p_value <= 0.025) == (found.quantity == quantity), found
        assert (found.plain_p_value < 0.01) == (found.quantity == quantity), found


# ------------------------------------------------------------------------------------------------ shipped


def philly_files(reference_data: Path) -> tuple[Path, Path]:
    cluster = reference_data / "data/cluster"
    return cluster / "philly/philly_gpu_jobs.parquet", cluster / "acme/cluster_summary.csv"


def test_the_shipped_generators_are_what_their_sources_give(reference_data: Path, tmp_path: Path) -> None:
    trace, summary = philly_files(reference_data)
    for made in (fit_philly(trace, summary), shape_acme(summary)):
        shipped = shipped_folder("hardware_profiles") / "job_generators" / f"{made.name}.yaml"
        text = shipped.read_text("utf-8")
        assert len(text) < 20_000
        headline = text.partition("\n")[0].removeprefix("# ")
        assert generator_yaml(made, headline) == text
        copy = tmp_path / shipped.name
        copy.write_text(text, "utf-8")
        assert validate(load_document(copy), Generator, {}) == made


@pytest.mark.parametrize(
    ("generator", "published"),
    [
        (PHILLY, {"failed": (0.305, 0.386), "cancelled": (0.090, 0.294)}),
        (ACME, {"failed": (0.429, 0.124), "cancelled": (0.075, 0.664)}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_shares_of_outcomes_are_the_published_ones(
    generator: Generator, published: dict[str, tuple[float, float]]
) -> None:
    """Of jobs and of accelerator-hours: AcmeTrace data/cluster_summary.csv, rows Philly and Seren."""
    jobs = generate(generator, 1, num_jobs=500_000)
    device_s = jobs.run_s * jobs.num_devices
    for word, (of_jobs, of_hours) in published.items():
        chance = chances(generator, device_s, word)
        assert chance.mean() == pytest.approx(of_jobs, abs=0.01)
        assert (chance @ device_s) / device_s.sum() == pytest.approx(of_hours, abs=0.04)


def test_the_figures_of_acme_are_the_published_ones() -> None:
    told = describe(generate(ACME, 1, num_jobs=500_000))
    assert told["mean_devices"] == pytest.approx(5.68, rel=0.05)
    assert told["largest_devices"] == 1024
    assert told["run_s_p50"] == pytest.approx(122.0, rel=0.03)
    assert told["mean_run_s"] == pytest.approx(1414.3, rel=0.05)
    assert told["gpu_hours"] / told["num_jobs"] == pytest.approx(32_405 / 3600.0, rel=0.15)


@pytest.mark.slow
def test_a_month_that_no_fit_saw_passes_with_one_job_a_batch(reference_data: Path) -> None:
    trace, summary = philly_files(reference_data)
    months = philly_months(trace)
    fitted_to = [part for month, parts in months.items() if month != "2017-11" for part in parts]
    generator = fit_philly(trace, summary, without="2017-11")
    judged = {
        found.quantity: found for found in likeness(generator, months["2017-11"], fitted_to, num_draws=19)
    }
    for found in judged.values():
        assert found.batch_monte_carlo_p_value > 0.05, found
        assert found.batch_distance < 0.07, found
    assert judged["size"].batch_p_value > 0.05
    (month,) = months["2017-11"]
    slower = JobTable.of(
        submit_s=month.submit_s - month.submit_s[0],
        num_devices=month.num_devices,
        run_s=month.run_s * 3.0,
        user=month.words("user"),
        start=datetime(2017, 11, 1, tzinfo=UTC),
    )
    refused = {found.quantity: found for found in likeness(generator, slower, num_draws=19)}
    assert refused["duration"].batch_monte_carlo_p_value <= 0.05, "the test is able to refuse"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("week_spread: ", "week_spread: -", "week_spread: found -"),
        ("levels_percent: [0.0, 0.5", "levels_percent: [0.5, 0.0", "rising levels from 0 to 100"),
        ("num: 15", "num: 0", "users.num"),
        ("none_frac: 0.0", "none_frac: 1.5", "limit.none_frac: found 1.5"),
        ("alike_frac", "alike_frc", "alike_frc"),
    ],
)
def test_a_wrong_generator_file_is_told_by_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = (shipped_folder("hardware_profiles") / "job_generators/philly-2017.yaml").read_text("utf-8")
    assert old in text
    file = tmp_path / "philly-2017.yaml"
    file.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(InputError) as caught:
        validate(load_document(file), Generator, {})
    assert told in str(caught.value)
    assert "philly-2017.yaml:" in str(caught.value)
