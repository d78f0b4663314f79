"""Dense decoders keep their price to the last digits, whatever other families are added.

Profiles beside this file are frozen copies, so that a new calibration changes nothing here. A change of the
formulas for dense decoders is meant to show here: then `record()` writes the figures anew.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from simtool.config.scenario import Cluster
from simtool.layout.layouts import Layouts
from simtool.machine.build import build_machine
from simtool.profiles.find import ProfileLibrary
from simtool.step.step import Job, estimate_step
from simtool.workload.transformer import Transformer

HERE = Path(__file__).parent
FIGURES = HERE / "pinned.json"
LIBRARY = ProfileLibrary((HERE / "pinned_profiles",))

GATED = {"mlp": "swiglu", "positions": "rotary", "norm": "rmsnorm", "tied_embeddings": False}
BARE = {"qkv_bias": False, "output_bias": False, "mlp_bias": False}
MODELS = {
    "llama-70b": Transformer(
        num_layers=80, hidden_size=8192, num_heads=64, num_kv_heads=8, ffn_hidden_size=28672, vocab_size=128256,
        **GATED, **BARE,
    ),
    "bloom": Transformer(
        num_layers=70, hidden_size=14336, num_heads=112, ffn_hidden_size=57344, vocab_size=250880,
        positions="alibi", embedding_norm=True,
    ),
    "gpt-1.3b": Transformer(
        num_layers=24, hidden_size=2048, num_heads=16, ffn_hidden_size=8192, vocab_size=51200
    ),
}  # fmt: skip
STACKS = {
    "core": ("h100-sxm", "megatron-core"),
    "deepspeed": ("a100-sxm-80", "megatron-deepspeed"),
    "fsdp": ("h100-sxm", "llm-foundry-fsdp"),
}
LAYOUTS = {
    "tensor": {"tp": 8, "pp": 1, "dp": 8, "zero": 1, "sequence_parallel": True, "num_micro_batches": 16},
    "pipeline": {"tp": 4, "pp": 4, "vpp": 1, "dp": 4, "zero": 0, "num_micro_batches": 32, "micro_batch": 2},
    "interleaved": {"tp": 2, "pp": 2, "vpp": 5, "dp": 16, "zero": 1, "sequence_parallel": True},
    "spanning": {"tp": 16, "pp": 2, "dp": 2, "zero": 2, "num_micro_batches": 4},
    "sharded": {"tp": 1, "pp": 1, "dp": 64, "zero": 3, "micro_batch": 4},
}
KINDS = (("none", "flash", 2048), ("full", "flash", 8192), ("selective", "unfused", 2048))
CASES = [
    "/".join((stack, model, layout, *map(str, kind)))
    for stack, model, layout, kind in product(STACKS, MODELS, LAYOUTS, KINDS)
]


def layouts(name: str) -> Layouts:
    written = {"vpp": 1, "micro_batch": 1, "num_micro_batches": 8, "sequence_parallel": False} | LAYOUTS[name]
    return Layouts(
        **{key: value if isinstance(value, bool) else float(value) for key, value in written.items()}
    )


@cache
def machine(stack: str):
    accelerator, software = STACKS[stack]
    cluster = Cluster(accelerator=accelerator, num_nodes=8)
    return build_machine(LIBRARY, cluster, software, attention=None, power_limit_w=None, locate=str)


def figures(case: str) -> dict[str, float]:
    stack, model, layout, recompute, attention, seq_len = case.split("/")
    precision = "fp16" if stack == "deepspeed" else "bf16"
    job = Job(
        model=MODELS[model],
        seq_len=int(seq_len),
        precision=precision,
        recompute=recompute,
        attention=attention,
    )
    estimate = estimate_step(job, layouts(layout), machine(stack))
    parts = {part: float(np.asarray(seconds)) for part, seconds in estimate.seconds.items()}
    return {part: seconds for part, seconds in parts.items() if seconds} | {
        "step_time_s": float(estimate.step_time_s),
        "memory_bytes": float(estimate.memory.total_bytes),
        "mfu": float(estimate.mfu),
        "hfu": float(estimate.hfu),
    }


def record() -> None:
    """Writes the figures that the test compares with."""
    lines = [f"{json.dumps(case)}: {json.dumps(figures(case))}" for case in CASES]
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


RECORDED = json.loads(FIGURES.read_text("utf-8")) if FIGURES.is_file() else {}


def test_all_cases_are_recorded() -> None:
    assert list(RECORDED) == CASES


@pytest.mark.parametrize("case", CASES)
def test_a_dense_step_keeps_its_price(case: str) -> None:
    assert figures(case) == pytest.approx(RECORDED[case], rel=1e-9)
