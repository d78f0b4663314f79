"""Attention in which a token sees the tokens next to it: whole blocks of scores are never computed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def windowed_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int, *, is_causal: bool
) -> Tensor:  # each (rows, heads, tokens, width)
    """Attention of every token to those less than `window` places away, before it or to both sides.

    Tokens are cut into chunks as long as the window. A chunk attends to itself and to its neighbours (the one
    before if causal), so a token costs two or three windows of scores and not the whole sample: with causal
    windows below half of the sample work is saved, else below a third. What lies outside of the window is masked.

    >>> query = torch.randn(1, 1, 8, 4)
    >>> whole = functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    >>> part = windowed_attention(query, query, query, 2, is_causal=True)
    >>> torch.allclose(whole[:, :, :2], part[:, :, :2], atol=1e-6)
    True
    """
    rows, heads, length, width = query.shape
    num_chunks = -(-length // window)
    spare = num_chunks * window - length
    ahead = 0 if is_causal else window
    chunk = window * torch.arange(num_chunks, device=query.device)[:, None]
    asking = chunk + torch.arange(window, device=query.device)
    seen = chunk + torch.arange(-window, window + ahead, device=query.device)
    distance = asking[:, :, None] - seen[:, None, :]
    is_near = (distance < window) & (distance >= 0 if is_causal else distance > -window)
    # Padded queries see themselves, so that no row of scores is empty; their outputs are cut off.
    is_real = ((seen >= 0) & (seen < length))[:, None, :] | ((asking >= length)[:, :, None] & (distance == 0))
    mask = (is_near & is_real)[None].expand(rows, -1, -1, -1).reshape(rows * num_chunks, 1, window, -1)
    mixed = functional.scaled_dot_product_attention(
        functional.pad(query, (0, 0, 0, spare))
        .view(rows, heads, num_chunks, window, width)
        .transpose(1, 2)
        .flatten(0, 1),
        _with_neighbours(key, window, spare, ahead),
        _with_neighbours(value, window, spare, ahead),
        attn_mask=mask,
    )
    return mixed.view(rows, num_chunks, heads, window, -1).transpose(1, 2).flatten(2, 3)[:, :, :length]


def _with_neighbours(held: Tensor, window: int, spare: int, ahead: int) -> Tensor:
    """Every chunk with the one before and, if there is an `ahead`, the one after; (rows x chunks, heads, ., width)."""
    padded = functional.pad(held, (0, 0, window, spare + ahead))
    return padded.unfold(2, 2 * window + ahead, window).permute(0, 2, 1, 4, 3).flatten(0, 1)
