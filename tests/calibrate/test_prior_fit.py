"""Fits that begin at a prior: what the data tell is found, what they do not tell stays, and both are said."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.calibrate.fit import Coefficient
from simtool.calibrate.prior_fit import PriorFit, fit_with_prior
from simtool.calibrate.tables import FloatArray, KernelTable

RATE, LATENCY = Coefficient(1.0e12, 0.5), Coefficient(2e-6, 0.5)


def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
    return np.asarray(rows.work / curve.rate + curve.latency)


def table(sizes: FloatArray, rate: float, latency: float, noise: float = 0.0, seed: int = 0) -> KernelTable:
    generator = np.random.default_rng(seed)
    time_s = (sizes / rate + latency) * np.exp(generator.normal(0.0, noise, len(sizes)))
    return KernelTable(
        columns={}, time_s=time_s, work=sizes, group=np.arange(len(sizes)), is_training=np.ones(len(sizes), bool)
    )  # fmt: skip


def fitted(sizes: FloatArray, rate: float, latency: float, noise: float = 0.0, seed: int = 0) -> PriorFit:
    return fit_with_prior(
        table(sizes, rate, latency, noise, seed), {"rate": RATE, "latency": LATENCY}, predict
    )


@given(
    rate=st.floats(0.4e12, 2.5e12), latency=st.floats(0.8e-6, 5e-6), noise=st.floats(0.0, 0.08),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_what_sizes_tell_is_found_within_three_stated_errors(
    rate: float, latency: float, noise: float, seed: int
) -> None:
    found = fitted(np.geomspace(1e4, 1e9, 14), rate, latency, noise, seed)
    assert found.fitted == ("rate", "latency")
    for name, truth in (("rate", rate), ("latency", latency)):
        one = found.estimates[name]
        assert abs(np.log(one.value / truth)) < 3.0 * one.spread
        assert one.spread < one.prior_spread


def test_large_sizes_tell_no_latency_and_small_ones_no_rate() -> None:
    large = fitted(np.geomspace(1e8, 1e9, 8), 0.7e12, 5e-6)
    assert large.fitted == ("rate",)
    assert large.estimates["latency"].value == LATENCY.prior
    assert large.estimates["latency"].spread == pytest.approx(LATENCY.deviation)
    small = fitted(np.geomspace(1e2, 1e4, 8), 0.7e12, 5e-6)
    assert small.fitted == ("latency",)
    assert small.estimates["rate"].value == RATE.prior


def test_more_shapes_make_the_stated_error_smaller() -> None:
    spreads = [
        fitted(np.geomspace(1e7, 1e9, num), 0.7e12, 2e-6).estimates["rate"].spread for num in (3, 10, 40)
    ]
    assert spreads == sorted(spreads, reverse=True)


def test_held_out_predictions_do_not_know_the_kernel() -> None:
    sizes = np.geomspace(1e7, 1e9, 5)
    plain = table(sizes, 1e12, 2e-6)
    odd = KernelTable(
        columns={}, time_s=plain.time_s * np.array([1, 1, 1, 1, 3.0]), work=sizes, group=plain.group,
        is_training=plain.is_training,
    )  # fmt: skip
    before, after = (fit_with_prior(one, {"rate": RATE, "latency": LATENCY}, predict) for one in (plain, odd))
    assert after.held_out_s[4] == pytest.approx(before.held_out_s[4])
    assert after.residuals(after.held_out_s).p90 > 0.2


def test_a_fit_that_predicts_unseen_shapes_worse_than_the_prior_is_not_taken() -> None:
    """The prior is right of the two kernels that take the time; forty others say something else."""
    sizes = np.full(42, 1e9)
    is_main = np.arange(42) < 2
    time_s = predict(SimpleNamespace(rate=1e12, latency=2e-6), SimpleNamespace(work=sizes))  # type: ignore[arg-type]
    time_s = time_s * np.where(is_main, 1.0, 1.6)
    rows = KernelTable(columns={}, time_s=time_s, work=sizes, group=np.arange(42), is_training=is_main)
    found = fit_with_prior(rows, {"rate": RATE, "latency": LATENCY}, predict)
    assert found.fitted == ("rate",)
    assert not found.is_taken
    assert vars(found.taken_curve) == {"rate": RATE.prior, "latency": LATENCY.prior}


def test_what_one_shape_says_and_another_denies_stays() -> None:
    """Two shapes of one size: a fast and a slow one; left out in turn they say opposite things."""
    sizes = np.full(2, 1e9)
    time_s = sizes / RATE.prior * np.array([0.2, 5.0])
    rows = KernelTable(
        columns={}, time_s=time_s, work=sizes, group=np.arange(2), is_training=np.ones(2, bool)
    )
    assert fit_with_prior(rows, {"rate": RATE, "latency": LATENCY}, predict).fitted == ()
