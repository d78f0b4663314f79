"""Rows of images, encoders and recommenders: what they are read as, and how near the predictions come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.config.scenario import Cluster
from simtool.errors import InputError
from simtool.machine.build import build_machine
from simtool.profiles.find import default_library
from simtool.step.step import estimate_step
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.checks.vision import read_tables
from simtool.validate.vision.baseline import at_peak_s, by_accelerator, constant_mfu_s
from simtool.validate.vision.cases import VisionCase, express
from simtool.validate.vision.fit import Rows, Values, fit, folds_of, out_of_fold_s, predicted_s, rows_of
from simtool.validate.vision.names import ACCELERATORS, MODELS, TITLES
from simtool.validate.vision.profiles import profile_texts
from simtool.validate.vision.rows import Config, Row, Skipped, read_row

LIBRARY = default_library()
RESNET = {
    "id": "1",
    "source": "NVIDIA DeepLearningExamples",
    "framework": "PyTorch",
    "model": "ConvNets/resnet50v1.5",
    "accelerator": "A100-SXM-80GB",
    "n_accel": "8",
    "accel_per_node": "8",
    "precision": "mixed (fp16)",
    "samples_per_s": "16621",
    "family": "one",
    "quality": "high",
    "notes": "",
    "task": "Classification train",
}
MLPERF = {
    "id": "2",
    "source": "MLPerf Training v4.1",
    "framework": "PyTorch",
    "benchmark": "bert",
    "accelerator": "H100-SXM-80GB",
    "n_accel": "8.0",
    "n_nodes": "1",
    "global_batch": "768.0",
    "throughput_samples_s": "7545.7",
    "family": "two",
    "quality": "high",
    "notes": "",
}


def config_of(row: Row, **fields: str) -> Config:
    found = read_row({**row, **fields})
    assert isinstance(found, Config)
    return found


def case_of(row: Row, **fields: str) -> VisionCase:
    found = express({**row, **fields}, LIBRARY)
    assert isinstance(found, VisionCase)
    return found


def reason_of(row: Row, **fields: str) -> str:
    found = express({**row, **fields}, LIBRARY)
    assert isinstance(found, Skipped)
    return found.reason


def test_blank_fields_are_filled_by_rules_that_are_named() -> None:
    mlperf = config_of(MLPERF)
    assert (mlperf.batch, mlperf.precision, mlperf.seq_len) == (96.0, "fp8", 256)
    assert set(mlperf.rules) == {"R-closed", "R-global", "R-unpad"}
    assert config_of(MLPERF, accelerator="A100-SXM-80GB").precision == "fp16"
    rented = {
        "source": "Lambda v1",
        "model": "bert_base_squad",
        "batch_per_accel": "2560.0",
        "framework": "PyTorch",
    }
    lambda_row = config_of(RESNET, **rented)
    assert (lambda_row.batch, lambda_row.seq_len) == (320.0, 384)
    assert config_of(RESNET).batch is None
    assert config_of(RESNET).rules == ("R-batch",)


def test_two_batches_that_lost_their_comma_are_told_apart_by_precision() -> None:
    notes = {"notes": "batch column: Batch size / GPU: mixed precision, FP32", "batch_per_accel": "6432.0"}
    bert = {"model": "BERT/biobert", "framework": "TensorFlow", "accelerator": "V100-SXM2-16GB", **notes}
    assert config_of(RESNET, **bert).batch == 64.0
    assert config_of(RESNET, **bert, precision="fp32").batch == 32.0


def test_fp32_is_that_of_the_ordinary_units_unless_the_row_says_tf32() -> None:
    assert config_of(RESNET, precision="fp32").precision == "fp32"
    assert config_of(RESNET, precision="tf32").precision == "tf32"
    assert config_of(RESNET, precision="fp32", notes="mixed precision, TF32").precision == "tf32"
    assert config_of(RESNET, precision="tf32/fp32 (TF32 default on Ampere+)").precision == "tf32"
    turing = {"accelerator": "Quadro RTX 8000", "precision": "tf32/fp32 (TF32 default on Ampere+)"}
    assert config_of(RESNET, **turing).precision == "fp32"
    slow, fast = (case_of(RESNET, precision=name, batch_per_accel="64") for name in ("fp32", "tf32"))
    assert slow.mfu_flop_per_s == pytest.approx(19.5e12)
    assert fast.mfu_flop_per_s == pytest.approx(156e12)


def test_pre_training_of_bert_adds_up_to_the_published_batch_and_drops_padding() -> None:
    bert = {
        "model": "BERT",
        "task": "LanguageModeling pre-train",
        "batch_per_accel": "32.0",
        "seq_len": "512.0",
    }
    config = config_of(RESNET, **bert)
    assert (config.seq_len, config.num_micro_batches) == (256, 128.0)
    assert dict(config.model.changes)["masked_frac"] == 0.15
    fine = config_of(RESNET, model="BERT", task="LanguageModeling fine-tune", batch_per_accel="32.0")
    assert (fine.seq_len, dict(fine.model.changes)["masked_frac"]) == (384, 0.0)


def test_what_cannot_be_expressed_says_why() -> None:
    assert reason_of(RESNET, model="nnUNet 2") == "model without a preset"
    assert reason_of(RESNET, accelerator="Graphcore Bow IPU") == "no profile of Graphcore Bow IPU"
    assert reason_of(RESNET, samples_per_s="") == "no throughput stated"
    assert reason_of(RESNET, framework="Caffe") == "framework without a rule"
    assert reason_of(RESNET, accelerator="V100-SXM2-16GB", precision="bf16") == "no bf16 rate of v100-sxm2-16"


@pytest.mark.parametrize("written", ["many", "-3", "0", "inf"])
def test_a_damaged_number_is_refused(written: str) -> None:
    with pytest.raises(InputError, match="samples_per_s"):
        read_row({**RESNET, "samples_per_s": written})


def test_a_batch_that_memory_does_not_hold_is_worked_off_in_halves() -> None:
    case = case_of(
        RESNET, model="BERT", task="LanguageModeling pre-train", batch_per_accel="4096", seq_len="128"
    )
    layouts = case.case.layouts
    assert float(layouts.micro_batch) * float(layouts.num_micro_batches) == 4096
    assert bool(case.case.memory.fits)


def test_names_of_the_tables_have_profiles() -> None:
    accelerators = set(LIBRARY.names("accelerator"))
    assert {part.profile for part in ACCELERATORS.values()} <= accelerators
    for known in MODELS.values():
        assert known.preset in LIBRARY.names(known.kind)


def test_constant_mfu_never_sees_the_family_it_predicts() -> None:
    cases = [
        case_of(RESNET, family=name, samples_per_s=rate) for name, rate in (("a", "16000"), ("b", "8000"))
    ]
    found = constant_mfu_s(cases, by_accelerator)
    assert found[0] == pytest.approx(cases[1].measured_s)
    assert found[1] == pytest.approx(cases[0].measured_s)
    assert at_peak_s(cases[0]) < cases[0].measured_s


def test_tables_that_are_missing_or_lack_a_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        list(read_tables(tmp_path))
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "vision_and_other_throughput.csv").write_text("id,source\n1,x\n")
    with pytest.raises(InputError, match="column is missing"):
        list(read_tables(tmp_path))


@pytest.fixture(scope="module")
def rows(reference_data: Path) -> Rows:
    found = (express(row, LIBRARY) for row in read_tables(reference_data))
    return rows_of([case for case in found if isinstance(case, VisionCase)])


@pytest.fixture(scope="module")
def values(rows: Rows) -> Values:
    return fit(rows, np.ones(len(rows.cases), dtype=bool))


@pytest.fixture(scope="module")
def outcome(reference_data: Path) -> Outcome:
    return CHECKS["vision"](reference_data, LIBRARY)


def test_predictions_out_of_fold_are_within_the_target(outcome: Outcome) -> None:
    figures = outcome.figures
    assert figures["time_error_family_median_frac"] <= 0.12
    assert figures["time_error_family_p90_frac"] <= 0.36
    assert abs(figures["time_bias_family_median_frac"]) <= 0.03
    assert figures["time_error_family_median_frac"] < 0.6 * figures["mfu_by_model_error_family_median_frac"]
    assert figures["time_error_family_p90_frac"] < 0.4 * figures["mfu_by_model_error_family_p90_frac"]
    assert figures["not_expressed_known_models_frac"] <= 0.14


def test_folds_hold_whole_families(rows: Rows) -> None:
    folds = folds_of(rows.families)
    for family in set(rows.families):
        assert len(set(folds[rows.families == family])) == 1


def test_shipped_profiles_are_what_the_fit_says(rows: Rows, values: Values) -> None:
    texts = profile_texts(rows, values, out_of_fold_s(rows))
    assert set(texts) == set(TITLES)
    fitted = predicted_s(rows, values)
    seen = set()
    for case, expected_s in zip(rows.cases, fitted, strict=True):
        config = case.config
        # Not those that had shares of a server's cores, nor those under a cap.
        is_whole = config.suite not in ("lambda-pytorch", "optimum-habana") and config.power_cap_w is None
        if config.stack not in TITLES or config.stack in seen or not is_whole:
            continue
        seen.add(config.stack)
        cluster = Cluster(accelerator=config.accelerator, node=config.node, num_nodes=config.num_nodes)
        machine = build_machine(
            LIBRARY, cluster, config.stack, attention=None, power_limit_w=None, locate=lambda field: field
        )
        step_s = float(np.asarray(estimate_step(case.case.job, case.case.layouts, machine).step_time_s))
        assert step_s == pytest.approx(float(expected_s), rel=0.02), config.stack
    assert len(seen) == 14
