"""Fits of the kernel models find what made a table, and say how far they are off elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from simtool.calibrate.fit import (
    ATTENTION,
    GEMM,
    MEMORY,
    Coefficient,
    Device,
    fit_attention,
    fit_curve,
    fit_gemm,
    fit_memory,
)
from simtool.calibrate.tables import KernelTable, gemm_table, memory_table
from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s
from simtool.rng import stream

DEVICE = Device(
    peak_flop_per_s=300e12,
    num_processors=100,
    bandwidth_bytes_per_s=2e12,
    cache_bytes=40e6,
    element_bytes=2.0,
)
PRICED = {
    "peak_flop_per_s": 300e12,
    "num_processors": 100,
    "bandwidth_bytes_per_s": 2e12,
    "element_bytes": 2.0,
}


@dataclass(frozen=True)
class GemmTruth:
    peak_frac: float = 0.65
    k_half: float = 200.0
    tile_half: float = 20.0
    wave_frac: float = 0.3
    bandwidth_frac: float = 0.75
    latency: float = 4e-6


@dataclass(frozen=True)
class AttentionTruth:
    peak_frac: float = 0.7
    seq_half: float = 400.0
    head_half: float = 50.0
    tail_waves: float = 0.7
    latency: float = 1e-5
    backward_ratio: float = 2.9


def noisy(time_s, noise):
    return np.asarray(time_s) * np.exp(
        noise * stream(1, "kernels", "noise").standard_normal(np.shape(time_s))
    )


def grid(*axes):
    return [axis.ravel().astype(float) for axis in np.meshgrid(*axes, indexing="ij")]


def products(noise=0.0, truth=None):
    m, n, k = grid(2.0 ** np.arange(5, 15), 96.0 * np.arange(1, 121, 6), 2.0 ** np.arange(6, 14.5, 0.5))
    time_s = gemm_time_s(m, n, k, curve=truth or GemmTruth(), **PRICED)
    return gemm_table(m, n, k, noisy(time_s, noise))


def attentions(noise=0.0, cache_write_passes=3.0):
    batch, heads, tokens, width, shared = grid(
        [1, 4, 16], [4, 8, 16, 24, 32, 48, 64], 2.0 ** np.arange(7, 15), [64, 96, 128, 192, 256], [1, 2, 4]
    )
    columns = {
        "batch": batch,
        "num_heads": heads,
        "seq_len": tokens,
        "head_dim": width,
        "num_kv_heads": heads / shared,
    }
    time_s = attention_time_s(
        batch, heads, tokens, width, curve=AttentionTruth(), num_kv_heads=heads / shared, **PRICED
    )
    written = cache_write_passes * 2.0 * batch * tokens * heads / shared * width * 2.0
    work = 2.0 * batch * heads * tokens**2 * width
    _, group = np.unique(np.stack([heads, width, shared], axis=1), axis=0, return_inverse=True)
    return KernelTable(
        columns=columns,
        time_s=noisy(time_s + written / 2e12, noise),
        work=work,
        group=group.reshape(-1),
        is_training=(tokens >= 512) & (work > 10e9),
    )


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_gemm_fit_finds_the_coefficients_that_made_the_table(noise):
    fit = fit_gemm(products(noise), DEVICE)
    assert fit.values["peak_frac"] == pytest.approx(0.65, rel=0.02)
    assert fit.values["k_half"] == pytest.approx(200.0, rel=0.1)
    assert fit.values["bandwidth_frac"] == pytest.approx(0.75, rel=0.05)
    assert fit.values["wave_frac"] == pytest.approx(0.3, rel=0.3)
    assert fit.values["latency"] == pytest.approx(4e-6, rel=0.1)
    assert fit.training.p50 < 0.01 + noise
    assert fit.everywhere.p50 < 0.02 + noise
    assert fit.training.p50 < fit.constant_training.p50


SLOW = replace(DEVICE, bandwidth_bytes_per_s=0.5e12, cache_bytes=100e6)
"""A memory so slow that the cache shows beside it."""


def looped_products(num_weights, cache_speed):
    """Products in a loop over weights that the cache of `SLOW` holds all of or none of."""
    table = products()
    m, n, k = (table.columns[name] for name in "mnk")
    weight, beside = 2.0 * n * k, 2.0 * m * (n + k)
    holds_all = num_weights * weight + beside < SLOW.cache_bytes
    holds_one = weight + beside < SLOW.cache_bytes
    moved = np.where(holds_all, weight / cache_speed, weight) + np.where(
        holds_one, beside / cache_speed, beside
    )
    priced = {**PRICED, "bandwidth_bytes_per_s": SLOW.bandwidth_bytes_per_s}
    time_s = gemm_time_s(m, n, k, curve=GemmTruth(), moved_bytes=moved, **priced)
    return gemm_table(m, n, k, np.asarray(time_s))


def test_a_gemm_fit_tells_the_memory_from_the_cache_that_a_loop_of_weights_stays_in():
    looped = looped_products(num_weights=6, cache_speed=5.0)
    blind, aware = (fit_gemm(looped, SLOW, num_weights=number) for number in (0, 6))
    assert aware.values["bandwidth_frac"] == pytest.approx(0.75, rel=0.05)
    assert aware.values["latency"] == pytest.approx(4e-6, rel=0.1)
    assert aware.nuisances["cache_share"] == pytest.approx(1.0, rel=0.1)
    assert aware.nuisances["cache_speed"] == pytest.approx(5.0, rel=0.2)
    assert set(aware.values) == set(GEMM)
    assert aware.plain_everywhere.p90 < 0.5 * blind.plain_everywhere.p90
    assert aware.everywhere.p90 < blind.everywhere.p90


def test_a_loop_that_no_cache_holds_changes_nothing():
    table, small = products(0.02), replace(DEVICE, cache_bytes=1.0)
    blind, aware = (fit_gemm(table, small, corrected=False, num_weights=number) for number in (0, 6))
    assert aware.values == pytest.approx(blind.values, rel=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_an_attention_fit_tells_the_kernel_from_the_cache_write(noise):
    fit = fit_attention(attentions(noise), DEVICE)
    assert fit.values["peak_frac"] == pytest.approx(0.7, rel=0.1)
    assert fit.values["tail_waves"] == pytest.approx(0.7, rel=0.15)
    assert fit.nuisances["cache_write_passes"] == pytest.approx(3.0, rel=0.2)
    assert "cache_write_passes" not in fit.values
    assert fit.training.p50 < 0.01 + noise


def test_a_memory_fit_tells_the_memory_from_the_cache():
    num_bytes = np.geomspace(1e4, 1e9, 1000)
    moved = np.maximum(num_bytes - 0.3 * DEVICE.cache_bytes, 0.0)
    table = memory_table(num_bytes, noisy(moved / (0.85 * 2e12) + 3e-6, 0.01), DEVICE.cache_bytes)
    fit = fit_memory(table, DEVICE)
    assert fit.values["bandwidth_frac"] == pytest.approx(0.85, rel=0.03)
    assert fit.values["latency"] == pytest.approx(3e-6, rel=0.3)
    assert set(fit.values) == {"bandwidth_frac", "latency"}


def test_odd_kernels_do_not_pull_the_fit():
    clean = products(0.02)
    time_s = clean.time_s.copy()
    time_s[::17] *= 4.0
    odd = replace(clean, time_s=time_s)
    assert fit_gemm(odd, DEVICE).values["peak_frac"] == pytest.approx(0.65, rel=0.03)


def test_an_almost_empty_table_stays_at_the_priors():
    table = products()
    few = table.where((table.columns["m"] == 2.0**14) & (table.group % 12 == 0))
    fit = fit_gemm(few, DEVICE)
    assert fit.values["latency"] == pytest.approx(GEMM["latency"].prior, rel=0.1)
    assert fit.values["peak_frac"] == pytest.approx(0.65, rel=0.15)


def test_no_shape_is_predicted_by_a_fit_that_saw_it():
    """A model that remembers the groups it saw does no better than chance on the others."""
    table = products()
    seen_groups = []

    def predict(curve, rows):
        seen_groups.append(set(rows.group))
        return np.full(len(rows), curve.level)

    fit_curve(table, {"level": Coefficient(1e-3, 10.0)}, predict)
    held = [groups for groups in seen_groups if len({group % 5 for group in groups}) == 1]
    assert len(held) == 5
    assert set.union(*held) == set(table.group)
    assert sum(len(groups) for groups in held) == table.num_groups


def test_spreads_shrink_with_the_noise():
    quiet, loud = (fit_gemm(products(noise), DEVICE).spreads["peak_frac"] for noise in (0.005, 0.2))
    assert 0 <= quiet < loud < 0.2


def test_the_same_table_gives_the_same_fit():
    assert fit_gemm(products(0.1), DEVICE) == fit_gemm(products(0.1), DEVICE)


@pytest.mark.parametrize("coefficients", [GEMM, ATTENTION, MEMORY])
def test_scales_go_there_and_back(coefficients):
    for coefficient in coefficients.values():
        assert coefficient.outward(coefficient.inward(coefficient.prior)) == pytest.approx(coefficient.prior)
        assert 0.0 < coefficient.outward(-5.0) < coefficient.outward(5.0)
        if coefficient.is_frac:
            assert coefficient.outward(30.0) <= 1.0
