"""A parallel layout, or many at once: every field is a number or an array over candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.stepgraph import Number
from simtool.workload.transformer import Transformer


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """Tensor, pipeline and data parallelism of one job; ``tp x pp x dp`` devices."""

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

    @property
    def num_devices(self) -> Number:
        """Accelerators of the job."""
        return self.tp * self.pp * self.dp

    @property
    def global_batch(self) -> Number:
        """Sequences in one step."""
        return self.dp * self.micro_batch * self.num_micro_batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Layers on the first, a middle and the last pipeline stage."""

    first: Number
    middle: Number
    last: Number


def counts_ends_as_layers(model: Transformer, pp: Number, vpp: Number) -> NDArray[np.bool_]:
    """Whether the pipeline split takes the embedding and the head for one layer each.

    Where the layers alone do not divide evenly but ``layers + 2`` does, the first and the last
    stage hold one layer less: so were BLOOM (70 layers on 12 stages) and Llama 3.1 405B (126 on
    16) trained.
    """
    return np.asarray((model.num_layers % (pp * vpp) != 0) & ((model.num_layers + 2) % (pp * vpp) == 0))


def divides(model: Transformer, pp: Number, vpp: Number) -> NDArray[np.bool_]:
    """Whether the layers can be split over ``pp x vpp`` chunks."""
    evenly = np.asarray(model.num_layers % (pp * vpp) == 0)
    with_ends = np.logical_and(counts_ends_as_layers(model, pp, vpp), np.asarray(pp > 1))
    return np.asarray(np.logical_or(evenly, with_ends), dtype=np.bool_)


def split_stages(model: Transformer, pp: Number, vpp: Number) -> Stages:
    """Layers per stage; where ``pp`` is 1 the only stage is first and last at once.

    >>> import numpy as np
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


def parameters_on(model: Transformer, layouts: Layouts) -> tuple[Number, Number, Number]:
    """Weights held by one rank of the first, a middle and the last stage, before any ZeRO split.

    Tensor parallelism divides all but the norms, which are too small to matter here. A tied head on
    another stage than the embedding keeps a copy of the table.
    """
    stages = split_stages(model, layouts.pp, layouts.vpp)
    layer = model.parameters_per_layer
    single = np.asarray(layouts.pp == 1)
    head = model.head_parameters + (model.vocab_size * model.hidden_size if model.tied_embeddings else 0)
    whole = (model.num_parameters) / layouts.tp
    first = np.where(single, whole, (stages.first * layer + model.embedding_parameters) / layouts.tp)
    middle = np.where(single, whole, stages.middle * layer / layouts.tp)
    last = np.where(single, whole, (stages.last * layer + head) / layouts.tp)
    return first, middle, last
