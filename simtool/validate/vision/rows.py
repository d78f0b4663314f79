"""From a row of the tables of image, encoder and recommendation models to what was run.

What a row leaves blank is filled by one written rule each; the ids of the rules that a row used stand beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from simtool.errors import InputError, Problem
from simtool.validate.vision.names import (
    ACCELERATORS,
    FINE_TUNING,
    FUSED,
    MODELS,
    PRE_TRAINING,
    SUITES,
    Known,
)

Row = Mapping[str, str]

TF32 = ("a1", "a30", "a40", "rtx-", "l4", "h1", "h2", "gh", "b1", "b2", "b3", "gb")
"""Begins of the profiles whose matrix units take fp32 numbers as tf32: NVIDIA's since Ampere."""
FP8 = ("h1", "h2", "gh", "l4", "b2", "b3", "gb")
"""Begins of the profiles whose matrix units take fp8: NVIDIA's since Ada and Hopper."""
SQUAD_TOKENS = 384
"""Tokens of a sequence in fine-tuning on SQuAD: the default of Devlin et al.'s script and of all that follow it."""
SENTENCE_TOKENS = 128
"""Tokens of a sequence in the GLUE tasks and in named entities: the default of the same scripts."""
MLM_TOKENS = 512
"""Tokens of a sequence where text is cut into pieces of the longest that the model takes."""
PACKED_TOKENS = 256
"""Mean tokens of a sequence of at most 512 in MLPerf's BERT: half of them are padding (Krell et al. 2021,
arXiv 2107.02027), and the submissions' kernels leave padding out."""
LAMB_BATCH = {128: 65_536, PACKED_TOKENS: 32_768, 512: 32_768}
"""Sequences of an optimizer step in BERT's two phases (You et al. 2020, arXiv 1904.00962)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a row ran."""

    row_id: str
    family: str
    suite: str
    """Whose scripts or entries."""
    model: Known
    accelerator: str
    """Profile."""
    node: str | None
    """Server, the accelerator's usual one if None."""
    num_devices: int
    num_nodes: int
    batch: float | None
    """Samples that one accelerator works on at a time, before memory makes it smaller; None where not stated."""
    num_micro_batches: float
    seq_len: int
    precision: str
    power_cap_w: float | None
    samples_per_s: float
    """As published, of all accelerators."""
    rules: tuple[str, ...]

    @property
    def stack(self) -> str:
        """Software profile: a suite and what it trains."""
        return f"{self.suite}-{self.model.kind}"

    @property
    def is_fused(self) -> bool:
        """Whether attention is one kernel."""
        return self.suite in FUSED


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that is not expressed, and why."""

    row_id: str
    family: str
    reason: str
    is_of_a_known_model: bool = True
    """Whether there is a preset of what it trained."""


def read_row(row: Row) -> Config | Skipped:
    """What a row of either table ran, or why that cannot be expressed."""
    table = "mlperf" if "benchmark" in row else "other"
    rules: list[str] = []

    def skip(reason: str) -> Skipped:
        return Skipped(row["id"], row["family"], reason)

    known = MODELS.get(row["benchmark"] if table == "mlperf" else row["model"])
    if known is None:
        return Skipped(row["id"], row["family"], "model without a preset", is_of_a_known_model=False)
    part = ACCELERATORS.get(row["accelerator"])
    if part is None:
        return skip(f"no profile of {row['accelerator']}")
    suite = suite_of(row)
    if suite is None:
        return skip("framework without a rule")
    measured = number(row, "throughput_samples_s" if table == "mlperf" else "samples_per_s")
    devices = number(row, "n_accel")
    if measured is None or devices is None:
        return skip("no throughput stated" if measured is None else "number of accelerators not stated")
    limit = re.search(r"power limit (\d+) W", row.get("notes", ""))
    rules += [rule for rule in (part.rule, known.rule) if rule]
    precision = precision_of(row, suite, known, part.profile, rules)
    seq_len = _seq_len(row, known, rules)
    batch = batch_of(row, suite, precision, devices, rules)
    if batch is None:
        rules.append("R-batch")
    count = 1.0
    if (
        _is_pre_training(row)
        and batch is not None
        and seq_len in LAMB_BATCH
        and batch < LAMB_BATCH[seq_len] / 32
    ):
        rules.append("R-lamb")
        count = max(1.0, round(LAMB_BATCH[seq_len] / (devices * batch)))
    return Config(
        row_id=row["id"],
        family=row["family"],
        suite=suite,
        model=_changed(row, known),
        accelerator=part.profile,
        node=part.node,
        num_devices=int(devices),
        num_nodes=int(number(row, "n_nodes") or max(1.0, devices / (number(row, "accel_per_node") or 8.0))),
        batch=batch,
        num_micro_batches=count,
        seq_len=seq_len,
        precision=precision,
        power_cap_w=float(limit[1]) if limit else None,
        samples_per_s=measured,
        rules=tuple(rules),
    )


def number(row: Row, name: str) -> float | None:
    """A numeric field, None where it is blank or absent.

    Raises:
        InputError: it is no positive number.
    """
    written = row.get(name) or ""
    if written in ("", "nan"):
        return None
    try:
        value = float(written)
    except ValueError:
        value = 0.0
    if not 0.0 < value < inf:
        found = f"found {written!r}"[:60]
        raise InputError(
            Problem(f"row {row['id']}", name, found, "allowed: a number above 0", "correct the row")
        )
    return value


def suite_of(row: Row) -> str | None:
    """Software profile of a row; None for a framework that no rule names.

    timm's rows say in which order images lie in memory; each has a profile.
    """
    for source, framework, profile in SUITES:
        if row["source"].startswith(source) and row["framework"].startswith(framework):
            if profile != "timm":
                return profile
            return "timm-channels-last" if "nhwc" in row["precision"] else "timm-channels-first"
    return None


def precision_of(row: Row, suite: str, known: Known, accelerator: str, rules: list[str]) -> str:
    """The format of matrix products.

    "fp32" is that of the ordinary units. R-tf32: where a row says fp32 under a heading that says TF32, it is tf32
    on the parts that have it. R-closed: MLPerf's closed entries train BERT in fp8 where there is fp8, all else in fp16.
    """
    written = row.get("precision", "")
    if suite == "mlperf-closed":
        rules.append("R-closed")
        return "fp8" if known.kind == "encoder" and accelerator.startswith(FP8) else "fp16"
    if "fp32" in written or "tf32" in written:
        if not accelerator.startswith(TF32):
            return "fp32"
        if "tf32" in written:
            return "tf32"
        if "TF32" not in row.get("notes", ""):
            return "fp32"
        rules.append("R-tf32")
        return "tf32"
    return "bf16" if "bf16" in written else "fp16"


def _seq_len(row: Row, known: Known, rules: list[str]) -> int:
    """R-unpad, R-squad, R-sentence: tokens of a sequence where the row states none; see the constants."""
    if known.kind != "encoder":
        return 1
    written = number(row, "seq_len")
    if written == 512.0 and suite_of(row) == "dle-pytorch" and _is_pre_training(row):
        rules.append("R-unpad")
        return PACKED_TOKENS
    if written is not None:
        return int(written)
    if row.get("benchmark") == "bert":
        rules.append("R-unpad")
        return PACKED_TOKENS
    words = f"{row.get('task', '')} {row.get('notes', '')}".lower()
    if any(word in words for word in ("ner ", "glue", "re task")):
        rules.append("R-sentence")
        return SENTENCE_TOKENS
    if "mlm" in words:
        rules.append("R-mlm")
        return MLM_TOKENS
    rules.append("R-squad")
    return SQUAD_TOKENS


def batch_of(row: Row, suite: str, precision: str, devices: float, rules: list[str]) -> float | None:
    """Samples of one accelerator.

    R-global: MLPerf states the batch of all. R-all: so do Lambda's rows of several accelerators, in a column
    that says otherwise: what they state would not fit into one. R-comma: two numbers for two precisions that
    lost their comma ("6432" is 64 in mixed precision and 32 in fp32).
    """
    whole = number(row, "global_batch")
    if suite == "mlperf-closed":
        rules.append("R-global")
        return None if whole is None else max(1.0, whole / devices)
    batch = number(row, "batch_per_accel")
    if batch is None:
        return None if whole is None else whole / devices
    if suite == "lambda-pytorch" and devices > 1:
        rules.append("R-all")
        return max(1.0, batch / devices)
    notes = row.get("notes", "")
    if "GPU: mixed precision," in notes and "split by precision" not in notes:
        rules.append("R-comma")
        return _one_of_two(f"{batch:.0f}", first=precision in ("fp16", "bf16"))
    return batch


def _one_of_two(digits: str, *, first: bool) -> float:
    """Of two numbers without their comma, the larger first, as near to each other as can be.

    >>> _one_of_two("6432", first=True), _one_of_two("128", first=False), _one_of_two("128128", first=False)
    (64.0, 8.0, 128.0)
    """
    pairs = [(int(digits[:at]), int(digits[at:])) for at in range(1, len(digits)) if digits[at] != "0"]
    pairs = [pair for pair in pairs if pair[0] >= pair[1]]
    if not pairs:
        return float(digits)
    larger, smaller = min(pairs, key=lambda pair: pair[0] / pair[1])
    return float(larger if first else smaller)


def _is_pre_training(row: Row) -> bool:
    return row.get("task", "") == "LanguageModeling pre-train"


def _changed(row: Row, known: Known) -> Known:
    """The model with what the row says of it: its task, its image."""
    changes = dict(known.changes)
    if known.kind == "encoder" and not changes:
        changes = dict(PRE_TRAINING if _is_pre_training(row) else FINE_TUNING)
    if "mlm" in row.get("task", ""):
        changes = dict(PRE_TRAINING)
    pixels = re.search(r"img (\d+)|(\d+)px", row.get("notes", ""))
    if pixels and known.kind in ("convnet", "vision"):
        changes["image_size"] = int(pixels[1] or pixels[2])
    return replace(known, changes=tuple(sorted(changes.items())))
