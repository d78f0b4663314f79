"""The shipped efficiency files: complete, sane, restated rightly, and what the tables give."""

from __future__ import annotations

import re

import numpy as np
import pytest

from simtool.calibrate.devices import MEASURED
from simtool.calibrate.efficiency_files import efficiency_files, fit_all, residual_table
from simtool.calibrate.kernels import main, write
from simtool.calibrate.recipes import FILES
from simtool.calibrate.training_ratio import restated_ratio
from simtool.config.load import load_document
from simtool.errors import EXIT_INPUT, OutputError
from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s
from simtool.profiles.find import default_library, shipped_folder

FOLDER = shipped_folder("hardware_profiles") / "efficiency"
ROW = re.compile(r"(?<=          - )[-\d ]+")
NUMBER = re.compile(
    r"(?<=value: )[\d.e-]+|(?<=spread: )[\d.e-]+|(?<=residual_...: )[\d.]+|(?<=_all_p..: )[\d.]+"
)
BOUNDS = {  # held-out (p50, p90) on kernels of training size
    ("a100-sxm-80", "gemm"): (0.026, 0.09),
    ("h100-sxm", "gemm"): (0.038, 0.11),
    ("h200-sxm", "gemm"): (0.026, 0.07),
    ("b200-sxm", "gemm"): (0.039, 0.11),
    ("gb200", "gemm"): (0.056, 0.16),
    ("l40s", "gemm"): (0.061, 0.165),
    ("a40", "gemm"): (0.06, 0.17),
    ("mi210", "gemm"): (0.03, 0.09),
    ("a100-sxm-80", "attention"): (0.019, 0.14),
    ("h100-sxm", "attention"): (0.037, 0.13),
    ("h200-sxm", "attention"): (0.053, 0.14),
    ("b200-sxm", "attention"): (0.024, 0.09),
    ("a100-sxm-80", "memory"): (0.03, 0.07),
    ("h100-sxm", "memory"): (0.04, 0.06),
    ("a40", "memory"): (0.03, 0.08),
}


def test_every_family_and_every_measured_accelerator_has_its_file():
    families = {path.stem for path in (FOLDER.parent / "families").glob("*.yaml")}
    of_tables = {
        path.stem for path in FOLDER.glob("*.yaml") if "by simtool.calibrate.kernels" in path.read_text()
    }
    assert of_tables == set(FILES)
    assert {name for name in FILES if name in families} == families
    assert {recipe.family for recipe in FILES.values()} == families


def test_the_measured_devices_are_those_of_the_profiles():
    library = default_library()
    known = set(library.names("accelerator"))
    for name in sorted(known & set(MEASURED)):
        profile, device = library.get("accelerator", name), MEASURED[name].device
        assert float(profile.peak["bf16"]) == pytest.approx(device.peak_flop_per_s, rel=0.01)
        assert profile.num_processors == device.num_processors
        assert float(profile.memory.bandwidth) == pytest.approx(device.bandwidth_bytes_per_s, rel=0.02)
    assert set(MEASURED) <= known


@pytest.mark.parametrize("name", default_library().names("accelerator"))
def test_every_accelerator_multiplies_and_attends_in_a_sane_time(name):
    """A large product and a long attention take one to six times what the peak rate allows."""
    accelerator = default_library().get("accelerator", name)
    rates = [float(rate) for dtype, rate in accelerator.peak.items() if dtype in ("bf16", "fp16", "fp32")]
    machine = {
        "peak_flop_per_s": max(rates),
        "num_processors": accelerator.num_processors,
        "bandwidth_bytes_per_s": float(accelerator.memory.bandwidth),
        "element_bytes": 2.0,
    }
    efficiency = accelerator.efficiency
    product = gemm_time_s(8192, 8192, 8192, curve=efficiency.gemm, **machine) - float(efficiency.gemm.latency)
    assert 1.0 < product * max(rates) / (2.0 * 8192**3) < 6.0
    attention = attention_time_s(8, 64, 8192, 128, curve=efficiency.attention, **machine)
    attention -= float(efficiency.attention.latency)
    assert 1.0 < attention * max(rates) / (2.0 * 8 * 64 * 8192**2 * 128) < 6.0


def test_measured_curves_say_how_far_they_are_off():
    for name in FILES:
        section = load_document(FOLDER / f"{name}.yaml").data["efficiency"]
        for what in ("gemm", "attention", "memory"):
            measured = section[what]["basis"] == "measured"
            assert measured == (section[what].get("num_measured", 0) > 0)
            assert measured == (
                0.0 < section[what].get("residual_p50", 0.0) < section[what].get("residual_p90", 0.0)
            )
            sourced = {key: member for key, member in section[what].items() if key != "correction"}
            kinds = {member["kind"] for member in sourced.values() if isinstance(member, dict)}
            assert ("calibrated" in kinds) >= measured
            assert measured or kinds <= {"assumed", "published", "calibrated"}


