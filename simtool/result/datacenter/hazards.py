"""What breaks at a site, from its file to streams of events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from simtool.config.datacenter import Breakage
from simtool.config.datacenter_hire import Hire, Spot
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.reliability import ReliabilityProfile
from simtool.result.hazards import PER_THOUSAND_DAYS, hazard_plan
from simtool.sim.hazards.durations import Duration
from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.plan import Cause, HazardPlan

RECLAIM = "spot reclaim"
"""Name of the cause by which a provider takes nodes back."""


def breakage_of(written: Literal["none"] | Breakage) -> dict[str, Any] | None:
    """What breaks, as fields of a scenario's ``reliability``; None if nothing does."""
    if isinstance(written, str):
        return None
    return {name: getattr(written, name) for name in Breakage.model_fields}


def site_hazards(loaded: LoadedDatacenter, library: ProfileLibrary) -> HazardPlan | None:
    """Causes of failures of the site's nodes; None if nothing fails.

    Raises:
        InputError: a preset that no profile has.
    """
    written = loaded.datacenter.reliability
    plan = (
        HazardPlan()
        if isinstance(written, str)
        else hazard_plan(written, _preset(loaded, library, written.preset), with_rate=True)
    )
    economics = loaded.datacenter.economics
    if isinstance(economics, Hire) and economics.spot is not None:
        plan = replace(plan, causes=(*plan.causes, _reclaims(economics.spot)))
    return plan if plan.names else None


def _reclaims(spot: Spot) -> Cause:
    """The provider takes nodes back: with enough notice jobs save their state, else it is a failure like others."""
    rate = float(spot.reclaims_per_1000_node_days) * PER_THOUSAND_DAYS
    notice_s = 0.0 if spot.notice is None else float(spot.notice)
    return Cause(
        name=RECLAIM,
        effect="maintenance" if notice_s else "failure",
        arrivals=Exponential(rate_per_unit_s=rate),
        detection=Duration(mean_s=notice_s),
        repair=Duration(mean_s=float(spot.back)),
    )


def _preset(loaded: LoadedDatacenter, library: ProfileLibrary, name: str | None) -> ReliabilityProfile | None:
    if name is None:
        return None
    try:
        found = library.get("reliability", name)
    except InputError as error:
        field = "reliability.preset"
        raise InputError(
            [Problem(loaded.locate(field), field, one.found, one.allowed, one.mend) for one in error.problems]
        ) from None
    if not isinstance(found, ReliabilityProfile):
        raise TypeError(f"library returned {type(found).__name__} for reliability {name}")
    return found
