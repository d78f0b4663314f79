"""Which free devices a job gets: plain functions by name."""

from __future__ import annotations

from collections.abc import Callable

from simtool.registry import Registry
from simtool.sim.fleet.plan import Pool
from simtool.sim.fleet.spans import NodeSpans, Span

Placement = Callable[[NodeSpans, Pool, int], list[Span] | None]
"""Takes so many devices out of the free ones, which are as many; None if they lie so that none will do."""

PLACEMENTS: Registry[Placement] = Registry("placement")


@PLACEMENTS.register("lowest")
def lowest(free: NodeSpans, _pool: Pool, num_devices: int) -> list[Span] | None:
    """The free devices with the lowest numbers, wherever they lie."""
    return free.take(num_devices)


@PLACEMENTS.register("nodes")
def nodes(free: NodeSpans, pool: Pool, num_devices: int) -> list[Span] | None:
    """Whole nodes for jobs that fill one; a smaller job in the one node where it leaves least free."""
    size = pool.devices_per_node
    if num_devices < size:
        node = free.tightest(num_devices)
        if node is not None:
            return free.take_from(node * size, (node + 1) * size, num_devices)
    chosen: list[Span] = []
    missing = num_devices
    for start, stop in free:
        first, last = -(-start // size) * size, stop // size * size
        if first < last:
            chosen.append((first, min(last, first + missing)))
            missing -= chosen[-1][1] - first
            if missing == 0:
                return [span for begin, end in chosen for span in free.cut(begin, end)]
    return None


@PLACEMENTS.register("racks")
def racks(free: NodeSpans, pool: Pool, num_devices: int) -> list[Span] | None:
    """In one rack if one has room, the fullest such; else over as few racks as can be."""
    size = pool.devices_per_node * pool.nodes_per_rack
    counts: dict[int, int] = {}
    for start, stop in free:
        for rack in range(start // size, (stop - 1) // size + 1):
            part = min(stop, (rack + 1) * size) - max(start, rack * size)
            counts[rack] = counts.get(rack, 0) + part
    one = [(count, rack) for rack, count in counts.items() if count >= num_devices]
    by_room = [min(one)[1]] if one else sorted(counts, key=lambda rack: (-counts[rack], rack))
    found: list[Span] = []
    missing = num_devices
    for rack in by_room:
        if missing == 0:
            break
        taken = min(counts[rack], missing)
        found += free.take_from(rack * size, (rack + 1) * size, taken)
        missing -= taken
    return found


def num_racks(spans: list[Span], pool: Pool) -> int:
    """Racks over which devices lie."""
    size = pool.devices_per_node * pool.nodes_per_rack
    return len({rack for start, stop in spans for rack in range(start // size, (stop - 1) // size + 1)})
