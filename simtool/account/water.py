"""Water: what a site evaporates, and what power plants evaporate for it; two accounts that are shown apart.

``total = E_IT x (WUE_site + PUE x WUE_grid)``. A litre is a kilogram.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from simtool.account.metered import PowerSteps
from simtool.config.fields import Quantity, Strict
from simtool.config.load import load_document, validate
from simtool.errors import InputError, Problem, did_you_mean
from simtool.provenance import Sourced
from simtool.signals import Signal
from simtool.signals.signal import FloatArray
from simtool.units import JOULES_PER_KWH

FILE = Path(__file__).resolve().parent / "data" / "water.yaml"
SHARES_SUM = 1e-6
"""By how much shares of a mix may miss 1."""
Litres = Annotated[Sourced, Quantity("L/kWh")]


class PlantWater(Strict):
    """File kind ``simtool/water/1``."""

    schema_: Literal["simtool/water/1"] = Field(alias="schema")
    consumption: dict[str, Litres]
    """By source of electricity, per kWh generated."""
    grid_average: Litres
    """Where nothing is known of the mix."""


@cache
def plant_water() -> PlantWater:
    """The shipped numbers."""
    return validate(load_document(FILE), PlantWater, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterAccount:
    """Water of a load, on site and at the power plants."""

    on_site_l: float
    off_site_l: float
    energy_it_j: float
    energy_facility_j: float

    @property
    def wue_site_l_per_kwh(self) -> float:
        """On-site water over IT energy."""
        return self._over_it(self.on_site_l)

    @property
    def wue_source_l_per_kwh(self) -> float:
        """Both over IT energy: WUE_site + PUE x WUE_grid."""
        return self._over_it(self.on_site_l + self.off_site_l)

    def _over_it(self, litres: float) -> float:
        return litres * JOULES_PER_KWH / self.energy_it_j if self.energy_it_j else 0.0


def water_account(
    breakpoints_s: FloatArray,
    it_w: FloatArray,
    facility_w: FloatArray,
    water_kg_per_s: FloatArray,
    off_site: Sourced | Signal,
) -> WaterAccount:
    """Water of a site over time, exactly over the steps.

    Args:
        breakpoints_s: n + 1 times [s].
        it_w: power of the servers [W].
        facility_w: power at the meter [W].
        water_kg_per_s: taken on site [kg/s].
        off_site: water at the plants per kWh delivered [L/kWh], see `mix_l_per_kwh`.

    >>> from simtool.provenance import Sourced
    >>> grid = Sourced(value=1.8, unit="L/kWh", kind="assumed", source="")
    >>> account = water_account(np.array([0.0, 3600.0]), np.array([1e6]), np.array([1.2e6]), np.array([0.5]), grid)
    >>> account.on_site_l, account.off_site_l, round(account.wue_source_l_per_kwh, 12)  # 1.8 + 1.2 x 1.8
    (1800.0, 2160.0, 3.96)
    """
    spans = np.diff(breakpoints_s)
    load = PowerSteps(breakpoints_s=breakpoints_s, power_w=facility_w)
    signal = off_site if isinstance(off_site, Signal) else Signal.constant(off_site)
    if signal.unit != "L/kWh":
        raise ValueError(f"water at the plants is in L/kWh, not in {signal.unit!r}")
    return WaterAccount(
        on_site_l=float(np.sum(water_kg_per_s * spans)),
        off_site_l=float(signal.integrate_product(breakpoints_s, facility_w)) / JOULES_PER_KWH,
        energy_it_j=float(np.sum(it_w * spans)),
        energy_facility_j=load.energy_j,
    )


def mix_l_per_kwh(shares: Mapping[str, float | FloatArray]) -> float | FloatArray:
    """Water per kWh of a mix of sources [L/kWh]; shares broadcast, say over the hours of a year.

    Args:
        shares: of each source in the energy, by its name in `plant_water`; they sum to 1.

    Raises:
        InputError: an unknown source, a negative share, or shares that do not sum to 1.

    >>> round(float(mix_l_per_kwh({"gas": 0.5, "wind": 0.5})), 3)
    0.388
    """
    known = plant_water().consumption
    for name in shares:
        if name not in known:
            found = f"found the source {name!r}"
            raise InputError(Problem("", f"mix.{name}", found, "", did_you_mean(name, known)))
    total = np.sum(np.broadcast_arrays(*shares.values()), axis=0) if shares else np.zeros(1)
    if any(np.min(share) < 0 for share in shares.values()) or np.max(np.abs(total - 1.0)) > SHARES_SUM:
        worst = np.ravel(total)[np.argmax(np.abs(np.ravel(total) - 1.0))]
        found = f"found shares that sum to {worst:g}"
        mend = "give every source its share, none below 0"
        raise InputError(Problem("", "mix", found, "shares of at least 0 that sum to 1", mend))
    return np.asarray(sum(known[name].value * np.asarray(share) for name, share in shares.items()))[()]
