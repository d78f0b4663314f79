"""What a blank field of a published row is taken to be: one written rule each, never row by row.

Every rule has an id; the ids that a row used stand beside its prediction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, str]

ACCELERATORS = {
    "A100-SXM-80GB": "a100-sxm-80",
    "A100-SXM (40/80GB n/s)": "a100-sxm-80",
    "A100-SXM-40GB": "a100-sxm-40",
    "H100-SXM-80GB": "h100-sxm",
    "H200-SXM": "h200-sxm",
    "B200-SXM": "b200-sxm",
    "B300-SXM": "b300-sxm",
    "GB200": "gb200",
    "GB300": "gb300",
    "V100-SXM2-32GB": "v100-sxm2-32",
    "V100-SXM2-16GB": "v100-sxm2-16",
    "MI300X": "mi300x",
    "TPU v4": "tpu-v4",
    "TPU v5e": "tpu-v5e",
    "TPU v5p": "tpu-v5p",
    "TPU v6e": "tpu-v6e",
}
"""Profile by the table's name. Not there: parts without a profile (a 500 W H100 with HBM2e)."""

SOFTWARE = (
    ("Megatron-Bridge", "megatron-bridge"),
    ("NeMo", "megatron-core"),
    ("Megatron-Core", "megatron-core"),
    ("nanotron", "megatron-core"),
    ("Megatron-DeepSpeed", "megatron-deepspeed"),
    ("Megatron + Deepspeed", "megatron-deepspeed"),
    ("Megatron-LM", "megatron-lm"),
    ("DeepSpeed ZeRO-3", "llm-foundry-fsdp"),
    ("llm-foundry", "llm-foundry-fsdp"),
    ("metaseq", "llm-foundry-fsdp"),
    ("fms-fsdp", "torchtitan"),
    ("torchtitan", "torchtitan"),
    ("flash-attention", "torchtitan"),
    ("litgpt", "hf-eager"),
    ("PyTorch/HF", "hf-eager"),
    ("nanoGPT", "hf-eager"),
    ("JAX", "jax-gpu"),
)
"""Software profile by the begin of the framework's name, first match."""

MEGATRON_LIKE = ("megatron-bridge", "megatron-core")
"""Stacks that split activations along the sequence wherever tp is above 1."""


@dataclass
class Filled:
    """A row's fields with blanks filled, and the rules that filled them."""

    row: Row
    rules: list[str] = field(default_factory=list)

    def number(self, name: str, rule: str = "", default: float | None = None) -> float | None:
        """A numeric field; where it is blank the default, under the rule's id."""
        written = self.row.get(name, "")
        if written not in ("", "nan"):
            return float(written)
        if default is not None:
            self.rules.append(rule)
        return default

    def text(self, name: str) -> str:
        """A text field, empty where blank."""
        written = self.row.get(name, "")
        return "" if written == "nan" else written


def precision_of(row: Row) -> str | None:
    """bf16 or fp16; None for what the model cannot express (fp8, fp4, fp32 mixtures)."""
    written = row.get("precision", "")
    if re.match(r"fp8|mxfp8|nvfp4|te-fp8|fp32", written):
        return None
    if written.startswith("fp16"):
        return "fp16"
    return "bf16" if "bf16" in written else None


def software_of(filled: Filled, accelerator: str) -> str:
    """Profile of the framework.

    R-stack: an unnamed framework counts as megatron-core. R-jax: MaxText is the TPU profile on TPUs
    and the JAX profile on GPUs. R-lm: Megatron-LM on Hopper and later is megatron-core.
    """
    written = filled.text("framework")
    if not written:
        filled.rules.append("R-stack")
        return "megatron-core"
    if written.startswith("MaxText"):
        filled.rules.append("R-jax")
        return "maxtext-tpu" if accelerator.startswith("tpu") else "jax-gpu"
    name = next((profile for begin, profile in SOFTWARE if written.startswith(begin)), "hf-eager")
    if name == "megatron-lm" and not accelerator.startswith(("a100", "v100")):
        filled.rules.append("R-lm")
        return "megatron-core"
    return name


