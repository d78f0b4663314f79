"""What breaks and how training goes on: the part of a scenario, and what a profile of failures is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Bytes, BytesPerSecond, Fraction, Quantity, Seconds, Strict
from simtool.config.refusals import Complaint, refusal
from simtool.provenance import Sourced

Count = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[Sourced, Quantity("s", above=0)]
FailureRate = Annotated[Sourced, Quantity("")]
Shape = Annotated[Sourced, Quantity("", minimum=0.1, maximum=100.0)]
Sigma = Annotated[Sourced, Quantity("", above=0, maximum=10.0)]
AboveOne = Annotated[Sourced, Quantity("", above=1.0)]


class Lasting(Strict):
    """How long something takes."""

    mean: Seconds
    distribution: Literal["constant", "exponential", "lognormal"] = "constant"
    sigma: Sigma | None = None
    """Lognormal only: standard deviation of the logarithm."""

    @model_validator(mode="after")
    def _has_sigma_if_lognormal(self) -> Lasting:
        if (self.distribution == "lognormal") != (self.sigma is not None):
            lacks = self.sigma is None
            found = "found no such key" if lacks else f"found it with the {self.distribution} distribution"
            mend = "add e.g. 'sigma: 1.0'" if lacks else "leave it out, or write 'distribution: lognormal'"
            raise refusal(
                Complaint(found=found, mend=mend, member="sigma", code="missing" if lacks else "value")
            )
        return self


class WeibullLives(Strict):
    """Lives that depend on age."""

    kind: Literal["weibull"]
    shape: Shape
    """Below 1: infant mortality; above 1: wear."""
    age: Seconds | None = None
    """Of all nodes at the start; new if not given."""
    renews: bool = True
    """Whether a node is as new after a repair; otherwise its age goes on."""


class LognormalLives(Strict):
    """Lives that are lognormal."""

    kind: Literal["lognormal"]
    sigma: Sigma
    """Standard deviation of the logarithm."""
    start: Literal["stationary", "new"] = "stationary"
    """Nodes have run for long, or are all new."""


Lives = Annotated[WeibullLives | LognormalLives, Field(discriminator="kind")]


class CauseSpec(Strict):
    """One thing that can go wrong."""

    effect: Literal["failure", "software", "corruption", "straggler"] = "failure"
    """failure: the nodes are down; software: the job restarts; corruption: results are silently wrong until it is
    found; straggler: the node slows its job down until it is found."""
    events_per_1000_node_days: FailureRate | None = None
    """Of the whole cluster, whatever the size of a group."""
    events_per_1000_job_days: FailureRate | None = None
    """Software only: in place of the other, where the number of nodes does not matter."""
    lives: Literal["exponential"] | Lives = "exponential"
    group_nodes: Count = 1
    """Consecutive nodes that one event hits at once."""
    detection: Lasting | None = None
    """Until it is noticed; not at all if not given."""
    repair: Lasting | None = None
    """Until the nodes are back; at once if not given. For most: a reset or a restart of the node."""
    replacement: Lasting | None = None
    """In place of `repair`, where hardware is replaced."""
    replacement_frac: Fraction | None = None
    """Share of the events in which it is."""
    slowdown: AboveOne | None = None
    """Of a straggler: its time over that of the other nodes."""

    @model_validator(mode="after")
    def _is_whole(self) -> CauseSpec:
        if complaints := tuple(self._complaints()):
            raise refusal(*complaints)
        return self

    def _complaints(self) -> Iterator[Complaint]:
        per_node, per_job = self.events_per_1000_node_days, self.events_per_1000_job_days
        if per_node is None and per_job is None:
            mend = "add 'events_per_1000_node_days: ...'"
            yield Complaint(found="found no rate", mend=mend)
        if per_job is not None and (per_node is not None or self.effect != "software"):
            found = (
                "found it beside the other rate" if per_node is not None else f"found it with a {self.effect}"
            )
            mend = "write 'events_per_1000_node_days', or 'effect: software' with this rate alone"
            yield Complaint(found=found, mend=mend, member="events_per_1000_job_days")
        if per_job is not None and self.lives != "exponential":
            yield Complaint(found="found lives with a rate per job", mend="leave it out", member="lives")
        if (self.slowdown is not None) != (self.effect == "straggler"):
            lacks = self.slowdown is None
            found = "found no such key" if lacks else f"found it with a {self.effect}"
            mend = "add e.g. 'slowdown: 1.2'" if lacks else "leave it out, or write 'effect: straggler'"
            yield Complaint(found=found, mend=mend, member="slowdown", code="missing" if lacks else "value")
        if self.effect in ("corruption", "straggler"):
            if self.group_nodes != 1:
                found = f"found {self.group_nodes} nodes with a {self.effect}, which is of one node"
                yield Complaint(found=found, mend="leave it out", member="group_nodes")
            if self.detection is None:
                mend = "add e.g. 'detection: {mean: 1 h}', after which it is found"
                yield Complaint(found="found no such key", mend=mend, member="detection", code="missing")
        if self.effect == "software" and (self.repair or self.replacement):
            found, mend = "found it with software, which takes no node down", "leave it out"
            yield Complaint(found=found, mend=mend, member="repair" if self.repair else "replacement")
        if (self.replacement is None) != (self.replacement_frac is None):
            member = "replacement" if self.replacement is None else "replacement_frac"
            mend = "give both 'replacement' and 'replacement_frac', or none"
            yield Complaint(found="found no such key", mend=mend, member=member, code="missing")


class Maintenance(Strict):
    """Planned windows. Jobs know of them and save their state before."""

    first: Seconds
    """Begin of the first, since the start of the run."""
    every: PositiveSeconds | None = None
    """Time from one to the next; once if not given."""
    length: PositiveSeconds
    group_nodes: Count | None = None
    """Nodes taken at a time, one group after the other; all of the cluster at once if not given."""


class LemonSpec(Strict):
    """Nodes that fail more often than the others; rates stay the mean over all nodes."""

    share: Fraction
    """Of the nodes."""
    factor: Annotated[Sourced, Quantity("", minimum=1.0)]
    """Their failures over those of another node."""


class CordonSpec(Strict):
    """A node that fails again and again is replaced by one that is no lemon."""

    failures: Count
    within: PositiveSeconds
    repair: Lasting
    """In place of the repair of the last of them."""


class Checkpoint(Strict):
    """Saving the state so that a failure costs little."""

    kind: Literal["synchronous", "asynchronous", "in-memory"] = "synchronous"
    """Synchronous: training stops for `write`. Asynchronous: it stops for `stall`, and the saved
    state counts only once `write` has passed. In-memory: it stops for `stall` to copy the state to a peer's memory,
    and every `persistent_interval` that copy is written to the store as well."""
    size: Bytes | None = None
    """Of one checkpoint; from the number of weights if not given."""
    write: Seconds | None = None
    """Time to write one checkpoint; from its size and `bandwidth` if not given."""
    stall: Seconds | None = None
    """Not synchronous: time that training stands still."""
    bandwidth: BytesPerSecond | None = None
    """Of the store, in all."""
    interval: Literal["daly", "young"] | PositiveSeconds = "daly"
    """Work between two checkpoints: the optimum of Daly or Young, or a fixed time."""
    persistent_interval: PositiveSeconds | None = None
    """In-memory only: work between two that are written to the store as well."""
    restart: Seconds | None = None
    """In-memory only: time to go on from a peer's memory; as from the store if not given."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Checkpoint:
        complaints = []
        if self.write is None and self.bandwidth is None:
            mend = "add 'write: ...', or 'bandwidth: ...' of the store"
            complaints.append(Complaint(found="found neither a time to write nor a bandwidth", mend=mend))
        if self.write is not None and self.bandwidth is not None:
            mend = "leave one of the two out: the time to write follows from the bandwidth"
            complaints.append(Complaint(found="found it beside a bandwidth", mend=mend, member="write"))
        if self.write is not None and self.size is not None:
            mend = "leave one of the two out: a size needs the bandwidth of the store"
            complaints.append(Complaint(found="found it beside a time to write", mend=mend, member="size"))
        if self.kind == "synchronous" and self.stall is not None:
            mend = "leave it out, or write 'kind: asynchronous'"
            found = "found it with a synchronous checkpoint, which stops training for all of 'write'"
            complaints.append(Complaint(found=found, mend=mend, member="stall"))
        if self.kind != "synchronous" and self.stall is None:
            mend = "add e.g. 'stall: 5 s', the time that training stands still"
            complaints.append(Complaint(found="found no such key", mend=mend, member="stall", code="missing"))
        if self.kind == "in-memory" and self.persistent_interval is None:
            mend = "add e.g. 'persistent_interval: 1 h'"
            complaints.append(
                Complaint(found="found no such key", mend=mend, member="persistent_interval", code="missing")
            )
        if self.kind != "in-memory":
            for member in ("persistent_interval", "restart"):
                if getattr(self, member) is not None:
                    found = f"found it with the {self.kind} kind"
                    mend = "leave it out, or write 'kind: in-memory'"
                    complaints.append(Complaint(found=found, mend=mend, member=member))
        if complaints:
            raise refusal(*complaints)
        return self


