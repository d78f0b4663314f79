"""Calibration from profiler traces: known devices are found again, and what cannot be known is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.calibrate.prior_fit import PriorFit
from simtool.calibrate.profiled_calibration import ProfiledCalibration, calibrate_runs
from simtool.calibrate.profiled_runs import read_runs
from simtool.errors import InputError
from simtool.machine.power import clock_under_cap
from simtool.profiles.find import ProfileLibrary, default_library
from simtool.trace.importing import import_trace
from tests.calibrate.made_profile import DEVICE, Maker, Truth, host_bound, loads, run

LIBRARY = default_library()


def calibrated(*paths: Path, **choices: Any) -> ProfiledCalibration:
    return calibrate_runs(read_runs([str(path) for path in paths]), "mine", LIBRARY, **choices)


def fit_of(found: ProfiledCalibration, name: str) -> PriorFit:
    fit, reason = found.fits[name]
    assert fit is not None, reason
    return fit


def frac(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high)


@settings(max_examples=6, deadline=None)
@given(
    peak=frac(0.5, 0.9), bandwidth=frac(0.55, 0.95), latency=frac(2e-6, 6e-6), k_half=frac(110.0, 200.0),
    weight=frac(0.95, 1.3), flash=frac(0.4, 0.9), backward=frac(2.2, 3.4), streaming=frac(0.55, 0.95),
    noise=frac(0.0, 0.05), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_known_device_is_found_within_three_stated_errors(
    tmp_path_factory: pytest.TempPathFactory, peak: float, bandwidth: float, latency: float, k_half: float,
    weight: float, flash: float, backward: float, streaming: float, noise: float, seed: int,
) -> None:  # fmt: skip
    plain = Truth()
    truth = Truth(
        gemm={
            **plain.gemm, "peak_frac": peak, "bandwidth_frac": bandwidth, "latency": latency, "k_half": k_half,
            "weight_gradient_ratio": weight,
        },
        attention={**plain.attention, "peak_frac": flash, "backward_ratio": backward},
        memory={"bandwidth_frac": streaming, "latency": latency}, noise=noise,
    )  # fmt: skip
    path = run(truth, seed=seed, steps=1).write(tmp_path_factory.mktemp("made") / "trace.json")
    found = calibrated(path)
    for name, known in (("gemm", truth.gemm), ("attention", truth.attention), ("memory", truth.memory)):
        fit = fit_of(found, name)
        for key, one in fit.estimates.items():
            assert abs(np.log(one.value / known[key])) < 3.0 * one.spread, (name, key)
        assert fit.residuals(fit.held_out_s).p50 < 0.03 + noise
    for name, key in (("gemm", "peak_frac"), ("attention", "peak_frac"), ("memory", "bandwidth_frac")):
        assert key in fit_of(found, name).fitted
    assert {"weight_gradient_ratio"} <= set(fit_of(found, "gemm").fitted)
    assert {"backward_ratio"} <= set(fit_of(found, "attention").fitted)


def test_power_and_links_are_found(tmp_path: Path) -> None:
    make = loads(Truth())
    log = tmp_path / "power.csv"
    log.write_text(make.power_log(), "utf-8")
    found = calibrated(make.write(tmp_path / "trace.json"), log)
    fit = fit_of(found, "power")
    assert fit.is_taken
    assert set(fit.fitted) == {"compute", "memory", "communication", "waiting"}
    for doing, watts in Truth().power_w.items():
        assert fit.estimates[doing].value == pytest.approx(watts, rel=0.05)
    assert fit.residuals(fit.held_out_s).p50 < 0.03 < fit.residuals(fit.prior_s).p50
    assert fit_of(found, "links").is_taken
    profile = _read(found, tmp_path / "written")
    assert profile.power.by_phase.compute.value == pytest.approx(620 / 700, rel=0.05)
    assert profile.power.by_phase.compute.kind == "measured"
    assert profile.power.idle is not None
    assert profile.power.idle.value == 70.0
    assert profile.scale_up is not None
    assert profile.scale_up.network == "mine"


def test_an_imported_folder_tells_the_same_as_its_files(tmp_path: Path) -> None:
    make = loads(Truth(), rounds=2)
    log = tmp_path / "power.csv"
    log.write_text(make.power_log(), "utf-8")
    trace = make.write(tmp_path / "trace.json")
    folder = import_trace([trace, log]).write(tmp_path / "folder")
    files, imported = calibrated(trace, log), calibrated(folder)
    for name in ("gemm", "memory", "links", "power"):
        ours, theirs = fit_of(files, name), fit_of(imported, name)
        assert {key: one.value for key, one in ours.estimates.items()} == pytest.approx(
            {key: one.value for key, one in theirs.estimates.items()}, rel=1e-3
        )


def test_the_clock_tells_the_answer_to_a_cap_and_a_cap_is_no_power_of_the_work(tmp_path: Path) -> None:
    """Of 620 W while computing 21 flow at any clock; the rest goes with clock^3 above 0.7 of the fastest clock."""
    make = Maker(Truth())
    for number in range(6):
        end_us = make.now_us + 5e5
        while make.now_us < end_us:
            make.product(16384, 8192, (8192, 4096)[len(make.doing) % 2])
        make.wait(0.2 + 0.02 * number)
    lines = make.power_log().splitlines()
    held = [f"{lines[0]}, clocks.current.sm [MHz], power.limit [W]"]
    for place, line in enumerate(lines[1:]):
        cells = line.split(", ")
        power_w, clock, limit = float(cells[3]), 1900.0, 700.0
        cap_w = 200.0 + 80.0 * (place % 200 // 50)
        if place > len(lines) // 2 and power_w > cap_w:
            clock *= float(clock_under_cap(power_w, 21.0, cap_w, exponent=3.0, voltage_floor=0.7))
            power_w, limit = cap_w, cap_w
        held.append(", ".join([*cells[:3], f"{power_w:.1f}", f"{clock:.0f}", f"{limit:.0f}"]))
    log = tmp_path / "power.csv"
    log.write_text("\n".join(held), "utf-8")
    found = calibrated(make.write(tmp_path / "trace.json"), log)
    fit = fit_of(found, "cap")
    assert fit.is_taken
    assert "voltage_floor" in fit.fitted
    for name, truth in (("voltage_floor", 0.7), ("cap_exponent", 3.0)):
        one = fit.estimates[name]
        assert abs(np.log(one.value / truth)) < 3.0 * one.spread
    assert fit.residuals(fit.held_out_s).p50 < 0.03
    assert set(fit.estimates) == {"cap_exponent", "static", "voltage_floor"}
    assert fit_of(found, "power").estimates["compute"].value == pytest.approx(620.0, rel=0.07)
    assert any("under a cap of 200, 360, 440 W, of 700 W" in note for note in found.notes)
    assert any("at the cap" in note for note in found.notes)
    profile = _read(found, tmp_path / "written")
    assert profile.power.cap is not None
    assert profile.power.cap.voltage_floor.kind == "calibrated"
    assert profile.power.cap.voltage_floor.value == pytest.approx(
        fit.estimates["voltage_floor"].value, rel=1e-2
    )


def test_what_stayed_is_written_as_the_prior_has_it(tmp_path: Path) -> None:
    make = Maker(Truth())
    for rows in (2048, 4096, 8192, 16384):
        for columns in (4096, 8192):
            make.product(rows, columns, 8192)
    found = calibrated(make.write(tmp_path / "trace.json"))
    prior, profile = LIBRARY.get("accelerator", "h100-sxm"), _read(found, tmp_path / "written")
    assert "peak_frac" in fit_of(found, "gemm").fitted
    assert profile.efficiency.gemm.peak_frac.value == pytest.approx(0.7, rel=0.1)
    assert profile.efficiency.gemm.tile_half.value == prior.efficiency.gemm.tile_half.value
    assert profile.efficiency.gemm.tile_half.source == prior.efficiency.gemm.tile_half.source
    assert profile.efficiency.attention == prior.efficiency.attention
    assert profile.efficiency.memory == prior.efficiency.memory
    assert profile.power == prior.power
    assert found.fits["attention"] == (None, "no call of a known size and format")
    assert found.fits["power"] == (None, "no power was logged beside the ops")
    assert profile.efficiency.training_ratio.value == 1.0


def test_one_shape_is_held_out_by_steps_and_one_step_tells_nothing(tmp_path: Path) -> None:
    make = Maker(Truth())
    for step in range(1, 5):
        begin_us = make.now_us
        make.product(4096, 4096, 4096)
        make.record.step(step, begin_us - 10, make.now_us - begin_us + 5)
    found = calibrated(make.write(tmp_path / "trace.json"))
    assert found.classes["gemm"].held_out_by == "steps"
    assert found.classes["gemm"].is_taken
    alone = Maker(Truth())
    alone.product(4096, 4096, 4096)
    with pytest.raises(InputError, match="one shape in 1 step: nothing can be held out"):
        calibrated(alone.write(tmp_path / "alone.json"))


def test_a_family_is_a_prior_too(tmp_path: Path) -> None:
    path = run(Truth(), steps=1).write(tmp_path / "trace.json")
    found = calibrated(path, hardware="hopper")
    assert found.origin.curves_of == "hopper"
    assert found.origin.hardware.name == "h100-sxm"
    for wrong, said in (
        ("ampere", "ampere is a family, which has no peak rates"),
        ("mi300x", r"found mi300x \(cdna3\), but the traces are of 'NVIDIA H100 80GB HBM3'"),
        ("h100", "unknown accelerator or family 'h100'; did you mean"),
    ):
        with pytest.raises(InputError, match=said):
            calibrated(path, hardware=wrong)


def _renamed(make: Maker, path: Path, name: str) -> Path:
    document = make.document()
    document["deviceProperties"] = [{**DEVICE, "name": name}]
    path.write_text(json.dumps(document), "utf-8")
    return path


def test_devices_that_are_unknown_or_mixed(tmp_path: Path) -> None:
    make = run(Truth(), steps=1)
    ours = make.write(tmp_path / "h100.json")
    unknown = _renamed(make, tmp_path / "unknown.json", "Abacus 3000")
    with pytest.raises(
        InputError, match=r"'Abacus 3000', which no hardware profile is known of; say with --hardware"
    ):
        calibrated(unknown)
    found = calibrated(unknown, hardware="h100-sxm")
    assert "no profile is known of 'Abacus 3000': taken for a h100-sxm" in found.notes
    with pytest.raises(InputError, match="all traces of one kind of device"):
        calibrated(ours, unknown)
    slow = _renamed(make, tmp_path / "slow.json", "NVIDIA L4")
    with pytest.raises(InputError, match="of the time of products is of calls above the peak rate of l4"):
        calibrated(slow)


def test_two_ranks_in_one_file_count_alike(tmp_path: Path) -> None:
    first = run(Truth(), steps=1)
    second = run(Truth(), seed=1, steps=1)
    for event in second.record.events:
        event["pid"] = {100: 200, 0: 1}[event["pid"]]
        if event["tid"] == 100:
            event["tid"] = 200
        for key in ("correlation", "device"):
            if key in event.get("args", {}):
                event["args"][key] += {"correlation": 100_000, "device": 1}[key]
    document = first.document()
    document["traceEvents"] += second.record.events
    document["deviceProperties"] = [DEVICE, {**DEVICE, "id": 1}]
    path = tmp_path / "both.json"
    path.write_text(json.dumps(document), "utf-8")
    found = calibrated(path)
    assert any("several ranks in one trace (0, 1): their calls count alike" in note for note in found.notes)
    assert {call.num_calls for call in found.classes["gemm"].calls} == {2}


def test_without_shapes_or_power_nothing_is_told(tmp_path: Path) -> None:
    make = run(Truth(), steps=1)
    for event in make.record.events:
        event.get("args", {}).pop("Input Dims", None)
    with pytest.raises(InputError, match=r"shapes: none were recorded.*record_shapes=True"):
        calibrated(make.write(tmp_path / "trace.json"))


def test_power_alone_is_enough(tmp_path: Path) -> None:
    make = loads(Truth(), rounds=2)
    for event in make.record.events:
        for key in ("Input Dims", "In msg nelems"):
            event.get("args", {}).pop(key, None)
    log = tmp_path / "power.csv"
    log.write_text(make.power_log(), "utf-8")
    found = calibrated(make.write(tmp_path / "trace.json"), log)
    assert fit_of(found, "power").is_taken
    assert not any(one.is_taken for one in found.classes.values())
    profile = _read(found, tmp_path / "written")
    assert profile.efficiency == LIBRARY.get("accelerator", "h100-sxm").efficiency


def test_a_log_that_is_nobodys(tmp_path: Path) -> None:
    make = run(Truth(), steps=1)
    traces = [make.write(tmp_path / name) for name in ("a.json", "b.json")]
    log = tmp_path / "power.csv"
    log.write_text(make.power_log(), "utf-8")
    with pytest.raises(InputError, match=r"is a power log beside 2 trace files.*simtool import"):
        calibrated(*traces, log)
    with pytest.raises(InputError, match="is a power log without a trace file"):
        calibrated(log)
    with pytest.raises(InputError, match="is named twice"):
        calibrated(traces[0], traces[0])


def test_collectives_over_another_network_do_not_slow_the_domain_down(tmp_path: Path) -> None:
    from simtool.machine.network import Link

    make = run(Truth(), steps=1)
    slow = Link(name="slow", bandwidth_bytes_per_s=20e9, efficiency_frac=0.8, latency_s=1e-5, startup_s=3e-5)
    for exponent in range(18, 28):
        make.reduction(2**exponent, slow)
    found = calibrated(make.write(tmp_path / "trace.json"))
    assert found.links.fit is None
    assert "they went over another network" in found.links.reason


def _read(found: ProfiledCalibration, folder: Path) -> Any:
    found.write(folder)
    return ProfileLibrary((folder, *LIBRARY.folders)).get("accelerator", "mine")


def test_the_launch_floor_of_a_framework(tmp_path: Path) -> None:
    """Seven launches a layer at 25 us: 0.175 ms, between which and the prior of 1.2 ms the fit lies."""
    path = host_bound(Truth(noise=0.0)).write(tmp_path / "trace.json")
    found = calibrated(path, software="torchtitan")
    assert found.launch.is_host_bound
    assert found.launch.host_s is not None
    assert found.launch.host_s[1] == pytest.approx(25e-6, rel=0.02)
    assert found.software is not None
    assert found.software.launches_per_layer == pytest.approx(7.0)
    floor = found.software.launch_floor
    assert floor.is_fitted
    assert 0.175e-3 < floor.value < 0.6 * 1.2e-3
    found.write(tmp_path / "written")
    library = ProfileLibrary((tmp_path / "written", *LIBRARY.folders))
    written, prior = library.get("software", "mine"), LIBRARY.get("software", "torchtitan")
    assert written.launch_floor.value == pytest.approx(floor.value, rel=1e-3)
    assert written.accuracy is None
    assert written.seen == ("hopper",)
    assert written.dp_exposed == prior.dp_exposed


def test_forward_passes_tell_no_launch_floor(tmp_path: Path) -> None:
    make = Maker(Truth())
    for heads in (8, 16, 32):
        make.attention(2, heads, 1024, 64)
        make.product(2048, 64 * heads, 4096)
    found = calibrated(make.write(tmp_path / "trace.json"), software="torchtitan")
    assert found.software is not None
    assert found.software.reason == "no backward pass is in the traces"
    assert not found.software.launch_floor.is_fitted


def test_a_chakra_trace_says_no_device_and_is_taken_for_one(tmp_path: Path) -> None:
    """Products at 500 TFLOP/s and 3 us more, each under its operator."""
    nodes: list[dict[str, Any]] = []
    now_us = 100.0
    for m in (1024, 4096, 16384):
        for n, k in ((1024, 4096), (4096, 4096), (8192, 2048)):
            time_us = 2.0 * m * n * k / 500e6 + 3.0
            kinds = ["Tensor(c10::BFloat16)"] * 2
            inputs = {"values": ["<Tensor>"] * 2, "shapes": [[m, k], [k, n]], "types": kinds}
            number = len(nodes) + 1
            nodes += [
                {"id": number, "name": "aten::mm", "ctrl_deps": 0, "cat": "cpu_op", "ts": now_us, "inclusive_dur": 4,
                 "inputs": inputs},
                {"id": number + 1, "name": "nvjet_tst_128x128", "ctrl_deps": number, "cat": "kernel", "ts": now_us + 5,
                 "exclusive_dur": time_us, "stream": 7},
            ]  # fmt: skip
            now_us += time_us + 10
    path = tmp_path / "chakra.json"
    path.write_text(json.dumps({"schema": "1.1.1-chakra.0.0.4", "pid": 1, "nodes": nodes}), "utf-8")
    with pytest.raises(InputError, match="the device has no name; say with --hardware"):
        calibrated(path)
    found = calibrated(path, hardware="h100-sxm")
    fit = fit_of(found, "gemm")
    assert fit.is_taken
    assert fit.residuals(fit.held_out_s).p50 < 0.05 < fit.residuals(fit.prior_s).p50
    assert "no profile is known of 'a device without a name': taken for a h100-sxm" in found.notes
