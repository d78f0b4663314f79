"""Published clusters with the failure rates of others: what lies inside the interval, and what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.checks.reliability import (
    FOLDER,
    RECOVERY,
    STUDIES,
    Guess,
    evenly,
    rates_of_others,
    read_ranges,
    read_studies,
)


@pytest.fixture(scope="module")
def outcome(reference_data: Path) -> Outcome:
    return CHECKS["reliability"](reference_data, default_library())


@pytest.mark.slow
def test_llama_and_five_more_are_inside_and_what_misses_is_told(outcome: Outcome) -> None:
    inside = {name for name, value in outcome.figures.items() if name.endswith("_inside") and value == 1.0}
    counted = {name for name in inside if "interruptions" in name}
    assert "meta_llama_3_405b_interruptions_in_54_d_inside" in inside
    assert "meta_llama_3_405b_effective_time_inside" in inside
    assert len(counted) >= 6
    assert outcome.figures["rows"] == 17.0
    assert outcome.figures["inside_80_frac"] >= 12 / 17
    assert outcome.figures["inside_90_frac"] >= 15 / 17
    assert (
        outcome.figures["meta_opt_175b_effective_time_inside"] == 0.0
    )  # restarts by hand, which no range holds
    assert "Meta OPT-175B" in outcome.notes[0]


@pytest.mark.slow
def test_every_row_has_its_cells(outcome: Outcome) -> None:
    assert {len(row) for row in outcome.rows} == {len(outcome.columns)}
    for row in outcome.rows:
        low, middle, high = (float(cell.replace(",", "")) for cell in row[1:4])
        assert low <= middle <= high


def test_a_rate_of_its_own_does_not_reach_its_prediction() -> None:
    shares = np.linspace(0.01, 0.99, 9)
    rates = {"a": 2.0, "b": 4.0, "c": 9.0, "d": 3.0}
    moved = rates_of_others(rates | {"d": 3000.0}, "d", shares)
    assert moved.tolist() == rates_of_others(rates, "d", shares).tolist()
    assert np.all(np.diff(moved) > 0)


def test_an_interval_of_few_clusters_covers_another_as_often_as_it_says() -> None:
    """Five lognormal clusters predict a sixth of the same family: nine in ten inside, by simulation."""
    random = np.random.Generator(np.random.PCG64(1))
    inside = 0
    for _ in range(2000):
        *others, new = np.exp(random.standard_normal(6)).tolist()
        rates = {str(place): rate for place, rate in enumerate(others)}
        low, high = rates_of_others(rates, "new", np.array([0.05, 0.95]))
        inside += low <= new <= high
    assert inside / 2000 == pytest.approx(0.9, abs=0.025)


def test_a_least_value_is_inside_if_the_interval_reaches_it() -> None:
    draws = np.linspace(0.5, 1.0, 101)
    guess = Guess(cluster="a", what="b", observed=0.9, is_least=True, draws=draws)
    assert guess.is_inside(0.8)
    assert guess.verdict(0.8) == "reached"
    low = Guess(cluster="a", what="b", observed=0.6, is_least=True, draws=draws)
    assert low.verdict(0.8) == "yes"
    high = Guess(cluster="a", what="b", observed=0.99, is_least=True, draws=draws)
    assert high.verdict(0.8) == "NO"


def test_draws_are_even() -> None:
    shares = evenly(100, "a", "b")
    assert np.sort((shares * 100).astype(int)).tolist() == list(range(100))


def test_tables_that_lack_something_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_studies(tmp_path)
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    (folder / STUDIES).write_text("cluster,n_accel\n", encoding="utf-8")
    with pytest.raises(InputError, match="days: found no such column"):
        read_studies(tmp_path)
    (folder / RECOVERY).write_text("param,range\nfailure_detect_s,600-10\n", encoding="utf-8")
    with pytest.raises(InputError, match="a range as 10-600"):
        read_ranges(tmp_path)
