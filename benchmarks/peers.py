"""Other tools on the same rows: llm-analysis and mlsysim beside simtool, each where it can express them.

    pip install llm-analysis mlsysim==0.3.0 && python benchmarks/peers.py

A tool that is not installed is left out. Each gets the stated layout, its own description of the accelerator, and its
own knob, the share of the peak rate, at the 0.5 that both advise.

- llm-analysis: dense decoders, an MLP of whole multiples of the width.
- mlsysim: decoders with and without experts, by `DistributedModel` (tp, pp, interleaving, ep, dp, ZeRO stage, full
  recomputation). It has no context parallelism, prices a token at 2 FLOP a weight and no attention of its own, and
  takes no word for kernels or frameworks. `--variants` also prints what its other options give.
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from simtool.profiles.find import default_library
from simtool.validate.case import Case, express
from simtool.validate.fit.cross import is_evidence
from simtool.validate.fit.stored import load
from simtool.validate.predict import Prediction, predict_cases
from simtool.validate.score import constant_mfu
from simtool.validate.table import SHIPPED, read_rows
from simtool.workload.transformer import Transformer

EFFICIENCY = 0.5
Peer = Callable[[Case], float | None]
"""What a tool says of one step [s]; None where it cannot."""
ANALYSIS_GPUS = {
    "a100-sxm-80": "a100-sxm-80gb",
    "a100-sxm-40": "a100-sxm-40gb",
    "h100-sxm": "h100-sxm-80gb",
    "v100-sxm2-32": "v100-sxm-32gb",
    "v100-sxm2-16": "v100-sxm-16gb",
}
MLSYSIM_PARTS = {
    "a100-sxm-80": "A100",
    "a100-sxm-40": "A100_40GB",
    "h100-sxm": "H100",
    "h200-sxm": "H200",
    "b200-sxm": "B200",
    "v100-sxm2-32": "V100",
    "mi300x": "MI300X",
    "tpu-v3": "TPUv3",
    "tpu-v4": "TPUv4",
    "tpu-v5p": "TPUv5p",
    "tpu-v6e": "TPUv6",
}
"""Its GB200 is a whole rack, its V100 has 32 GB; the others of the table it does not know."""


def is_sixteen_bit(case: Case) -> bool:
    """A decoder in 16 bits that is trained whole and whose contexts are not split."""
    return (
        isinstance(case.model, Transformer)
        and case.method is None
        and case.job.precision in ("bf16", "fp16")
        and float(case.layouts.cp) == 1.0
    )


def llm_analysis() -> Peer:
    """llm-analysis, at `EFFICIENCY` of the peak as its documentation advises."""
    import llm_analysis.analysis as peer
    from llm_analysis.config import DtypeConfig, ModelConfig, ParallelismConfig, get_gpu_config_by_name

    number_format = DtypeConfig(name="w16a16e16", weight_bits=16, activation_bits=16, embedding_bits=16)
    recomputation = {
        "none": peer.ActivationRecomputation.NONE,
        "selective": peer.ActivationRecomputation.SELECTIVE,
        "full": peer.ActivationRecomputation.FULL,
    }

    def step_s(case: Case) -> float | None:
        model, layouts, gpu = case.model, case.layouts, ANALYSIS_GPUS.get(case.machine.accelerator.name)
        if gpu is None or not is_sixteen_bit(case) or not isinstance(model, Transformer):
            return None
        if model.num_experts > 1 or model.ffn_hidden_size % model.hidden_size:
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
                    number_format,
                    ranks,
                    flops_efficiency=EFFICIENCY,
                    hbm_memory_efficiency=0.8,
                ).training(
                    batch_size_per_gpu=int(layouts.micro_batch),
                    gradient_accumulation_steps=int(layouts.num_micro_batches),
                    seq_len=case.job.seq_len,
                    activation_recomputation=recomputation[case.job.recompute],
                    ds_zero=peer.DSZeRO(int(layouts.zero)),
                    flash_attn=case.job.attention == "flash",
                )
            except (AssertionError, ValueError, ZeroDivisionError):
                return None
        return float(found["latency_per_iter"])

    return step_s


def mlsysim(*, overlaps: bool = True, amortises: bool = True, counts_attention: bool = False) -> Peer:
    """mlsysim's `DistributedModel` at its default efficiency of `EFFICIENCY`.

    Args:
        overlaps: hides its default 85 % of the exchange of gradients, as the frameworks of the table do.
        amortises: tells it of micro-batches without a pipeline as accumulation, without which it holds the activations
            of all of them at once and prices memory that does not fit at the rate of PCIe; it then also divides the
            exchange of gradients by their number.
        counts_attention: states the work of a token with attention, in place of its own 2 FLOP a weight.
    """
    from mlsysim.core.units import Q_
    from mlsysim.hardware.registry import CloudHardware
    from mlsysim.models.types import SparseTransformerWorkload, TransformerWorkload
    from mlsysim.solvers import DistributedModel
    from mlsysim.systems.registry import Nodes
    from mlsysim.systems.types import Fleet, NetworkFabric, Node

    solver = DistributedModel()

    def step_s(case: Case) -> float | None:
        part, model, layouts = MLSYSIM_PARTS.get(case.machine.accelerator.name), case.model, case.layouts
        if part is None or not is_sixteen_bit(case) or not isinstance(model, Transformer):
            return None
        device = getattr(CloudHardware, part)
        # MI300X has its links in the server's description
        inside = (
            Nodes.Server_8x_MI300X.intra_node_bw
            if part == "MI300X"
            else device.nvlink.bandwidth_per_direction
        )
        per_node = min(case.machine.accelerators_per_node, int(case.num_devices))
        if int(case.num_devices) % per_node:
            return None
        shape = {
            "name": case.row["id"],
            "architecture": "Transformer",
            "parameters": Q_(float(model.num_parameters), "count"),
            "layers": model.num_layers,
            "hidden_dim": model.hidden_size,
            "heads": model.num_heads,
            "kv_heads": model.num_kv_heads,
        }
        if counts_attention:
            forward_flop = float(np.asarray(model.model_flop_per_token(case.job.seq_len))) / 3.0
            shape["inference_flops"] = Q_(forward_flop, "flop")
        if model.num_experts > 1:
            workload = SparseTransformerWorkload(
                **shape,
                active_parameters=Q_(float(model.num_active_parameters), "count"),
                experts=model.num_experts,
                active_experts_per_token=model.top_k,
            )
        else:
            workload = TransformerWorkload(**shape)
        node, network = case.machine.node, case.machine.network
        fleet = Fleet(
            name=case.row["id"],
            count=int(case.num_devices) // per_node,
            node=Node(
                name=node.name,
                accelerator=device,
                accelerators_per_node=per_node,
                intra_node_bw=inside,
            ),
            fabric=NetworkFabric(
                name=network.name,
                bandwidth=Q_(float(node.scale_out_bandwidth) / node.num_accelerators, "byte/s"),
            ),
        )
        pp, batches = int(layouts.pp), int(layouts.num_micro_batches)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = solver.solve(
                    workload,
                    fleet,
                    batch_size=int(layouts.global_batch),
                    precision=case.job.precision,
                    efficiency=EFFICIENCY,
                    tp_size=int(layouts.tp),
                    pp_size=pp,
                    ep_size=int(layouts.ep),
                    v_stages=int(layouts.vpp),
                    microbatch_count=batches,
                    zero_stage=int(layouts.zero),
                    activation_recomputation=case.job.recompute == "full",
                    overlap_comm=overlaps,
                    gradient_accumulation_steps=batches if amortises and pp == 1 else 1,
                    seq_len=case.job.seq_len,
                )
            except (ValueError, ZeroDivisionError):
                return None
        return float(found.step_latency_total.m_as("s"))

    return step_s


PEERS: Mapping[str, Callable[[], Peer]] = {"llm-analysis": llm_analysis, "mlsysim": mlsysim}
VARIANTS: Mapping[str, Callable[[], Peer]] = {
    "mlsysim, nothing overlaps": lambda: mlsysim(overlaps=False),
    "mlsysim, no accumulation": lambda: mlsysim(amortises=False),
    "mlsysim, neither": lambda: mlsysim(overlaps=False, amortises=False),
    "mlsysim, attention stated": lambda: mlsysim(counts_attention=True),
}


def line(name: str, chosen: Sequence[Prediction], seconds: Mapping[str, float | None]) -> str:
    """Median and 90th percentile over families of what a tool errs on these rows, and its bias."""
    errors: dict[str, list[float]] = {}
    logs = []
    for one in chosen:
        log = float(np.log((seconds[one.row_id] or np.nan) / one.measured_s))
        logs.append(log)
        errors.setdefault(one.family, []).append(abs(log))
    mean = [float(np.mean(own)) for own in errors.values()]
    median, p90 = np.expm1(np.percentile(mean, [50, 90]))
    return f"  {name:32s} median {median:6.1%}  p90 {p90:6.0%}  bias {np.expm1(np.median(logs)):+6.1%}"


def main() -> None:
    """For each tool, the errors of all on the rows that it expresses; then on those that all express."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", action="store_true", help="also mlsysim with its other options")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    library = default_library()
    cases = [
        one
        for row in read_rows(SHIPPED)
        if isinstance(one := express(row, library), Case) and is_evidence(one)
    ]
    predictions = predict_cases(cases, load(), [True] * len(cases), library)
    ours: dict[str, float | None] = {one.row_id: one.predicted_s for one in predictions}
    constant: dict[str, float | None] = dict(constant_mfu(predictions))
    found: dict[str, dict[str, float | None]] = {}
    for name, make in {**PEERS, **(VARIANTS if given.variants else {})}.items():
        try:
            step_s = make()
        except ImportError:
            print(f"{name} is not installed")
            continue
        found[name] = {case.row["id"]: step_s(case) for case in cases}
    for name, theirs in found.items():
        chosen = [one for one in predictions if theirs[one.row_id] is not None]
        print(f"{name}: {len(chosen)} of {len(cases)} rows, {len({one.family for one in chosen})} families")
        for what, seconds in ((name, theirs), ("simtool", ours), ("constant MFU", constant)):
            print(line(what, chosen, seconds))
    if len(found) > 1:
        both = [one for one in predictions if all(one_s[one.row_id] is not None for one_s in found.values())]
        print(f"all: {len(both)} rows, {len({one.family for one in both})} families")
        for name, seconds in {**found, "simtool": ours, "constant MFU": constant}.items():
            print(line(name, both, seconds))


if __name__ == "__main__":
    main()
