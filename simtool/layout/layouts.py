"""A parallel layout, or many at once: every field is a number or an array over candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simtool.stepgraph import Number
from simtool.workload.model import Model

ContextKind = Literal["ring", "all_to_all", "all_gather"]
"""How context-parallel ranks meet each other's keys: passed round while attention works (Liu et al. 2023,
arXiv 2310.01889), heads exchanged for tokens (Jacobs et al. 2023, arXiv 2309.14509), or gathered before it
(Llama 3, arXiv 2407.21783)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """Tensor, context, pipeline, data and expert parallelism of one job; ``tp x cp x pp x dp`` devices.

    Experts are spread over the same devices: in every stage, ``etp x ep`` of the ``tp x cp x dp`` ranks hold
    all experts once, and their gradients are reduced over the others.
    """

    tp: Number
    pp: Number
    vpp: Number
    dp: Number
    zero: Number
    """ZeRO stage 0 to 3."""
    micro_batch: Number
    """Sequences in a micro-batch."""
    sequence_parallel: NDArray[np.bool_] | bool
    num_micro_batches: Number
    """Micro-batches of one data-parallel rank in one step."""
    cp: Number = 1.0
    """Ranks that share the tokens of every sequence."""
    ep: Number = 1.0
    """Ranks that share the experts of a layer."""
    etp: Number = 1.0
    """Tensor parallelism within an expert."""
    dp_shard: Number = 1.0
    """Ranks over which ZeRO splits, the others being their replicas (HSDP); 1: all of dp x cp."""
    context_kind: ContextKind = "ring"

    @property
    def num_devices(self) -> Number:
        """Accelerators of the job."""
        return self.tp * self.cp * self.pp * self.dp

    @property
    def global_batch(self) -> Number:
        """Sequences in one step."""
        return self.dp * self.micro_batch * self.num_micro_batches

    @property
    def num_replicas(self) -> Number:
        """Ranks that hold the same weights beside experts."""
        return self.dp * self.cp

    @property
    def shard_ranks(self) -> Number:
        """Ranks that ZeRO splits those weights over.

        >>> Layouts(tp=1, pp=1, vpp=1, dp=16, zero=3, micro_batch=1, sequence_parallel=False,
        ...         num_micro_batches=1, dp_shard=8).shard_ranks
        array(8.)
        """
        return np.asarray(np.where(np.asarray(self.dp_shard) > 1, self.dp_shard, self.num_replicas) * 1.0)

    @property
    def num_expert_replicas(self) -> Number:
        """Ranks that hold the same experts."""
        return self.tp * self.cp * self.dp / (self.etp * self.ep)

    @property
    def expert_shard_ranks(self) -> Number:
        """Ranks that ZeRO splits the experts over: those of them that stand in one `dp_shard` group."""
        near = np.maximum(1.0, self.shard_ranks * self.tp / (self.etp * self.ep))
        return np.minimum(near, self.num_expert_replicas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Layers on the first, a middle and the last pipeline stage."""

    first: Number
    middle: Number
    last: Number


def counts_ends_as_layers(model: Model, pp: Number, vpp: Number) -> NDArray[np.bool_]:
    """Whether the pipeline split takes the embedding and the head for one layer each.

    Where the layers alone do not divide evenly but ``layers + 2`` does, the first and the last
    stage hold one layer less: so were BLOOM (70 layers on 12 stages) and Llama 3.1 405B (126 on
    16) trained.
    """
    return np.asarray((model.num_layers % (pp * vpp) != 0) & ((model.num_layers + 2) % (pp * vpp) == 0))


def divides(model: Model, pp: Number, vpp: Number) -> NDArray[np.bool_]:
    """Whether the layers can be split over ``pp x vpp`` chunks."""
    evenly = np.asarray(model.num_layers % (pp * vpp) == 0)
    with_ends = np.logical_and(counts_ends_as_layers(model, pp, vpp), np.asarray(pp > 1))
    return np.asarray(np.logical_or(evenly, with_ends), dtype=np.bool_)


def split_stages(model: Model, pp: Number, vpp: Number) -> Stages:
    """Layers per stage; where ``pp`` is 1 the only stage is first and last at once.

    >>> from simtool.workload.transformer import Transformer
    >>> bloom = Transformer(num_layers=70, hidden_size=14336, num_heads=112,
    ...                     ffn_hidden_size=57344, vocab_size=250880)
    >>> stages = split_stages(bloom, 12, 1)
    >>> float(stages.first), float(stages.middle)
    (5.0, 6.0)
    """
    ends = counts_ends_as_layers(model, pp, vpp)
    middle = np.where(ends, (model.num_layers + 2) / pp, model.num_layers / pp)
    edge = middle - np.where(ends, 1.0, 0.0)
    return Stages(first=edge, middle=middle, last=edge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Weights of one rank before any ZeRO split."""

    common: Number
    """All but routed experts and tables."""
    experts: Number
    tables: Number
    """Share of the tables that are dealt out over all ranks."""

    @property
    def total(self) -> Number:
        """All."""
        return self.common + self.experts + self.tables


NORMS_SHARE = 0.01
"""Of a layer: norms and biases, which a balance by the work of matrices does not see."""


def split_by_weights(model: Model, pp: Number) -> Stages:
    """Layers per stage where a stage ends with the first layer that takes it past its share of the weights.

    The head counts with its weights, the embedding with nothing, and no stage but the last can be short of its
    share: so nanotron builds pipelines (`build_model`, balanced by compute cost).

    >>> from simtool.workload.transformer import Transformer
    >>> wide = Transformer(num_layers=16, hidden_size=64, num_heads=1, ffn_hidden_size=256,
    ...                    vocab_size=4 * 12 * 64, qkv_bias=False, output_bias=False, mlp_bias=False)
    >>> stages = split_by_weights(wide, 2)  # 16 layers and a head of 4: stages of 10 each, so 11 and 5
    >>> float(stages.first), float(stages.last)
    (11.0, 5.0)
    """
    head = (model.head_parameters + model.tied_parameters) / np.asarray(model.parameters_per_layer)
    share = (model.num_layers + head) / pp + NORMS_SHARE
    split, layers = np.asarray(pp > 1), float(model.num_layers)
    first = np.where(split, np.minimum(np.floor(share) + 1.0, layers), layers)
    last = np.where(split, layers - np.minimum(np.floor(share * (pp - 1.0)) + 1.0, layers), layers)
    between = (layers - first - last) / np.maximum(pp - 2.0, 1.0)
    return Stages(first=first, middle=np.where(np.asarray(pp > 2), between, last), last=last)


def held_by_stage(model: Model, layouts: Layouts, stages: Stages | None = None) -> tuple[Held, Held, Held]:
    """Weights of one rank of the first, a middle and the last stage.

    Tensor parallelism divides all but the norms, which are too small to matter here; ``etp x ep`` the
    experts. A tied head on another stage than the embedding keeps a copy of the table. Layers at the begin
    without experts stand on the first stage, as far as they fit.
    """
    stages = stages or split_stages(model, layouts.pp, layouts.vpp)
    expert = np.asarray(model.expert_parameters_per_layer)
    layer = model.parameters_per_layer - expert
    single = np.asarray(layouts.pp == 1)
    head = model.head_parameters + model.tied_parameters
    tables = model.table_parameters
    whole = model.num_parameters - model.num_layers * expert - tables
    spread = layouts.etp * layouts.ep
    # Where the first layers route nothing, the others hold more than the mean.
    leading = np.minimum(model.num_dense_layers, stages.first) if bool(np.any(expert > 0.0)) else 0.0
    routing = model.num_layers / np.maximum(model.num_layers - model.num_dense_layers, 1.0)

    def held(common: Number, num_layers: Number) -> Held:
        experts = np.where(single, model.num_layers * expert, num_layers * routing * expert) / spread
        return Held(
            common=np.where(single, whole, common) / layouts.tp,
            experts=experts,
            tables=tables / layouts.num_devices,
        )

    return (
        held(stages.first * layer + model.embedding_parameters - tables, stages.first - leading),
        held(stages.middle * layer, stages.middle),
        held(stages.last * layer + head, stages.last),
    )


def parameters_on(model: Model, layouts: Layouts) -> tuple[Number, Number, Number]:
    """Weights held by one rank of the first, a middle and the last stage, before any ZeRO split."""
    first, middle, last = held_by_stage(model, layouts)
    return first.total, middle.total, last.total


def held_by_fullest(model: Model, layouts: Layouts) -> Held:
    """Weights of the rank that holds most."""
    stages = held_by_stage(model, layouts)
    fullest = np.argmax(np.stack(np.broadcast_arrays(*(stage.total for stage in stages))), axis=0)
    return choose_held(stages, fullest)


def choose_held(stages: tuple[Held, Held, Held], index: NDArray[np.intp]) -> Held:
    """Weights of the stage at `index`, candidate by candidate."""

    def chosen(parts: tuple[Number, Number, Number]) -> Number:
        return np.asarray(np.choose(index, np.broadcast_arrays(*parts, index)[:3]))

    first, middle, last = stages
    return Held(
        common=chosen((first.common, middle.common, last.common)),
        experts=chosen((first.experts, middle.experts, last.experts)),
        tables=chosen((first.tables, middle.tables, last.tables)),
    )
