"""Batches that grow while a scenario's training goes on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simtool.config.fields import Quantity, Strict, Tokens
from simtool.provenance import Sourced

Count = Annotated[int, Field(gt=0)]


class BatchStage(Strict):
    """Training at one batch, up to some number of tokens."""

    until: Annotated[Sourced, Quantity("token", above=0)]
    """Tokens since the start at which the next stage begins."""
    global_batch: Count
    """Sequences in one step."""


class BatchRamp(Strict):
    """A batch that grows in equal steps up to ``workload.global_batch``, as Megatron's ramp-up does."""

    start: Count
    """Sequences in the first step."""
    increment: Count
    """Sequences that every stretch adds."""
    over: Tokens
    """Tokens after which the full batch is reached."""
