"""The precision in which a step runs, for methods that run the model beside it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch


def autocast(device: torch.device, precision: str) -> Any:
    """The context in which the forward pass of a plan of this precision runs."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
