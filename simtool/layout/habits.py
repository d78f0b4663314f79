"""How frameworks hold what they train: one written rule per framework, with an id, in place of one for all.

Facts are read in the frameworks' own code and documentation; nothing here is fitted to a measured size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MEGATRON_LOGIT_BYTES = 6.0
"""Vocabulary-parallel loss of Megatron: logits, and their fp32 copy that becomes softmax and gradient in place."""
OLD_MEGATRON_LOGIT_BYTES = 10.0
"""The same before the exponentials were written in place (2023): one more fp32 copy."""
AUTOGRAD_LOGIT_BYTES = 14.0
"""PyTorch's cross entropy: log-softmax, gradient of it, gradient of the logits, in fp32; beside them the block of
the half-precision logits, which nothing but their gradient fits into."""
SHARDED_LOGIT_BYTES = 22.0
"""PyTorch's loss over logits sharded by vocabulary: the backward of log-softmax is a chain of plain
operations, with output, its gradient, exponential, product and result in fp32; and that block."""
FUSED_LOGIT_BYTES = 4.0
"""A compiled loss, or one in a fused kernel, reads logits and writes their gradient, at half precision."""
DEEPSPEED_BUCKET_BYTES = 9e9
"""Buckets of 5e8 elements, 2 bytes, reduced and gathered, 4.5 of them with overlap: DeepSpeed's defaults for
ZeRO 2 and 3 and the footprint that its documentation states for them."""
DEEPSPEED_LIVE_WEIGHTS = 1e9
"""Weights that ZeRO 3 keeps gathered: stage3_max_live_parameters of DeepSpeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryHabits:
    """What a framework keeps, and for how long."""

    rule: str
    """Id of the rule, printed beside predictions."""
    source: str
    shards_are_master: bool = False
    """The shards that ZeRO 3 deals out are fp32 and are the master copy; only what is gathered is half precision."""
    gradient_bytes: float | None = 4.0
    """Of the sum of gradients, per weight; None: of the size of the weights."""
    has_master: bool = True
    """An fp32 master copy beside weights at half precision."""
    moments_frac: float = 1.0
    """Size of the optimizer's states over the model's own (fp32): 0.5 where they are as small as the weights."""
    quantised_weights: bool = True
    """Training in 8 or 4 bits keeps quantised copies of the layers' weights; else they are made when needed."""
    placeholder_gradients: bool = False
    """Products add to the gradients' sum themselves, and hand autograd an unused tensor of each shape instead."""
    bucket_copy: bool = False
    """Replicas without ZeRO reduce a second copy of the gradients, in buckets."""
    gathered_layers: float = 2.0
    """Layers that ZeRO 3 holds whole: the one at work and the next."""
    gathers_edges: bool = False
    """Embedding and head are gathered as one more unit."""
    stays_gathered_in_pipeline: bool = False
    """With pipeline stages, ZeRO 3 gathers weights once a step and sums whole gradients."""
    live_weights: float = 0.0
    """Weights that ZeRO 3 keeps gathered at most, beside `gathered_layers`."""
    bucket_bytes: float = 0.0
    """Buffers in which ZeRO 2 and 3 exchange."""
    logit_bytes: float = MEGATRON_LOGIT_BYTES
    """Most bytes that the loss holds of one logit at a time."""
    sharded_logit_bytes: float | None = None
    """The same with tensor parallelism, where it differs."""
    splits_by_weights: bool = False
    """Pipeline stages end where they pass their share of the weights, the head's included."""
    holds_stage_outputs: bool = False
    """A pipeline stage keeps what it passed on until that micro-batch's backward pass."""
    holds_step_logits: bool = False
    """The last pipeline stage keeps the logits of all micro-batches of a step, at half precision."""
    counts_backward: bool = True
    """Whether the gradients inside a layer's backward pass are counted."""
    fused_norm: bool = True
    fused_gate: bool = True
    repeats_keys: bool = False
    """Keys and values are copied for every query head."""
    selective_keeps: float | None = None
    """Recomputation by operation: the share of the products' results that is kept; None: selective means
    recomputing attention's core (Korthikanti et al. 2022)."""


IDEAL = MemoryHabits(
    rule="M-ideal", source="Korthikanti et al. 2022 (arXiv 2205.05198)", counts_backward=False
)
"""The closed form: no buffers, nothing that lives shorter than a micro-batch."""

