"""The transformer of the language tasks and of the image transformer.

Layer norms come first in every block and have no parameters; places are rotary; output projections
begin at zero, so a fresh block is the identity and depth can grow without a jump. Rotary places:
Su et al., "RoFormer", arXiv:2104.09864.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from simtool.engine.tasks.windowed import windowed_attention

ROTARY_BASE = 10_000.0


class Rotary(nn.Module):
    """Turns every pair of channels by an angle that is proportional to the place of the token."""

    def __init__(self, length: int, head_width: int) -> None:
        super().__init__()
        half = head_width // 2
        frequency = ROTARY_BASE ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)

    def forward(self, vectors: Tensor, positions: Tensor | None) -> Tensor:  # (rows, heads, tokens, width)
        """The vectors, turned; `positions` None means 0, 1, 2, ..."""
        num_tokens = vectors.shape[-2]
        cosine = self.cosine[:num_tokens] if positions is None else self.cosine[positions]
        sine = self.sine[:num_tokens] if positions is None else self.sine[positions]
        cosine, sine = cosine.to(vectors.dtype), sine.to(vectors.dtype)
        first, second = vectors.chunk(2, dim=-1)
        return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class Attention(nn.Module):
    """Multi-head attention, causal or over the whole sample.

    Args:
        width: of the hidden state.
        num_heads: divides `width`.
        is_causal: whether a token sees only itself and what came before.
        rotary_length: longest sample; 0 leaves places to the stem.
    """

    def __init__(self, width: int, num_heads: int, *, is_causal: bool, rotary_length: int) -> None:
        super().__init__()
        self.num_heads, self.is_causal = num_heads, is_causal
        # four square matrices rather than one wide one: an orthogonalising optimizer treats each by itself
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.rotary = Rotary(rotary_length, width // num_heads) if rotary_length else None

    def forward(
        self, hidden: Tensor, positions: Tensor | None, window: int | None = None
    ) -> Tensor:  # (rows, tokens, width)
        """What the tokens learn of each other, or of those in a window."""
        query, key, value = (
            matrix(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for matrix in (self.query, self.key, self.value)
        )
        if self.rotary is not None:
            query, key = self.rotary(query, positions), self.rotary(key, positions)
        if window is None or window >= hidden.shape[1]:
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.is_causal)
        else:
            mixed = windowed_attention(query, key, value, window, is_causal=self.is_causal)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a GELU layer of four times the width; each adds to the hidden state."""

    def __init__(self, width: int, num_heads: int, *, is_causal: bool, rotary_length: int = 0) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads, is_causal=is_causal, rotary_length=rotary_length)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(
        self, hidden: Tensor, positions: Tensor | None = None, window: int | None = None
    ) -> Tensor:  # (rows, tokens, width)
        """The next hidden state of the tokens at `positions` (None: all, in order), which see a window of tokens."""
        width = hidden.shape[-1:]
        hidden = hidden + self.attention(functional.layer_norm(hidden, width), positions, window)
        return hidden + self.down(functional.gelu(self.up(functional.layer_norm(hidden, width))))


class TokenStem(nn.Module):
    """Ids to vectors."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)

    def forward(self, inputs: Tensor) -> Tensor:  # (rows, tokens) -> (rows, tokens, width)
        """The vector of every token."""
        return self.embedding(inputs)


class TokenHead(nn.Module):
    """Vectors to scores of every id; not tied to the embedding."""

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.linear = nn.Linear(width, vocab_size)

    def forward(self, hidden: Tensor) -> Tensor:  # (rows, tokens, width) -> (rows, tokens, vocabulary)
        """Logits."""
        return self.linear(self.norm(hidden))


@torch.no_grad()
def initialise(modules: nn.Module, deviation: float) -> None:
    """Matrices normal with this standard deviation, biases and output projections zero."""
    for name, parameter in modules.named_parameters():
        if parameter.ndim < 2 or name.endswith(("output.weight", "down.weight")):
            parameter.zero_()
        else:
            parameter.normal_(0.0, deviation)
