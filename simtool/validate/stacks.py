"""Which profiles a published row means: accelerator, framework, release, and the number format.

Every rule has an id; the ids that a row used stand beside its prediction.
"""

from __future__ import annotations

import re

from simtool.validate.table import Filled, Row

ACCELERATORS = {
    "A100-SXM-80GB": "a100-sxm-80",
    "A100-SXM (40/80GB n/s)": "a100-sxm-80",
    "A100-SXM-40GB": "a100-sxm-40",
    "A100-PCIe-80GB": "a100-pcie-80",
    "A100-PCIe-40GB": "a100-pcie-40",
    "H100-SXM-80GB": "h100-sxm",
    "H100-SXM-96GB-HBM2e-500W": "h100-sxm-96",
    "H100-PCIe-80GB": "h100-pcie",
    "H100-NVL": "h100-nvl",
    "H200-SXM": "h200-sxm",
    "GH200": "gh200-96",
    "B200-SXM": "b200-sxm",
    "B300-SXM": "b300-sxm",
    "GB200": "gb200",
    "GB300": "gb300",
    "V100-SXM2-32GB": "v100-sxm2-32",
    "V100-SXM2-16GB": "v100-sxm2-16",
    "V100-PCIe-32GB": "v100-pcie-32",
    "RTX A6000": "rtx-a6000",
    "MI210": "mi210",
    "MI250": "mi250",
    "MI250X": "mi250x",
    "MI300X": "mi300x",
    "MI325X": "mi325x",
    "MI355X": "mi355x",
    "TPU v2": "tpu-v2",
    "TPU v3": "tpu-v3",
    "TPU v4": "tpu-v4",
    "TPU v5e": "tpu-v5e",
    "TPU v5p": "tpu-v5p",
    "TPU v6e": "tpu-v6e",
    "TPU7x (Ironwood)": "tpu-v7x",
}
"""Profile by the table's name."""

SOFTWARE = (
    ("Megatron-Bridge", "megatron-bridge"),
    ("NeMo", "megatron-core"),
    ("Megatron-Core", "megatron-core"),
    ("nanotron", "nanotron"),
    ("Megatron-DeepSpeed", "megatron-deepspeed"),
    ("Megatron + Deepspeed", "megatron-deepspeed"),
    ("Megatron-LM", "megatron-lm"),
    ("DeepSpeed", "deepspeed-zero"),
    ("llm-foundry", "llm-foundry-fsdp"),
    ("metaseq", "llm-foundry-fsdp"),
    ("fairscale", "llm-foundry-fsdp"),
    ("fms-fsdp", "torchtitan"),
    ("torchtitan", "torchtitan"),
    ("flash-attention", "flash-attention"),
    ("litgpt thunder", "torch-compiled"),
    ("nanoGPT torch.compile", "torch-compiled"),
    ("torchtune + compile", "torch-compiled"),
    ("litgpt", "hf-eager"),
    ("PyTorch/HF", "hf-eager"),
    ("nanoGPT", "hf-eager"),
    ("torchtune", "hf-eager"),
)
"""Software profile by the begin of the framework's name, first match."""

JAX = ("MaxText", "JAX", "Levanter", "Pax", "T5X")

PROFILES = frozenset({profile for _, profile in SOFTWARE} | {"maxtext-tpu", "jax-gpu"})
"""What is a profile's own name, and means that profile."""

MEGATRON_LIKE = ("megatron-bridge", "megatron-core", "nanotron")
"""Stacks that split activations along the sequence wherever tp is above 1."""

SHARDED = ("llm-foundry-fsdp", "torchtitan", "maxtext-tpu", "jax-gpu", "deepspeed-zero")
"""Stacks that shard weights, gradients and optimizer over all replicas where nothing else is said."""


def accelerator_of(row: Row) -> str | None:
    """Profile of the accelerator: by the table's name, or the name of a profile itself."""
    written = (row.get("accelerator") or "").strip()
    return ACCELERATORS.get(written) or (written if re.fullmatch(r"[a-z0-9-]+", written) else None)


def software_of(filled: Filled, accelerator: str) -> str:
    """Profile of the framework: by its name as sources write it, or the name of a profile itself.

    R-stack: an unnamed framework counts as megatron-core, on TPUs as maxtext-tpu. R-jax: JAX frameworks are
    the TPU profile on TPUs and the JAX profile on GPUs. R-lm: Megatron-LM on Hopper and later is megatron-core.
    R-eager: a framework that nobody knows is PyTorch in eager mode.
    """
    written = filled.text("framework")
    on_tpu = accelerator.startswith("tpu")
    if written in PROFILES:
        return written
    if written.startswith(JAX):
        filled.rules.append("R-jax")
        return "maxtext-tpu" if on_tpu else "jax-gpu"
    if not written or filled.text("source").startswith("PaLM") or written == "Meta":
        filled.rules.append("R-stack")
        return "maxtext-tpu" if on_tpu else "megatron-core"
    name = next((profile for begin, profile in SOFTWARE if written.startswith(begin)), "")
    if not name:
        filled.rules.append("R-eager")
        return "hf-eager"
    if name == "megatron-lm" and not accelerator.startswith(("a100", "v100")):
        filled.rules.append("R-lm")
        return "megatron-core"
    return name


