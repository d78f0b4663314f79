"""From the names in a scenario to a `Machine`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from simtool.config.scenario import Cluster
from simtool.errors import InputError, Problem, did_you_mean
from simtool.machine.device import device_under_cap
from simtool.machine.machine import IDLE_FRAC, Machine
from simtool.machine.network import build_fabric
from simtool.machine.power import HONOURED_FRAC
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import GENERIC_NODE, Accelerator, Node, Software
from simtool.provenance import Sourced
from simtool.workload.precision import LOW_PRECISIONS

P = TypeVar("P")

WIDE = {"tf32", "fp32"}
"""Formats whose products a stack may run faster or slower than the curve at their rate."""


def build_machine(
    library: ProfileLibrary,
    cluster: Cluster,
    framework: str,
    *,
    attention: str | None,
    power_limit_w: float | None,
    locate: Callable[[str], str],
    release: str | None = None,
) -> Machine:
    """The machine that a scenario's cluster and software describe.

    Args:
        library: where profiles are found.
        cluster: the scenario's hardware.
        framework: name of the software profile.
        attention: ``"flash"`` or ``"unfused"``, the software's own if None.
        power_limit_w: board power to use where the profile states none.
        locate: place in the scenario of a dotted field.
        release: of the framework, one that its profile tells apart.

    Raises:
        InputError: an unknown profile or release, a node for another accelerator, a cap outside idle to limit.
    """
    accelerator = located(
        lambda: library.get("accelerator", cluster.accelerator), "cluster.accelerator", locate
    )
    notes: list[str] = []
    node = node_of(library, cluster.node, accelerator, locate)
    if cluster.node is None and node.name == GENERIC_NODE:
        notes.append(
            f"no server of {accelerator.name} is known: {GENERIC_NODE} with assumed host power is used"
        )
    network_name = cluster.network or usual_network(node, locate)
    network = located(lambda: library.get("network", network_name), "cluster.network", locate)
    software = located(lambda: library.get("software", framework), "software.framework", locate)
    kernel = attention or software.attention
    notes += _basis_notes(accelerator, software, library)
    limit_w, idle_w = limits_w(accelerator, power_limit_w)
    cap_w = cap_of(cluster.power_cap, limit_w, idle_w, locate)
    if cap_w is not None and limit_w is not None and cap_w < HONOURED_FRAC * limit_w:
        notes.append(
            f"a power cap of {cap_w:g} W is {cap_w / limit_w:.0%} of the limit of {accelerator.name}: boards do not "
            f"hold caps below {HONOURED_FRAC:.0%} (an A40 under a third drew more in 62 % of the points measured), "
            "and time and energy there are an extrapolation"
        )
    if cap_w is not None and accelerator.power.cap is None:
        notes.append(
            f"{accelerator.name} states no answer to a power cap: static power is taken to be the idle power, "
            "and the voltage to fall with the clock at any cap"
        )
    flash = chosen(software.attention_ratio, accelerator.architecture)
    device = device_under_cap(
        accelerator,
        attention_ratio=flash if kernel == "flash" else 1.0,
        unfused_ratio=or_one(software.unfused_ratio),
        product_ratio=chosen(software.product_ratio, accelerator.name, accelerator.architecture),
        memory_ratio=float(software.memory_ratio),
        power_limit_w=limit_w,
        idle_w=idle_w,
        power_cap_w=cap_w,
        grouped_ratio=or_one(software.grouped_ratio),
        convolution_ratio=or_one(software.convolution_ratio),
        low_precision_ratio={
            low: chosen(software.low_precision_ratio, f"{low} on {accelerator.architecture}", low)
            for low in LOW_PRECISIONS
        }
        | {
            wide: float(software.low_precision_ratio[wide])
            for wide in WIDE & set(software.low_precision_ratio)
        },
        irregular_ratio={name: float(value) for name, value in software.irregular_ratio.items()},
        stack_ratio=chosen(software.architecture_ratio, accelerator.architecture),
    )
    bandwidth = cluster.network_bandwidth_per_node
    fabric = build_fabric(
        accelerator,
        node,
        network,
        library,
        num_nodes=cluster.num_nodes,
        scale_out_bandwidth_bytes_per_s=float(bandwidth) if bandwidth is not None else None,
    )
    notes += fabric.notes
    if node.host_load is None:
        notes.append(
            f"{node.name} states no host power: energy counts the accelerators and the network alone"
        )
    return Machine(
        accelerator=accelerator,
        node=node,
        network=network,
        software=software,
        device=device,
        fabric=fabric,
        power_limit_w=limit_w,
        power_cap_w=cap_w,
        release_ratio=release_ratio(software, release, locate),
        release_expert_ratio=float(software.release_expert_ratio.get(release or "", 1.0)),
        notes=tuple(notes),
    )


def release_ratio(software: Software, release: str | None, locate: Callable[[str], str]) -> float:
    """Step time under a release of the framework, over that of its releases together.

    Raises:
        InputError: the profile does not tell it apart.
    """
    if release is None:
        return 1.0
    if release not in software.release_ratio:
        known = software.release_ratio
        found = f"found {release}, which {software.name} does not tell apart"
        hint = did_you_mean(release, known) if known else "leave release out"
        raise InputError(Problem(locate("software.release"), "software.release", found, "", hint))
    return float(software.release_ratio[release])


def chosen(ratios: Mapping[str, Sourced], *names: str) -> float:
    """The ratio of the first name that is listed, else the default's, else 1."""
    return next((float(ratios[name]) for name in (*names, "default") if name in ratios), 1.0)