def recompute_of(filled: Filled) -> str | None:
    """none, selective or full; None where the source says nothing: then R-fit decides by memory."""
    written = filled.text("recompute")
    if not written:
        return None
    if written.startswith("full"):
        return "full"
    if written.startswith("none"):
        return "none"
    return "selective"


def attention_of(filled: Filled) -> str:
    """flash or unfused. R-flash: flash where the source says nothing; eager kernels are unfused."""
    written = filled.text("attention_impl")
    if not written:
        filled.rules.append("R-flash")
        return "flash"
    return "unfused" if written.startswith(("unfused", "eager")) else "flash"


def zero_of(filled: Filled, software: str) -> int:
    """ZeRO stage. R-zero: 1 for Megatron stacks, 3 for sharded ones, 0 otherwise."""
    match = re.match(r"([0-3])", filled.text("zero_stage"))
    if match:
        return int(match[1])
    filled.rules.append("R-zero")
    if software in MEGATRON_LIKE:
        return 1
    return 3 if software in ("llm-foundry-fsdp", "torchtitan", "maxtext-tpu", "jax-gpu") else 0


def node_bandwidth_of(row: Row) -> float | None:
    """Network bandwidth of a node in byte/s where the interconnect column states one.

    >>> node_bandwidth_of({"interconnect": "NVLink3 + 4x OmniPath 100 Gb/s per node (JeanZay)"}) / 1e9
    50.0
    >>> node_bandwidth_of({"interconnect": "NVLink; RoCE 1600 Gbps/node"}) / 1e9
    200.0
    """
    written = row.get("interconnect", "")
    total = re.search(r"\((\d+) Gb/s per node\)|(\d{3,4}) Gbps|(\d+)Gb/s aggregate", written)
    if total:
        return float(next(group for group in total.groups() if group)) * 1e9 / 8
    links = re.search(r"(\d+)x (?:OmniPath |HDR)?(\d{3})", written)
    if links:
        return float(links[1]) * float(links[2]) * 1e9 / 8
    each = re.search(r"(?:NDR|RoCE |RDMA )(\d{3})", written)
    if each:
        return 8 * float(each[1]) * 1e9 / 8
    return None


def shape_of(filled: Filled) -> dict[str, Any] | None:
    """Fields of a `Transformer`; None without layers and width.

    R-head: heads of 128 features where their number is blank. R-ffn: MLP of 4 x hidden. R-kv:
    as many key-value heads as heads. R-vocab: 51,200. R-mlp: an MLP other than 4 x hidden is gated.
    """
    layers, hidden = filled.number("layers"), filled.number("hidden")
    if layers is None or hidden is None:
        return None
    heads = filled.number("heads", "R-head", max(1, round(hidden / 128))) or 1
    ffn = filled.number("ffn_hidden", "R-ffn", 4 * hidden) or 4 * hidden
    gated = ffn != 4 * hidden
    if gated:
        filled.rules.append("R-mlp")
    return {
        "num_layers": int(layers),
        "hidden_size": int(hidden),
        "num_heads": int(heads),
        "num_kv_heads": int(filled.number("kv_heads", "R-kv", heads) or heads),
        "head_dim": max(1, round(hidden / heads)),
        "ffn_hidden_size": int(ffn),
        "vocab_size": int(filled.number("vocab", "R-vocab", 51_200) or 51_200),
        "mlp": "swiglu" if gated else "gelu",
        "norm": "rmsnorm" if gated else "layernorm",
        "positions": "rotary" if gated else "alibi",
        "tied_embeddings": not gated,
        "qkv_bias": not gated,
        "output_bias": not gated,
        "mlp_bias": not gated,
    }