MEGATRON_CORE = MemoryHabits(
    rule="M-megatron-core",
    source="Megatron-Core 0.14 (distributed optimizer, fused gradient accumulation), Transformer Engine 2",
    placeholder_gradients=True,
)
MEGATRON_LM = MemoryHabits(
    rule="M-megatron-lm",
    source="Megatron-LM 2021 to 2022: 2 + 4 + 12 bytes a weight",
    logit_bytes=OLD_MEGATRON_LOGIT_BYTES,
)
DEEPSPEED_PIPELINE = replace(
    MEGATRON_LM,
    rule="M-megatron-deepspeed",
    source="Megatron-DeepSpeed 2021 to 2022: ZeRO 1 over pipeline stages, gradients summed in fp32",
    holds_stage_outputs=True,
)
FSDP2 = MemoryHabits(
    rule="M-fsdp2",
    source="torchtitan 2024 to 2025: fully_shard of every block and of embedding and head, fp32 shards",
    shards_are_master=True,
    quantised_weights=False,
    gathers_edges=True,
    stays_gathered_in_pipeline=True,
    holds_stage_outputs=True,
    holds_step_logits=True,
    logit_bytes=AUTOGRAD_LOGIT_BYTES,
    sharded_logit_bytes=SHARDED_LOGIT_BYTES,
    selective_keeps=0.5,
)
FSDP1 = replace(
    FSDP2,
    rule="M-fsdp1",
    source="PyTorch FullyShardedDataParallel, mixed precision: fp32 shards; fused cross entropy (llm-foundry)",
    stays_gathered_in_pipeline=False,
    holds_stage_outputs=False,
    holds_step_logits=False,
    logit_bytes=FUSED_LOGIT_BYTES,
    sharded_logit_bytes=None,
    selective_keeps=None,
)
NANOTRON = MemoryHabits(
    rule="M-nanotron",
    source=(
        "nanotron 0.5: fp32 sum beside gradients at half precision, DDP without ZeRO, stages balanced by cost, "
        "loss in plain operations"
    ),
    gradient_bytes=6.0,
    bucket_copy=True,
    splits_by_weights=True,
    logit_bytes=AUTOGRAD_LOGIT_BYTES + 2.0,
    fused_gate=False,
)
EAGER = MemoryHabits(
    rule="M-eager",
    source="PyTorch autograd over Hugging Face and LitGPT models",
    gradient_bytes=None,
    bucket_copy=True,
    logit_bytes=AUTOGRAD_LOGIT_BYTES,
    fused_norm=False,
    fused_gate=False,
    repeats_keys=True,
)
COMPILED = replace(
    EAGER,
    rule="M-compiled",
    source="PyTorch with a compiled graph: the partitioner keeps what fused kernels need; loss in autograd",
    bucket_copy=False,
    fused_norm=True,
    fused_gate=True,
    repeats_keys=False,
)
DEEPSPEED_ZERO = MemoryHabits(
    rule="M-deepspeed-zero",
    source="DeepSpeed ZeRO 2 and 3 with its default buckets; Liger kernels: fused norms, gates, head and loss",
    gradient_bytes=None,
    gathered_layers=0.0,
    live_weights=DEEPSPEED_LIVE_WEIGHTS,
    bucket_bytes=DEEPSPEED_BUCKET_BYTES,
    logit_bytes=0.0,
)
XLA = replace(
    FSDP1, rule="M-xla", source="sharded fp32 weights as with FSDP, everything compiled, loss included"
)

DATA_PARALLEL = (
    "vision-examples",
    "dle-mxnet-convnet",
    "dle-pytorch-convnet",
    "dle-pytorch-encoder",
    "dle-tensorflow-1-convnet",
    "dle-tensorflow-1-encoder",
    "dle-tensorflow-2-convnet",
    "dle-tensorflow-2-encoder",
    "lambda-pytorch-convnet",
    "lambda-pytorch-encoder",
    "mlperf-closed-convnet",
    "mlperf-closed-encoder",
    "mlperf-closed-recommender",
    "optimum-habana-encoder",
    "optimum-habana-vision",
    "timm-channels-first-convnet",
    "timm-channels-first-vision",
    "timm-channels-last-convnet",
    "timm-channels-last-vision",
    "zeus-pytorch-convnet",
    "zeus-pytorch-encoder",
)
"""Stacks of images, encoders and recommenders: whole replicas under automatic mixed precision."""

HABITS = {
    "megatron-core": MEGATRON_CORE,
    "megatron-bridge": MEGATRON_CORE,
    "megatron-lm": MEGATRON_LM,
    "megatron-deepspeed": DEEPSPEED_PIPELINE,
    "torchtitan": FSDP2,
    "llm-foundry-fsdp": FSDP1,
    "hf-eager": EAGER,
    "torch-compiled": COMPILED,
    "flash-attention": COMPILED,
    "deepspeed-zero": DEEPSPEED_ZERO,
    "nanotron": NANOTRON,
    "maxtext-tpu": XLA,
    "jax-gpu": XLA,
    **dict.fromkeys(DATA_PARALLEL, EAGER),
}
"""By name of the software profile."""


def habits_of(software: str) -> MemoryHabits:
    """The rule of a software profile; `IDEAL` for one that has none.

    >>> habits_of("megatron-bridge").rule, habits_of("somebody's own").rule
    ('M-megatron-core', 'M-ideal')
    """
    return HABITS.get(software, IDEAL)
