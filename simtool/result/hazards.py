"""From what a file says about failures to streams of events."""

from __future__ import annotations

from typing import Protocol

from simtool.config.reliability import (
    CauseSpec,
    CordonSpec,
    Lasting,
    LemonSpec,
    LognormalLives,
    Maintenance,
    WeibullLives,
)
from simtool.profiles.reliability import ReliabilityProfile
from simtool.provenance import Input, Sourced
from simtool.sim.hazards import Arrivals
from simtool.sim.hazards.durations import NO_TIME, AnyDuration, Duration, Either
from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.kinds.lognormal import Lognormal
from simtool.sim.hazards.kinds.periodic import Periodic
from simtool.sim.hazards.kinds.weibull import Weibull
from simtool.sim.hazards.plan import Cause, Cordon, HazardPlan, JobCause, Lemons
from simtool.units import SECONDS_PER_DAY

PER_THOUSAND_DAYS = 1.0 / (1000.0 * SECONDS_PER_DAY)
NODE_CAUSE = "node"
"""Name of the one cause of a plain rate."""


class Written(Protocol):
    """What a file says about failures: a scenario's or a site's ``reliability``."""

    @property
    def node_failures_per_1000_node_days(self) -> Sourced | None: ...
    @property
    def causes(self) -> dict[str, CauseSpec] | None: ...
    @property
    def maintenance(self) -> dict[str, Maintenance] | None: ...
    @property
    def lemons(self) -> LemonSpec | None: ...
    @property
    def cordon(self) -> CordonSpec | None: ...
    @property
    def repair(self) -> Sourced | None: ...
    @property
    def detection(self) -> Sourced | None: ...


def causes_of(written: Written, preset: ReliabilityProfile | None) -> dict[str, CauseSpec]:
    """All causes by name: those of the preset, and the file's own beside or in place of them."""
    return {**({} if preset is None else preset.causes), **(written.causes or {})}


def hazard_plan(
    written: Written, preset: ReliabilityProfile | None, *, with_rate: bool = False
) -> HazardPlan:
    """Everything that goes wrong.

    Args:
        written: what the file says.
        preset: the profile that it names, if it names one.
        with_rate: whether a plain rate becomes a cause too; a scenario's is simulated by itself.

    Raises:
        InputError: two causes of one name.
    """
    causes, job_causes = list[Cause](), list[JobCause]()
    rate = written.node_failures_per_1000_node_days
    if with_rate and rate is not None:
        plain = CauseSpec.model_construct(events_per_1000_node_days=rate)
        causes.append(_cause(NODE_CAUSE, plain, written))
    for name, spec in causes_of(written, preset).items():
        if spec.events_per_1000_job_days is not None:
            rate_s = float(spec.events_per_1000_job_days) * PER_THOUSAND_DAYS
            detection = _detection(spec, written)
            job_causes.append(JobCause(name=name, rate_per_job_s=rate_s, detection=detection))
        else:
            causes.append(_cause(name, spec, written))
    causes += [_window(name, window) for name, window in (written.maintenance or {}).items()]
    lemons = written.lemons or (None if preset is None else preset.lemons)
    cordon = written.cordon or (None if preset is None else preset.cordon)
    return HazardPlan(
        causes=tuple(causes),
        job_causes=tuple(job_causes),
        lemons=None
        if lemons is None
        else Lemons(share_frac=float(lemons.share), factor=float(lemons.factor)),
        cordon=None
        if cordon is None
        else Cordon(
            num_failures=cordon.failures, window_s=float(cordon.within), repair=_duration(cordon.repair)
        ),
    )


