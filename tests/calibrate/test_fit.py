"""Fits of the kernel models: they find what was put in, and hold on shapes they never saw."""

from __future__ import annotations

import numpy as np
import pytest

from simtool.calibrate.fit import ATTENTION, GEMM, Device, fit_gemm
from simtool.calibrate.kernels import efficiency_files, fit_all, residual_table
from simtool.calibrate.sources import INHERITED, MEASURED
from simtool.calibrate.tables import KernelTable
from simtool.machine.gemm import gemm_time_s
from simtool.profiles.find import default_library, shipped_folder
from simtool.rng import stream

DEVICE = Device(peak_flop_per_s=300e12, num_processors=100, bandwidth_bytes_per_s=2e12)


class Curve:
    """Coefficients of an invented device."""

    peak_frac, k_half, tile_half, wave_frac, bandwidth_frac, latency = 0.7, 250.0, 30.0, 0.3, 0.75, 6e-6


def invented(noise):
    """Kernels of the invented device, on a grid like a measured one."""
    grid = np.meshgrid(
        2.0 ** np.arange(6, 15), 2.0 ** np.arange(8, 15), 2.0 ** np.arange(8, 14), indexing="ij"
    )
    m, n, k = (axis.ravel() for axis in grid)
    time_s = np.asarray(
        gemm_time_s(
            m, n, k, peak_flop_per_s=300e12, num_processors=100, bandwidth_bytes_per_s=2e12, element_bytes=2.0,
            curve=Curve(),
        )
    )  # fmt: skip
    time_s = time_s * np.exp(noise * stream(1, "kernels", "noise").standard_normal(time_s.shape))
    flop = 2.0 * m * n * k
    return KernelTable(
        columns={"m": m, "n": n, "k": k},
        time_s=time_s,
        flop=flop,
        held_out=(n + k) % 5 == 0,
        is_training=(m >= 512) & (flop > 10e9),
    )


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_fit_finds_the_coefficients_that_made_the_table(noise):
    fit = fit_gemm(invented(noise), DEVICE)
    assert fit.values["peak_frac"] == pytest.approx(0.7, rel=0.03)
    assert fit.values["k_half"] == pytest.approx(250.0, rel=0.2)
    assert fit.values["latency"] == pytest.approx(6e-6, rel=0.1)
    assert fit.residual_p50 < 0.01 + noise
    assert fit.residual_p50 < fit.baseline_p50


def test_odd_kernels_do_not_pull_the_fit():
    table = invented(0.02)
    table.time_s[::17] *= 4.0
    assert fit_gemm(table, DEVICE).values["peak_frac"] == pytest.approx(0.7, rel=0.05)


def test_every_family_and_every_measured_device_has_its_file():
    folder = shipped_folder("hardware_profiles")
    families = {path.stem for path in (folder / "families").glob("*.yaml")}
    files = {path.stem for path in (folder / "efficiency").glob("*.yaml")}
    assert families == set(INHERITED)
    assert files == set(INHERITED) | set(MEASURED)


def test_the_fitted_devices_are_those_of_the_profiles():
    library = default_library()
    for name, measured in MEASURED.items():
        profile = library.get("accelerator", name)
        assert float(profile.peak["bf16"]) == pytest.approx(measured.peak_flop_per_s, rel=0.01)
        assert profile.num_processors == measured.num_processors
        assert float(profile.memory.bandwidth) == pytest.approx(measured.bandwidth_bytes_per_s, rel=0.02)
        assert set(GEMM) <= set(type(profile.efficiency.gemm).model_fields)
        assert set(ATTENTION) <= set(type(profile.efficiency.attention).model_fields)


def test_shipped_files_are_what_the_tables_give(reference_data):
    """And hold on shapes that were held out, better than one constant efficiency on the same rows."""
    fits = fit_all(reference_data)
    for name, text in efficiency_files(fits).items():
        assert (shipped_folder("hardware_profiles") / "efficiency" / name).read_text(encoding="utf-8") == text
    for both in fits.values():
        for fit in (both.gemm, both.attention):
            if fit is not None:
                assert fit.residual_p50 < 0.12
                assert fit.residual_p50 < fit.baseline_p50
                assert fit.residual_p90 < fit.baseline_p90
    assert residual_table(fits).count("\n") == sum(1 + (both.attention is not None) for both in fits.values())
