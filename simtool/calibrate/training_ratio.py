"""Restating a ratio of training to kernels over another curve, so that their product stays."""

from __future__ import annotations

import numpy as np

from simtool.calibrate.fit import Device
from simtool.machine.correction import Correction
from simtool.machine.gemm import GemmCurve, gemm_time_s

REFERENCE_TOKENS = (4096.0, 8192.0, 16384.0)
REFERENCE_LAYERS = (4096.0, 5120.0, 8192.0, 12288.0, 16384.0)
"""Hidden sizes of layers that are trained on many accelerators."""


def restated_ratio(
    ratio: float,
    over: GemmCurve,
    own: GemmCurve,
    device: Device,
    correction: Correction | None = None,
) -> float:
    """`ratio`, found over the curve `over`, as one over `own` with its correction.

    A ratio of sustained training to isolated kernels means nothing without the kernels: over kernels
    that were themselves measured under sustained load it is smaller than over short bursts. The
    geometric mean of over's time by own's, over the forward products of common layers (attention,
    up and down projections, a quarter of them per rank), carries it across.

    >>> from types import SimpleNamespace
    >>> fast = dict(k_half=0.0, tile_half=0.0, wave_frac=0.0, bandwidth_frac=1.0, latency=0.0)
    >>> device = Device(peak_flop_per_s=1e13, num_processors=8, bandwidth_bytes_per_s=1e15, cache_bytes=1.0)
    >>> burst, sustained = (SimpleNamespace(peak_frac=share, **fast) for share in (0.8, 0.6))
    >>> round(restated_ratio(1.2, burst, sustained, device), 3)  # 1.2 / 0.8 = 0.9 / 0.6
    0.9
    """
    tokens, hidden = np.meshgrid(REFERENCE_TOKENS, REFERENCE_LAYERS)
    logarithms = []
    for n, k in ((hidden, hidden), (hidden, 4 * hidden), (4 * hidden, hidden), (hidden, hidden / 4)):
        times = [
            gemm_time_s(
                tokens,
                n,
                k,
                peak_flop_per_s=device.peak_flop_per_s,
                num_processors=device.num_processors,
                bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
                element_bytes=device.element_bytes,
                curve=curve,
                correction=corrected,
            )
            for curve, corrected in ((over, None), (own, correction))
        ]
        logarithms.append(np.log(times[0]) - np.log(times[1]))
    return ratio * float(np.exp(np.mean(logarithms)))
