"""What breaks at a site, from its file to streams of events."""

from __future__ import annotations

from typing import Any, Literal

from simtool.config.datacenter import Breakage
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.profiles.find import ProfileLibrary
from simtool.sim.hazards.plan import HazardPlan


def breakage_of(written: Literal["none"] | Breakage) -> dict[str, Any] | None:
    """What breaks, as fields of a scenario's ``reliability``; None if nothing does."""
    if isinstance(written, str):
        return None
    return {name: getattr(written, name) for name in Breakage.model_fields}


def site_hazards(loaded: LoadedDatacenter, library: ProfileLibrary) -> HazardPlan | None:
    """Causes of failures of the site's nodes; None if nothing fails."""
    if isinstance(loaded.datacenter.reliability, str):
        return None
    raise NotImplementedError
