"""Attention and dropout as the one kernel that each is on an accelerator, also on the meta device.

There, torch would take the path that writes the whole score matrix. Every call of
``scaled_dot_product_attention`` is sent to the operation that a GPU runs instead: flash attention, or the
kernel for masks where a mask is given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

FUNCTIONAL: Any = functional
SDPA = functional.scaled_dot_product_attention
DROPOUTS = (functional.dropout, torch.dropout)


class FusedKernels(TorchFunctionMode):  # type: ignore[misc]
    """Replaces ``scaled_dot_product_attention`` and ``dropout`` while it is active.

    torch's own attention module calls the first one from where a mode does not see it, by its name.
    """

    def __enter__(self) -> Any:
        FUNCTIONAL.scaled_dot_product_attention = fused_attention
        return super().__enter__()

    def __exit__(self, *reason: object) -> None:
        FUNCTIONAL.scaled_dot_product_attention = SDPA
        super().__exit__(*reason)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is SDPA:
            return fused_attention(*args, **given)
        if func in DROPOUTS:
            return fused_dropout(*args, **given)
        return func(*args, **given)


def fused_dropout(
    given: Any, p: float = 0.5, training: bool = True, *_: Any, train: bool | None = None, **__: Any
) -> Any:
    """The same result as ``dropout``, from one operation of the dispatcher; out of place in any case."""
    applies = training if train is None else train
    return torch.native_dropout(given, p, train=True)[0] if applies and p > 0.0 else given


def fused_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """The same result as ``scaled_dot_product_attention``, from one operation of the dispatcher."""
    query, key, value = (_four(tensor) for tensor in (query, key, value))
    if not enable_gqa and query.shape[1] != key.shape[1]:
        raise ValueError(
            f"found {query.shape[1]} query heads and {key.shape[1]} key heads without enable_gqa=True"
        )
    if attn_mask is None:
        out = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, return_debug_mask=False, scale=scale
        )
        return out[0]
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    if attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, float("-inf"))
    bias = attn_mask.to(query.dtype).expand(*query.shape[:3], key.shape[2])
    out = torch.ops.aten._scaled_dot_product_efficient_attention(
        query,
        key,
        value,
        bias,
        compute_log_sumexp=True,
        dropout_p=dropout_p,
        is_causal=is_causal,
        scale=scale,
    )
    return out[0]


def _four(tensor: Any) -> Any:
    if tensor.dim() != 4:
        raise NotImplementedError(
            f"scaled_dot_product_attention of {tensor.dim()}-dimensional tensors; "
            "give it (batch, heads, sequence, width)"
        )
    return tensor
