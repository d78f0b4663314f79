"""Every collective algorithm and topology keeps the contract; the choice keeps the physics."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.machine.collectives import ALGORITHMS, KINDS, Group, collective_time_s
from simtool.machine.network import Fabric, Link
from simtool.machine.topologies import TOPOLOGIES
from simtool.profiles.schema import Topology

NVLINK = Link(
    name="nvlink4",
    bandwidth_bytes_per_s=450e9,
    efficiency_frac=0.79,
    latency_s=0.7e-6,
    startup_s=5.5e-6,
    ramp_time_s=97e-6,
    in_switch_gain=1.3,
    in_switch_startup_s=66e-6,
)
CARD = Link(
    name="ib-ndr",
    bandwidth_bytes_per_s=50e9,
    efficiency_frac=0.93,
    latency_s=14e-6,
    startup_s=8.4e-6,
    ramp_time_s=250e-6,
    relay_latency_s=8.3e-6,
    topology="fat-tree",
)
NODES_OF_8 = Fabric(scale_up=NVLINK, scale_out=CARD, accelerators_per_domain=8)


def ideal(link: Link) -> Link:
    """The link without latency, ramp or loss."""
    return replace(
        link,
        efficiency_frac=1.0,
        latency_s=0.0,
        startup_s=0.0,
        ramp_time_s=0.0,
        relay_latency_s=0.0,
        local_frac=0.0,
        in_switch_gain=None,
    )


IDEAL = replace(NODES_OF_8, scale_up=ideal(NVLINK), scale_out=ideal(CARD))


@st.composite
def links(draw: st.DrawFn, topologies: list[str]) -> Link:
    return Link(
        name="any",
        bandwidth_bytes_per_s=draw(st.floats(1e9, 2e12)),
        efficiency_frac=draw(st.floats(0.05, 1.0)),
        latency_s=draw(st.floats(0.0, 1e-4)),
        startup_s=draw(st.floats(0.0, 1e-3)),
        ramp_time_s=draw(st.floats(0.0, 1e-2)),
        relay_latency_s=draw(st.floats(0.0, 1e-4)),
        topology=draw(st.sampled_from(topologies)),
        in_switch_gain=draw(st.none() | st.floats(0.5, 3.0)),
        in_switch_startup_s=draw(st.floats(0.0, 1e-3)),
        local_frac=draw(st.floats(0.0, 1.0)),
        ramp_exponent=draw(st.floats(0.0, 0.99)),
    )


@st.composite
def fabrics(draw: st.DrawFn) -> Fabric:
    return Fabric(
        scale_up=draw(links(sorted(TOPOLOGIES))),
        scale_out=draw(links(["fat-tree"])),
        accelerators_per_domain=draw(st.integers(1, 72)),
    )


sizes = st.floats(0.0, 1e12)
groups = st.tuples(st.integers(2, 4096), st.integers(1, 72)).map(
    lambda both: (both[0], min(both[1], both[0]))
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALGORITHMS)
@given(fabric=fabrics(), group=groups, size=sizes, more=st.floats(1.0, 100.0))
def test_an_algorithm_keeps_its_bound_and_grows_with_the_message(
    name: str, kind: str, fabric: Fabric, group: tuple[int, int], size: float, more: float
) -> None:
    algorithm = ALGORITHMS[name]
    ranks = Group(
        size=np.float64(group[0]), per_domain=np.float64(min(group[1], fabric.accelerators_per_domain))
    )
    if not algorithm.applies(kind, ranks, fabric):
        return
    time_s = float(algorithm.time_s(kind, size, ranks, fabric))
    assert np.isfinite(time_s)
    assert time_s >= float(algorithm.bound_s(kind, size, ranks, fabric)) * (1.0 - 1e-12) >= 0.0
    assert float(algorithm.time_s(kind, size * more, ranks, fabric)) >= time_s * (1.0 - 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(fabric=fabrics(), size=sizes, ranks=st.integers(1, 72))
def test_one_rank_needs_nobody(kind: str, fabric: Fabric, size: float, ranks: int) -> None:
    assert float(collective_time_s(kind, size, 1, ranks, fabric)) == 0.0


@pytest.mark.parametrize("kind", KINDS)
@given(fabric=fabrics(), pairs=st.lists(st.tuples(groups, sizes), min_size=1, max_size=5))
def test_an_array_gives_what_its_elements_give(
    kind: str, fabric: Fabric, pairs: list[tuple[tuple[int, int], float]]
) -> None:
    ranks = np.array([group[0] for group, _ in pairs])
    near = np.array([group[1] for group, _ in pairs])
    size = np.array([size for _, size in pairs])
    together = collective_time_s(kind, size, ranks, near, fabric)
    alone = [float(collective_time_s(kind, *one, fabric)) for one in zip(size, ranks, near, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    grid = np.asarray(collective_time_s(kind, size[:, None], ranks, near, fabric))
    assert grid.shape == (len(pairs), len(pairs))
    np.testing.assert_allclose(np.diag(grid), alone, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(fabric=fabrics(), group=groups, size=sizes)
def test_the_fastest_that_applies_is_taken(
    kind: str, fabric: Fabric, group: tuple[int, int], size: float
) -> None:
    chosen = float(collective_time_s(kind, size, *group, fabric))
    single = [float(collective_time_s(kind, size, *group, fabric, name)) for name in ALGORITHMS]
    assert np.isfinite(chosen)
    assert chosen == min(single)


@given(group=groups, size=sizes, factor=st.floats(1.0, 10.0))
def test_a_faster_network_is_never_slower(group: tuple[int, int], size: float, factor: float) -> None:
    faster = replace(
        NODES_OF_8,
        scale_up=replace(NVLINK, bandwidth_bytes_per_s=NVLINK.bandwidth_bytes_per_s * factor),
        scale_out=replace(CARD, bandwidth_bytes_per_s=CARD.bandwidth_bytes_per_s * factor),
    )
    for kind in KINDS:
        before = float(collective_time_s(kind, size, *group, NODES_OF_8))
        assert float(collective_time_s(kind, size, *group, faster)) <= before * (1.0 + 1e-12)


def test_a_name_that_is_unknown_is_named_with_its_neighbours() -> None:
    with pytest.raises(InputError, match="all_reduce"):
        collective_time_s("allreduce", 1e6, 8, 8, NODES_OF_8)
    with pytest.raises(InputError, match="ring"):
        collective_time_s("all_reduce", 1e6, 8, 8, NODES_OF_8, "rings")


# Closed forms.


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        ("all_reduce", 2 * 7 / 8),
        ("reduce_scatter", 7 / 8),
        ("all_gather", 7 / 8),
        ("all_to_all", 7 / 8),
        ("broadcast", 1.0),
        ("point_to_point", 1.0),
    ],
)
def test_an_ideal_domain_moves_the_least_bytes_at_its_bandwidth(kind: str, wire: float) -> None:
    assert float(collective_time_s(kind, 45e9, 8, 8, IDEAL)) == pytest.approx(wire * 0.1, rel=1e-12)


@pytest.mark.parametrize("kind", ["all_reduce", "reduce_scatter", "all_gather", "broadcast"])
def test_a_real_ring_comes_near_the_ideal_one_for_very_large_messages(kind: str) -> None:
    ring = float(collective_time_s(kind, 1e13, 8, 8, NODES_OF_8, "ring"))
    least = float(collective_time_s(kind, 1e13, 8, 8, IDEAL, "ring"))
    own_part = 1.0 + NVLINK.local_frac / 7.0
    assert least / NVLINK.efficiency_frac <= ring <= 1.001 * own_part * least / NVLINK.efficiency_frac


def test_a_ring_has_two_rounds_of_steps_for_an_all_reduce() -> None:
    for ranks in (2, 8):
        time_s = float(collective_time_s("all_reduce", 0.0, ranks, 8, NODES_OF_8, "ring"))
        assert time_s == pytest.approx(NVLINK.startup_s + 2 * (ranks - 1) * NVLINK.latency_s)
    across = float(collective_time_s("all_gather", 0.0, 32, 8, NODES_OF_8))
    assert across == pytest.approx(CARD.startup_s + 3 * CARD.latency_s + 28 * CARD.relay_latency_s)


def test_half_the_parts_of_an_all_to_all_leave_a_domain_of_half_the_ranks() -> None:
    assert float(collective_time_s("all_to_all", 1e9, 16, 8, IDEAL)) == pytest.approx(0.5 * 1e9 / 50e9)


# Groups that span domains.


def test_tensor_ranks_on_two_nodes_share_all_cards_of_the_nodes() -> None:
    size = 64 * 2.0**20
    spanning = float(collective_time_s("all_reduce", size, 16, 8, NODES_OF_8))
    one_card_each = float(collective_time_s("all_reduce", size, 16, 1, NODES_OF_8))
    one_node = float(collective_time_s("all_reduce", size, 8, 8, NODES_OF_8))
    every_card = size / (8 * CARD.bandwidth_bytes_per_s)
    assert spanning >= every_card
    assert one_node < spanning < 3 * one_node
    assert spanning < one_card_each / 4


def test_data_groups_of_a_node_share_its_cards() -> None:
    """Eight groups with a rank each have an eighth of what one group with eight ranks has."""
    size, nodes = 1e10, 16
    times = [
        float(collective_time_s("reduce_scatter", size, nodes * near, near, NODES_OF_8))
        for near in (1, 2, 4, 8)
    ]
    assert times[0] / times[1] == pytest.approx(2.0, rel=0.06)
    assert times[1] / times[2] == pytest.approx(2.0, rel=0.06)
    ideal_one = size * (nodes - 1) / nodes / (CARD.bandwidth_bytes_per_s * CARD.efficiency_frac)
    assert times[0] == pytest.approx(ideal_one, rel=0.02)


def test_a_tree_has_few_steps_and_a_ring_the_higher_rate() -> None:
    small, large = 1e6, 4e10
    for size, better, worse in ((small, "tree", "ring"), (large, "ring", "tree")):
        first = float(collective_time_s("all_reduce", size, 128, 1, NODES_OF_8, better))
        assert first < float(collective_time_s("all_reduce", size, 128, 1, NODES_OF_8, worse))
    doubled = [float(collective_time_s("all_reduce", 0.0, n, 1, NODES_OF_8, "tree")) for n in (64, 128)]
    assert doubled[1] - doubled[0] == pytest.approx(2 * CARD.latency_s)


def test_what_holds_for_a_ring_of_many_nodes_falls_with_their_number() -> None:
    """Small messages lose most, large ones little: the share of the cards that a ring reaches."""
    nodes = np.array([2.0, 8.0, 32.0, 128.0])
    size = np.array([[2.0**24], [2.0**34]])
    ranks = 8 * nodes
    time_s = collective_time_s("all_reduce", size, ranks, 8, NODES_OF_8, "ring")
    share = 2 * (ranks - 1) / ranks * size / time_s / (8 * CARD.bandwidth_bytes_per_s)
    assert np.all(np.diff(share, axis=1) < 0)
    assert share[0, 0] > 20 * share[0, -1]
    assert share[1, 0] < 1.3 * share[1, -1]


# Reductions in the switch.


def test_adding_in_the_switch_gains_what_the_profile_states_at_eight_ranks() -> None:
    size = 1e13
    ring = float(collective_time_s("all_reduce", size, 8, 8, NODES_OF_8, "ring"))
    switch = float(collective_time_s("all_reduce", size, 8, 8, NODES_OF_8, "in-switch"))
    assert NVLINK.in_switch_gain is not None
    assert ring / switch == pytest.approx(NVLINK.in_switch_gain, rel=1e-3)
    pair = [
        float(collective_time_s("all_reduce", size, 2, 2, NODES_OF_8, name)) for name in ("ring", "in-switch")
    ]
    assert pair[0] < pair[1]


def test_only_large_all_reduces_in_one_domain_add_in_the_switch() -> None:
    def gains(kind: str, size: float, ranks: int) -> bool:
        plain = replace(NODES_OF_8, scale_up=replace(NVLINK, in_switch_gain=None))
        return bool(
            collective_time_s(kind, size, ranks, 8, NODES_OF_8)
            < collective_time_s(kind, size, ranks, 8, plain)
        )

    assert gains("all_reduce", 1e9, 8)
    assert not gains("all_reduce", 1e6, 8)
    assert not gains("all_reduce", 1e9, 16)
    assert not gains("all_gather", 1e9, 8)


# Topologies.


def test_topologies_are_those_of_the_schema() -> None:
    assert set(TOPOLOGIES) == set(get_args(Topology))


@pytest.mark.parametrize("name", TOPOLOGIES)
@given(domain=st.integers(1, 10000), size=st.integers(2, 10000))
def test_a_topology_offers_a_share(name: str, domain: int, size: int) -> None:
    topology = TOPOLOGIES[name]
    for share in (topology.ring_frac, topology.pairs_frac):
        assert 0.0 < float(share(size, domain)) <= 1.0
        both = np.asarray(share(np.array([size, 2]), np.array([domain, 8])))
        assert both.shape == (2,)
        assert float(both[0]) == pytest.approx(float(share(size, domain)), rel=1e-12)
    assert float(topology.pairs_frac(size, domain)) <= float(topology.ring_frac(size, domain)) * (1 + 1e-12)


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("domain", [8])
def test_a_full_domain_uses_all_links_for_rings(name: str, domain: int) -> None:
    assert float(TOPOLOGIES[name].ring_frac(domain, domain)) == 1.0


def test_a_pair_on_a_mesh_has_one_link() -> None:
    mesh = replace(IDEAL, scale_up=replace(ideal(NVLINK), topology="full-mesh"))
    pair, all_eight = (float(collective_time_s("point_to_point", 1e9, 2, 2, one)) for one in (mesh, IDEAL))
    assert pair == pytest.approx(7 * all_eight)
    assert float(collective_time_s("all_gather", 1e9, 8, 8, mesh)) == pytest.approx(
        float(collective_time_s("all_gather", 1e9, 8, 8, IDEAL))
    )


def test_all_to_all_over_a_torus_pays_for_its_hops() -> None:
    torus = TOPOLOGIES["torus-3d"]
    assert float(torus.pairs_frac(4096, 4096)) == pytest.approx(1 / 12)  # 3 dimensions x 16 / 4 hops
    assert float(torus.ring_frac(4096, 4096)) == 1.0
    assert float(torus.ring_frac(16, 4096)) == pytest.approx(1 / 3)
