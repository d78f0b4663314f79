"""Greenhouse gas of a run: of the electricity it draws, and of the making of what it uses up.

Average and marginal intensity answer different questions (what the grid emitted for this load; what would
not have been emitted without it). Each is a line of its own basis, and lines of two bases are never added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simtool.account.costs import WHOLE_DEVICE, Driver, Portion, accelerator_hours, spread_over
from simtool.account.energy import weighted_energy
from simtool.account.own import Hardware
from simtool.errors import InputError, Problem
from simtool.ledger import Ledger
from simtool.provenance import Derived, Input, Sourced
from simtool.signals import Basis, Signal, same_basis
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonLine:
    """One source of greenhouse gas."""

    name: str
    amount: Derived
    """In kgCO2e; explains itself."""
    basis: Basis | None
    """What the grid's intensity counts; None for what was emitted before the run, in factories."""
    driver: Driver
    portions: tuple[Portion, ...]
    """Sum to the amount."""
    note: str = ""

    @property
    def amount_kgco2e(self) -> float:
        """The amount."""
        return self.amount.value


def carbon_operational(ledger: Ledger, intensity: Signal, pue: Sourced) -> CarbonLine:
    """Of the facility's electricity: integral of IT power x PUE x carbon intensity.

    Args:
        ledger: finished record of the run.
        intensity: in kgCO2e/kWh, with its basis.
        pue: facility energy over IT energy.
    """
    if intensity.basis is None or intensity.unit != "kgCO2e/kWh":
        raise ValueError(f"an intensity is in kgCO2e/kWh and has a basis, not {intensity.unit!r}")
    question = intensity.basis.question
    times = ledger.breakpoints_s
    first_s, last_s = (float(times[0]), float(times[-1])) if times.size else (0.0, 0.0)
    portions = tuple(
        Portion(state=state, component=component, amount=amount / JOULES_PER_KWH)
        for (state, component), amount in weighted_energy(ledger, intensity, pue.value).items()
    )
    it = Derived(
        name="energy_it_j", value=ledger.energy_j(), unit="J", formula="sum of power x time over the ledger"
    )
    return CarbonLine(
        name=f"electricity, {question}",
        amount=Derived(
            name=f"carbon_electricity_{question.replace('-', '_')}_kgco2e",
            value=math.fsum(portion.amount for portion in portions),
            unit="kgCO2e",
            formula=f"integral of IT power x PUE x {intensity.basis.value} carbon intensity",
            inputs=(
                it,
                Input("PUE", pue),
                Input(f"{intensity.basis.value} carbon intensity", intensity.sourced(first_s, last_s)),
            ),
        ),
        basis=intensity.basis,
        driver="energy",
        portions=portions,
        note="intensity varies; the mean shown is over time" if not intensity.is_constant else "",
    )


def carbon_embodied(
    ledger: Ledger, hardware: Hardware, lifetime: Sourced, utilisation: Sourced
) -> tuple[CarbonLine, ...]:
    """The run's share of making the hardware: embodied x time / (lifetime x utilisation).

    One line for the accelerators, one for the hosts, as far as the profiles state a figure; see
    `embodied_notes` for what they leave open. Network and building are not counted.

    Args:
        ledger: finished record of the run; spare, idle and failed accelerators count.
        hardware: profiles.
        lifetime: of the hardware [s].
        utilisation: share of the lifetime that the hardware works for somebody.
    """
    num = hardware.accelerators_per_node
    host = hardware.node.embodied_host if hardware.node is not None else None
    hours = accelerator_hours(ledger)
    device_s = ledger.device_s_by("state")
    lines = []
    for what, embodied, shared_by in (
        ("accelerators", hardware.accelerator.embodied, 1),
        ("hosts", host, num),
    ):
        if embodied is None:
            continue
        each = f" / {shared_by} accelerators of a node" if shared_by > 1 else ""
        amount = Derived(
            name=f"carbon_embodied_{what}_kgco2e",
            value=embodied.value
            / shared_by
            * hours.value
            * SECONDS_PER_HOUR
            / (lifetime.value * utilisation.value),
            unit="kgCO2e",
            formula=f"embodied{each} x accelerator_hours / (lifetime x utilisation)",
            inputs=(
                Input(f"embodied, {what}", embodied),
                hours,
                Input("lifetime", lifetime),
                Input("utilisation", utilisation),
            ),
        )
        lines.append(
            CarbonLine(
                name=f"making of {what}",
                amount=amount,
                basis=None,
                driver="device time",
                portions=spread_over(amount.value, device_s, WHOLE_DEVICE),
            )
        )
    return tuple(lines)


def embodied_notes(hardware: Hardware) -> tuple[str, ...]:
    """What the embodied carbon leaves out because no profile states it."""
    notes = []
    if hardware.accelerator.embodied is None:
        notes.append(f"embodied carbon of {hardware.accelerator.name} is not known and not counted")
    if hardware.node is None or hardware.node.embodied_host is None:
        notes.append("embodied carbon of the hosts is not known and not counted")
    return tuple(notes)


def total_carbon(lines: Sequence[CarbonLine]) -> Derived:
    """Sum of lines that answer one question.

    What was emitted in factories belongs to the average and the market-based account. The marginal one asks
    what this load changes, and stands alone.

    Raises:
        InputError: the lines mix bases.
    """
    bases = [line.basis for line in lines if line.basis is not None]
    basis = same_basis(bases) if bases else None
    if basis is Basis.MARGINAL and len(bases) < len(lines):
        found = "found marginal electricity and embodied carbon"
        raise InputError(
            Problem("", "site.carbon", found, "one question per total", "add embodied to the average account")
        )
    return Derived(
        name="carbon_total_kgco2e",
        value=math.fsum(line.amount_kgco2e for line in lines),
        unit="kgCO2e",
        formula=" + ".join(line.name for line in lines),
        inputs=tuple(line.amount for line in lines),
    )