def rate_inputs(written: Written, preset: ReliabilityProfile | None) -> tuple[Input, ...]:
    """How often each cause strikes, as the leaves of an explanation."""
    plain = written.node_failures_per_1000_node_days
    found = () if plain is None else (Input("reliability.node_failures_per_1000_node_days", plain),)
    rates = {
        name: (spec.events_per_1000_node_days, spec.events_per_1000_job_days)
        for name, spec in causes_of(written, preset).items()
    }
    return found + tuple(
        Input(f"{_where(name, written)}.{field}", rate)
        for name, both in rates.items()
        for field, rate in zip(("events_per_1000_node_days", "events_per_1000_job_days"), both, strict=True)
        if rate is not None
    )


def lasting_inputs(written: Written, preset: ReliabilityProfile | None, field: str) -> tuple[Input, ...]:
    """How long ``repair`` or ``detection`` takes, as the leaves of an explanation."""
    plain = getattr(written, field)
    if plain is not None:
        return (Input(f"reliability.{field}", plain),)
    members = (field, "replacement") if field == "repair" else (field,)
    return tuple(
        Input(f"{_where(name, written)}.{member}.mean", getattr(spec, member).mean)
        for name, spec in causes_of(written, preset).items()
        for member in members
        if getattr(spec, member) is not None
    )


def _where(name: str, written: Written) -> str:
    return f"reliability.causes.{name}" if name in (written.causes or {}) else f"preset.causes.{name}"


def _cause(name: str, spec: CauseSpec, written: Written) -> Cause:
    if spec.events_per_1000_node_days is None:
        raise ValueError(f"cause {name!r} has no rate; the schema demands one")
    per_unit_s = float(spec.events_per_1000_node_days) * PER_THOUSAND_DAYS * spec.group_nodes
    return Cause(
        name=name,
        effect=spec.effect,
        arrivals=_arrivals(spec, per_unit_s),
        group_nodes=spec.group_nodes,
        detection=_detection(spec, written),
        repair=_repair(spec, written),
        slowdown=1.0 if spec.slowdown is None else float(spec.slowdown),
    )


def _arrivals(spec: CauseSpec, per_unit_s: float) -> Arrivals:
    lives = spec.lives
    if isinstance(lives, WeibullLives):
        return Weibull(
            rate_per_unit_s=per_unit_s,
            shape=float(lives.shape),
            age_s=0.0 if lives.age is None else float(lives.age),
            renews=lives.renews,
        )
    if isinstance(lives, LognormalLives):
        return Lognormal(rate_per_unit_s=per_unit_s, sigma=float(lives.sigma), start=lives.start)
    return Exponential(rate_per_unit_s=per_unit_s)


def _detection(spec: CauseSpec, written: Written) -> AnyDuration:
    """Until it is noticed: what the file says of all failures goes before what the cause says of itself."""
    if written.detection is not None and spec.effect in ("failure", "software"):
        return Duration(mean_s=float(written.detection))
    return NO_TIME if spec.detection is None else _duration(spec.detection)


def _repair(spec: CauseSpec, written: Written) -> AnyDuration:
    if spec.effect == "software":
        return NO_TIME
    if written.repair is not None and spec.effect != "straggler":
        return Duration(mean_s=float(written.repair))
    usual = NO_TIME if spec.repair is None else _duration(spec.repair)
    if spec.replacement is None or spec.replacement_frac is None:
        return usual
    return Either(usual=usual, rare=_duration(spec.replacement), rare_frac=float(spec.replacement_frac))


def _duration(lasting: Lasting) -> Duration:
    sigma = 0.0 if lasting.sigma is None else float(lasting.sigma)
    return Duration(mean_s=float(lasting.mean), distribution=lasting.distribution, sigma=sigma)


def _window(name: str, window: Maintenance) -> Cause:
    length_s = float(window.length)
    return Cause(
        name=name,
        effect="maintenance",
        arrivals=Periodic(
            first_s=float(window.first),
            period_s=None if window.every is None else float(window.every),
            stagger_s=0.0 if window.group_nodes is None else length_s,
        ),
        group_nodes=window.group_nodes,
        repair=Duration(mean_s=length_s),
    )