def or_one(number: Sourced | None) -> float:
    """A ratio of a profile; 1 where it states none."""
    return 1.0 if number is None else float(number)


def node_of(
    library: ProfileLibrary, written: str | None, accelerator: Accelerator, locate: Callable[[str], str]
) -> Node:
    """The node that a scenario writes, or the accelerator's usual one.

    Raises:
        InputError: no such node, or one of another accelerator.
    """
    node = located(
        lambda: library.get("node", accelerator.node if written is None else written), "cluster.node", locate
    )
    if written is None:
        return node
    # a profile that names the node as its usual server is of a board that fits: calibrated from one's own
    if node.accelerator not in (accelerator.name, "any") and accelerator.node != node.name:
        found = f"found {node.name}, a node of {node.accelerator}, with accelerator {accelerator.name}"
        mend = f"use 'accelerator: {node.accelerator}', another node, or 'node: {GENERIC_NODE}'"
        raise InputError(Problem(locate("cluster.node"), "cluster.node", found, "", mend))
    return node


def usual_network(node: Node, locate: Callable[[str], str]) -> str:
    """The network of a node where a scenario writes none.

    Raises:
        InputError: the node has none.
    """
    if node.network is None:
        found = f"is missing, and node {node.name} has no usual network"
        mend = "add 'network: ...', see 'simtool list networks'"
        raise InputError(Problem(locate("cluster"), "cluster.network", found, "", mend))
    return node.network


def located(get: Callable[[], P], field: str, locate: Callable[[str], str]) -> P:
    """What `get` finds in a library; where it finds nothing, the error names the scenario's field."""
    try:
        return get()
    except InputError as error:
        raise InputError(
            [
                problem if problem.where else replace(problem, where=locate(field), field=field)
                for problem in error.problems
            ]
        ) from None


def _basis_notes(accelerator: Accelerator, software: Software, library: ProfileLibrary) -> list[str]:
    notes = []
    for op_class in ("gemm", "attention", "memory"):
        basis = getattr(accelerator.efficiency, op_class).basis
        if basis != "measured":
            notes.append(f"{accelerator.name}: {op_class} efficiency is {basis}, not measured on it")
    if accelerator.architecture not in software.seen:
        here = accelerator.architecture
        there = [name for name in library.names("software") if here in library.get("software", name).seen]
        notes.append(
            f"{software.name} was fitted on {', '.join(software.seen) or 'nothing'} and not on {here} "
            f"({accelerator.name}): a transfer, with a larger error than usual; "
            f"fitted on {here}: {', '.join(there) or 'no software profile'}"
        )
    return notes


def limits_w(accelerator: Accelerator, assumed_w: float | None) -> tuple[float | None, float]:
    """Limit of the board power, None where nobody states one, and its idle power [W].

    Args:
        accelerator: the board.
        assumed_w: limit where its profile states none [W].
    """
    power = accelerator.power
    limit_w = assumed_w if power.limit is None else float(power.limit)
    return limit_w, float(power.idle) if power.idle is not None else (limit_w or 0.0) * IDLE_FRAC


def cap_of(
    cap: Sourced | None, limit_w: float | None, idle_w: float, locate: Callable[[str], str]
) -> float | None:
    """The power cap of a scenario [W].

    Raises:
        InputError: it is not above idle and up to the limit, or no limit is known.
    """
    if cap is None:
        return None
    cap_w = float(cap)
    if limit_w is None:
        found, mend = (
            "found a cap for an accelerator without a stated power",
            "add cluster.assume.power_limit",
        )
    elif not idle_w < cap_w <= limit_w:
        found = f"found {cap_w:g} W"
        mend = f"write a cap above idle ({idle_w:g} W) and up to the limit ({limit_w:g} W)"
    else:
        return cap_w
    raise InputError(Problem(locate("cluster.power_cap"), "cluster.power_cap", found, "", mend))