def test_every_file_says_of_every_op_class_whether_it_was_measured():
    library = default_library()
    measured = {}
    for name in FILES:
        section = load_document(FOLDER / f"{name}.yaml").data["efficiency"]
        bases = {what: section[what]["basis"] for what in ("gemm", "attention", "memory")}
        bases |= {what: section[what] for what in ("grouped_gemm", "convolution")}
        assert set(bases.values()) <= {"measured", "transferred", "analytic"}
        assert bases["convolution"] != "measured"
        if bases["gemm"] == "analytic":
            assert bases["grouped_gemm"] == bases["convolution"] == "analytic"
        measured[name] = {what for what, basis in bases.items() if basis == "measured"}
    assert measured["b200-sxm"] == {"gemm", "attention", "grouped_gemm"}
    assert measured["l40s"] == {"gemm"}
    assert not measured["volta"] | measured["cdna3"]
    v100 = library.get("accelerator", "v100-sxm2-32").efficiency
    assert (v100.gemm.basis, v100.grouped_gemm, v100.convolution) == ("transferred",) * 3


def test_a_ratio_over_its_own_curve_stays():
    efficiency = default_library().get("accelerator", "h100-sxm").efficiency
    device = MEASURED["h100-sxm"].device
    assert restated_ratio(1.19, efficiency.gemm, efficiency.gemm, device) == pytest.approx(1.19)


def test_training_is_about_as_fast_as_kernels_in_long_loops():
    """Restated over kernels timed for seconds, the ratio is near one; over short bursts it is above."""
    library = default_library()
    ratios = {
        name: float(library.get("accelerator", name).efficiency.training_ratio)
        for name in ("a100-sxm-80", "h100-sxm", "h200-sxm", "b200-sxm", "gb200")
    }
    assert 1.0 < ratios["a100-sxm-80"] < ratios["h100-sxm"] < 1.3
    assert all(0.9 < ratios[name] < 1.05 for name in ("h200-sxm", "b200-sxm", "gb200"))


@pytest.fixture(scope="module")
def fits(reference_data):
    return fit_all(reference_data)


@pytest.mark.slow
def test_shipped_files_are_what_the_tables_give(fits):
    """Same text; numbers to 2 %, since the last bits of another machine may turn a rounded digit."""
    files = efficiency_files(fits)
    assert files == efficiency_files(fits)
    for name, text in files.items():
        shipped = (FOLDER / f"{name}.yaml").read_text("utf-8")
        assert ROW.sub("#", NUMBER.sub("#", text)) == ROW.sub("#", NUMBER.sub("#", shipped))
        rows = [np.array(" ".join(ROW.findall(each)).split(), float) for each in (text, shipped)]
        assert rows[0] == pytest.approx(rows[1], abs=10.0), name  # thousandths
        assert len(text.encode()) < 40e3
        new, old = ([float(number) for number in NUMBER.findall(each)] for each in (text, shipped))
        assert new == pytest.approx(old, rel=0.02, abs=0.02), name


@pytest.mark.slow
def test_fits_hold_on_shapes_that_they_never_saw(fits):
    found = {
        (name, what): fit
        for name, device in fits.items()
        for what in ("gemm", "attention", "memory")
        if (fit := getattr(device, what)) is not None
    }
    assert set(found) == set(BOUNDS)
    for key, fit in found.items():
        p50, p90 = BOUNDS[key]
        assert fit.training.p50 < p50, key
        assert fit.training.p90 < p90, key
        if key[1] != "memory" and key[0] != "mi210":  # one constant serves those as well
            assert fit.training.p50 < fit.constant_training.p50, key
            assert fit.training.p90 < fit.constant_training.p90, key
    table = residual_table(fits)
    assert len(table.splitlines()) == 2 + len(BOUNDS)


@pytest.mark.slow
def test_the_curves_hold_in_the_training_stacks_of_others(fits, reference_data):
    """Vidur timed the same products in sequence within a layer: slower by the ratio of training."""
    from simtool.calibrate.other_tables import read_vidur_products

    for name, file in (("a100-sxm-80", "a100_llama2-70b"), ("h100-sxm", "h100_llama2-70b")):
        table = read_vidur_products(reference_data / f"data/kernels/vidur/compute/{file}_mlp.csv.gz")
        table = table.where(table.is_training & (table.work > 1e3 * 1e9))
        device = MEASURED[name].device
        priced = gemm_time_s(
            **table.columns,
            peak_flop_per_s=device.peak_flop_per_s,
            num_processors=device.num_processors,
            bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
            element_bytes=2.0,
            curve=fits[name].gemm.curve,
        )
        ratio = sorted(table.time_s / priced)[len(table) // 2]
        assert ratio == pytest.approx(FILES[name].ratio.value, rel=0.05)


def test_files_can_be_written_and_a_folder_that_cannot_is_told(tmp_path):
    write(tmp_path / "new" / "folder", {"a": "text\n"})
    assert (tmp_path / "new" / "folder" / "a.yaml").read_bytes() == b"text\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write(tmp_path / "file", {"a": ""})


def test_the_command_tells_what_is_missing(tmp_path, capsys):
    assert main(["--reference", str(tmp_path), "-o", str(tmp_path / "out")]) == EXIT_INPUT
    told = capsys.readouterr()
    assert "gemm_bf16_a100_sxm.csv.gz" in told.err
    assert told.out == ""
    assert not (tmp_path / "out").exists()
