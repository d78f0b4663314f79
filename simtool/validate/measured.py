"""From what a published row states to the time of one step, and back, by the row's own way of counting."""

from __future__ import annotations

import re

from simtool.units import TERA
from simtool.validate.models import Expressed
from simtool.validate.table import Filled


def flop_per_token(filled: Filled, model: Expressed, seq_len: float, *, repeats_forward: bool) -> float:
    """Work of a token as the row's ``flops_convention`` counts it [FLOP].

    Six per weight and token, the embedding left out where the convention says so, and attention over the whole
    square, half of it (causal), or not at all; hardware FLOP count a repeated forward pass. R-flop: weights without
    the embedding and the whole square where the row says nothing.
    """
    written = filled.text("flops_convention")
    if not written or written.startswith("not reported"):
        filled.rules.append("R-flop")
    weights = float(getattr(model, "num_active_parameters", model.num_parameters))
    if re.search(r"minus (input )?embedding|without embedding|^$|not reported|MFU", written):
        weights -= float(model.embedding_parameters)
    layers, hidden = model.num_layers, model.hidden_size
    whole = 12.0 * layers * hidden * seq_len
    if re.search(r"causal|half", written, re.IGNORECASE) and not re.search(r"non-causal", written):
        attention = 0.5 * whole
    elif re.search(r"6\*?N\*?tok|8\*?N|no attention|derived: tokens", written) and "12*L" not in written:
        attention = 0.0
    else:
        attention = whole
    work = 6.0 * weights + attention
    if re.search(r"HARDWARE|hardware flops|96Bs", written) and repeats_forward:
        work *= 4.0 / 3.0
    return work


def measured_step_s(
    filled: Filled, *, tokens: float, num_devices: float, peak_flop_per_s: float, token_flop: float
) -> float | None:
    """Time of one step: from tokens per second, else the step's time, else FLOP/s, else MFU [s]."""
    throughput = filled.number("tokens_per_s_per_accel")
    if throughput:
        return tokens / (throughput * num_devices)
    step = filled.number("step_time_s")
    if step:
        return step
    rate = filled.number("tflops_per_accel")
    if rate:
        return tokens * token_flop / (num_devices * rate * TERA)
    share = filled.number("mfu")
    if share:
        return tokens * token_flop / (num_devices * peak_flop_per_s * share / 100.0)
    return None
