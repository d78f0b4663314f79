"""Power by what the device does: idle, products, attention and copies, each for seconds on end.

Sensors average over up to a second and see part of the time only, so power is read from these long
points, not from those of the sweeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from simtool.engine.power import PowerMeter
from simtool.engine.suites import attention, bandwidth, gemm
from simtool.engine.suites.bench import Bench, row
from simtool.engine.suites.part import Row, Unmeasurable
from simtool.engine.suites.point import Point

IDLE, IDLE_WITH_CONTEXT = "idle", "idle_with_context"
IDLE_S: Mapping[str, float] = {"gpu": 8.0, "cpu": 1.0}
LOAD_S: Mapping[str, float] = {"gpu": 6.0, "cpu": 1.0}


class PowerPart:
    """Long points for the power meter."""

    name: ClassVar[str] = "power"
    share: ClassVar[float] = 0.12

    def points(self, bench: Bench) -> Sequence[Point]:
        """Idle with a context first, while the device is still cool, then work of every kind.

        Nothing where power is not measured.
        """
        if bench.meter is None or bench.meter.kind != "measured":
            return []
        side = gemm.SQUARE[bench.facts.kind]
        dtype = gemm.main_dtype(bench)
        heavy = max(
            attention.AttentionPart().points(bench), key=lambda one: (one.op == attention.FORWARD, one.flop)
        )
        return [
            Point(part="power", op=IDLE_WITH_CONTEXT),
            gemm.product(side, side, side, dtype, gemm.FORWARD, part="power"),
            bandwidth.largest(bench, "power"),
            gemm.product(side, side // 2, side // 4, dtype, gemm.FORWARD, part="power"),
            Point(
                part="power",
                op=heavy.op,
                dtype=heavy.dtype,
                shape=heavy.shape,
                flop=heavy.flop,
                size_bytes=heavy.size_bytes,
            ),
        ]

    def measure(self, bench: Bench, point: Point) -> Row:
        """Power of one kind of work.

        Raises:
            Unmeasurable: without a meter, idling tells nothing.
        """
        if point.op == IDLE_WITH_CONTEXT:
            bench.stopwatch.finish()
            return idle(point, bench.meter, IDLE_S[bench.facts.kind])
        calls = {"mm": gemm.products, "copy": bandwidth.streams, attention.FORWARD: attention.attentions}[
            point.op
        ]
        return bench.measure(point, calls(bench, point), bench.effort.longer(LOAD_S[bench.facts.kind]))


def idle(point: Point, meter: PowerMeter | None, duration_s: float) -> Row:
    """Power with nothing to do.

    Raises:
        Unmeasurable: there is no meter, or none that measures: a model of idling would tell what it was told.
    """
    if meter is None or meter.kind != "measured" or not math.isfinite(begin_j := meter.energy_j()):
        raise Unmeasurable("power is not measured here")
    begin_s = time.monotonic()
    time.sleep(duration_s)
    window_s = time.monotonic() - begin_s
    power_w = (meter.energy_j() - begin_j) / window_s
    return {**row(point, begin_s), "window_s": window_s, "power_w": power_w, "power_kind": meter.kind}
