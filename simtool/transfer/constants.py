"""How the kernels that a framework launches lie to the machine model: the constants of a projection.

A profile of kind ``simtool/transfer/1`` is fitted to pairs, the same model on two devices
(`calibrate.transfers`). Every factor is a time over that of `machine`: 1 is the machine model itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from simtool.config.fields import Fraction, Ratio
from simtool.config.refusals import Complaint
from simtool.profiles.section import Profile, Section

ModelClass = Literal["gemm", "attention", "conv", "memory"]
"""Classes of work that the machine model prices."""
MODEL_CLASSES: tuple[ModelClass, ...] = ("gemm", "attention", "conv", "memory")


class Regimes(Section):
    """Time over the machine model's in its two limits; between them by the share of work in the time."""

    floor: Ratio
    """Of the smallest kernels, whose time is the latency."""
    work: Ratio
    """Of large ones, whose time is operations or bytes."""

    def complaints(self) -> Iterator[Complaint]:
        """A factor of nothing."""
        yield from super().complaints()
        for name in ("floor", "work"):
            if float(getattr(self, name)) <= 0:
                yield Complaint(
                    member=name, found="found 0", allowed="a factor above 0", mend="1 is no change"
                )


class Carry(Section):
    """Share of a kernel's own deviation from the machine model that is there on another device too."""

    floor: Fraction
    work: Fraction


class ByClass(Section):
    """Factors by class of work; 1 where none is stated."""

    gemm: Regimes | None = None
    attention: Regimes | None = None
    conv: Regimes | None = None
    memory: Regimes | None = None


class Residual(Section):
    """Relative standard deviation of projected times that were held out."""

    gemm: Ratio
    """Of the sum over a model's kernels of this class."""
    attention: Ratio
    conv: Ratio
    memory: Ratio
    communication: Ratio
    op: Ratio
    """Of one operation about its class."""
    unknown_work: Ratio
    """What is added to a class's where the kernels' work is not known."""


class Transfer(Profile):
    """Constants of a projection. File kind ``simtool/transfer/1``."""

    stack: ByClass
    """The framework's kernels on any device."""
    architecture: dict[str, ByClass] = Field(default_factory=dict)
    """What comes on top on devices of an architecture: those that stood in the pairs."""
    carry: Carry
    residual: Residual
