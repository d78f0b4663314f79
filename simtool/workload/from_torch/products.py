"""What kind of work an operation of torch's dispatcher is, its sizes, and what of memory it touches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

from simtool.stepgraph import Kind

GATHERS = frozenset({"embedding", "index_select", "gather", "index", "take", "take_along_dim"})
"""Read of their first operand only what they return."""
SCATTERS = frozenset(
    {"index_put", "index_put_", "_index_put_impl_", "index_add", "index_add_", "scatter_add", "scatter_add_"}
)
"""Write, in place, only as much as they are given."""
APART = frozenset(
    {
        "embedding_dense_backward", "embedding_bag", "_embedding_bag", "sort", "topk", "cumsum", "cumprod",
        "scatter", "scatter_", "max_pool2d_with_indices", "max_pool2d_with_indices_backward", "unique",
        "upsample_nearest2d", "upsample_bilinear2d", "_fft_r2c", "_fft_c2c", "_fft_c2r",
    }
) | GATHERS | SCATTERS  # fmt: skip
"""Memory-bound work with an order of access of its own: not fused with its neighbours."""
TWO_SWEEPS = frozenset(
    {
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional",
        "_batch_norm_with_update", "_batch_norm_with_update_functional", "cudnn_batch_norm",
        "native_batch_norm_backward", "batch_norm_backward", "cudnn_batch_norm_backward",
    }
)  # fmt: skip
"""Need a sum over all samples before the first output: their large operands are read twice."""
PURE_WRITES = frozenset(
    {"copy_", "fill_", "zero_", "uniform_", "normal_", "random_", "bernoulli_", "exponential_"}
)
"""Change an operand without reading it."""
UNCOUNTED_PRODUCTS = frozenset(
    {
        "mv", "addmv", "dot", "vdot", "addr", "_cdist_forward", "_cdist_backward", "_trilinear", "_fft_r2c",
        "_fft_c2c", "_fft_c2r", "linalg_svd", "_linalg_svd", "linalg_qr", "linalg_cholesky_ex", "linalg_inv_ex",
        "_linalg_eigh", "_linalg_solve_ex", "linalg_solve_triangular", "triangular_solve", "_grouped_mm",
        "_scaled_grouped_mm", "_int_mm", "addbmm", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell", "lstm",
        "mkldnn_rnn_layer", "_cudnn_rnn",
    }
)  # fmt: skip
"""Do products for which torch's counter has no formula; they are priced by the bytes that they move."""
FLASH, EFFICIENT = "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention"
CUDNN = "_scaled_dot_product_cudnn_attention"
ATTENTION = frozenset({FLASH, EFFICIENT, CUDNN})
ATTENTION_BACKWARD = frozenset(f"{name}_backward" for name in ATTENTION)


@dataclass(frozen=True, slots=True)
class Work:
    """Kind, work and sizes of one operation, in the words of `simtool.stepgraph.Op`."""

    kind: Kind
    flop: int = 0
    m: int = 0
    n: float = 0
    k: int = 0
    keys: int = 0
    batch: int = 1
    is_weight_gradient: bool = False


def works(func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Iterator[Work]:
    """The work of one call; two parts for a convolution's backward, which is both gradients at once."""
    if name == "convolution_backward":
        yield from _convolution_backward(func, args, kwargs, out)
        return
    flop = flop_of(func, args, kwargs, out)
    if name in ("mm", "_scaled_mm"):
        (m, k), n = args[0].shape, args[1].shape[1]
        yield Work(Kind.GEMM, flop, m, n, k)
    elif name == "addmm":
        (m, k), n = args[1].shape, args[2].shape[1]
        yield Work(Kind.GEMM, flop, m, n, k)
    elif name in ("bmm", "baddbmm"):
        left, right = args[name == "baddbmm" :][:2]
        batch, m, k = left.shape
        yield Work(Kind.GROUPED_GEMM if batch > 1 else Kind.GEMM, flop, m, right.shape[2], k, batch=batch)
    elif name in ATTENTION or name in ATTENTION_BACKWARD:
        yield _attention(name, args, kwargs, flop)
    elif name in ("convolution", "_convolution", "cudnn_convolution", "convolution_overrideable"):
        m, n, k, groups = _convolution(args, out)
        yield Work(Kind.CONVOLUTION, flop, m, n, k, batch=groups)
    elif flop:
        raise NotImplementedError(f"{name} is counted by torch but has no cost model here")
    else:
        yield Work(Kind.MEMORY)


def flop_of(func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> int:
    """Operations by torch's own formula, 0 where it has none [FLOP]."""
    formula = flop_registry.get(func._overloadpacket)
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=out))


def _attention(name: str, args: Sequence[Any], kwargs: dict[str, Any], flop: int) -> Work:
    is_backward = name in ATTENTION_BACKWARD
    query, key, value = args[is_backward:][:3]
    batch, heads, queries, width = query.shape
    length = key.shape[-2]
    is_causal = any(argument is True for argument in _causal_arguments(name, args, kwargs))
    keys = 0 if is_causal and length == queries else length
    return Work(Kind.ATTENTION, flop, queries, 0.5 * (width + value.shape[-1]), batch * heads, keys)


def _causal_arguments(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Any]:
    """The argument ``is_causal``, wherever this operation has it."""
    schema = getattr(torch.ops.aten, name).default._schema
    names = [argument.name for argument in schema.arguments]
    place = names.index("is_causal")
    if place < len(args):
        yield args[place]
    yield kwargs.get("is_causal", False)


def _convolution(args: Sequence[Any], out: Any) -> tuple[int, int, int, int]:
    """Rows, columns and inner size of a convolution as a product, and its groups."""
    given, weight = args[0], args[1]
    is_transposed, groups = (args[6], args[8]) if len(args) > 8 else (False, 1)
    kernel = math.prod(weight.shape[2:])
    if is_transposed:
        rows = given.shape[0] * math.prod(given.shape[2:])
        return rows, weight.shape[1] * kernel, weight.shape[0] // groups, groups
    rows = given.shape[0] * math.prod(out.shape[2:])
    return rows, weight.shape[0] // groups, weight.shape[1] * kernel, groups


def _convolution_backward(func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Iterator[Work]:
    gradient, given, weight = args[:3]
    is_transposed, groups = args[7], args[9]
    shown = [given, weight, None, None, None, None, is_transposed, None, groups]
    m, n, k, _ = _convolution(shown, given if is_transposed else gradient)
    to_input, to_weight, _ = args[-1]
    for wanted, mask, sizes in (
        (to_input, [True, False, False], (m, k, n)),
        (to_weight, [False, True, False], (k, n, m)),
    ):
        if wanted:
            flop = flop_of(func, (*args[:-1], mask), kwargs, out)
            yield Work(Kind.CONVOLUTION, flop, *sizes, batch=groups, is_weight_gradient=mask[1])


def touched(tensor: Any) -> int:
    """Elements of a tensor in memory: dimensions that are only expanded count once."""
    if tensor.is_contiguous():
        return int(tensor.numel())
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in pairs if stride or size == 0)


def tensors(tree: Any) -> Iterator[Any]:
    """The tensors among arguments or results, in their order."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from tensors(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from tensors(part)
