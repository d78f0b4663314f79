"""Rows of published results as cases: what their blank fields are taken to be, and which cannot be expressed."""

from __future__ import annotations

import pytest

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.validate.case import Case, Skipped, express
from simtool.validate.measured import flop_per_token
from simtool.validate.models import model_of
from simtool.validate.table import KNOWN, NEEDED, SHIPPED, Filled, read_rows

BLANK = dict.fromkeys((*NEEDED, *KNOWN), "")
DENSE = BLANK | {
    "id": "one",
    "family": "f",
    "accelerator": "H100-SXM-80GB",
    "n_accel": "64",
    "framework": "NeMo/Megatron-Core",
    "layers": "32",
    "hidden": "4096",
    "heads": "32",
    "ffn_hidden": "14336",
    "kv_heads": "8",
    "vocab": "128256",
    "seq_len": "8192",
    "tp": "2",
    "pp": "1",
    "micro_batch": "1",
    "global_batch": "128",
    "recompute": "none",
    "precision": "bf16",
    "step_time_s": "2.0",
}


def expressed(**changes):
    found = express(DENSE | {name: str(value) for name, value in changes.items()}, default_library())
    assert isinstance(found, Case), found
    return found


def test_a_whole_row_is_taken_as_it_is():
    case = expressed()
    assert (case.layouts.tp, case.layouts.dp, case.layouts.num_micro_batches) == (2.0, 32.0, 4.0)
    assert case.tokens == 128 * 8192
    assert case.measured_s == 2.0
    assert not {"R-mbs", "R-batch", "R-fit", "R-head"} & set(case.rules)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"step_time_s": "", "tokens_per_s_per_accel": "8192"}, 2.0),
        ({"tokens_per_s_per_accel": "8192", "step_time_s": "99"}, 2.0),
    ],
)
def test_throughput_stands_before_the_time_of_a_step(changes, seconds):
    assert expressed(**changes).measured_s == pytest.approx(seconds)


def test_flops_and_mfu_become_time_by_the_rows_own_convention():
    plain = {"step_time_s": "", "flops_convention": "6*N*tok (no recompute)"}
    case = expressed(tflops_per_accel="400", **plain)
    work = 6.0 * case.model.num_parameters * case.tokens
    assert case.measured_s == pytest.approx(work / (64 * 400e12))
    by_share = expressed(mfu="50", **plain)
    assert by_share.measured_s == pytest.approx(work / (64 * 0.5 * 989.4e12))


def test_conventions_differ_by_attention_embedding_and_repetition():
    filled = lambda words: Filled({"flops_convention": words})  # noqa: E731
    model = model_of(Filled(DENSE), default_library())
    whole = flop_per_token(filled("6N + FULL attention; no recompute"), model, 8192, repeats_forward=False)
    half = flop_per_token(filled("6N + CAUSAL (half) attention"), model, 8192, repeats_forward=False)
    none = flop_per_token(filled("6*N*tok (no recompute)"), model, 8192, repeats_forward=False)
    hardware = flop_per_token(filled("HARDWARE flops 8*N*tok"), model, 8192, repeats_forward=True)
    assert whole - half == pytest.approx(half - none)
    assert hardware == pytest.approx(none * 4 / 3)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"heads": ""}, "R-head"),
        ({"vocab": ""}, "R-vocab"),
        ({"micro_batch": ""}, "R-mbs"),
        ({"global_batch": ""}, "R-batch"),
        ({"recompute": ""}, "R-fit"),
        ({"tp": ""}, "R-auto"),
        ({"tp": "", "framework": "torchtitan"}, "R-sharded"),
        ({"seq_len": ""}, "R-seq"),
        ({"n_accel": ""}, "R-devices"),
        ({"layers": "", "hidden": "", "model": "something-13b"}, "R-size"),
        ({"task": "lora"}, "R-lora"),
        ({"task": "train-fwd+bwd"}, "R-fwdbwd"),
        ({"zero_stage": "3 + CPU AdamW offload"}, "R-offload"),
    ],
)
def test_a_blank_field_is_filled_by_a_rule_that_leaves_its_id(changes, rule):
    assert rule in expressed(**changes).rules


