"""What holds at one site of a datacenter file: building, weather, electricity, carbon, water."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import BytesPerSecond, Kgco2ePerKwh, Pue, Quantity, Strict, Usd, UsdPerKwh
from simtool.config.refusals import Complaint, refusal
from simtool.config.scenario import Series
from simtool.provenance import Sourced
from simtool.units import SECONDS_PER_YEAR

CalendarLife = Annotated[Sourced, Quantity("s", above=0)]

PositiveWatts = Annotated[Sourced, Quantity("W", above=0)]
Joules = Annotated[Sourced, Quantity("J", above=0)]
UsdPerKgco2e = Annotated[Sourced, Quantity("USD/kgCO2e")]
LitrePerKwh = Annotated[Sourced, Quantity("l/kWh")]


class Weather(Strict):
    """Outdoor air."""

    place: str
    """A shipped typical year, e.g. ``leesburg``, or the path of a CSV with ``time_utc``, ``dry_bulb_c``, ``wet_bulb_c``
    or a relative humidity, and what else is known."""
    repeat: Literal["yearly", "no"] = "yearly"
    """Whether its calendar years are used again where the simulation leaves them."""
    latitude: Annotated[Sourced, Quantity("", minimum=-90.0, maximum=90.0)] | None = None
    """Of the place of a file, in degrees north; panels need it. Shipped places have theirs."""
    longitude: Annotated[Sourced, Quantity("", minimum=-180.0, maximum=180.0)] | None = None
    """In degrees east."""

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Weather:
        given = [name for name in ("latitude", "longitude") if getattr(self, name) is not None]
        is_file = "/" in self.place or "\\" in self.place or "." in self.place
        if given and not is_file:
            found = f"found it with the shipped place {self.place!r}, which has its own"
            raise refusal(Complaint(found=found, mend="leave it out", member=given[0]))
        if len(given) == 1:
            other = "longitude" if given == ["latitude"] else "latitude"
            raise refusal(Complaint(found=f"found {given[0]} alone", mend=f"add {other}", member=given[0]))
        return self


class Battery(Strict):
    """A lithium-ion battery behind the meter, empty at the begin."""

    energy: Joules
    power: PositiveWatts | None = None
    """Most that it takes or gives; what such cells can if not given."""
    policy: Literal["peak-shaving", "price", "carbon", "own-use", "reserve"]
    """Hold the power from the grid at `threshold`, charging up to the highest load so far and no further; charge
    while the price or the grid's average carbon intensity is low and discharge while it is high; keep own generation;
    or stay full for when the grid gives too little."""
    threshold: PositiveWatts | None = None
    low: UsdPerKwh | Kgco2ePerKwh | None = None
    """Charge at or below it."""
    high: UsdPerKwh | Kgco2ePerKwh | None = None
    """Discharge at or above it."""
    price: Usd | None = None
    """Of the whole battery, spread over its life: 3,000 full cycles, and years; shares of both add up."""
    calendar_life: CalendarLife = Field(
        default=Sourced(
            value=15.0 * SECONDS_PER_YEAR,
            unit="s",
            kind="assumed",
            source="warranties of grid batteries: 10 to 20 years",
        )
    )
    """Age at its end if it is never used."""

    @model_validator(mode="after")
    def _has_what_its_policy_needs(self) -> Battery:
        complaints = []
        needs = {"peak-shaving": ("threshold",), "price": ("low", "high"), "carbon": ("low", "high")}
        wanted = needs.get(self.policy, ())
        for member in ("threshold", "low", "high"):
            given = getattr(self, member) is not None
            if given == (member in wanted):
                continue
            found = f"found it with the policy {self.policy}" if given else "found no such key"
            mend = "leave it out" if given else f"the policy {self.policy} needs it"
            complaints.append(
                Complaint(found=found, mend=mend, member=member, code="value" if given else "missing")
            )
        unit = {"price": "USD/kWh", "carbon": "kgCO2e/kWh"}.get(self.policy, "")
        for member in ("low", "high"):
            number = getattr(self, member)
            if unit and number is not None and number.unit != unit:
                found = f"found a quantity in {number.unit}"
                complaints.append(Complaint(found=found, mend=f"write it in {unit}", member=member))
        low, high = self.low, self.high
        if not complaints and low is not None and high is not None and float(low) >= float(high):
            found = f"found a high of {float(high):g} {unit} for a low of {float(low):g} {unit}"
            allowed, mend = "allowed: low below high", "exchange them"
            complaints.append(Complaint(found=found, allowed=allowed, mend=mend, member="high"))
        if complaints:
            raise refusal(*complaints)
        return self


class Solar(Strict):
    """Panels of the site's own."""

    rated: PositiveWatts
    """At standard test conditions."""
    series: Series | None = None
    """Output per watt of rating, column ``power_w_per_w``; from the weather if not given."""
    tilt: Annotated[Sourced, Quantity("", maximum=90.0)] | None = None
    """In degrees; 25 if not given."""
    azimuth: Annotated[Sourced, Quantity("", maximum=360.0)] | None = None
    """Where they face, in degrees clockwise from north; towards the equator if not given."""


class Wind(Strict):
    """Turbines of the site's own."""

    rated: PositiveWatts
    series: Series | None = None
    """As of `Solar`."""


