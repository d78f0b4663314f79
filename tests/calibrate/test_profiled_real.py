"""Calibration from real traces: every figure is of shapes that the fit did not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.calibrate.prior_fit import PriorFit
from simtool.calibrate.profiled_calibration import ProfiledCalibration, calibrate_runs
from simtool.calibrate.profiled_calls import Call, calls_of
from simtool.calibrate.profiled_runs import read_runs
from simtool.errors import InputError
from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s
from simtool.machine.memory_bound import memory_time_s
from simtool.profiles.find import ProfileLibrary, default_library
from simtool.profiles.schema import Accelerator

MODELS = ("bert-small", "qwen1.5-0.5b", "vit-base")


def calibrated(folder: Path, *names: str, seed: int = 0) -> ProfiledCalibration:
    paths = [str(folder / "data" / "kineto" / f"{name}.json.gz") for name in names]
    return calibrate_runs(read_runs(paths), "mine", default_library(), seed=seed)


def errors(fit: PriorFit | None) -> tuple[float, float, float]:
    """Median error on held-out shapes that take the time: of the fit, of its prior, of one constant rate."""
    assert fit is not None
    held, prior, constant = (fit.residuals(one).p50 for one in (fit.held_out_s, fit.prior_s, fit.constant_s))
    return held, prior, constant


@pytest.mark.parametrize(
    ("device", "profile", "most"), [("h100", "h100-sxm", 0.12), ("mi300x", "mi300x", 0.18)]
)
def test_products_of_three_models(reference_data: Path, device: str, profile: str, most: float) -> None:
    found = calibrated(reference_data, *(f"{device}_{model}" for model in MODELS))
    assert found.origin.hardware.name == profile
    held, prior, constant = errors(found.classes["gemm"].fit)
    assert held < most
    assert held < 0.75 * prior
    assert held < 0.2 * constant
    assert {"peak_frac", "latency"} <= set(found.classes["gemm"].fit.fitted)  # type: ignore[union-attr]
    assert all(one.is_taken for one in found.classes.values())
    assert any("attention was fitted to kernels of" in note for note in found.notes)
    assert found.launch.host_s is not None
    assert 1e-5 < found.launch.host_s[1] < 1e-4


def test_the_whole_time_of_memory_bound_work_comes_nearer(reference_data: Path) -> None:
    """Single operations lie up to twice apart; their sum, predicted from others, does not."""
    for device in ("h100", "mi300x"):
        found = calibrated(reference_data, *(f"{device}_{model}" for model in MODELS)).classes["memory"]
        assert found.fit is not None
        calls = np.array([call.num_calls for call in found.calls])
        held, prior = (
            float(calls @ one / (calls @ found.fit.table.time_s))
            for one in (found.fit.held_out_s, found.fit.prior_s)
        )
        assert abs(held - 1.0) < 0.12 < abs(prior - 1.0)


def test_a_recommender_on_a100(reference_data: Path) -> None:
    """Products of odd sizes in tf32, hard for tiles: better than the prior and far better than a constant."""
    found = calibrated(reference_data, "a100_recsys_8rank")
    held, prior, constant = errors(found.classes["gemm"].fit)
    assert held < 0.32
    assert held < 0.9 * prior
    assert held < 0.5 * constant
    held, prior, constant = errors(found.classes["memory"].fit)
    assert held < 0.15 < prior < constant
    assert any("faster than the device can be" in note for note in found.notes)  # a look-up of a few rows
    assert found.links.reason == "the sizes of the collectives were not recorded"
    assert "fp32" in found.classes["gemm"].others


def test_what_the_draw_of_held_out_shapes_changes(reference_data: Path) -> None:
    values = [
        errors(
            calibrated(reference_data, *(f"h100_{model}" for model in MODELS), seed=seed).classes["gemm"].fit
        )[0]
        for seed in range(3)
    ]
    assert max(values) < 0.15


def test_a_trace_without_shapes_is_refused(reference_data: Path) -> None:
    with pytest.raises(InputError, match="record_shapes=True"):
        calibrated(reference_data, "a100_cnn_ddp_2rank")


def test_two_makers_devices_are_refused(reference_data: Path) -> None:
    with pytest.raises(InputError, match="all traces of one kind of device"):
        calibrated(reference_data, "h100_vit-base", "mi300x_vit-base")


def kernel_time_s(profile: Accelerator, calls: list[Call]) -> float:
    """Time of calls by a profile, as the step model prices them."""
    bandwidth = float(profile.memory.bandwidth)
    total = 0.0
    for call in calls:
        s = call.sizes
        rates = {
            "peak_flop_per_s": float(profile.peak[call.rate]) if call.op_class != "memory" else 0.0,
            "num_processors": profile.num_processors, "bandwidth_bytes_per_s": bandwidth, "element_bytes": 2.0,
        }  # fmt: skip
        curves = profile.efficiency
        if call.op_class == "gemm":
            one = gemm_time_s(s["m"], s["n"], s["k"], curve=curves.gemm, batch=s["batch"], **rates)  # type: ignore[arg-type]
        elif call.op_class == "attention":
            one = attention_time_s(
                s["batch"], s["num_heads"], s["seq_len"], s["head_dim"], num_kv_heads=s["num_kv_heads"],
                num_keys=s["num_keys"], curve=curves.attention, **rates,  # type: ignore[arg-type]
            )  # fmt: skip
        else:
            one = memory_time_s(s["num_bytes"], bandwidth_bytes_per_s=bandwidth, curve=curves.memory)
        total += call.num_calls * float(one)
    return total


@pytest.mark.parametrize(("device", "profile"), [("h100", "h100-sxm"), ("mi300x", "mi300x")])
def test_a_model_that_was_not_seen(reference_data: Path, tmp_path: Path, device: str, profile: str) -> None:
    """Kernel time of one model by the profile that the two others were calibrated to, and by the shipped one."""
    library = default_library()
    fitted, shipped = [], []
    for left_out in MODELS:
        folder = tmp_path / left_out
        calibrated(reference_data, *(f"{device}_{model}" for model in MODELS if model != left_out)).write(
            folder
        )
        mine = ProfileLibrary((folder, *library.folders)).get("accelerator", "mine")
        trace = str(reference_data / "data" / "kineto" / f"{device}_{left_out}.json.gz")
        calls = [
            call
            for call in calls_of(read_runs([trace]))
            if call.op_class == "memory" or (call.op_class in ("gemm", "attention") and call.rate == "bf16")
        ]
        measured = sum(call.num_calls * call.time_s for call in calls)
        fitted.append(abs(kernel_time_s(mine, calls) / measured - 1.0))
        shipped.append(abs(kernel_time_s(library.get("accelerator", profile), calls) / measured - 1.0))
    assert max(fitted) < 0.22
    assert np.mean(fitted) < 0.16 < np.mean(shipped)
    assert np.mean(fitted) < 0.6 * np.mean(shipped)
