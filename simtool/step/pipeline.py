"""From the seconds of layers, edges and messages to the wall time of a step, by part.

A stage works through its micro-batches one after the other; the fullest stage sets the pace; the
others' time of one micro-batch, forward and backward, is the bubble, divided by the virtual stages
of an interleaved schedule (Narayanan et al. 2021, arXiv 2104.04473, section 2.2)::

    step = m * fullest + bubble * (sum over the other stages) / vpp
           + exposed gradients + optimizer + host, times (1 + straggler * log2(nodes))
"""

from __future__ import annotations

import numpy as np

from simtool.layout.layouts import Layouts, split_stages
from simtool.step.communication import Communication
from simtool.step.estimate import STEP_PARTS
from simtool.step.price import Seconds
from simtool.step.stack import Passes, StackNumbers
from simtool.stepgraph import Number, Scope
from simtool.workload.model import Model

FLOOR_NORM = 4.0
"""Exponent with which device time and the host's launch floor join: nearly the larger of the two."""
DEVICE_PARTS = ("forward", "backward_input", "backward_weight", "recompute", "data")
LAYER_WAITS = ("tensor_communication", "launch", "expert_communication", "context_communication")
"""Parts of a layer's time in which its device does not compute."""

Parts = dict[str, Number]


def step_parts(
    model: Model,
    layouts: Layouts,
    device: dict[Scope, Seconds],
    messages: Communication,
    stack: StackNumbers,
    *,
    passes: Passes,
    gradient_frac: float,
    num_nodes: Number,
    input_core_bytes: Number = 0.0,
) -> Parts:
    """Wall time of one step by part; keys `STEP_PARTS`.

    `input_core_bytes` are the samples of a step that a core of the host prepares while the device computes: where
    that takes longer, the device waits, and the wait counts as ``data``.

    Numbers of model, layout, messages and stack may all be arrays: one step each.
    """
    m, pp, vpp = layouts.num_micro_batches, layouts.pp, layouts.vpp
    num_passes = passes.forward + 1.0
    tp_exposed, pp_exposed = stack.tp_exposed, stack.pp_exposed
    layer = _device_parts(device[Scope.LAYER])
    layer["tensor_communication"] = num_passes * messages.tensor_layer_pass_s * tp_exposed
    ep_exposed = np.where(messages.experts_span, stack.ep_exposed_across, stack.ep_exposed)
    layer["expert_communication"] = num_passes * messages.expert_layer_pass_s * ep_exposed
    layer["context_communication"] = _exposed_context(messages, device[Scope.LAYER], stack, passes.forward)
    layer["launch"] = _launch_wait(layer, layouts, stack, passes, _host_work(model, stack))
    embedding = _device_parts(device[Scope.EMBEDDING])
    head = _device_parts(device[Scope.HEAD])
    for edge in (embedding, head):
        edge["tensor_communication"] = messages.tensor_edge_s * tp_exposed
    dense = model.num_layers * sum((layer[part] for part in DEVICE_PARTS), 0.0)
    tables = 2.0 * messages.table_pass_s
    embedding["expert_communication"] = np.maximum(ep_exposed * tables, tables - stack.overlap_limit * dense)

    stages = split_stages(model, pp, vpp)
    single = np.asarray(pp == 1)
    first = _stage(layer, stages.first, embedding, {key: np.where(single, head[key], 0.0) for key in head})
    middle = _stage(layer, stages.middle)
    last = _stage(layer, stages.last, head, {key: np.where(single, embedding[key], 0.0) for key in embedding})
    totals = np.stack(np.broadcast_arrays(*(sum(stage.values()) for stage in (first, middle, last))))
    has_middle = np.asarray(pp > 2)
    totals[1] = np.where(has_middle, totals[1], 0.0)
    fullest = np.argmax(totals, axis=0)
    pace = np.max(totals, axis=0)
    others = np.where(single, 0.0, totals[0] + totals[2] + (pp - 2.0) * totals[1] - pace)

    parts: Parts = dict.fromkeys(STEP_PARTS, 0.0)
    for key in first:
        parts[key] = m * np.choose(fullest, np.broadcast_arrays(first[key], middle[key], last[key]))
    hops = 2.0 * messages.pipeline_hop_s
    parts["pipeline_communication"] = m * vpp * hops * pp_exposed + (pp - 1.0) * hops
    parts["bubble"] = stack.bubble * others / vpp
    parts["data_communication"] = _exposed_gradients(parts, m, messages, stack) * gradient_frac
    parts["optimizer"] = device[Scope.STEP].total()
    parts["host"] = stack.step_constant_s
    so_far: Number = 0.0
    for seconds in parts.values():
        so_far = so_far + seconds
    waited = _waited(so_far, input_core_bytes / stack.input_rate_bytes_per_s)
    parts["data"] = parts["data"] + waited
    so_far = so_far + waited
    parts["straggler"] = so_far * stack.straggler * np.log2(np.maximum(num_nodes, 1.0))
    return parts


