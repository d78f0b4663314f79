"""The jobs of a datacenter file: training runs that scenarios describe, a file of jobs, a generator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Fraction, Quantity, Seconds, Strict, Tokens
from simtool.config.refusals import Complaint, refusal
from simtool.config.reliability import Checkpoint
from simtool.config.scenario import Count, Layout, Utc
from simtool.provenance import Sourced

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
PositiveSeconds = Annotated[Sourced, Quantity("s", above=0)]
Load = Annotated[Sourced, Quantity("", above=0, maximum=2.0)]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


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
    min_nodes: Count | None = None
    """Elastic: it may start on as few, if the scheduler heeds that, at a speed that goes with their number."""
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
    any_accelerator: bool = False
    """Whether jobs that the file ties to a type of accelerator run on others too; otherwise on pools of it alone."""
    drop_zero_length: bool = False
    """Whether jobs that ran for 0 s are left out and counted; otherwise they are refused."""
    sort: bool | None = None
    """Whether jobs are put into the order of submission; if not given, those of known formats are, and a plain
    table must be."""


class GeneratedJobs(Strict):
    """Jobs drawn from a fitted generator."""

    profile: str
    """Name of a jobs profile, or the path of one."""
    num_jobs: Count | None = None
    """How many; as many as come in `duration` if not given."""
    load: Load | None = None
    """Work asked for over work that the pools can do in the time, met exactly by the pace of arrivals; the generator's
    own arrivals if not given."""
    pool: str | None = None
    """Where they run; on any pool if not given. Jobs larger than that are left out."""


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
