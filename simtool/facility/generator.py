"""A backup generator: what it can give, what it burns, what that emits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simtool.errors import InputError, Problem
from simtool.facility.series import FloatArray
from simtool.provenance import Sourced

_IPCC = "IPCC Guidelines for National Greenhouse Gas Inventories 2006, vol. 2, table 2.2, lower heating value"

DIESEL_KGCO2E_PER_J = Sourced(value=7.41e-8, unit="kgCO2e/J", kind="published", source=_IPCC, spread=0.02)
"""74,100 kg CO2 a terajoule of fuel; methane and nitrous oxide add 0.3 %."""
NATURAL_GAS_KGCO2E_PER_J = Sourced(
    value=5.61e-8, unit="kgCO2e/J", kind="published", source=_IPCC, spread=0.03
)
"""56,100 kg CO2 a terajoule of fuel."""
DIESEL_EFFICIENCY = Sourced(
    value=0.38,
    unit="",
    kind="assumed",
    source="sets of some megawatts at full load, 35 to 42 %, from memory",
    spread=0.06,
)
DIESEL_NO_LOAD = Sourced(
    value=0.08,
    unit="",
    kind="assumed",
    source="straight fuel curves of data sheets, 5 to 12 %, from memory",
    spread=0.4,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A generator that runs when the grid gives too little.

    Fuel is a straight line of the output (Willans): ``rating / efficiency x (no_load + (1 - no_load) x load share)``.

    >>> backup = Generator(rated_w=1e6)
    >>> round(float(backup.carbon_kg_per_s(1e6)) * 3.6, 3)  # kg a kWh at full load: 0.0741 kg/MJ x 3.6 MJ / 0.38
    0.702
    """

    rated_w: float
    efficiency_frac: float = DIESEL_EFFICIENCY.value
    """Electricity over the lower heating value of the fuel, at full load."""
    no_load_frac: float = DIESEL_NO_LOAD.value
    """Fuel while it runs without load, over that at full load."""
    carbon_kgco2e_per_j: float = DIESEL_KGCO2E_PER_J.value
    """Of the fuel's heat."""

    def __post_init__(self) -> None:
        problems = [
            Problem("", f"generator.{field}", f"found {getattr(self, field):g}", f"allowed: {words}", "")
            for field, right, words in (
                ("rated_w", 0.0 < self.rated_w < np.inf, "above 0"),
                ("efficiency_frac", 0.0 < self.efficiency_frac <= 1.0, "above 0, at most 1"),
                ("no_load_frac", 0.0 <= self.no_load_frac < 1.0, "from 0 to below 1"),
                ("carbon_kgco2e_per_j", 0.0 <= self.carbon_kgco2e_per_j < np.inf, "at least 0"),
            )
            if not right
        ]
        if problems:
            raise InputError(problems)

    def fuel_w(self, output_w: ArrayLike) -> FloatArray:
        """Heat of the fuel that it burns [W]; nothing while it gives nothing."""
        output = np.asarray(output_w, dtype=np.float64)
        share = self.no_load_frac + (1.0 - self.no_load_frac) * output / self.rated_w
        return np.where(output > 0.0, self.rated_w / self.efficiency_frac * share, 0.0)

    def carbon_kg_per_s(self, output_w: ArrayLike) -> FloatArray:
        """Greenhouse gas of the fuel [kgCO2e/s]."""
        return np.asarray(self.carbon_kgco2e_per_j * self.fuel_w(output_w))
