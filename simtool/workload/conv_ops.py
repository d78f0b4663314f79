"""The operations of a convolutional network's tape, forward and backward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from simtool.stepgraph import Kind, Number, Op, Phase, Scope
from simtool.workload.conv_tape import Conv, Tape
from simtool.workload.precision import BYTES_PER_ELEMENT

WINOGRAD_SAVING = 2.25
"""Fewer products for 2 x 2 outputs of a 3 x 3 window, 16 for 36 (Lavin, Gray 2015, arXiv 1509.09308). Libraries
compute so on ordinary units, where fp32 runs; matrix units do the plain sum faster."""


def conv_ops(tape: Tape, num_blocks: int, images: Number, dtype: str) -> Iterator[Op]:
    """Operations of the mean block on `images` images. Equal convolutions are one operation with their number.

    Norms, activations and sums are one operation of their mean size, run as often as there are of them.
    """
    for conv, times in Counter(tape.convs).items():
        yield from _convolution(conv, times / num_blocks, images, dtype)
    kernels = (tape.num_operations - len(tape.convs)) / num_blocks
    per_kernel = BYTES_PER_ELEMENT[dtype] * images / (kernels * num_blocks)
    for phase, elements in ((Phase.FORWARD, tape.moved_forward), (Phase.BACKWARD_INPUT, tape.moved_backward)):
        yield memory_op("norms_and_activations", phase, Scope.LAYER, per_kernel * elements, kernels)


def _convolution(conv: Conv, count: float, images: Number, dtype: str) -> Iterator[Op]:
    """Forward, gradient of the input, gradient of the weights."""
    size = BYTES_PER_ELEMENT[dtype]
    moved = size * (images * (conv.input_elements + conv.output_elements) + conv.weights)
    rows = images * conv.positions
    sizes = {
        Phase.FORWARD: (rows, conv.outer, conv.inner),
        Phase.BACKWARD_INPUT: (rows, conv.inner, conv.outer),
        Phase.BACKWARD_WEIGHT: (conv.inner, conv.outer, rows),
    }
    shorter = WINOGRAD_SAVING if dtype == "fp32" and conv.is_square_of_3 else 1.0
    for phase, (m, n, k) in sizes.items():
        if conv.is_first and phase is Phase.BACKWARD_INPUT:
            continue
        if conv.is_depthwise:
            yield replace(
                memory_op("depthwise", phase, Scope.LAYER, moved, count, flop=conv.flop * images),
                pattern="depthwise",
            )
            continue
        yield Op(
            name="convolution",
            kind=Kind.CONVOLUTION,
            phase=phase,
            scope=Scope.LAYER,
            dtype=dtype,
            flop=conv.flop * images,
            bytes=moved,
            m=m,
            n=n,
            k=k / shorter,
            batch=float(conv.groups),
            count=count,
            launches=count,
        )


def memory_op(
    name: str, phase: Phase, scope: Scope, moved: Number, count: float = 1.0, flop: Number = 0.0
) -> Op:
    """Work bound by memory, `count` times."""
    return Op(
        name=name,
        kind=Kind.MEMORY,
        phase=phase,
        scope=scope,
        bytes=moved,
        flop=flop,
        count=count,
        launches=count,
    )
