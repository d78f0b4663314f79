"""From a model of any family to its step graph: each family registers its own builder."""

from __future__ import annotations

import importlib
from functools import singledispatch
from typing import Any

from simtool.stepgraph import StepGraph

BUILDERS = ("simtool.workload.captured_graph",)
"""Modules with builders of models that are defined elsewhere; imported where one is asked for."""


@singledispatch
def step_graph(model: Any, **options: Any) -> StepGraph:
    """The operations of one micro-batch of `model`, unsharded.

    Args:
        model: of a family that is registered here.
        options: `seq_len`, `micro_batch`, `precision`, `attention`, `gradient_sum`, as
            `workload.transformer.build_step_graph` explains them.

    Raises:
        TypeError: no family of models.
    """
    for name in BUILDERS:
        importlib.import_module(name)
    build = step_graph.dispatch(type(model))
    if build is step_graph.dispatch(object):
        raise TypeError(f"no step graph for {type(model).__name__}")
    graph: StepGraph = build(model, **options)
    return graph
