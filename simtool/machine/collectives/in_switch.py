"""The switch adds and multiplies copies: NVLink SHARP."""

from __future__ import annotations

import numpy as np

from simtool.machine.collectives import ALGORITHMS, Group, Mask, inside_bound_s, spans, usable_frac
from simtool.machine.network import Fabric, Link
from simtool.stepgraph import Number

REFERENCE_RANKS = 8.0
"""Ranks at which a profile states the gain."""


class InSwitch:
    """Each rank sends its buffer once and receives the sum once: (1 + 1/n) S instead of 2 (n-1)/n S.

    So the gain over a ring grows with the group, ``gain_8 x h(n)/h(8)`` with ``h(n) = 2 (n-1)/(n+1)``:
    above 1 from 4 or 5 ranks on, as measured (1.14 at 5, 1.29 at 8 H100). A slow start, without a ramp:
    the choice for large messages only.
    """

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Mask:
        """All-reduce in one domain whose switch can add."""
        can = kind == "all_reduce" and fabric.scale_up.in_switch_gain is not None
        return ~spans(group) & np.bool_(can)

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """``start-up + (1 + 1/n) S / rate``, the rate such that 8 ranks gain what the profile states."""
        link = fabric.scale_up
        wire = (1.0 + 1.0 / group.size) * np.asarray(size_bytes, dtype=float)
        return link.startup_s + link.in_switch_startup_s + wire / _rate_bytes_per_s(link, group, fabric)

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """(1 + 1/n) S/B."""
        wire = (1.0 + 1.0 / group.size) * np.asarray(size_bytes, dtype=float)
        return inside_bound_s(wire, group, fabric)


def _rate_bytes_per_s(link: Link, group: Group, fabric: Fabric) -> Number:
    """On the wire; never above the link itself, however large a gain is written down."""
    n = REFERENCE_RANKS
    ring_time = (2.0 * (n - 1.0) + link.local_frac) / n / link.rate_bytes_per_s
    reached = (link.in_switch_gain or 1.0) * (1.0 + 1.0 / n) / ring_time
    return np.asarray(np.minimum(reached, link.bandwidth_bytes_per_s) * usable_frac(group, fabric))


ALGORITHMS.register("in-switch")(InSwitch())
