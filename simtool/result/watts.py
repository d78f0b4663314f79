"""Which powers stand behind the energy of each component: watts by state, down to their sources."""

from __future__ import annotations

from simtool.ledger import COMPONENTS, Ledger
from simtool.machine.machine import IDLE_FRAC, Machine
from simtool.provenance import Derived, Input, Sourced
from simtool.result.leaves import cap_inputs
from simtool.result.prepare import Prepared

DOING: dict[str, tuple[str, ...]] = {
    "compute": ("compute", "memory"),
    "exposed_communication": ("communication",),
    "bubble": ("waiting",),
    "checkpoint": ("waiting",),
    "restart": ("waiting",),
    "lost_work": ("compute", "memory", "communication", "waiting"),
}
"""What a board does in a state of the ledger; in every other state it idles."""
FORMULAS = {
    "compute": "limit x share: the compute-bound and the memory-bound one, by the time that each takes",
    "lost_work": "limit x share, as in the steps that were lost and while nobody noticed",
}
ORDINARY = "limit x share"
IDLE = "as measured without work"


def power_roots(
    prepared: Prepared, ledger: Ledger, duration: Derived
) -> dict[str, tuple[Derived | Input, ...]]:
    """Inputs of the energies that the ledger's sums leave open, by the name of the energy.

    Args:
        prepared: with the profiles.
        ledger: finished record of the run.
        duration: for how long the powers were drawn.
    """
    assumed = prepared.scenario.cluster.assume.power_limit
    found = machine_roots(prepared.machine, ledger, assumed=assumed or (), caps=cap_inputs(prepared))
    return {name: (*inputs, duration) for name, inputs in found.items()}


def machine_roots(
    machine: Machine,
    ledger: Ledger,
    *,
    assumed: tuple[Sourced, ...] = (),
    caps: tuple[Input, ...] = (),
) -> dict[str, tuple[Derived, ...]]:
    """Mean powers of one machine's devices by state, by the name of the energy that they make up.

    Args:
        machine: with its profiles.
        ledger: finished record of its devices.
        assumed: power limit of a board whose profile states none.
        caps: what limits the boards besides.
    """
    seconds = ledger.device_s_by("state")
    accelerator, host, network = (
        {
            state: energy_j / seconds[state]
            for state, energy_j in ledger.energy_j_by("state", component=component).items()
            if seconds.get(state, 0.0) > 0.0
        }
        for component in COMPONENTS
    )
    return {
        "energy_accelerator_j": _boards(machine, accelerator, assumed, caps),
        "energy_host_component_j": _hosts(machine, host),
        "energy_network_component_j": _network(machine, network),
    }


def _boards(
    machine: Machine, watts: dict[str, float], assumed: tuple[Sourced, ...], caps: tuple[Input, ...]
) -> tuple[Derived, ...]:
    return tuple(
        Derived(
            name=f"accelerator_{state}_w",
            value=power_w,
            unit="W",
            formula=FORMULAS.get(state, ORDINARY if state in DOING else IDLE),
            inputs=_board_inputs(machine, state, assumed, caps),
        )
        for state, power_w in watts.items()
        if power_w > 0.0
    )


def _board_inputs(
    machine: Machine, state: str, assumed: tuple[Sourced, ...], caps: tuple[Input, ...]
) -> tuple[Input, ...]:
    profile, name = machine.accelerator.power, machine.accelerator.name
    stated = (profile.limit,) if profile.limit is not None else assumed
    limits = tuple(Input(f"{name} power limit", limit) for limit in stated)
    if state in DOING:
        shares = tuple(
            Input(f"{name} power, {doing}, of the limit", getattr(profile.by_phase, doing))
            for doing in DOING[state]
        )
        return (*limits, *shares, *caps)
    if profile.idle is not None:
        return (Input(f"{name} idle power", profile.idle),)
    usual = "data-centre GPUs idle at 10 to 15 % of their limit"
    number = Sourced(value=IDLE_FRAC, unit="", kind="assumed", source=usual, spread=0.25)
    return (*limits, Input(f"{name} idle power, of the limit", number))


def _hosts(machine: Machine, watts: dict[str, float]) -> tuple[Derived, ...]:
    node = machine.node
    if node.host_load is None:
        return ()
    how = f"power of the host / {node.num_accelerators} accelerators"
    found = []
    for state, power_w in watts.items():
        is_idle = state not in DOING and node.host_idle is not None
        number = node.host_idle if is_idle and node.host_idle is not None else node.host_load
        name = f"{node.name} host power{', idle' if is_idle else ''}"
        leaf = Input(name, number)
        found.append(
            Derived(name=f"host_share_{state}_w", value=power_w, unit="W", formula=how, inputs=(leaf,))
        )
    alike = {(one.value, one.inputs): one for one in reversed(found)}
    return tuple(one for one in found if one in alike.values())


def _network(machine: Machine, watts: dict[str, float]) -> tuple[Derived, ...]:
    if machine.network.port_power is None or not watts:
        return ()
    return (
        Derived(
            name="network_share_w",
            value=next(iter(watts.values())),
            unit="W",
            formula="power per endpoint x bandwidth of a node / bandwidth of an endpoint / accelerators of a node",
            inputs=(
                Input(f"{machine.network.name} power per endpoint", machine.network.port_power),
                Input("network bandwidth of a node", machine.node.scale_out_bandwidth),
                Input(f"{machine.network.name} bandwidth of an endpoint", machine.network.bandwidth),
            ),
        ),
    )
