"""Memory of published rows: what a blank means, how a number is read, and how far off the predictions are."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.case import Skipped
from simtool.validate.check import CHECKS
from simtool.validate.checks.memory import TABLE, check_memory, slack_from_others
from simtool.validate.memory_rows import MemoryPrediction, predict_memory

LIBRARY = default_library()
ROW = {
    "id": "a",
    "family": "f",
    "quality": "high",
    "task": "pretrain",
    "moe": "False",
    "model": "llama3-8b",
    "params_b": "8.03",
    "layers": "32",
    "hidden": "4096",
    "ffn_hidden": "14336",
    "heads": "32",
    "kv_heads": "8",
    "vocab": "128256",
    "seq_len": "8192",
    "accelerator": "H100-SXM-80GB",
    "n_accel": "8",
    "precision": "bf16",
    "tp": "1",
    "pp": "1",
    "vpp": "",
    "dp": "8",
    "cp": "1",
    "ep": "",
    "zero_stage": "3 (FSDP2)",
    "micro_batch": "1",
    "global_batch": "8",
    "recompute": "full",
    "attention_impl": "SDPA flash",
    "framework": "torchtitan",
    "notes": "",
    "mem_gb": "50",
}


def predicted(**changes: str) -> MemoryPrediction:
    found = predict_memory(ROW | changes, LIBRARY)
    assert isinstance(found, MemoryPrediction), found
    return found


def test_a_stated_size_fills_a_blank_vocabulary():
    row = {"framework": "nanotron v0.5", "zero_stage": "1", "model": "somebody's"}
    stated, filled = predicted(**row), predicted(**row, vocab="")
    assert "R-vocab-size" in filled.rules
    assert filled.tensors_bytes == pytest.approx(stated.tensors_bytes, rel=1e-3)


def test_a_llama_is_gated_whatever_its_width():
    row = {"model": "somebody's-llama", "ffn_hidden": "16384", "params_b": "8.7"}
    found = predicted(**row)
    assert "R-mlp" in found.rules
    assert found.baseline_bytes > predicted(**row | {"model": "somebody's"}).baseline_bytes


def test_a_framework_of_which_nothing_is_written_leaves_its_rule_at_the_prediction():
    found = predicted()
    assert found.rules[0] == "M-fsdp2"
    assert (found.reading, found.measured_bytes) == ("reserved", 50 * 2**30)
    assert found.predicted_bytes(1.1) == pytest.approx(1.1 * found.tensors_bytes)
    assert found.baseline_bytes == pytest.approx(18 * 8.03e9 / 8, rel=1e-3)


def test_a_compiled_loss_keeps_no_fp32_logits():
    plain, compiled = predicted(), predicted(notes="torch 2.9 rocm6.4")
    assert "R-compiled-loss" in compiled.rules
    assert plain.tensors_bytes - compiled.tensors_bytes == pytest.approx((14 - 4) * 8192 * 128256)


def test_deepspeed_pipelines_are_read_at_rank_0_by_the_driver():
    row = {"framework": "Megatron-DeepSpeed", "zero_stage": "", "attention_impl": "", "pp": "4", "dp": "2"}
    found = predicted(**row)
    assert {"R-rank0", "R-device", "R-zero1", "R-flash"} <= set(found.rules)
    assert found.predicted_bytes(2.0) == found.tensors_bytes + found.workspace_bytes


def test_an_offloaded_optimizer_needs_no_device_memory():
    row = {"framework": "DeepSpeed 0.19 + HF + Liger", "zero_stage": "3"}
    kept, gone = predicted(**row), predicted(**row | {"zero_stage": "3 + CPU AdamW offload"})
    assert "R-offload" in gone.rules
    # 12 bytes of optimizer and 2 of gradients a weight, over 8 ranks
    assert kept.tensors_bytes - gone.tensors_bytes == pytest.approx(14 * 8.03e9 / 8, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": "LoRA"}, "task LoRA"),
        ({"seq_len": ""}, "not stated"),
        ({"n_accel": "eight"}, "eight"),
        ({"tp": "3"}, "does not divide"),
        ({"pp": "2", "dp": "4", "vpp": "5"}, "do not divide"),
    ],
)
def test_what_cannot_be_expressed_says_why(changes, reason):
    found = predict_memory(ROW | changes, LIBRARY)
    assert isinstance(found, Skipped)
    assert reason in found.reason


def test_the_slack_of_a_family_comes_from_the_others():
    rows = [
        replace(predicted(id=str(place), family=family), measured_bytes=measured * predicted().tensors_bytes)
        for place, (family, measured) in enumerate(
            [("a", 1.0), ("a", 3.0), ("b", 1.1), ("c", 1.2), ("c", 1.4)]
        )
    ]
    assert slack_from_others(rows, "a") == pytest.approx(1.2)
    assert slack_from_others(rows[:2], "a") == 1.0


def test_a_table_without_stated_memory_is_refused(tmp_path):
    path = tmp_path / TABLE
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROW))
        writer.writeheader()
        writer.writerow(ROW | {"mem_gb": ""})
    with pytest.raises(InputError, match="no row whose memory can be predicted"):
        check_memory(tmp_path, LIBRARY)


def test_published_memory(reference_data):
    found = CHECKS["memory"](reference_data, LIBRARY)
    figures = found.figures
    assert figures["num_rows"] >= 140
    assert figures["num_families"] >= 14
    assert figures["memory_error_median_frac"] <= 0.062
    assert figures["memory_error_p90_frac"] <= 0.13
    assert abs(figures["memory_bias_frac"]) <= 0.03
    assert figures["baseline_error_median_frac"] > 20 * figures["memory_error_median_frac"]
    assert len(found.rows) == figures["num_families"]
