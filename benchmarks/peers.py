"""Another tool on the same rows: llm-analysis beside simtool, where it can express them.

    pip install llm-analysis && python benchmarks/peers.py

Dense decoders in 16 bits on accelerators that it knows, with an MLP of whole multiples of the width, each with the
stated layout. Its own knob, the share of the peak rate, is 0.5, as its documentation advises.
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import contextlib
import io
import logging

import llm_analysis.analysis as peer
import numpy as np
from llm_analysis.config import (
    DtypeConfig,
    ModelConfig,
    ParallelismConfig,
    get_gpu_config_by_name,
)

from simtool.profiles.find import default_library
from simtool.validate.case import Case, express
from simtool.validate.fit.cross import is_evidence
from simtool.validate.fit.stored import load
from simtool.validate.predict import predict_cases
from simtool.validate.score import constant_mfu
from simtool.validate.table import SHIPPED, read_rows
from simtool.workload.transformer import Transformer

GPUS = {
    "a100-sxm-80": "a100-sxm-80gb",
    "a100-sxm-40": "a100-sxm-40gb",
    "h100-sxm": "h100-sxm-80gb",
    "v100-sxm2-32": "v100-sxm-32gb",
    "v100-sxm2-16": "v100-sxm-16gb",
}
EFFICIENCY = 0.5
FORMAT = DtypeConfig(name="w16a16e16", weight_bits=16, activation_bits=16, embedding_bits=16)
RECOMPUTATION = {
    "none": peer.ActivationRecomputation.NONE,
    "selective": peer.ActivationRecomputation.SELECTIVE,
    "full": peer.ActivationRecomputation.FULL,
}


def peer_step_s(case: Case) -> float | None:
    """What llm-analysis says of one step [s]; None where it cannot."""
    model, layouts, gpu = case.model, case.layouts, GPUS.get(case.machine.accelerator.name)
    known = (
        isinstance(model, Transformer) and model.num_experts == 1 and case.method is None and gpu is not None
    )
    if (
        not known
        or case.job.precision not in ("bf16", "fp16")
        or float(layouts.cp) > 1
        or model.ffn_hidden_size % model.hidden_size
    ):
        return None
    shape = ModelConfig(
        name=case.row["id"],
        num_layers=model.num_layers,
        n_head=model.num_heads,
        hidden_dim=model.hidden_size,
        vocab_size=model.vocab_size,
        max_seq_len=case.job.seq_len,
        num_key_value_heads=model.num_kv_heads,
        ffn_embed_dim=model.ffn_hidden_size,
    )
    ranks = ParallelismConfig(tp_size=int(layouts.tp), pp_size=int(layouts.pp), dp_size=int(layouts.dp))
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            found = peer.LLMAnalysis(
                shape,
                get_gpu_config_by_name(gpu),
                FORMAT,
                ranks,
                flops_efficiency=EFFICIENCY,
                hbm_memory_efficiency=0.8,
            ).training(
                batch_size_per_gpu=int(layouts.micro_batch),
                gradient_accumulation_steps=int(layouts.num_micro_batches),
                seq_len=case.job.seq_len,
                activation_recomputation=RECOMPUTATION[case.job.recompute],
                ds_zero=peer.DSZeRO(int(layouts.zero)),
                flash_attn=case.job.attention == "flash",
            )
        except (AssertionError, ValueError, ZeroDivisionError):
            return None
    return float(found["latency_per_iter"])


def main() -> None:
    """Print medians over families of all three on the rows that llm-analysis expresses."""
    logging.disable(logging.CRITICAL)
    library = default_library()
    cases = [
        one
        for row in read_rows(SHIPPED)
        if isinstance(one := express(row, library), Case) and is_evidence(one)
    ]
    theirs = {case.row["id"]: peer_step_s(case) for case in cases}
    predictions = predict_cases(cases, load(), [True] * len(cases), library)
    constant = constant_mfu(predictions)
    chosen = [one for one in predictions if theirs[one.row_id] is not None]
    print(f"{len(chosen)} of {len(cases)} rows, {len({one.family for one in chosen})} families")
    for name, seconds in (
        ("simtool", {one.row_id: one.predicted_s for one in chosen}),
        (f"llm-analysis at {EFFICIENCY:g} of the peak", theirs),
        ("constant MFU", constant),
    ):
        errors: dict[str, list[float]] = {}
        for one in chosen:
            errors.setdefault(one.family, []).append(abs(float(np.log(seconds[one.row_id] / one.measured_s))))
        mean = [float(np.mean(own)) for own in errors.values()]
        print(
            f"{name:32s} median {np.expm1(np.median(mean)):6.1%}  p90 {np.expm1(np.percentile(mean, 90)):6.0%}"
        )


if __name__ == "__main__":
    main()
