"""The table of rewrites, and the neutral points they share."""

from __future__ import annotations

from collections.abc import Callable

from simtool.methods.effect import EffectPhase
from simtool.registry import Registry
from simtool.stepgraph import StepGraph

Rewrite = Callable[[StepGraph, EffectPhase], StepGraph]
"""What a method leaves of a step in one stretch of training. A neutral `EffectPhase` is the identity."""

METHODS: Registry[Rewrite] = Registry("method", package="simtool.methods", group="simtool.methods")
