"""Owning: what the run uses up of hardware and building that were paid for years.

Yearly payments (annuity) are spread over the hours in which the hardware works for somebody; the run pays
for every accelerator of the cluster over its wall time, spare and failed ones included. Electricity is a
line of its own, for the energy that was really drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

from simtool.account.annuity import annual_capital_usd, usd_per_useful_hour
from simtool.account.costs import CostLine, accelerator_hours, device_time_line
from simtool.account.defaults import Economics, economics
from simtool.config.scenario import Own
from simtool.errors import InputError, Problem
from simtool.ledger import Ledger
from simtool.profiles.schema import Accelerator, Node
from simtool.provenance import Derived, Input, Sourced


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What is owned, as far as its price and its making depend on the kind of hardware."""

    accelerator: Accelerator
    node: Node | None = None

    @property
    def accelerators_per_node(self) -> int:
        """1 without a node profile."""
        return self.node.num_accelerators if self.node is not None else 1


NEED_POWER = ("electricity", "facility")
"""Lines of the bill of owned hardware that cannot be written while no power is known: what is drawn, and the
building, which is priced by the watt."""


def own_cost(
    ledger: Ledger,
    own: Own,
    hardware: Hardware,
    *,
    it_capacity_w: float | None = None,
    knows_power: bool = True,
) -> tuple[CostLine, ...]:
    """Lines ``hardware``, ``facility`` and ``maintenance``.

    Args:
        ledger: finished record of the run.
        own: prices, lifetimes and rates of the scenario.
        hardware: profiles, for prices that the scenario leaves to them.
        it_capacity_w: IT power that the building was made for; the highest of the run if not given.
        knows_power: False where the ledger holds no power of the accelerators: then without ``facility``.

    Raises:
        InputError: neither the scenario nor a profile states a price.
    """
    known = economics()
    hours = accelerator_hours(ledger)
    price = price_per_accelerator(own, hardware)
    shared = Derived(
        name="price_with_network_usd",
        value=price.value * (1.0 + own.network_share.value),
        unit="USD",
        formula="price per accelerator x (1 + network share)",
        inputs=(price, Input("network share", own.network_share)),
    )
    return (
        _hardware_line(ledger, own, hours, shared),
        *((_facility_line(ledger, own, hours, known, it_capacity_w),) if knows_power else ()),
        _maintenance_line(ledger, own, hours, shared),
    )


def price_per_accelerator(own: Own, hardware: Hardware) -> Derived:
    """Price of an accelerator with its share of the server.

    The first that is stated: the scenario's node, the scenario's accelerator, the profile's node, the
    profile's accelerator.
    """
    num = hardware.accelerators_per_node
    node_price = hardware.node.price if hardware.node is not None else None
    candidates: tuple[tuple[str, Sourced | None, int], ...] = (
        ("economics.node_price", own.node_price, num),
        ("economics.accelerator_price", own.accelerator_price, 1),
        ("node profile's price", node_price, num),
        ("accelerator profile's price", hardware.accelerator.price, 1),
    )
    for name, price, shared_by in candidates:
        if price is not None:
            return Derived(
                name="price_per_accelerator_usd",
                value=price.value / shared_by,
                unit="USD",
                formula=f"price / {shared_by} accelerators" if shared_by > 1 else "price",
                inputs=(Input(name, price),),
            )
    raise InputError(
        Problem(
            "",
            "economics.accelerator_price",
            f"no price of {hardware.accelerator.name} is known",
            "the profile states none",
            "write e.g. 'accelerator_price: 30000 USD'",
        )
    )


def own_notes(own: Own, hardware: Hardware, *, knows_power: bool = True) -> tuple[str, ...]:
    """What a bill of owned hardware takes for granted: a board's price for a server's, a building's price."""
    notes = []
    stated = (
        own.node_price
        or own.accelerator_price
        or (hardware.node.price if hardware.node is not None else None)
    )
    if stated is None:
        server = hardware.node.name if hardware.node is not None else "the server"
        notes.append(
            f"the price of {server} is not stated: only that of its boards is billed; write economics.node_price, "
            "or an accelerator_price with its share of the server"
        )
    if knows_power and own.facility_price is None:
        price = economics().facility_price
        notes.append(
            f"building: {price.value:g} {price.unit} of IT power assumed; write economics.facility_price "
            "for your own, 0 USD/W if it is in another bill"
        )
    return tuple(notes)


