"""A site and its jobs over months: the file that says what runs where, who pays for it, and what the grid asks.

File kind ``simtool/datacenter/1``. What a scenario is to one training run, this is to a whole site. Quantities are
`Sourced`, written short or long, as in a scenario.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import (
    Fraction,
    Kgco2ePerKwh,
    Pue,
    Quantity,
    Seconds,
    Strict,
    Tokens,
    UsdPerKwh,
)
from simtool.config.refusals import Complaint, refusal
from simtool.config.reliability import CauseSpec, Checkpoint, CordonSpec, LemonSpec, Maintenance
from simtool.config.scenario import Count, CountOrZero, Layout, Own, Rent, Series, Utc
from simtool.provenance import Sourced

DATACENTER_SCHEMA = "simtool/datacenter/1"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
PositiveSeconds = Annotated[Sourced, Quantity("s", above=0)]
PositiveWatts = Annotated[Sourced, Quantity("W", above=0)]
Joules = Annotated[Sourced, Quantity("J", above=0)]
UsdPerKgco2e = Annotated[Sourced, Quantity("USD/kgCO2e")]
LitrePerKwh = Annotated[Sourced, Quantity("l/kWh")]
Load = Annotated[Sourced, Quantity("", above=0, maximum=2.0)]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class Pool(Strict):
    """Equal nodes that jobs share."""

    name: Name
    accelerator: str
    node: str | None = None
    """Node profile; the usual one of the accelerator if not given."""
    num_nodes: Count
    spare_nodes: CountOrZero = 0
    """Nodes that only replace failed ones."""
    nodes_per_rack: Count = 4
    """For placement, and for power of a rack."""
    network: str | None = None
    framework: str = "megatron-core"
    """Software profile of the jobs whose step is not told by a scenario."""


class CampaignJob(Strict):
    """One training run, as a scenario describes it, on this site's nodes."""

    name: Name
    scenario: str
    """Name of a shipped scenario, or the path of one; its cluster, site and economics are left aside."""
    submit: Utc | None = None
    """When it joins the queue; at the start if not given."""
    pool: str | None = None
    """Name of the pool, or ``any``; the first if not given."""
    num_nodes: Count | None = None
    """Nodes that it takes; those of its scenario if not given."""
    tokens: Tokens | None = None
    """In place of the scenario's."""
    layout: Literal["auto"] | Layout | None = None
    """In place of the scenario's; needed where the number of accelerators is another."""
    method: bool = True
    """Whether the scenario's method, if it has one, is used."""
    priority: Priority = 0
    deadline: Utc | None = None
    preemptible: bool = False
    limit: PositiveSeconds | None = None
    """Time that it asks for; none if not given."""
    checkpoint: Checkpoint | None = None
    """In place of the scenario's; without either, nothing is saved."""
    restart: Seconds | None = None
    """After an interruption; the scenario's if not given."""


class TraceJobs(Strict):
    """Jobs of a file: a Philly or Alibaba table, Slurm's accounts, a plain CSV or Parquet."""

    file: str
    format: str | None = None
    """One of `simtool list job-readers`; found out from the columns if not given."""
    time_zone: str | None = None
    """Of times without a zone."""
    first: Utc | None = None
    last: Utc | None = None
    """Only jobs submitted from `first` up to, not including, `last`."""
    pool: str | None = None
    """Where they run; on any pool if not given."""


class GeneratedJobs(Strict):
    """Jobs drawn from a fitted generator."""

    profile: str
    """Name of a jobs profile, or the path of one."""
    num_jobs: Count | None = None
    """How many; as many as come in `duration` if not given."""
    load: Load | None = None
    """Work asked for over work that the pools can do in the time; the generator's own arrivals if not given."""
    pool: str | None = None


class JobWork(Strict):
    """What the devices of jobs do of which only size and time are known."""

    activity: Fraction
    """Share of their time in which devices compute; in the rest they wait, as at barriers and for data."""
    checkpoint: Checkpoint | None = None
    """Without it, an interrupted job begins anew."""
    restart: Seconds | None = None
    preemptible: bool = False
    """Whether jobs of the file or the generator may be preempted."""
    limit: Annotated[Sourced, Quantity("", minimum=1.0)] | None = None
    """Requested limit over run time, where the file has no limits; none if not given."""


class Jobs(Strict):
    """What runs."""

    campaign: tuple[CampaignJob, ...] = ()
    trace: TraceJobs | None = None
    generator: GeneratedJobs | None = None
    work: JobWork | None = None
    """Of `trace` and `generator`."""

    @model_validator(mode="after")
    def _has_jobs_and_knows_their_work(self) -> Jobs:
        if not self.campaign and self.trace is None and self.generator is None:
            mend = "add 'campaign: [...]', 'trace: {...}' or 'generator: {...}'"
            raise refusal(Complaint(found="found no jobs", mend=mend))
        if (self.trace or self.generator) and self.work is None:
            mend = "add e.g. 'work: {activity: 0.4}', the share of their time in which devices compute"
            raise refusal(Complaint(found="found no such key", mend=mend, member="work", code="missing"))
        names = [job.name for job in self.campaign]
        if twice := [name for name in names if names.count(name) > 1]:
            found = f"found {twice[0]!r} twice"
            raise refusal(Complaint(found=found, mend="give every job its own name", member="campaign"))
        return self


class Queueing(Strict):
    """How jobs wait and where they are put."""

    name: str = "easy"
    """Name of a scheduler."""
    placement: str = "nodes"
    """Name of a placement."""
    kill_at_limit: bool = True
    """Whether a job that outlives the limit it asked for is ended there."""


