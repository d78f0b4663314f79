"""What the profiler of torch saw of one step, as plain spans."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from simtool.units import MEGA

Shapes = tuple[tuple[int, ...], ...]
_QUIET = "6"
"""Kineto tells every start and stop of a profile on standard error, at level 5."""


@dataclass(slots=True)
class Span:
    """One stretch of work on a thread, with what ran inside it."""

    name: str
    begin_s: float
    end_s: float
    shapes: Shapes = ()
    """Of the tensor operands; those without dimensions cannot be told from numbers and are left out."""
    device_s: float = 0.0
    """Time of the kernels that this span itself started."""
    launches: int = 0
    """How many there were."""
    children: list[Span] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        """Time on the wall."""
        return self.end_s - self.begin_s

    def everything(self) -> Iterator[Span]:
        """This span and all below it."""
        yield self
        for child in self.children:
            yield from child.everything()


def profiler(device: torch.device) -> profile:
    """A profiler for one step on a device."""
    os.environ.setdefault("KINETO_LOG_LEVEL", _QUIET)
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    return profile(activities=activities, record_shapes=True)


def spans(profiled: profile) -> list[Span]:
    """The outermost spans of all threads, in the order of their beginning."""
    host = torch.autograd.DeviceType.CPU
    outermost = [
        event for event in profiled.events() or () if event.cpu_parent is None and event.device_type == host
    ]
    return sorted((_span(event) for event in outermost if not event.is_async), key=lambda span: span.begin_s)


def _span(event: Any) -> Span:
    # Older versions do not tell the shapes within lists of tensors.
    shapes = getattr(event, "structured_input_shapes", None) or event.input_shapes or ()
    return Span(
        name=event.name,
        begin_s=event.time_range.start / MEGA,
        end_s=event.time_range.end / MEGA,
        shapes=tuple(_flat(shapes)),
        device_s=sum(kernel.duration for kernel in event.kernels) / MEGA,
        launches=len(event.kernels),
        children=[_span(child) for child in event.cpu_children],
    )


def _flat(shapes: Any) -> Iterator[tuple[int, ...]]:
    """Shapes out of nested lists, without empty ones."""
    for shape in shapes:
        if shape and isinstance(shape[0], int):
            yield tuple(shape)
        elif shape:
            yield from _flat(shape)
