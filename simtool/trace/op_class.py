"""What kind of work a kernel does, told by its name.

Names are those that cuBLAS, cuDNN, CUTLASS, Triton, hipBLASLt, MIOpen, Composable Kernel, NCCL, RCCL and
torch give to their kernels in released versions. A name that no rule knows is memory-bound work: that is
what the thousands of element-wise, reduction and gather kernels are.
"""

from __future__ import annotations

import re
from functools import lru_cache

OP_CLASSES = ("gemm", "attention", "conv", "memory", "optimizer", "communication", "copy")
"""All classes, in the order in which they are shown."""

_COMMUNICATION = re.compile(
    r"nccl|rccl|msccl|oneccl|nvshmem|rocshmem|deep_?ep|cross_device_reduce|multimem_all|"
    r"all_?reduce|all_?gather|reduce_?scatter|all_?to_?all|symm_mem"
)
_NOT_ATTENTION = re.compile(r"reshape_and_cache|copy_kernel|rotary")
_ATTENTION = re.compile(r"flash|fmha|attn|attention|(?:^|_)mha_|sdpa|bwd_kernel_d[kq]|paged_|splash")
_CONVOLUTION = re.compile(
    r"fprop|dgrad|wgrad|conv(?!ert)|implicit_?gemm|scudnn|winograd|igemm_(?:fwd|bwd|wrw)|depthwise"
)
_GEMM = re.compile(
    r"gemm|gemv|cijk_|nvjet|xmma|cutlass\w*tensorop|matmul|triton_(?:tem_|mm)|splitk|cublas|_dot_kernel|"
    r"(?:^|_)mm(?:_|\b)|addmm|wvsplitk"
)
_OPTIMIZER = re.compile(
    r"adam|adagrad|lamb(?!da)|rmsprop|momentum|(?:^|[_:<])sgd|muon|(?:^|[_:<])lion|fused_?optim"
)
_EMBEDDING = re.compile(r"embedding|jagged")

_ATTENTION_KERNELS = (
    ("cudnn", re.compile(r"cudnn")),
    ("flash3", re.compile(r"flash\w*sm90|flashattn\w*sm90|cutlass::device_kernel<flash|flash_?attn_?3|_fa3_")),
    ("ck", re.compile(r"ck_tile|\bck::|fmhafwd|fmhabwd|aiter|fmha_(?:fwd|bwd)_(?:d|hd)\d")),
    ("efficient", re.compile(r"fmha_cutlass|attention_kernel_(?:forward|backward)|attentionkernel|cutlassf|cutlassb")),
    ("flash2", re.compile(r"flash_(?:fwd|bwd)|pytorch_flash|flash::")),
    ("aotriton", re.compile(r"^attn_(?:fwd|bwd)|bwd_kernel_d[kq]|bwd_preprocess")),
    ("triton", re.compile(r"triton|flex_attention|unified_attention")),
)  # fmt: skip
_COLLECTIVES = (
    ("all_reduce", re.compile(r"all_?reduce|cross_device_reduce")),
    ("reduce_scatter", re.compile(r"reduce_?scatter")),
    ("all_gather", re.compile(r"all_?gather")),
    ("all_to_all", re.compile(r"all_?to_?all|deep_?ep|dispatch|combine")),
    ("send_recv", re.compile(r"send_?recv|sendrecv|\bsend\b|\brecv\b|p2p")),
    ("broadcast", re.compile(r"broadcast")),
    ("reduce", re.compile(r"reduce")),
)
_COPIES = (
    ("host_to_device", re.compile(r"htod|hosttodevice|host -> device|\(?(?:pinned|pageable) -> device")),
    ("device_to_host", re.compile(r"dtoh|devicetohost|device -> (?:host|pinned|pageable)")),
    ("peer_to_peer", re.compile(r"ptop|peer")),
    ("device_to_device", re.compile(r"dtod|devicetodevice|device -> device")),
)


@lru_cache(maxsize=65536)
def class_of(name: str, kind: str = "kernel") -> str:
    """The class of a kernel by its name.

    Args:
        name: as the profiler tells it.
        kind: kernel, memcpy or memset.

    >>> class_of("ampere_sgemm_128x64_nn"), class_of("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(...)")
    ('gemm', 'communication')
    >>> class_of("at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float> >")
    'memory'
    """
    if kind != "kernel":
        return "copy"
    low = name.lower()
    if _COMMUNICATION.search(low):
        return "communication"
    if _ATTENTION.search(low) and not _NOT_ATTENTION.search(low):
        return "attention"
    if low.startswith("void at::native::") and "gemv" not in low and "conv" not in low:
        return _by_optimizer(low)
    if _CONVOLUTION.search(low):
        return "conv"
    if _GEMM.search(low):
        return "gemm"
    return _by_optimizer(low)


def _by_optimizer(low: str) -> str:
    return "optimizer" if _OPTIMIZER.search(low) and not _EMBEDDING.search(low) else "memory"


@lru_cache(maxsize=65536)
def variant_of(name: str, op_class: str, kind: str = "kernel") -> str:
    """Which kernel of its class: of attention the library, of communication the collective, of copies the way.

    Empty where the class has no variants or the name does not tell.

    >>> variant_of("ncclKernel_AllReduce_RING_LL_Sum_float(ncclWorkElem)", "communication")
    'all_reduce'
    >>> variant_of("Memcpy HtoD (Pinned -> Device)", "copy", "memcpy")
    'host_to_device'
    """
    if kind == "memset":
        return "fill"
    tables = {"attention": _ATTENTION_KERNELS, "communication": _COLLECTIVES, "copy": _COPIES}
    low = name.lower()
    for variant, pattern in tables.get(op_class, ()):
        if pattern.search(low):
            return variant
    return "other" if op_class in tables else ""


_DTYPES = (
    ("float8", re.compile(r"e4m3|e5m2|fp8|float8|_f8")),
    ("tf32", re.compile(r"tf32|s1688(?:gemm|fprop|dgrad|wgrad)|xf32")),
    ("bfloat16", re.compile(r"bf16|bfloat16|_bs?_bh|_b_b")),
    ("float16", re.compile(r"_f16|half|fp16|hgemm|h16816|_h_h|hs_bh")),
    ("float64", re.compile(r"dgemm|double|f64")),
    ("float32", re.compile(r"sgemm|scudnn|float|f32|_s_s")),
)


@lru_cache(maxsize=65536)
def dtype_of(name: str) -> str:
    """The number format that a kernel's name tells, or nothing.

    >>> dtype_of("cutlass_80_tensorop_s1688gemm_256x64_16x4_nn_align4"), dtype_of("Cijk_Alik_Bljk_B_BS_BH")
    ('tf32', 'bfloat16')
    """
    low = name.lower()
    return next((dtype for dtype, pattern in _DTYPES if pattern.search(low)), "")
