"""Joules of a run, and how far to trust them.

Reading order: `meter` (what a meter promises, what it reports), `windows` (what the sensor of each generation
sees), `integral` (energy from power readings), `counter` (energy from a counter that wraps, resets, freezes),
`sampler` (the thread with uneven periods), `sampled` (a meter made of these around one source), the sources
`nvml`, `amd`, `rapl`, `modelled`, and `open`, which chooses. Nothing here imports torch.
"""

from simtool.engine.power.meter import EnergyReport, IntervalEnergy, PowerMeter
from simtool.engine.power.open import open_meter

__all__ = ["EnergyReport", "IntervalEnergy", "PowerMeter", "open_meter"]