def release_of(row: Row) -> str:
    """Release of the framework where the source's title names one, as year and month; empty otherwise.

    >>> release_of({"source": "Megatron-Bridge performance summary 26.04.01"})
    '26.04.01'
    >>> release_of({"source": "LLM Foundry MPT benchmarks"})
    ''
    """
    found = re.search(r"\b(\d\d\.\d\d(?:\.\d\d)?)\b", row.get("source") or "")
    return found[1] if found else ""


LOW_PRECISIONS = (
    (r"nvfp4|fp4", "nvfp4"),
    (r"mxfp8|fp8-mx", "mxfp8"),
    (r"(te-)?fp8", "fp8"),
)
"""Format by the begin of the written precision, first match."""


def precision_of(filled: Filled) -> str:
    """Format of the products. R-bf16: bf16 where none is written.

    ``fp8-cs`` and the like differ in how scales are found, not in the rate. fp32 that excludes TF32 runs on
    ordinary units.
    """
    written = filled.text("precision").lower()
    for begin, name in LOW_PRECISIONS:
        if re.match(begin, written):
            return name
    if written.startswith("fp32"):
        return "fp32"
    if written.startswith("tf32"):
        return "tf32"
    if written.startswith("fp16"):
        return "fp16"
    if "bf16" not in written:
        filled.rules.append("R-bf16")
    return "bf16"


def scaling_of(row: Row) -> str:
    """How low-precision scales are found where it costs time: ``rowwise``, or empty.

    >>> scaling_of({"precision": "fp8-float8-rowwise_gw_hp"})
    'rowwise'
    """
    return "rowwise" if "rowwise" in (row.get("precision") or "") else ""


def recompute_of(filled: Filled) -> str | None:
    """none, selective or full; None where the source says nothing: then R-fit decides by memory."""
    written = filled.text("recompute").lower()
    if not written:
        return None
    if written.startswith("full"):
        return "full"
    if written.startswith("none"):
        return "none"
    return "selective"


def attention_of(filled: Filled, software: str) -> str:
    """flash or unfused. R-flash: as the framework of its time where the source says nothing."""
    written = filled.text("attention_impl").lower()
    if written:
        return "unfused" if written.startswith(("unfused", "eager")) else "flash"
    filled.rules.append("R-flash")
    return "unfused" if software in ("megatron-deepspeed", "megatron-lm") else "flash"


def attention_class_of(row: Row) -> str:
    """Family of the flash kernel where the source names one: te, fa2, fa3, fa4, sdpa, pallas; empty otherwise.

    >>> attention_class_of({"attention_impl": "cuDNN flash (TE)"}), attention_class_of({"attention_impl": "FA3"})
    ('te', 'fa3')
    """
    written = (row.get("attention_impl") or "").lower()
    for begin, name in ((r"fa4", "fa4"), (r"fa3", "fa3"), (r".*(te\)|cudnn)", "te"), (r"splash", "splash")):
        if re.match(begin, written):
            return name
    for word, name in (("flash2", "fa2"), ("flash-attn 2", "fa2"), ("pallas", "pallas"), ("sdpa", "sdpa")):
        if word in written:
            return name
    return ""


def zero_of(filled: Filled, software: str) -> int:
    """ZeRO stage. R-zero: 1 for Megatron stacks, 3 for sharded ones, 0 otherwise."""
    match = re.match(r"([0-3])", filled.text("zero_stage"))
    if match:
        return int(match[1])
    filled.rules.append("R-zero")
    if software in MEGATRON_LIKE:
        return 1
    return 3 if software in SHARDED else 0


def offloads_optimizer(row: Row) -> bool:
    """Whether the optimizer runs on the host."""
    return "offload" in (row.get("zero_stage") or "").lower() + (row.get("task") or "").lower()


NETWORKS = (
    (r"EFA 3200", "efa-v2"),
    (r"EFA", "efa-v1"),
    (r"TCPX", "gcp-tcpx"),
    (r"RoCE|RDMA", "roce-400"),
    (r"NDR|ConnectX-7", "ib-ndr"),
    (r"HDR", "ib-hdr"),
    (r"OmniPath|EDR", "ib-edr"),
)
"""Network profile by a word of the interconnect column, first match."""


def network_of(row: Row) -> str | None:
    """Profile of the cluster network where the interconnect column names one.

    >>> network_of({"interconnect": "NVLink4 + EFA 3200 Gbps (HF hopper cluster)"})
    'efa-v2'
    """
    written = row.get("interconnect") or ""
    return next((profile for word, profile in NETWORKS if re.search(word, written)), None)


def node_bandwidth_of(row: Row) -> float | None:
    """Network bandwidth of a node in byte/s where the interconnect column states one.

    >>> node_bandwidth_of({"interconnect": "NVLink3 + 4x OmniPath 100 Gb/s per node (JeanZay)"}) / 1e9
    50.0
    >>> node_bandwidth_of({"interconnect": "NVLink; RoCE 1600 Gbps/node"}) / 1e9
    200.0
    """
    written = row.get("interconnect") or ""
    total = re.search(r"\((\d+) Gb/s per node\)|(\d{3,4}) Gbps|(\d+)Gb/s aggregate", written)
    if total:
        return float(next(group for group in total.groups() if group)) * 1e9 / 8
    links = re.search(r"(\d+)x ?(?:OmniPath |HDR)?(\d{3})", written)
    if links:
        return float(links[1]) * float(links[2]) * 1e9 / 8
    each = re.search(r"(?:NDR|RoCE |RDMA )(\d{3})", written)
    if each:
        return 8 * float(each[1]) * 1e9 / 8
    return None