class Backup(Strict):
    """Generators that run for what the grid does not give."""

    rated: PositiveWatts
    fuel: Literal["diesel", "natural-gas"] = "diesel"
    price: UsdPerKwh | None = None
    """Of what it generates, fuel and wear."""


class Supply(Strict):
    """What stands between the grid and the site's meter."""

    import_limit: PositiveWatts | Series | None = None
    """Of the grid connection; a series, column ``power_w``, is 0 in an outage."""
    export_limit: Annotated[Sourced, Quantity("W")] | None = None
    """Most power fed into the grid; none if not given."""
    export_price: UsdPerKwh | None = None
    """Paid for what is fed in; nothing if not given."""
    battery: Battery | None = None
    solar: Solar | None = None
    wind: Wind | None = None
    backup: Backup | None = None
    shortage: Literal["refuse", "unserved"] = "refuse"
    """Whether a load that cannot be supplied is refused or recorded."""

    @model_validator(mode="after")
    def _does_what_it_says(self) -> Supply:
        complaints = []
        if self.export_price is not None and self.export_limit is None:
            mend = "add 'export_limit': without one nothing is fed in"
            complaints.append(Complaint(found="found it without a limit", mend=mend, member="export_price"))
        own_use = self.battery is not None and self.battery.policy == "own-use"
        if own_use and self.solar is None and self.wind is None:
            found, mend = "found the policy own-use without generation to keep", "add solar or wind"
            complaints.append(Complaint(found=found, mend=mend, member="battery"))
        if complaints:
            raise refusal(*complaints)
        return self


class FacilityUse(Strict):
    """The building: a profile under its weather, or one constant."""

    profile: str | None = None
    pue: Pue | None = None
    it_capacity: PositiveWatts | None = None
    """IT power that it is built for; what all devices draw at their limits if not given."""
    weather: Weather | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> FacilityUse:
        if (self.profile is None) == (self.pue is None):
            mend = "give 'profile: ...' with 'weather: ...', or 'pue: ...'"
            raise refusal(Complaint(found="found both a profile and a PUE, or neither", mend=mend))
        if (self.profile is None) != (self.weather is None):
            mend = "a profile needs 'weather', a constant PUE has none"
            raise refusal(Complaint(found="found the one without the other", mend=mend, member="weather"))
        if self.pue is not None and self.it_capacity is not None:
            mend = "leave it out: a constant PUE is the same for a building of any size"
            raise refusal(Complaint(found="found it beside a PUE", mend=mend, member="it_capacity"))
        return self


class Electricity(Strict):
    """How electricity is charged: by a tariff, or at one price or series."""

    tariff: str | None = None
    """Name of a tariff profile, or the path of one."""
    price: UsdPerKwh | Series | None = None
    contract_power: PositiveWatts | None = None
    """For contract minima; the tariff's own if not given."""
    after_end: Literal["left out", "charged"] = "left out"
    """Whether what a ratchet still asks for after the end is in the bill."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Electricity:
        if (self.tariff is None) == (self.price is None):
            mend = "give 'tariff: ...' or 'price: 0.08 USD/kWh'"
            raise refusal(Complaint(found="found both a tariff and a price, or neither", mend=mend))
        if self.contract_power is not None and self.tariff is None:
            mend = "leave it out, or name a tariff that has a contract minimum"
            raise refusal(Complaint(found="found it beside a price", mend=mend, member="contract_power"))
        return self


class GridCarbon(Strict):
    """Three accounts that are never mixed."""

    average: Kgco2ePerKwh | Series | None = None
    marginal: Kgco2ePerKwh | Series | None = None
    market: Kgco2ePerKwh | Series | None = None
    """Of what the site buys under contract."""
    shadow_price: UsdPerKgco2e | None = None
    """A price of carbon, shown apart from the bill."""
    price: UsdPerKgco2e | None = None
    """A price of carbon that is paid: on fuel burned on site, and on electricity whose tariff does not contain it."""

    @model_validator(mode="after")
    def _prices_something(self) -> GridCarbon:
        known = (self.average, self.marginal, self.market)
        if self.shadow_price is not None and all(intensity is None for intensity in known):
            mend = "add e.g. 'average: 0.4 kgCO2e/kWh'"
            raise refusal(Complaint(found="found it without an intensity", mend=mend, member="shadow_price"))
        if self.price is not None and self.average is None and self.market is None:
            found = "found it without an average or market-based intensity"
            raise refusal(Complaint(found=found, mend="add e.g. 'average: 0.4 kgCO2e/kWh'", member="price"))
        return self


class Water(Strict):
    """Water at the power plants."""

    grid: LitrePerKwh | None = None
    """Consumed by generation, for every kWh."""


class SiteTerms(Strict):
    """What holds at one site, whatever runs there."""

    time_zone: str = "UTC"
    """Of the clock by which prices go where the tariff names none, e.g. ``America/New_York``."""
    facility: FacilityUse
    electricity: Electricity
    carbon: GridCarbon = GridCarbon()
    water: Water = Water()
    supply: Supply | None = None
    store_bandwidth: BytesPerSecond | None = None
    """Of the store that all jobs of the site write their checkpoints to; without it, each has one of its own."""
