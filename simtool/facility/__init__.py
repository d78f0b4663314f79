"""Everything between the servers and the grid: conversion losses, cooling, water, batteries, own generation.

Pure functions of watts and weather. `Facility.over` turns the power of the servers into the power at the
meter and the water that it takes, exactly over the union of all breakpoints; `site_balance` then splits
that load into what the sun, the wind, a battery, a generator and the grid supply. See
``docs/explanation/facility.md``.
"""

from simtool.facility.battery import Battery
from simtool.facility.chain import AffineStage, PowerChain, UpsStage
from simtool.facility.facility import ConstantPue, Facility, build_facility
from simtool.facility.generation import SolarPlant, WindPlant, solar_power, wind_power
from simtool.facility.generator import Generator
from simtool.facility.policies import OwnUse, PeakShaving, Policy, Reserve, TwoThresholds
from simtool.facility.series import FacilitySeries
from simtool.facility.site_balance import SiteBalance, site_balance
from simtool.facility.weather import Weather, find_weather, list_weather

__all__ = [
    "AffineStage",
    "Battery",
    "ConstantPue",
    "Facility",
    "FacilitySeries",
    "Generator",
    "OwnUse",
    "PeakShaving",
    "Policy",
    "PowerChain",
    "Reserve",
    "SiteBalance",
    "SolarPlant",
    "TwoThresholds",
    "UpsStage",
    "Weather",
    "WindPlant",
    "build_facility",
    "find_weather",
    "list_weather",
    "site_balance",
    "solar_power",
    "wind_power",
]
