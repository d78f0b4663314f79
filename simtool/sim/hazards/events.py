"""All events of a cluster in order of time, and those of one job."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from simtool.rng import stream
from simtool.sim.hazards import HazardEvent, Spell, Streams
from simtool.sim.hazards.durations import sampler
from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.plan import Cause, Cordon, HazardPlan, Lemons


def hazard_events(plan: HazardPlan, num_nodes: int, seed: int, run: int = 0) -> Iterator[HazardEvent]:
    """Events of a cluster, in order of time; simultaneous ones in the order of the plan's causes.

    The stream is the same whatever happens in the cluster. It does not end while something can fail.

    Args:
        plan: what can go wrong.
        num_nodes: nodes of the cluster, spares included; they are counted from 0.
        seed: of the scenario.
        run: index of the run inside a study.

    Raises:
        InputError: maintenance that is not over when the next begins.
    """
    lemons = _lemon_nodes(plan.lemons, num_nodes, seed, run)
    streams = [_events_of(cause, plan.lemons, lemons, num_nodes, seed, run) for cause in plan.causes]
    merged = heapq.merge(*streams, key=lambda event: event.time_s)
    if plan.cordon is None:
        return merged
    return _with_cordon(merged, plan.cordon, plan.lemons, lemons, partial(_stream, "cordon", seed, run))


def job_events(plan: HazardPlan, job: str, seed: int, run: int = 0) -> Iterator[HazardEvent]:
    """Software failures of one job, by time since its start; they name no node."""
    streams = []
    for cause in plan.job_causes:
        random = partial(_stream, f"{cause.name}/{job}", seed, run)
        detection_s = sampler(cause.detection, random("detection"))

        def spell(detection_s: Callable[[], float] = detection_s) -> Spell:
            return Spell(detection_s(), 0.0)

        times = Exponential(rate_per_unit_s=cause.rate_per_job_s).arrivals(1, 1.0, random, spell)
        streams.append(_software(cause.name, times))
    return heapq.merge(*streams, key=lambda event: event.time_s)


def _software(cause: str, times: Iterator[tuple[float, int, Spell]]) -> Iterator[HazardEvent]:
    for time_s, _, lasts in times:
        yield HazardEvent(time_s, (), cause, "software", lasts.detection_s, 0.0)


def lemon_nodes(plan: HazardPlan, num_nodes: int, seed: int, run: int = 0) -> tuple[int, ...]:
    """The nodes that are lemons in this run, rising."""
    return tuple(_lemon_nodes(plan.lemons, num_nodes, seed, run).tolist())


def _stream(entity: str, seed: int, run: int, purpose: str) -> np.random.Generator:
    return stream(seed, f"hazard/{entity}", purpose, run)


def _lemon_nodes(
    lemons: Lemons | None, num_nodes: int, seed: int, run: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if lemons is None or lemons.factor == 1.0:
        return np.zeros(0, np.int64)
    random = _stream("lemons", seed, run, "which")
    num = int(random.binomial(num_nodes, lemons.share_frac))
    return np.sort(random.choice(num_nodes, num, replace=False).astype(np.int64))


def _events_of(
    cause: Cause,
    lemons: Lemons | None,
    lemon_nodes: np.ndarray[tuple[int], np.dtype[np.int64]],
    num_nodes: int,
    seed: int,
    run: int,
) -> Iterator[HazardEvent]:
    size = num_nodes if cause.group_nodes is None else min(cause.group_nodes, num_nodes)
    if lemons is None or size > 1 or cause.effect != "failure" or lemons.factor == 1.0:
        times = _times(cause, cause.name, -(-num_nodes // size), 1.0, seed, run)
        for time_s, unit, lasts in times:
            nodes = ((unit * size, min((unit + 1) * size, num_nodes)),)
            yield _event(cause, time_s, nodes, lasts)
        return
    # A mean over a great fleet, not over the lemons that this run happens to have.
    good_pace = 1.0 / (1.0 + lemons.share_frac * (lemons.factor - 1.0))
    below = lemon_nodes - np.arange(len(lemon_nodes))  # good nodes below each lemon
    good = _times(cause, cause.name, num_nodes - len(lemon_nodes), good_pace, seed, run)
    bad = _times(cause, f"{cause.name}/lemons", len(lemon_nodes), good_pace * lemons.factor, seed, run)
    for time_s, is_lemon, unit, lasts in heapq.merge(
        ((time_s, False, unit, lasts) for time_s, unit, lasts in good),
        ((time_s, True, unit, lasts) for time_s, unit, lasts in bad),
        key=lambda one: one[0],
    ):
        node = int(lemon_nodes[unit]) if is_lemon else unit + int(np.searchsorted(below, unit, side="right"))
        yield _event(cause, time_s, ((node, node + 1),), lasts)


def _event(cause: Cause, time_s: float, nodes: tuple[tuple[int, int], ...], lasts: Spell) -> HazardEvent:
    return HazardEvent(
        time_s, nodes, cause.name, cause.effect, lasts.detection_s, lasts.repair_s, cause.slowdown
    )


def _times(
    cause: Cause, entity: str, num_units: int, pace: float, seed: int, run: int
) -> Iterator[tuple[float, int, Spell]]:
    if num_units == 0:
        return iter(())
    random: Streams = partial(_stream, entity, seed, run)
    detection_s = sampler(cause.detection, random("detection"))
    repair_s = sampler(cause.repair, random("repair"))
    return cause.arrivals.arrivals(num_units, pace, random, lambda: Spell(detection_s(), repair_s()))


def _with_cordon(
    events: Iterator[HazardEvent],
    cordon: Cordon,
    lemons: Lemons | None,
    lemon_nodes: np.ndarray[tuple[int], np.dtype[np.int64]],
    streams: Streams,
) -> Iterator[HazardEvent]:
    """Nodes that failed often are replaced: by good ones, of which only the failures of a good one remain.

    Thinning the failures of a lemon by its factor leaves exactly those of a good node where they have no
    memory; with lives that depend on age it is that on average.
    """
    repair_s, thinning = sampler(cordon.repair, streams("repair")), streams("thinning")
    bad = set(lemon_nodes.tolist())
    replaced: set[int] = set()
    failures: dict[int, deque[float]] = {}
    back_s: dict[int, float] = {}
    for event in events:
        if event.effect != "failure" or event.num_nodes != 1:
            yield event
            continue
        node = event.nodes[0][0]
        if lemons is not None and node in replaced and thinning.random() * lemons.factor >= 1.0:
            continue
        if event.time_s < back_s.get(node, 0.0):
            yield event  # down already: no failure to count
            continue
        latest = failures.setdefault(node, deque(maxlen=cordon.num_failures))
        latest.append(event.time_s)
        lasts_s = event.repair_s
        if len(latest) == cordon.num_failures and event.time_s - latest[0] <= cordon.window_s:
            lasts_s = repair_s()
            latest.clear()
            if node in bad:
                replaced.add(node)
        back_s[node] = event.time_s + max(event.detection_s, lasts_s)
        yield event._replace(repair_s=lasts_s)
