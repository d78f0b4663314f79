"""What a family of models tells the other rooms: sizes by part, and what travels and stays per token.

The rooms of layouts and steps know no family. A family gives these numbers and, registered with
`workload.graphs.step_graph`, its operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from simtool.stepgraph import Number


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBytes:
    """What one layer keeps of one token for the backward pass, unsharded, by how it is divided [byte]."""

    layer_input: Number
    """All that is kept where the layer is computed again."""
    between: Number
    """Divided over tensor-parallel ranks with sequence parallelism only."""
    inside: Number
    """Divided over tensor-parallel ranks."""
    scores: Number = 0.0
    """Score matrices, divided likewise, and dropped by selective recomputation."""
    routed: Number = 0.0
    """Copies of tokens at their experts, spread with the tokens over tensor-parallel ranks."""
    backward: Number = 0.0
    """Gradients that are alive at the widest point of a layer's backward pass; divided over tensor-parallel
    ranks, gone when the layer is done."""
    context: Number = 0.0
    """Of `inside` what attention gives to its output projection."""
    products: Number = 0.0
    """What the matrix products write, divided over tensor-parallel ranks: the stock that recomputation by
    operation keeps a part of."""
    head: Number | None = None
    """What is kept behind the layers for a token, where it was counted; None: logits, as the loss holds them."""
    norm_extra: Number = 0.0
    """More between, where norms are chains of plain operations in fp32."""
    gate_extra: Number = 0.0
    """More inside, where gate and product of a gated MLP are two operations."""
    repeat_extra: Number = 0.0
    """More inside, where keys and values are copied for every query head."""


class Model(Protocol):
    """A model of any family; layers are their mean where they differ."""

    @property
    def num_layers(self) -> int:
        """Layers, or blocks that a pipeline could cut between."""
        ...

    @property
    def num_parameters(self) -> int:
        """All weights."""
        ...

    @property
    def hidden_size(self) -> int:
        """Features of a token between layers."""
        ...

    @property
    def parameters_per_layer(self) -> Number:
        """Mean weights of a layer, experts included."""
        ...

    @property
    def expert_parameters_per_layer(self) -> Number:
        """Of them in routed experts."""
        ...

    @property
    def num_dense_layers(self) -> int:
        """Layers at the begin without the experts that later layers have."""
        ...

    @property
    def embedding_parameters(self) -> int:
        """Weights before the layers."""
        ...

    @property
    def head_parameters(self) -> int:
        """Weights behind the layers that are not the embedding's."""
        ...

    @property
    def tied_parameters(self) -> int:
        """Weights that the head shares with the embedding."""
        ...

    @property
    def table_parameters(self) -> int:
        """Weights in tables that are dealt out over all ranks; their gradients stay there."""
        ...

    @property
    def reductions_per_layer(self) -> float:
        """Sums over tensor-parallel ranks in one pass of a layer."""
        ...

    @property
    def expert_layer_frac(self) -> float:
        """Share of the layers that route tokens to experts."""
        ...

    @property
    def num_experts(self) -> int:
        """Routed experts of a layer."""
        ...

    @property
    def top_k(self) -> int:
        """Copies of a token that go to experts, in the layers that route."""
        ...

    @property
    def kv_message_features(self) -> int:
        """Features of keys and values of a token, which context-parallel ranks exchange."""
        ...

    @property
    def query_message_features(self) -> int:
        """Features of query and context of a token, which all-to-all context parallelism exchanges too."""
        ...

    @property
    def table_features(self) -> int:
        """Features of a sample that come from tables dealt out over all ranks."""
        ...

    @property
    def input_bytes_per_token(self) -> float:
        """What the host decodes and prepares for a token, or a sample [byte]."""
        ...

    def sums_per_table(self, groups: Number) -> Number:
        """Vectors that a sample gets of a table whose rows are dealt out over `groups` groups of ranks.

        Each group adds up the rows that it holds.
        """
        ...

    @property
    def launches_per_layer(self) -> float:
        """Host work of a layer, over that of a layer of a dense decoder."""
        ...

    @property
    def logit_features(self) -> int:
        """Outputs of the head per token."""
        ...

    @property
    def optimizer_state_bytes(self) -> float:
        """Of the optimizer per weight, beside a master copy [byte]."""
        ...

    def head_tokens_frac(self) -> float:
        """Share of the tokens that the head sees."""
        ...

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work that one token needs, forward and backward [FLOP]."""
        ...

    def kept_bytes(self, seq_len: int, precision: str, attention: str) -> KeptBytes:
        """What a layer keeps of a token for the backward pass."""
        ...

    def tensor_problems(self, tp: int) -> Iterator[tuple[str, str]]:
        """Why the model cannot be divided over `tp` tensor-parallel ranks: what was found, how to mend it."""
        ...

    def sequence_problem(self, seq_len: int) -> tuple[str, str] | None:
        """Why the model cannot be trained on sequences of `seq_len`: what was found, how to mend it."""
        ...

    def pipeline_problem(self) -> str | None:
        """Why the model cannot be cut into stages; None where it can."""
        ...