def _device_parts(seconds: Seconds) -> Parts:
    return {part: seconds.total(part) for part in DEVICE_PARTS} | dict.fromkeys(LAYER_WAITS, 0.0)


def _stage(layer: Parts, num_layers: Number, *edges: Parts) -> Parts:
    return {key: num_layers * layer[key] + sum((edge[key] for edge in edges), 0.0) for key in layer}


def _host_work(model: Model, stack: StackNumbers) -> Number:
    """What the host does for a mean layer, over a layer of a dense decoder."""
    more = stack.launch_floor_expert_ratio - 1.0
    return model.launches_per_layer * (1.0 + model.expert_layer_frac * more)


def _launch_wait(
    layer: Parts, layouts: Layouts, stack: StackNumbers, passes: Passes, host_work: Number
) -> Number:
    """Time of one layer that the device waits because the host has not launched the next kernel.

    ``(device^4 + floor^4)^(1/4) - device``: where the device needs longer than the host the host
    is hidden, and the other way round. The floor grows with tp, since every collective is launched too.
    """
    tensor_growth = 1.0 + stack.launch_floor_tp_ratio * (layouts.tp / 8.0) ** 2
    floor = stack.launch_floor_s * (1.0 + passes.floor_frac) * tensor_growth * host_work
    busy: Number = sum(layer.values(), 0.0)
    return _waited(busy, floor)


def _waited(busy: Number, floor: Number) -> Number:
    """What a floor adds to a time: nearly all by which it is the longer one."""
    return (busy**FLOOR_NORM + floor**FLOOR_NORM) ** (1.0 / FLOOR_NORM) - busy


def _exposed_context(
    messages: Communication, layer: Seconds, stack: StackNumbers, forward_passes: Number
) -> Number:
    """What attention does not hide of the exchange of keys and values, in one layer.

    A ring works on the keys that it has while the next come, so that attention itself hides them, down to
    the share `cp_exposed`; the other kinds wait for all of them.
    """
    forward, backward = messages.context_forward_s, messages.context_backward_s
    share = stack.cp_exposed
    ahead = np.maximum(share * forward, forward - layer.attention[False])
    back = np.maximum(share * backward, backward - layer.attention[True])
    return np.where(
        messages.context_is_ring, forward_passes * ahead + back, forward_passes * forward + backward
    )


def _exposed_gradients(parts: Parts, m: Number, messages: Communication, stack: StackNumbers) -> Number:
    """What computation does not hide of the exchange between replicas.

    At best the share `overlap_limit` of the computation next to it hides messages (the last
    micro-batch's backward for a step's gradients, everything for ZeRO 3); in practice the measured
    share `dp_exposed` stays visible.
    """
    exposed, limit = stack.dp_exposed, stack.overlap_limit
    backward = parts["backward_input"] + parts["backward_weight"]
    compute = parts["forward"] + backward + parts["recompute"]
    once = np.maximum(exposed * messages.data_step_s, messages.data_step_s - limit * backward / m)
    always = m * messages.data_micro_batch_s
    return once + np.maximum(exposed * always, always - limit * compute)