def test_a_model_known_by_its_work_is_not_taken_for_its_name():
    """A name may count idle experts; the work of a token does not."""
    changes = {"layers": "", "hidden": "", "model": "gemma4-26b", "tokens_per_s_per_accel": "1e4"}
    case = expressed(tflops_per_accel="240", step_time_s="", **changes)  # 24 GFLOP a token: 4 G weights
    assert case.model.num_parameters == pytest.approx(4e9, rel=0.3)
    assert "R-work" in case.rules


def test_a_preset_fills_what_the_columns_do_not_say():
    case = expressed(
        model="deepseek-v3", layers="61", hidden="7168", moe="True", experts="256", n_accel="256"
    )
    assert "R-preset" in case.rules
    assert case.model.num_shared_experts == 1
    other = expressed(model="deepseek-v3", layers="12", hidden="1024", experts="8", top_k="2")
    assert "R-preset" not in other.rules  # a model of another size has the name alone


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accelerator": "TPU v99"}, "no profile"),
        ({"model": "unknown", "layers": "", "hidden": ""}, "not stated"),
        ({"tp": "7"}, "divide"),
        ({"tp": "3", "n_accel": "96"}, "32 heads"),
        ({"pp": "64", "n_accel": "128"}, "more pipeline stages"),
        ({"task": "video-diffusion"}, "diffusion"),
        ({"n_accel": "7.5"}, "whole number"),
        ({"seq_len": "-4"}, "-4"),
        ({"hidden": "many"}, "many"),
        ({"tp": "0.5"}, "'0.5' as tp"),
        ({"pp": "1e-300"}, "'1e-300' as pp"),
        ({"cp": "1.5"}, "'1.5' as cp"),
        ({"micro_batch": "0.25"}, "'0.25' as micro_batch"),
        ({"global_batch": "1e308"}, "1e308"),
        ({"seq_len": "1e308"}, "1e308"),
        ({"heads": "7", "tp": "1"}, "num_kv_heads"),
    ],
)
def test_a_row_that_cannot_be_expressed_says_why(changes, words):
    found = express(DENSE | changes, default_library())
    assert isinstance(found, Skipped)
    assert words in found.reason


def test_inferred_recomputation_repeats_no_more_layers_than_memory_demands():
    easy = expressed(recompute="", n_accel="64", micro_batch="1", tp="8")
    assert easy.job.recompute == "none"
    tight = expressed(recompute="", micro_batch="4", n_accel="8", tp="1", global_batch="32")
    assert tight.job.recompute == "full"
    assert 0.0 < tight.job.recompute_frac <= 1.0


def test_nearly_the_whole_public_table_can_be_expressed():
    found = [express(row, default_library()) for row in read_rows(SHIPPED)]
    assert sum(isinstance(one, Case) for one in found) >= 0.95 * len(found)
    assert all(one.reason for one in found if isinstance(one, Skipped))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "column is missing"),
        ("id,accelerator,n_accel\n", "no rows"),
        ("id,accelerator,n_accel\nx,y,1\nx,y,1\n", "too"),
        ("id,accelerator,n_accel\n,y,1\n", "blank"),
        ("id,accelerator,n_accel\nx,y,1,2,3\n", "more cells"),
        ("id,accelerator,n_accel,tp,tp\nx,y,1,2,3\n", "tp: is the name of several columns"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path, text, words):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_rows(path)


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
@pytest.mark.parametrize("billions", [1.3, 7.0, 70.0])
def test_a_model_known_by_its_size_can_be_split_as_the_row_says(billions, tp):
    case = expressed(layers="", hidden="", heads="", kv_heads="", ffn_hidden="", params_b=billions, tp=tp)
    assert case.layouts.tp == tp
    assert case.model.num_parameters == pytest.approx(billions * 1e9, rel=0.3)
