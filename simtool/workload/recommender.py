"""Deep learning recommendation models (DLRM): tables of categories, dense layers, and what brings them together.

A sample is a click and counts as a token. Tables are dealt out over all ranks, the rest is replicated: every
rank looks up its tables for all samples, an exchange among all brings each sample's vectors together, and the
gradients go back the same way (Naumov et al. 2019, arXiv 1906.00091).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from simtool.stepgraph import Kind, Number, Op, Phase, Scope, Shard, StepGraph
from simtool.units import TERA
from simtool.workload.attention_shape import Count, CountOrZero
from simtool.workload.block import Block
from simtool.workload.family import MOMENTUM_STATE_BYTES, REFERENCE_OPERATIONS, Family
from simtool.workload.graphs import step_graph
from simtool.workload.model import KeptBytes
from simtool.workload.optimizers import momentum
from simtool.workload.precision import BYTES_PER_ELEMENT, Precision

Rows = Annotated[int, Field(gt=0, le=TERA)]
Lookups = Annotated[float, Field(gt=0.0, le=10**6)]
ROW_BYTES = BYTES_PER_ELEMENT["fp32"]
"""Of an element of a table [byte]."""
INDEX_BYTES = 8.0
UPDATE_PASSES = {"sgd": 3.0, "adagrad": 5.0}
"""Over a row that was looked up: its gradient is read, the row is read and written; with Adagrad so is the sum of
squares of each of its elements."""
ACTIVATION_ELEMENTS = 2.0
"""Per output of a dense layer: the activation reads and writes it."""


class Recommender(Family):
    """Shape of a DLRM. File kind ``simtool/recommender/1``."""

    family: Literal["recommender"] = "recommender"
    num_tables: Count
    num_rows: Rows
    """Of all tables together."""
    table_width: Count
    """Features of a row."""
    lookups_per_table: Lookups = 1.0
    """Rows that a sample looks up in a table and adds up, on average."""
    table_lookups: tuple[Lookups, ...] = ()
    """The same of each table, where they differ."""
    row_optimizer: Literal["sgd", "adagrad"] = "sgd"
    """What changes the rows that were looked up."""
    num_dense_features: CountOrZero = 13
    """Numbers of a sample that are no categories."""
    bottom: tuple[Count, ...] = ()
    """Outputs of the dense layers on those numbers; the last one is as wide as a row."""
    interaction: Literal["dot", "concatenate", "cross"] = "dot"
    """Products of all pairs of vectors (DLRM); all of them after each other; or that, with `cross_layers`
    low-rank products of the whole with itself (DCN v2, arXiv 2008.13535)."""
    cross_layers: CountOrZero = 0
    cross_rank: Count = 512
    top: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Outputs of the dense layers behind; the last one is the prediction."""

    @model_validator(mode="after")
    def _vectors_meet(self) -> Recommender:
        if self.bottom and self.bottom[-1] != self.table_width:
            raise ValueError(
                f"found bottom ending in {self.bottom[-1]} with table_width {self.table_width}; the two must be equal"
            )
        if (self.interaction == "cross") != (self.cross_layers > 0):
            raise ValueError(
                "found cross_layers without interaction: cross, or that without them; write both"
            )
        return self

    @property
    def num_vectors(self) -> int:
        """Vectors of a sample that meet: one of each table, and the dense one."""
        return self.num_tables + bool(self.bottom)

    @property
    def interaction_features(self) -> int:
        """What the top layers read: pairs and the dense vector, or all vectors."""
        if self.interaction == "dot":
            return self.num_vectors * (self.num_vectors - 1) // 2 + (self.table_width if self.bottom else 0)
        return self.num_vectors * self.table_width

    @property
    def dense_shapes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of every dense layer, in order."""
        low = list(pairwise((self.num_dense_features, *self.bottom))) if self.bottom else []
        whole = self.interaction_features
        cross = [(whole, self.cross_rank), (self.cross_rank, whole)] * self.cross_layers
        return (*low, *cross, *pairwise((whole, *self.top)))

    @property
    def num_layers(self) -> int:
        """Dense layers."""
        return len(self.dense_shapes)

    @property
    def hidden_size(self) -> int:
        """What the top layers read."""
        return self.interaction_features

    @property
    def dense_parameters(self) -> int:
        """Weights of the dense layers."""
        return sum(inner * outer + outer for inner, outer in self.dense_shapes)

    @property
    def parameters_per_layer(self) -> float:
        """Mean weights of a dense layer."""
        return self.dense_parameters / self.num_layers

    @property
    def table_parameters(self) -> int:
        """Weights of all tables."""
        return self.num_rows * self.table_width

    @property
    def embedding_parameters(self) -> int:
        """The tables."""
        return self.table_parameters

    @property
    def head_parameters(self) -> int:
        """Counted with the dense layers."""
        return 0

    @property
    def num_parameters(self) -> int:
        """All weights.

        >>> Recommender(num_tables=2, num_rows=100, table_width=4, num_dense_features=3, bottom=(8, 4),
        ...             top=(5, 1)).num_parameters
        514
        """
        return self.dense_parameters + self.table_parameters

    @property
    def lookups(self) -> float:
        """Rows that a sample looks up in all tables."""
        return sum(self.table_lookups) or self.num_tables * self.lookups_per_table

    def sums_per_table(self, groups: Number) -> Number:
        """Groups of ranks that hold any of the rows that a sample looks up in a table, on average.

        With rows dealt out at random, ``groups (1 - (1 - 1/groups)^lookups)``: each of them sends a sum.

        >>> one = Recommender(num_tables=2, num_rows=100, table_width=4, num_dense_features=3, bottom=(8, 4),
        ...                   top=(5, 1), table_lookups=(1.0, 2.0))
        >>> float(one.sums_per_table(2.0))  # 1 and 1.5
        1.25
        """
        each = self.table_lookups or (self.lookups_per_table,)
        away = 1.0 - 1.0 / np.asarray(groups, dtype=float)
        held = [np.asarray(groups) * (1.0 - away ** max(1.0, count)) for count in each]
        mean: Number = np.mean(held, axis=0)
        return mean

    @property
    def table_features(self) -> int:
        """Vectors of a sample that come from tables."""
        return self.num_tables * self.table_width

    @property
    def launches_per_layer(self) -> float:
        """A product and its activation, of the operations of a decoder's layer."""
        return 2.0 / REFERENCE_OPERATIONS

    @property
    def logit_features(self) -> int:
        """The prediction."""
        return self.top[-1]

    @property
    def optimizer_state_bytes(self) -> float:
        """Of the dense layers; rows of tables have none of their size."""
        return MOMENTUM_STATE_BYTES

    @property
    def pair_flop(self) -> float:
        """Products of all pairs of vectors, forward [FLOP]."""
        if self.interaction != "dot":
            return 0.0
        return 2.0 * self.num_vectors * self.num_vectors * self.table_width

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work of one sample, forward and backward [FLOP]."""
        dense = sum(inner * outer for inner, outer in self.dense_shapes)
        data = self.num_dense_features * self.bottom[0] if self.bottom else 0  # no gradient of the data
        return 6.0 * dense - 2.0 * data + 3.0 * self.pair_flop

    def kept_bytes(self, seq_len: int, precision: str, attention: str) -> KeptBytes:
        """Inputs of the mean dense layer, and the vectors that meet."""
        size = Precision(precision).size
        features = sum(inner for inner, _ in self.dense_shapes) + self.num_vectors * self.table_width
        kept = size * features / self.num_layers
        return KeptBytes(layer_input=kept, between=kept, inside=0.0)


@step_graph.register
def recommender_step_graph(
    model: Recommender,
    *,
    seq_len: int,
    micro_batch: Number,
    precision: str,
    attention: str,  # noqa: ARG001 - every family has one signature
    gradient_sum: str = "fused",
) -> StepGraph:
    """The operations of one micro-batch of samples; arguments as `workload.transformer.build_step_graph`'s."""
    formats, samples = Precision(precision), micro_batch * seq_len
    layer = Block(Scope.LAYER, formats, samples, share=1.0 / model.num_layers)
    for index, (inner, outer) in enumerate(model.dense_shapes):
        if index == 0 and model.bottom:
            layer.first("dense", inner=inner, outer=outer)
        else:
            layer.replicated("dense", inner=inner, outer=outer)
        layer.elementwise("dense_activation", ACTIVATION_ELEMENTS * outer, Shard.NONE)
    vectors = model.num_vectors * model.table_width
    layer.elementwise("interaction", vectors + model.interaction_features, Shard.NONE)
    layer.ops += _pairs(model, samples, layer.share)
    embedding = Block(Scope.EMBEDDING, formats, samples)
    embedding.ops += _lookups(model, samples, formats.size)
    if gradient_sum == "separate":
        layer.accumulate(model.dense_parameters)
    return StepGraph(
        ops=(*embedding.ops, *layer.ops, *momentum(model.dense_parameters)),
        num_layers=model.num_layers,
        tokens_per_micro_batch=samples,
        facts=model,
    )