def _hardware_line(ledger: Ledger, own: Own, hours: Derived, shared: Derived) -> CostLine:
    annual = Derived(
        name="annual_capital_usd",
        value=float(
            annual_capital_usd(
                shared.value, own.residual_value.value, own.interest_per_year.value, own.lifetime.value
            )
        ),
        unit="USD/year",
        formula="price x (1 - residual value / (1 + r)^n) x r (1 + r)^n / ((1 + r)^n - 1)",
        inputs=(
            shared,
            Input("residual value", own.residual_value),
            Input("interest per year r", own.interest_per_year),
            Input("lifetime n", own.lifetime),
        ),
    )
    return device_time_line(ledger, "hardware", _used("cost_hardware_usd", annual, hours, own), own.money)


def _maintenance_line(ledger: Ledger, own: Own, hours: Derived, shared: Derived) -> CostLine:
    annual = Derived(
        name="annual_maintenance_usd",
        value=shared.value * own.maintenance_per_year.value,
        unit="USD/year",
        formula="price x maintenance per year",
        inputs=(shared, Input("maintenance per year", own.maintenance_per_year)),
    )
    return device_time_line(
        ledger, "maintenance", _used("cost_maintenance_usd", annual, hours, own), own.money
    )


def _facility_line(
    ledger: Ledger, own: Own, hours: Derived, known: Economics, it_capacity_w: float | None
) -> CostLine:
    price = own.facility_price or known.facility_price
    lifetime = own.facility_lifetime or known.facility_lifetime
    peak_w = float(ledger.power_w().max(initial=0.0))
    capacity = Derived(
        name="it_capacity_w",
        value=peak_w if it_capacity_w is None else it_capacity_w,
        unit="W",
        formula="highest IT power of the run" if it_capacity_w is None else "rated IT power",
    )
    num = _num_accelerators(ledger)
    annual = Derived(
        name="annual_facility_usd",
        value=float(
            annual_capital_usd(
                price.value * capacity.value / num if num else 0.0,
                0.0,
                own.interest_per_year.value,
                lifetime.value,
            )
        ),
        unit="USD/year",
        formula="price per watt x IT capacity / accelerators x annuity over the building's lifetime",
        inputs=(
            Input("facility price per watt", price),
            capacity,
            Input("interest per year", own.interest_per_year),
            Input("facility lifetime", lifetime),
        ),
    )
    assumed = [
        name
        for name, given in (
            ("facility_price", own.facility_price),
            ("facility_lifetime", own.facility_lifetime),
        )
        if given is None
    ]
    note = f"{' and '.join(assumed)} not given: simtool's own" if assumed else ""
    return device_time_line(
        ledger, "facility", _used("cost_facility_usd", annual, hours, own), own.money, note=note
    )


def _used(name: str, annual: Derived, hours: Derived, own: Own) -> Derived:
    hourly = Derived(
        name=annual.name.replace("annual_", "").replace("_usd", "_usd_per_useful_hour"),
        value=float(usd_per_useful_hour(annual.value, own.utilisation.value)),
        unit="USD/h",
        formula="a year's payment / (hours of a year x utilisation)",
        inputs=(annual, Input("utilisation", own.utilisation)),
    )
    return Derived(
        name=name,
        value=hours.value * hourly.value,
        unit="USD",
        formula="accelerator_hours x cost per useful accelerator-hour",
        inputs=(hours, hourly),
    )


def _num_accelerators(ledger: Ledger) -> float:
    times = ledger.breakpoints_s
    return ledger.device_s() / float(times[-1] - times[0]) if times.size else 0.0
