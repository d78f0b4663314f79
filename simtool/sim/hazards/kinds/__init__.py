"""Arrival processes, one file each, registered by name in `simtool.sim.hazards.HAZARDS`."""
