"""The fabric that profiles describe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import Fabric, build_fabric, ranks_per_domain
from simtool.profiles.find import ProfileLibrary, shipped_folder

LIBRARY = ProfileLibrary((shipped_folder("hardware_profiles"),))


def fabric(accelerator: str, node: str, network: str, num_nodes: int = 16) -> Fabric:
    return build_fabric(
        LIBRARY.get("accelerator", accelerator),
        LIBRARY.get("node", node),
        LIBRARY.get("network", network),
        LIBRARY,
        num_nodes=num_nodes,
    )


def test_an_accelerator_has_its_share_of_the_nodes_cards() -> None:
    found = fabric("h100-sxm", "dgx-h100", "ib-ndr")
    assert found.accelerators_per_domain == 8
    assert found.scale_up.bandwidth_bytes_per_s == pytest.approx(450e9)
    assert found.scale_out.bandwidth_bytes_per_s == pytest.approx(50e9)
    assert found.scale_up.in_switch_gain is not None


def test_another_network_keeps_the_number_of_endpoints() -> None:
    found = fabric("h100-sxm", "dgx-h100", "roce-100")
    assert found.scale_out.bandwidth_bytes_per_s == pytest.approx(12.5e9)
    assert found.scale_out.name == "roce-100"


def test_a_written_bandwidth_wins() -> None:
    found = build_fabric(
        LIBRARY.get("accelerator", "a100-sxm-80"),
        LIBRARY.get("node", "dgx-a100-80"),
        LIBRARY.get("network", "ib-hdr"),
        LIBRARY,
        num_nodes=4,
        scale_out_bandwidth_bytes_per_s=100e9,
    )
    assert found.scale_out.bandwidth_bytes_per_s == pytest.approx(12.5e9)


@pytest.mark.parametrize(
    ("accelerator", "node", "network", "num_nodes", "domain"),
    [
        ("gb200", "gb200-nvl72", "ib-ndr", 4, 72),
        ("mi250x", "frontier-node", "slingshot11", 4, 4),  # the mesh ends at the node
        ("v100-sxm2-32", "dgx1-v100", "ib-edr", 4, 8),
        ("l40s", "pcie-l40s-8", "roce-400", 4, 8),  # the bus joins what is in the node
        ("tpu-v4", "tpu-v4-host", "dcn-tpu", 16, 64),  # a torus goes on through the nodes
        ("tpu-v4", "tpu-v4-host", "dcn-tpu", 4096, 4096),
        ("cpu-generic", "generic-1", "roce-100", 4, 1),
    ],
)
def test_a_domain_ends_where_its_links_end(
    accelerator: str, node: str, network: str, num_nodes: int, domain: int
) -> None:
    assert fabric(accelerator, node, network, num_nodes).accelerators_per_domain == domain


@pytest.mark.parametrize("accelerator", LIBRARY.names("accelerator"))
def test_every_accelerator_has_a_fabric_that_works(accelerator: str) -> None:
    node = LIBRARY.get("node", LIBRARY.get("accelerator", accelerator).node)
    assert node.network is not None
    found = fabric(accelerator, node.name, node.network)
    for kind in ("all_reduce", "all_gather", "all_to_all"):
        near = float(collective_time_s(kind, 1e8, 4, 4, found))
        far = float(collective_time_s(kind, 1e8, 8, 1, found))
        assert 0.0 < near <= far < 60.0


def test_what_was_not_measured_is_named() -> None:
    assert fabric("h100-sxm", "dgx-h100", "ib-ndr").notes == (
        "collectives over ib-ndr: latencies and ramp are those of a like network",
    )
    assert any("xgmi-mi300x" in note for note in fabric("mi300x", "mi300x-8", "roce-400").notes)


def test_cards_are_no_faster_than_the_way_to_them() -> None:
    found = fabric("t4", "generic-8", "roce-400")
    assert found.scale_out.bandwidth_bytes_per_s == pytest.approx(15.75e9)
    assert any("host link of t4" in note for note in found.notes)


def test_a_network_without_a_profile_is_refused() -> None:
    accelerator = LIBRARY.get("accelerator", "h100-sxm")
    assert accelerator.scale_up is not None
    elsewhere = accelerator.model_copy(
        update={"scale_up": accelerator.scale_up.model_copy(update={"network": "nvlink44"})}
    )
    node, network = LIBRARY.get("node", "dgx-h100"), LIBRARY.get("network", "ib-ndr")
    with pytest.raises(InputError, match="nvlink4"):
        build_fabric(elsewhere, node, network, LIBRARY, num_nodes=2)


@given(tp=st.integers(1, 64), dp=st.integers(1, 512), domain=st.integers(1, 72))
def test_ranks_of_a_group_fit_their_domain(tp: int, dp: int, domain: int) -> None:
    tensor = float(ranks_per_domain(tp, 1, domain))
    data = float(ranks_per_domain(dp, tp, domain))
    assert 1 <= tensor <= min(tp, domain)
    assert 1 <= data <= dp
    assert data == 1 or data * tp <= domain


@pytest.mark.parametrize("name", LIBRARY.names("network"))
def test_latencies_are_those_of_hardware_and_software(name: str) -> None:
    network = LIBRARY.get("network", name)
    if network.layer == "wan":
        return
    assert 1e-7 < network.latency.value < 1e-4
    assert 1e-6 < network.collective_latency.value < 1e-4
    assert network.ramp_time is not None
    assert (network.relay_latency is not None) == (network.layer == "scale-out")
    if network.layer == "scale-out":
        assert network.latency.value >= 12e-6
