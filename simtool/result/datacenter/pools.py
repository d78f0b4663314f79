"""The pools of a datacenter: machines from profiles, and what the fleet knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.scenario import Cluster
from simtool.errors import InputError, Problem
from simtool.machine.build import build_machine
from simtool.machine.machine import Machine
from simtool.profiles.find import ProfileLibrary
from simtool.result.datacenter.patterns import components, down, idle
from simtool.sim.fleet.plan import Pool

ANY = "any"
"""In place of a pool's name: the job runs where there is room, at the speed of that pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPool:
    """One pool with its machine."""

    index: int
    machine: Machine
    fleet: Pool

    @property
    def name(self) -> str:
        """Of the pool."""
        return self.fleet.name

    @property
    def capacity_w(self) -> float:
        """IT power with every board at its limit [W]."""
        machine = self.machine
        loaded = machine.state_power(machine.power_limit_w or machine.power_w("compute"))
        return self.fleet.total_devices * sum(components(loaded))


def pools_named(pools: Sequence[PricedPool], name: str | None) -> tuple[PricedPool, ...]:
    """The pools that jobs may use: the one of this name, or all for ``any`` and where none is named."""
    return tuple(pool for pool in pools if name in (None, ANY, pool.name))


def build_pools(loaded: LoadedDatacenter, library: ProfileLibrary) -> tuple[PricedPool, ...]:
    """The pools, in the order of the file.

    Raises:
        InputError: with every name that no profile has.
    """
    found: list[PricedPool] = []
    problems: list[Problem] = []
    for index, pool in enumerate(loaded.datacenter.pools):

        def locate(field: str, index: int = index) -> str:
            return loaded.locate(_field(field, index))

        try:
            machine = build_machine(
                library,
                Cluster(
                    accelerator=pool.accelerator,
                    node=pool.node,
                    num_nodes=pool.num_nodes + pool.spare_nodes,
                    network=pool.network,
                ),
                pool.framework,
                attention=None,
                power_limit_w=None,
                locate=locate,
            )
        except InputError as error:
            problems += [replace(one, field=_field(one.field, index)) for one in error.problems]
            continue
        fleet = Pool(
            name=pool.name,
            num_nodes=pool.num_nodes,
            spare_nodes=pool.spare_nodes,
            devices_per_node=machine.accelerators_per_node,
            nodes_per_rack=pool.nodes_per_rack,
            site=pool.site or "",
            idle=idle(machine),
            down=down(machine),
        )
        found.append(PricedPool(index=index, machine=machine, fleet=fleet))
    if problems:
        raise InputError(problems)
    return tuple(found)


def _field(of_scenario: str, index: int) -> str:
    """Field of a pool that stands for one of a scenario's cluster or software."""
    return f"pools[{index}].{of_scenario.removeprefix('cluster.').removeprefix('software.')}"
