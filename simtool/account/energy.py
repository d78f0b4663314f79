"""Energy by scope, and energy weighted by something that changes over time.

Scopes, each inside the next: *accelerator* (the boards), *node* (with the host), *IT* (with the network
outside the nodes), *facility* (IT x PUE: with cooling and conversion).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from simtool.ledger import COMPONENTS, Ledger
from simtool.provenance import Derived, Input, Sourced
from simtool.signals import Signal

FACILITY = "facility"
"""Component of what the building adds to the IT energy: (PUE - 1) x IT."""

ByStateAndComponent = Mapping[tuple[str, str], float]


def energy_scopes(ledger: Ledger, pue: Sourced) -> dict[str, Derived]:
    """Energy of the whole record in each scope: keys accelerator, node, it, facility [J]."""
    parts = {
        name: Derived(
            name=f"energy_{name}_component_j",
            value=ledger.energy_j(component=name),
            unit="J",
            formula="sum of power x time over the ledger",
        )
        for name in COMPONENTS
    }
    board, host, network = (parts[name] for name in COMPONENTS)
    accelerator = Derived(
        name="energy_accelerator_j",
        value=board.value,
        unit="J",
        formula="sum of accelerator power x time over the ledger",
    )
    node = Derived(
        name="energy_node_j",
        value=math.fsum((board.value, host.value)),
        unit="J",
        formula="accelerator + host",
        inputs=(accelerator, host),
    )
    it = Derived(
        name="energy_it_j",
        value=math.fsum((board.value, host.value, network.value)),
        unit="J",
        formula="node + network",
        inputs=(node, network),
    )
    facility = Derived(
        name="energy_facility_j",
        value=it.value * pue.value,
        unit="J",
        formula="energy_it x PUE",
        inputs=(it, Input("PUE", pue)),
    )
    return {"accelerator": accelerator, "node": node, "it": it, "facility": facility}


def weighted_energy(ledger: Ledger, weight: Signal, pue: float) -> dict[tuple[str, str], float]:
    """Integral of power x weight for every state and component of the facility [J x unit of weight].

    Exact: power is constant between two breakpoints of the ledger, and the signal is integrated there. What
    the building adds stands under the component `FACILITY`.
    """
    energy = {
        (names[0], names[1]): amount
        for names, amount in ledger.group("energy_j", ("state", "component")).items()
    }
    if weight.is_constant:
        sums = {key: amount * float(weight.values[0]) for key, amount in energy.items()}
    else:
        times = ledger.breakpoints_s
        integral = weight.integral(times[:-1], times[1:])
        sums = {
            (state, component): float(np.sum(ledger.power_w(state=state, component=component) * integral))
            for state, component in energy
        }
    states = dict.fromkeys(state for state, _ in sums)
    overhead = {
        (state, FACILITY): (pue - 1.0) * math.fsum(amount for (at, _), amount in sums.items() if at == state)
        for state in states
    }
    return sums | overhead