class Breakage(Strict):
    """What breaks at the site: causes of a preset, or one's own."""

    preset: str | None = None
    node_failures_per_1000_node_days: Annotated[Sourced, Quantity("")] | None = None
    causes: dict[str, CauseSpec] | None = None
    maintenance: dict[str, Maintenance] | None = None
    lemons: LemonSpec | None = None
    cordon: CordonSpec | None = None
    repair: Seconds | None = None
    detection: Seconds | None = None

    @model_validator(mode="after")
    def _states_what_fails(self) -> Breakage:
        rate = self.node_failures_per_1000_node_days
        if self.preset is None and self.causes is None and rate is None and self.maintenance is None:
            mend = "add e.g. 'preset: rsc-1', or write 'reliability: none'"
            raise refusal(Complaint(found="found nothing that fails", mend=mend))
        if rate is not None and (self.preset is not None or self.causes is not None):
            mend = "leave one of the two out: causes have rates of their own"
            member = "node_failures_per_1000_node_days"
            raise refusal(Complaint(found="found it beside causes", mend=mend, member=member))
        if rate is not None and self.repair is None:
            mend = "add e.g. 'repair: 24 h'"
            raise refusal(Complaint(found="found no such key", mend=mend, member="repair", code="missing"))
        return self


class Limit(Strict):
    """A limit of the power of all servers together, from a moment on."""

    begin: Utc
    power: PositiveWatts | Literal["none"]


class Curtailment(Strict):
    """A contract with the grid: now and then the site draws less."""

    begin: Utc
    length: PositiveSeconds
    power: PositiveWatts
    """IT power that is left meanwhile."""


class PowerLimits(Strict):
    """How much the servers may draw.

    Jobs are slowed by caps of their devices, and if that is not enough,
    the youngest stop.
    """

    limit: PositiveWatts | None = None
    """At all times."""
    changes: tuple[Limit, ...] = ()
    curtailments: tuple[Curtailment, ...] = ()
    lowest_cap: Fraction = Field(
        default=Sourced(
            value=0.5, unit="", kind="assumed", source="below half their limit, boards rarely hold caps"
        )
    )
    """Lowest cap of a device, as a fraction of its own limit."""

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self.limit is not None or bool(self.changes) or bool(self.curtailments)


class Weather(Strict):
    """Outdoor air."""

    place: str | None = None
    """A shipped typical year, e.g. ``leesburg``."""
    dry_bulb: Series | None = None
    wet_bulb: Series | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Weather:
        if (self.place is None) == (self.dry_bulb is None or self.wet_bulb is None):
            mend = "give 'place', or both 'dry_bulb' and 'wet_bulb'"
            raise refusal(
                Complaint(found="found neither a place nor both temperatures, or too much", mend=mend)
            )
        return self


class Storage(Strict):
    """A battery behind the meter."""

    energy: Joules
    power: PositiveWatts
    policy: Literal["peak-shaving", "price", "carbon", "self-consumption"]
    threshold: PositiveWatts | None = None
    """Peak shaving: power at the meter that it shall not exceed."""
    charge_below: Sourced | None = None
    discharge_above: Sourced | None = None


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
        return self


class GridCarbon(Strict):
    """Three accounts that are never mixed."""

    average: Kgco2ePerKwh | Series | None = None
    marginal: Kgco2ePerKwh | Series | None = None
    market: Kgco2ePerKwh | Series | None = None
    """Of what the site buys under contract."""
    shadow_price: UsdPerKgco2e | None = None
    """A price of carbon, shown apart from the bill."""


class Water(Strict):
    """Water at the power plants."""

    grid: LitrePerKwh | None = None
    """Consumed by generation, for every kWh."""


class Datacenter(Strict):
    """One question about a site. File kind ``simtool/datacenter/1``."""

    schema_: Literal["simtool/datacenter/1"] = Field(alias="schema")
    name: Annotated[Name, Field(examples=["campus-2026"])]
    question: str = ""
    start: Utc
    duration: PositiveSeconds | None = None
    """Length of the simulation; until the last job has ended if not given."""
    time_zone: str = "UTC"
    """Of the tariff's clock, e.g. ``America/New_York``."""
    pools: Annotated[tuple[Pool, ...], Field(min_length=1)]
    jobs: Jobs
    scheduler: Queueing = Queueing()
    reliability: Literal["none"] | Breakage = "none"
    power: PowerLimits = PowerLimits()
    facility: FacilityUse
    electricity: Electricity
    carbon: GridCarbon = GridCarbon()
    water: Water = Water()
    economics: Annotated[Rent | Own, Field(discriminator="mode")] | None = None
    """Of the hardware; without it, electricity alone is billed."""
    seed: CountOrZero = 1

    @model_validator(mode="after")
    def _names_its_pools(self) -> Datacenter:
        names = [pool.name for pool in self.pools]
        complaints = [
            Complaint(found=f"found {name!r} twice", mend="give every pool its own name", member="pools")
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        ]
        asked = [job.pool for job in self.jobs.campaign]
        asked += [part.pool for part in (self.jobs.trace, self.jobs.generator) if part is not None]
        complaints += [
            Complaint(
                found=f"found the pool {name!r}",
                allowed=f"allowed: {', '.join(names)}",
                mend="",
                member="jobs",
            )
            for name in dict.fromkeys(asked)
            if name is not None and name not in (*names, "any")
        ]
        if complaints:
            raise refusal(*complaints)
        return self


def moment(value: datetime | None, start: datetime) -> float:
    """Seconds from the start to a moment; 0 where none is given [s]."""
    return 0.0 if value is None else (value - start).total_seconds()
