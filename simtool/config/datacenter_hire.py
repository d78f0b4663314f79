"""Accelerators hired by the hour that jobs hold them: on demand, on the spot market, under a reservation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Quantity, Seconds, Strict, UsdPerHour
from simtool.config.refusals import Complaint, refusal
from simtool.config.scenario import Count, Money, Series
from simtool.provenance import Sourced

PositiveSeconds = Annotated[Sourced, Quantity("s", above=0)]


class PriceList(Strict):
    """A price list in SkyPilot's columns."""

    file: str
    accelerator: str
    """As the file writes it, e.g. ``H100``."""
    count: Count | None = None
    """Accelerators of the instance; any if not given."""
    region: str | None = None


class Spot(Strict):
    """Accelerators that the provider takes back when others pay more; jobs on them are interrupted."""

    price: UsdPerHour | Series | None = None
    """Per accelerator-hour; a series in USD/h; that of the price list if not given."""
    reclaims_per_1000_node_days: Annotated[Sourced, Quantity("")]
    notice: Seconds | None = None
    """From the provider's word to the loss: jobs that can save their state in it lose no work."""
    back: PositiveSeconds
    """Until the provider has as many again."""


class Reserved(Strict):
    """Accelerators that are paid for whether they are used or not."""

    num_accelerators: Count
    price: UsdPerHour
    term: PositiveSeconds
    commitment: Literal["whole terms", "span"] = "whole terms"
    """Every term that begins is paid, or the simulation's own time alone."""


class Hire(Strict):
    """A cloud: paid for what jobs hold, electricity included."""

    mode: Literal["hire"]
    price: UsdPerHour | None = None
    """On demand, per accelerator-hour; that of the price list if not given."""
    prices: PriceList | None = None
    spot: Spot | None = None
    """All jobs run on the spot market."""
    reserved: Reserved | None = None
    billing_step: Seconds | None = None
    """Durations are rounded up to a multiple of it."""
    minimum: Seconds | None = None
    """Shortest duration that is billed."""
    money: Money = Field(default=Money())

    @model_validator(mode="after")
    def _has_a_price(self) -> Hire:
        listed = self.prices is not None
        if self.spot is None and self.price is None and not listed:
            mend = "add 'price: 2.50 USD/h', or 'prices: {file: ..., accelerator: H100}'"
            raise refusal(Complaint(found="found no price", mend=mend))
        if self.spot is not None and self.spot.price is None and not listed:
            mend = "add e.g. 'price: 1.20 USD/h' below spot, or 'prices: {file: ..., accelerator: H100}'"
            raise refusal(Complaint(found="found no price on the spot market", mend=mend, member="spot"))
        if self.price is not None and (listed or self.spot is not None):
            other = "spot, on which all jobs run" if self.spot is not None else "a price list"
            found, mend = f"found it beside {other}", "leave one of the two out"
            raise refusal(Complaint(found=found, mend=mend, member="price"))
        if listed and self.spot is not None and self.spot.price is not None:
            found, mend = "found a price list beside spot.price", "leave one of the two out"
            raise refusal(Complaint(found=found, mend=mend, member="prices"))
        if self.spot is not None and self.reserved is not None:
            found, mend = "found a reservation beside the spot market", "leave one of the two out"
            raise refusal(Complaint(found=found, mend=mend, member="reserved"))
        return self
