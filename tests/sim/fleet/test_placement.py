"""Where jobs get their devices: properties of every placement, and what each is for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.sim.fleet.placement import PLACEMENTS, num_racks
from simtool.sim.fleet.plan import Pool
from simtool.sim.fleet.spans import NodeSpans, Span, Spans
from tests.sim.fleet import fleets


@st.composite
def cases(draw: st.DrawFn) -> tuple[Pool, set[int], int]:
    """A pool, its free devices, and how many are wanted: at most as many as are free."""
    pool = fleets.pool(
        draw(st.integers(1, 6)), draw(st.integers(1, 4)), nodes_per_rack=draw(st.integers(1, 3))
    )
    free = draw(st.sets(st.integers(0, pool.num_devices - 1), min_size=1))
    return pool, free, draw(st.integers(1, len(free)))


def spans_of(devices: set[int], pool: Pool) -> NodeSpans:
    return NodeSpans(pool.devices_per_node, [(device, device + 1) for device in sorted(devices)])


def devices_of(spans: list[Span] | Spans) -> list[int]:
    return [device for start, stop in spans for device in range(start, stop)]


@pytest.mark.parametrize("name", list(PLACEMENTS))
@given(case=cases())
def test_devices_are_as_many_as_wanted_free_and_given_once(
    name: str, case: tuple[Pool, set[int], int]
) -> None:
    pool, devices, num = case
    free = spans_of(devices, pool)
    taken = PLACEMENTS[name](free, pool, num)
    left = devices_of(free)
    if taken is None:
        assert set(left) == devices  # and nothing has changed
        return
    found = devices_of(taken)
    assert len(found) == len(set(found)) == num
    assert set(found) | set(left) == devices
    assert not set(found) & set(left)
    assert free.num == len(left)


@pytest.mark.parametrize("name", list(PLACEMENTS))
@given(case=cases())
def test_the_same_question_has_the_same_answer(name: str, case: tuple[Pool, set[int], int]) -> None:
    pool, devices, num = case
    assert PLACEMENTS[name](spans_of(devices, pool), pool, num) == PLACEMENTS[name](
        spans_of(devices, pool), pool, num
    )


@pytest.mark.parametrize("name", list(PLACEMENTS))
@given(num_nodes=st.integers(1, 6), size=st.integers(1, 4), racks=st.integers(1, 3), part=st.floats(0.0, 1.0))
def test_an_empty_pool_takes_every_job(name: str, num_nodes: int, size: int, racks: int, part: float) -> None:
    pool = fleets.pool(num_nodes, size, nodes_per_rack=racks)
    num = max(1, round(part * pool.num_devices))
    assert PLACEMENTS[name](NodeSpans(size, [(0, pool.num_devices)]), pool, num) is not None


@given(case=cases())
def test_nodes_keeps_small_jobs_inside_a_node_and_gives_large_ones_whole_nodes(
    case: tuple[Pool, set[int], int],
) -> None:
    pool, devices, num = case
    size = pool.devices_per_node
    by_node = {node: sum(1 for d in devices if d // size == node) for node in range(pool.num_nodes)}
    taken = PLACEMENTS["nodes"](spans_of(devices, pool), pool, num)
    whole = sum(count == size for count in by_node.values())
    if num < size:
        fitting = [count for count in by_node.values() if count >= num]
        assert (taken is None) == (not fitting)
        if taken is not None:
            (node,) = {device // size for device in devices_of(taken)}
            assert by_node[node] == min(fitting)  # where it leaves least free
    else:
        assert (taken is None) == (whole * size < num)
        if taken is not None:
            used = {device // size for device in devices_of(taken)}
            assert all(by_node[node] == size for node in used)
            assert len(used) == -(-num // size)


@given(case=cases())
def test_racks_uses_as_few_racks_as_can_be(case: tuple[Pool, set[int], int]) -> None:
    pool, devices, num = case
    size = pool.devices_per_node * pool.nodes_per_rack
    room = [sum(1 for d in devices if d // size == rack) for rack in range(-(-pool.num_devices // size))]
    fewest = next(
        many
        for many in range(1, len(room) + 1)
        if any(sum(group) >= num for group in itertools.combinations(room, many))
    )
    taken = PLACEMENTS["racks"](spans_of(devices, pool), pool, num)
    assert taken is not None
    assert num_racks(taken, pool) == fewest
    if fewest == 1:
        (rack,) = {device // size for device in devices_of(taken)}
        assert room[rack] == min(count for count in room if count >= num)  # the fullest rack with room


@given(case=cases())
def test_lowest_takes_the_lowest(case: tuple[Pool, set[int], int]) -> None:
    pool, devices, num = case
    assert devices_of(PLACEMENTS["lowest"](spans_of(devices, pool), pool, num) or []) == sorted(devices)[:num]


def test_racks_are_counted_over_spans() -> None:
    pool = fleets.pool(8, 2, nodes_per_rack=2)  # 4 devices a rack
    assert num_racks([(0, 4)], pool) == 1
    assert num_racks([(0, 2), (3, 5), (12, 13)], pool) == 3
