"""What a facility profile may hold. File kind ``simtool/facility/1``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from simtool.config.fields import Fraction, Quantity, Ratio
from simtool.config.refusals import Complaint
from simtool.facility.cooling import COOLING, CoolingKind
from simtool.profiles.section import Profile, Section
from simtool.provenance import Sourced

SHARE_TOLERANCE = 1e-6


class AffineLoss(Section):
    """Equal converters, each with a fixed loss and a share of what passes through: `chain.AffineStage`."""

    kind: Literal["affine"]
    efficiency: Annotated[Sourced, Quantity("", above=0, maximum=1.0)]
    """Of the marginal watt."""
    fixed: Fraction | None = None
    """Fixed loss as a share of the output at the servers' full load, before the efficiency; 0 if not given."""
    joined: Ratio | None = None
    """Constant load on the output beside the servers, as a share of the output at their full load: switches."""


class UpsLoss(Section):
    """Uninterruptible supplies: `chain.UpsStage`."""

    kind: Literal["ups"]
    sizing: Annotated[Sourced, Quantity("", minimum=1.0)]
    """Rating of all units together over the output at the servers' full load: 2 for two full paths."""
    constant: Fraction
    linear: Fraction
    quadratic: Fraction
    """Loss as a share of the rating is ``constant + linear L + quadratic L^2`` at load share L."""


StageLoss = Annotated[AffineLoss | UpsLoss, Field(discriminator="kind")]

if TYPE_CHECKING:
    Cooling = CoolingKind
else:
    Cooling = Annotated[reduce(or_, [COOLING[name] for name in COOLING]), Field(discriminator="kind")]


class FacilityProfile(Profile):
    """A building and its plants, of any size. File kind ``simtool/facility/1``."""

    chain: dict[str, StageLoss] = Field(default_factory=dict)
    """Stages between the meter of the servers and that of the site, from the servers outwards."""
    losses_cooled: Fraction
    """Share of the chain's losses that become heat in cooled rooms."""
    cooling: Annotated[dict[str, Cooling], Field(min_length=1)]
    """Plants by name; their shares sum to 1."""
    other: Fraction
    """Lighting, offices, controls: constant, as a share of the servers' full load."""

    def complaints(self) -> Iterator[Complaint]:
        """Shares of heat that do not sum to 1."""
        yield from super().complaints()
        total = sum(float(plant.share) for plant in self.cooling.values())
        if abs(total - 1.0) > SHARE_TOLERANCE:
            yield Complaint(
                member="cooling",
                found=f"found plants with shares that sum to {total:g}",
                allowed="the shares of all plants sum to 1: all heat leaves",
                mend="correct the shares",
            )