class Reliability(Strict):
    """What breaks, and how training goes on: one rate, or causes of a preset or of one's own."""

    node_failures_per_1000_node_days: FailureRate | None = None
    """Of single nodes, at a constant rate; without `preset` and `causes`."""
    preset: str | None = None
    """Name of a profile of failures, whose causes are taken."""
    causes: dict[str, CauseSpec] | None = None
    """More causes by name, or others in place of those of the preset."""
    maintenance: dict[str, Maintenance] | None = None
    """Planned windows by name."""
    lemons: LemonSpec | None = None
    """Those of the preset if not given."""
    cordon: CordonSpec | None = None
    repair: Seconds | None = None
    """From a node's failure until it can work again; beside causes: of all failures, in place of theirs."""
    detection: Seconds | None = None
    """From a failure until the job is stopped, lost as well; beside causes: in place of theirs."""
    restart: Seconds
    """Loading the checkpoint and warming up, before the first new step."""
    checkpoint: Checkpoint

    @property
    def is_simple(self) -> bool:
        """Whether there is one rate and nothing else."""
        parts = (self.preset, self.causes, self.maintenance, self.lemons, self.cordon)
        return all(part is None for part in parts)

    @model_validator(mode="after")
    def _states_what_fails(self) -> Reliability:
        rate, complaints = self.node_failures_per_1000_node_days, list[Complaint]()
        has_causes = self.preset is not None or self.causes is not None
        if has_causes and rate is not None:
            mend = "leave one of the two out: causes have rates of their own"
            complaints.append(
                Complaint(
                    found="found it beside causes", mend=mend, member="node_failures_per_1000_node_days"
                )
            )
        if not has_causes and (self.maintenance is None or rate is not None):
            for member, example in (("node_failures_per_1000_node_days", "3.8"), ("repair", "24 h")):
                if getattr(self, member) is None:
                    mend = f"add e.g. '{member}: {example}', or name a preset"
                    complaints.append(
                        Complaint(found="found no such key", mend=mend, member=member, code="missing")
                    )
        if complaints:
            raise refusal(*complaints)
        return self
