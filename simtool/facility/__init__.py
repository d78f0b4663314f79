"""Everything between the servers and the grid: conversion losses, cooling, water, batteries, own generation.

Pure functions of watts and weather. `Facility.over` turns the power of the servers into the power at the
meter and the water that it takes, exactly over the union of all breakpoints; `site_balance` then splits
that load into what the sun, the wind, a battery, a generator and the grid supply. See
``docs/explanation/facility.md``.
"""

from simtool.facility.chain import AffineStage, PowerChain, UpsStage
from simtool.facility.facility import ConstantPue, Facility, build_facility
from simtool.facility.series import FacilitySeries

__all__ = [
    "AffineStage",
    "ConstantPue",
    "Facility",
    "FacilitySeries",
    "PowerChain",
    "UpsStage",
    "build_facility",
]
