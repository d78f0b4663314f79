"""Suites of measurements: what a device does with kernels of every kind, and what power it draws.

Reading order: `point` (what is measured), `stopwatch` and `bench` (how), `devices` (on what), the parts
`sustained`, `launch`, `gemm`, `bandwidth`, `attention`, `collectives` with `ranks`, and `training`, then
`folder` (where it goes) and `suite` (in which order, and how long). `simtool calibrate` makes a hardware profile of the
trace folder that a suite leaves.
"""

from simtool.engine.suites.suite import DEFAULT_MINUTES, SuiteOutcome, run_suite

__all__ = ["DEFAULT_MINUTES", "SuiteOutcome", "run_suite"]
