"""What breaks at a site, from its file to streams of events."""

from __future__ import annotations

from typing import Any, Literal

from simtool.config.datacenter import Breakage
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.reliability import ReliabilityProfile
from simtool.result.hazards import hazard_plan
from simtool.sim.hazards.plan import HazardPlan


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
    if isinstance(written, str):
        return None
    return hazard_plan(written, _preset(loaded, library, written.preset), with_rate=True)


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
