"""A site and its jobs over months: the file that says what runs where, who pays for it, and what the grid asks.

File kind ``simtool/datacenter/1``. What a scenario is to one training run, this is to a whole site. Quantities are
`Sourced`, written short or long, as in a scenario.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.datacenter_hire import Hire
from simtool.config.datacenter_jobs import Jobs, Name
from simtool.config.datacenter_site import Electricity, FacilityUse, GridCarbon, SiteTerms, Supply, Water
from simtool.config.fields import (
    BytesPerSecond,
    Fraction,
    Quantity,
    Seconds,
    Strict,
)
from simtool.config.refusals import Complaint, refusal
from simtool.config.reliability import CauseSpec, CordonSpec, LemonSpec, Maintenance
from simtool.config.scenario import Count, CountOrZero, Own, Rent, Utc
from simtool.provenance import Sourced

DATACENTER_SCHEMA = "simtool/datacenter/1"

PositiveSeconds = Annotated[Sourced, Quantity("s", above=0)]
PositiveWatts = Annotated[Sourced, Quantity("W", above=0)]


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
    site: str | None = None
    """Name of the site where it stands, if there are several."""
    framework: str = "megatron-core"
    """Software profile of the jobs whose step is not told by a scenario."""

    @model_validator(mode="after")
    def _has_fewer_spares_than_nodes(self) -> Pool:
        if self.spare_nodes > self.num_nodes:
            found = f"found {self.spare_nodes:,} spares for {self.num_nodes:,} nodes"
            allowed = f"allowed: up to {self.num_nodes:,}"
            mend = "count those that jobs may use as num_nodes"
            raise refusal(Complaint(found=found, allowed=allowed, mend=mend, member="spare_nodes"))
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


class Moving(Strict):
    """Taking saved states along to another site."""

    bandwidth: BytesPerSecond
    """Between two sites, for one job."""
    energy: Annotated[Sourced, Quantity("J/byte")] = Sourced(
        value=2.16e-4,
        unit="J/byte",
        kind="published",
        source="0.06 kWh/GB of wide-area networks, as in SustainCluster",
        spread=0.5,
    )
    """Of the network in between; it stands in no site's bill."""


class Datacenter(Strict):
    """One question about a site or several. File kind ``simtool/datacenter/1``."""

    schema_: Literal["simtool/datacenter/1"] = Field(alias="schema")
    name: Annotated[Name, Field(examples=["campus-2026"])]
    question: str = ""
    start: Utc
    duration: PositiveSeconds | None = None
    """Length of the simulation; until the last job has ended if not given."""
    time_zone: str = "UTC"
    """Of the clock by which prices go where the tariff names none, e.g. ``America/New_York``."""
    sites: dict[Name, SiteTerms] | None = None
    """Several sites by name, in place of `time_zone`, `facility`, `electricity`, `carbon`, `water`,
    `supply` and `store_bandwidth` here."""
    moving: Moving | None = None
    """Of saved states between sites; without it, a job that was stopped goes on where it ran."""
    pools: Annotated[tuple[Pool, ...], Field(min_length=1)]
    jobs: Jobs
    scheduler: Queueing = Queueing()
    reliability: Literal["none"] | Breakage = "none"
    power: PowerLimits = PowerLimits()
    facility: FacilityUse | None = None
    electricity: Electricity | None = None
    carbon: GridCarbon = GridCarbon()
    water: Water = Water()
    supply: Supply | None = None
    store_bandwidth: BytesPerSecond | None = None
    """Of the store that all jobs write their checkpoints to; without it, each has one of its own."""
    economics: Annotated[Rent | Own | Hire, Field(discriminator="mode")] | None = None
    """Of the hardware; without it, electricity alone is billed."""
    seed: CountOrZero = 1

    @property
    def terms(self) -> dict[str, SiteTerms]:
        """What holds at every site, by its name; the only one has none."""
        if self.sites is not None:
            return self.sites
        if self.facility is None or self.electricity is None:
            raise ValueError("the schema asks for both, or for sites")
        return {
            "": SiteTerms(
                time_zone=self.time_zone,
                facility=self.facility,
                electricity=self.electricity,
                carbon=self.carbon,
                water=self.water,
                supply=self.supply,
                store_bandwidth=self.store_bandwidth,
            )
        }

    @model_validator(mode="after")
    def _is_at_one_site_or_names_them(self) -> Datacenter:
        complaints: list[Complaint] = []
        if self.sites is None:
            for member, example in (
                ("facility", "facility: {pue: 1.2}"),
                ("electricity", "electricity: {price: 0.08 USD/kWh}"),
            ):
                if getattr(self, member) is None:
                    mend = f"add e.g. '{example}'"
                    complaints.append(
                        Complaint(found="found no such key", mend=mend, member=member, code="missing")
                    )
        else:
            for member in SiteTerms.model_fields:
                if getattr(self, member) != type(self).model_fields[member].get_default():
                    mend = "write it below each of the sites"
                    complaints.append(Complaint(found="found it beside 'sites'", mend=mend, member=member))
        known = [""] if self.sites is None else list(self.sites)
        for pool in self.pools:
            if (pool.site or "") not in known:
                allowed = (
                    f"allowed: {', '.join(known)}" if self.sites else "allowed: none, there are no 'sites'"
                )
                found, mend = f"found pool {pool.name!r} at site {pool.site!r}", "name one of the sites"
                complaints.append(Complaint(found=found, allowed=allowed, mend=mend, member="pools"))
        empty = [site for site in known if site not in {pool.site or "" for pool in self.pools}]
        if self.sites is not None and not complaints:
            complaints += [
                Complaint(
                    found=f"found no pool at site {site!r}",
                    mend="add one, or leave the site out",
                    member="sites",
                )
                for site in empty
            ]
        if self.sites is None and self.moving is not None:
            mend = "leave it out, or add 'sites': there is nowhere to move to"
            complaints.append(Complaint(found="found it without 'sites'", mend=mend, member="moving"))
        complaints += self._alike()
        if complaints:
            raise refusal(*complaints)
        return self

    def _alike(self) -> list[Complaint]:
        """Names that would be one in the names of quantities."""
        complaints = []
        for member, names in (
            ("sites", list(self.sites or ())),
            ("pools", [pool.name for pool in self.pools]),
            ("jobs", [job.name for job in self.jobs.campaign]),
        ):
            of_word: dict[str, str] = {}
            for name in dict.fromkeys(names):
                other = of_word.setdefault(name.replace("-", "_").replace(".", "_"), name)
                if other != name:
                    found = f"found {other!r} and {name!r}, which are one in names of quantities"
                    complaints.append(Complaint(found=found, mend="rename one of the two", member=member))
        return complaints

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