def _pairs(model: Recommender, samples: Number, share: float) -> Iterator[Op]:
    """Work of the pairs' products; their time is that of the bytes they move."""
    if model.pair_flop == 0.0:
        return
    for phase, ratio in ((Phase.FORWARD, 1.0), (Phase.BACKWARD_INPUT, 2.0)):
        yield Op(
            name="pairs",
            kind=Kind.MEMORY,
            phase=phase,
            scope=Scope.LAYER,
            flop=ratio * model.pair_flop * samples,
            count=share,
            launches=share,
        )


def _lookups(model: Recommender, samples: Number, size: float) -> Iterator[Op]:
    """A rank's tables for all samples: as much as all tables for its own."""
    rows = model.lookups * model.table_width * ROW_BYTES * samples
    sums = model.num_tables * model.table_width * size * samples
    numbers = ROW_BYTES * model.num_dense_features + INDEX_BYTES * model.lookups
    updated = UPDATE_PASSES[model.row_optimizer] * rows + sums
    for name, phase, moved, pattern in (
        ("look_up", Phase.FORWARD, rows + sums, "lookup"),
        ("update_rows", Phase.BACKWARD_WEIGHT, updated, "lookup"),
        ("load_samples", Phase.DATA, numbers * samples, ""),
    ):
        yield Op(
            name=name, kind=Kind.MEMORY, phase=phase, scope=Scope.EMBEDDING, bytes=moved, pattern=pattern
        )
