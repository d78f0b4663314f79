"""From a suite's trace to a profile: what made the trace is found, what was not measured is not claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.calibrate.trace_profile import Calibration, calibrate_trace, find_trace
from simtool.config.load import load_scenario
from simtool.errors import InputError, OutputError
from simtool.machine.gemm import gemm_time_s
from simtool.profiles.find import ProfileLibrary, default_library, find_scenario, shipped_folder
from simtool.profiles.schema import Accelerator
from simtool.result.run import run
from simtool.trace import Manifest, TraceWriter, read_trace
from tests.calibrate import made_trace as made

SHIPPED = shipped_folder("hardware_profiles")
LIBRARY = ProfileLibrary((SHIPPED,))
EXAMPLE, EXAMPLE_PROFILE = "cpu-example", "cpu-measured-ice-lake"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.make(tmp_path_factory.mktemp("made") / "trace")


@pytest.fixture(scope="module")
def found(folder: Path) -> Calibration:
    return calibrate_trace(read_trace(folder), "made-gpu", LIBRARY)


def profile_of(calibration: Calibration, folder: Path) -> Accelerator:
    calibration.write(folder)
    return ProfileLibrary((folder, SHIPPED)).get("accelerator", calibration.name)


def test_the_curves_that_made_the_trace_are_found(found: Calibration) -> None:
    rate = (
        found.found.device.peak_flop_per_s / made.PEAK
    )  # no data sheet: what the curve approaches is the peak
    truth = made.GemmTruth()
    values = found.found.gemm.values
    assert found.found.rates["bf16"] <= found.found.device.peak_flop_per_s
    assert values["peak_frac"] * rate == pytest.approx(truth.peak_frac, rel=0.03)
    assert values["latency"] == pytest.approx(truth.latency, rel=0.1)
    assert found.found.memory.values["latency"] == pytest.approx(2.5e-6, rel=0.1)
    assert found.found.launch_floor_s["mm eager"] == pytest.approx(6e-6, rel=0.05)
    unseen = np.array([(3000, 512, 8192), (5000, 9000, 700), (2500, 640, 7000)], float)
    m, n, k = unseen.T
    time_s = gemm_time_s(
        m,
        n,
        k,
        peak_flop_per_s=found.found.device.peak_flop_per_s,
        num_processors=made.PROCESSORS,
        bandwidth_bytes_per_s=found.found.device.bandwidth_bytes_per_s,
        element_bytes=2.0,
        curve=found.found.gemm.curve,
    )
    assert time_s == pytest.approx([made.product_s(*shape) for shape in unseen], rel=0.05)
    for fit in (found.found.gemm, found.found.attention, found.found.memory):
        assert fit is not None
        assert fit.training.p50 < 0.03
        assert fit.training.p90 < 0.08


def test_the_curves_beat_one_constant_on_shapes_that_they_never_saw(found: Calibration) -> None:
    for fit in (found.found.gemm, found.found.attention):
        assert fit is not None
        assert fit.training.p50 < 0.5 * fit.constant_training.p50
        assert fit.everywhere.p90 < 0.5 * fit.constant_everywhere.p90


def test_the_profile_says_what_was_measured(found: Calibration, tmp_path: Path) -> None:
    profile = profile_of(found, tmp_path)
    efficiency = profile.efficiency
    assert profile.architecture == "ampere"
    assert profile.vendor == "NVIDIA"
    assert profile.num_processors == made.PROCESSORS
    assert {"bf16", "fp32"} == set(profile.peak)
    assert {number.kind for number in profile.peak.values()} == {"calibrated"}
    assert profile.fastest["bf16"].kind == "measured"
    assert profile.memory.bandwidth.kind == "calibrated"
    assert profile.memory.bandwidth.value * efficiency.memory.bandwidth_frac.value == pytest.approx(
        0.9 * made.BANDWIDTH, rel=0.05
    )
    assert efficiency.gemm.weight_gradient_ratio.value == pytest.approx(made.WEIGHT_GRADIENT, rel=0.02)
    assert efficiency.attention.backward_ratio.value == pytest.approx(made.BACKWARD, rel=0.02)
    assert efficiency.training_ratio.value == pytest.approx(made.TRAINING, rel=0.05)
    for section in (efficiency.gemm, efficiency.attention, efficiency.memory):
        assert section.basis == "measured"
        assert section.residual_p50 is not None
        assert section.residual_p90 is not None
        assert section.num_measured > 30
        for name in ("bandwidth_frac", "peak_frac", "latency"):
            if hasattr(section, name):
                number = getattr(section, name)
                assert number.kind == "calibrated"
                assert all(
                    word in number.source for word in ("NVIDIA Made 80GB", "2.13.0", "999.1", "2026-11-24")
                )
                assert number.spread is not None


def test_power_by_phase_is_that_of_the_long_points(found: Calibration, tmp_path: Path) -> None:
    power = profile_of(found, tmp_path).power
    assert power.idle is not None
    assert power.limit is not None
    assert (power.idle.value, power.idle.kind) == (made.IDLE_W, "measured")
    assert (power.limit.value, power.limit.kind) == (made.LIMIT_W, "measured")
    assert power.by_phase.compute.value == pytest.approx(made.COMPUTE_W / made.LIMIT_W)
    assert power.by_phase.memory.value == pytest.approx(made.MEMORY_W / made.LIMIT_W)
    assert power.by_phase.compute.kind == "measured"
    assert power.by_phase.communication.kind == "assumed"


@pytest.mark.parametrize("kind", ["modelled", "none"])
def test_power_that_was_not_measured_is_not_in_the_profile(kind: str, tmp_path: Path) -> None:
    trace = read_trace(made.make(tmp_path / "trace", kind=kind))
    calibration = calibrate_trace(trace, "made-gpu", LIBRARY)
    power = profile_of(calibration, tmp_path / "out").power
    assert power.idle is None
    assert power.limit is None
    assert power.by_phase.compute.kind == "assumed" or "Zeus" in power.by_phase.compute.source
    assert any("power was not measured" in note for note in calibration.notes)


def test_a_board_that_idles_above_what_its_family_draws_waiting_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "IDLE_W", 180.0)
    calibration = calibrate_trace(read_trace(made.make(tmp_path / "trace")), "made-gpu", LIBRARY)
    power = profile_of(calibration, tmp_path / "out").power
    assert power.by_phase.waiting.value * made.LIMIT_W >= 180.0
    assert power.by_phase.waiting.kind == "assumed"


def test_makers_figures_are_taken_from_the_profile_that_it_is_like(folder: Path, tmp_path: Path) -> None:
    calibration = calibrate_trace(read_trace(folder), "my-a100", LIBRARY, like="a100-sxm-80")
    profile, other = profile_of(calibration, tmp_path), LIBRARY.get("accelerator", "a100-sxm-80")
    assert profile.peak == other.peak
    assert profile.memory == other.memory
    assert profile.scale_up == other.scale_up
    assert set(profile.fastest) == {"bf16", "fp32"}
    assert profile.fastest["bf16"].kind == "measured"
    assert profile.efficiency.gemm.peak_frac.value == pytest.approx(
        made.GemmTruth().peak_frac * made.PEAK / other.peak["bf16"].value, rel=0.03
    )
    assert profile.power.idle is not None
    assert profile.power.idle.value == made.IDLE_W


def test_an_accelerator_without_the_measured_format_is_no_likeness(folder: Path) -> None:
    with pytest.raises(InputError, match="no rate for bf16"):
        calibrate_trace(read_trace(folder), "my-v100", LIBRARY, like="v100-sxm2-32")


def test_a_rate_above_the_makers_is_doubted_aloud(folder: Path) -> None:
    calibration = calibrate_trace(read_trace(folder), "my-t4", LIBRARY, like="l4")
    assert any("above the maker's rate" in note for note in calibration.notes)


def test_the_same_trace_and_seed_give_the_same_bytes(folder: Path, found: Calibration) -> None:
    trace = read_trace(folder)
    assert calibrate_trace(trace, "made-gpu", LIBRARY).files == found.files
    other = calibrate_trace(trace, "made-gpu", LIBRARY, seed=1)
    assert other.found.gemm.values == pytest.approx(found.found.gemm.values)
    assert other.found.gemm.training != found.found.gemm.training


@pytest.mark.parametrize("accelerator", ["made-gpu", EXAMPLE_PROFILE])
def test_the_quickstart_runs_on_a_calibrated_device(
    accelerator: str, found: Calibration, tmp_path: Path
) -> None:
    found.write(tmp_path)
    changes = [f"cluster.accelerator={accelerator}", "cluster.node=generic-8"]
    if accelerator == EXAMPLE_PROFILE:
        changes += [
            "cluster.assume.power_limit=[5 W, 10 W]",
            "workload.tokens=10 Mtoken",
            "workload.precision=fp32",
        ]
        changes += ["workload.model=gpt2", "workload.seq_len=1024"]
    loaded = load_scenario(find_scenario("quickstart"), changes)
    result = run(loaded, default_library((tmp_path,)))
    assert result.quantities["duration_s"].value > 0.0


def test_what_is_there_is_not_overwritten_unless_asked(found: Calibration, tmp_path: Path) -> None:
    found.write(tmp_path)
    found.write(tmp_path)  # the same again
    (tmp_path / "made-gpu.yaml").write_text("mine", "utf-8")
    with pytest.raises(OutputError):
        found.write(tmp_path)
    assert (tmp_path / "made-gpu.yaml").read_text("utf-8") == "mine"
    found.write(tmp_path, force=True)
    assert (tmp_path / "made-gpu.yaml").read_text("utf-8") != "mine"


def test_a_run_is_no_suite(tmp_path: Path) -> None:
    TraceWriter(tmp_path / "trace", Manifest(task="char-gpt")).close()
    with pytest.raises(InputError, match="not of a suite"):
        calibrate_trace(read_trace(tmp_path / "trace"), "made", LIBRARY)


def test_a_suite_that_has_hardly_begun_says_what_is_missing(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "trace", Manifest(task="suite-gpu")) as writer:
        made.Maker(writer, 0.0).row("gemm", "mm", 1e-3, "m=512 n=512 k=512", layout="TN", flop=2.0 * 512**3)
    with pytest.raises(InputError, match="bandwidth: holds 0 kernels") as error:
        calibrate_trace(read_trace(tmp_path / "trace"), "made", LIBRARY)
    assert len(error.value.problems) == 2
    TraceWriter(tmp_path / "empty", Manifest(task="suite-gpu")).close()
    with pytest.raises(InputError, match="holds no kernels"):
        calibrate_trace(read_trace(tmp_path / "empty"), "made", LIBRARY)


def test_a_device_of_no_known_family_needs_one_that_it_is_like(tmp_path: Path) -> None:
    trace = read_trace(made.make(tmp_path / "trace", architecture=""))
    with pytest.raises(InputError, match="--like"):
        calibrate_trace(trace, "made", LIBRARY)
    assert calibrate_trace(trace, "made", LIBRARY, like="a100-sxm-80").files


# ------------------------------------------------------------------------------------------ the shipped example


def test_the_shipped_profile_is_what_the_shipped_trace_gives() -> None:
    calibration = calibrate_trace(read_trace(find_trace(EXAMPLE)), EXAMPLE_PROFILE, LIBRARY)
    for place, text in calibration.files.items():
        assert (SHIPPED / place).read_text("utf-8") == text


def test_the_shipped_trace_is_small_and_found_by_name() -> None:
    folder = find_trace("example")
    assert folder == find_trace(EXAMPLE) == SHIPPED / "traces" / EXAMPLE
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000
    assert find_trace(str(folder)) == folder
    with pytest.raises(InputError, match="no folder"):
        find_trace("exampel")


def test_a_folder_of_traces_holds_no_profile() -> None:
    assert "manifest" not in LIBRARY.names("accelerator")
