"""The quantities of a result, each with the tree that explains it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from simtool.account.carbon import CarbonLine, total_carbon
from simtool.account.costs import CostLine, total_cost
from simtool.account.energy import energy_scopes
from simtool.provenance import Derived, Input, Sourced
from simtool.result.explain import explain_flop, explain_step_time, rooted
from simtool.result.leaves import peak_input, shape_input, steps_input
from simtool.result.plan import Plan
from simtool.result.prepare import Prepared
from simtool.result.watts import power_roots
from simtool.signals import Basis
from simtool.sim.run import JobOutcome, Outcome
from simtool.units import SECONDS_PER_HOUR


def time_quantities(prepared: Prepared, plan: Plan, outcome: Outcome) -> dict[str, Derived]:
    """Duration, throughput, utilisation and goodput."""
    job = outcome.jobs[0]
    scenario = prepared.scenario
    step = explain_step_time(prepared)
    tokens = Input("workload.tokens", scenario.workload.tokens)
    num_steps = Derived(
        name="num_steps",
        value=float(prepared.num_steps),
        unit="",
        formula="tokens / (global batch x sequence length), x the method's steps_frac",
        inputs=(tokens, *steps_input(prepared)),
    )
    training = Derived(
        name="training_s",
        value=job.useful_s,
        unit="s",
        formula="num_steps x step_time",
        inputs=(num_steps, step),
    )
    duration = Derived(
        name="duration_s",
        value=job.end_s - job.start_s,
        unit="s",
        formula="training + checkpoints + lost work + detection + restart + waiting, simulated",
        inputs=(training, *_interruptions(job, plan, prepared)),
    )
    num_devices = Derived(
        name="num_devices",
        value=float(prepared.layouts.num_devices),
        unit="",
        formula="nodes x accelerators per node",
    )
    found = (
        duration,
        Derived(
            name="accelerator_hours",
            value=duration.value * num_devices.value / SECONDS_PER_HOUR,
            unit="h",
            formula="duration x num_devices, spare nodes not counted",
            inputs=(duration, num_devices),
        ),
        Derived(
            name="tokens_per_s",
            value=float(scenario.workload.tokens) / duration.value,
            unit="token/s",
            formula="tokens / duration",
            inputs=(tokens, duration),
        ),
        step,
        num_steps,
        *utilisation(prepared, step, num_devices),
        Derived(
            name="goodput_frac",
            value=job.goodput_frac,
            unit="",
            formula="training / duration",
            inputs=(training, duration),
        ),
        Derived(
            name="effective_time_frac",
            value=job.effective_time_frac,
            unit="",
            formula="(training + what stragglers added to it) / duration",
            inputs=(training, duration),
        ),
        Derived(
            name="num_interruptions",
            value=float(job.num_interruptions),
            unit="",
            formula="times that a failure stopped the job, simulated",
        ),
        *_by_cause(job, plan),
        _memory(prepared),
        Derived(
            name="num_parameters",
            value=float(prepared.job.model.num_parameters),
            unit="",
            formula="weights of the model",
            inputs=(shape_input(prepared),),
        ),
    )
    return {quantity.name: quantity for quantity in found}


def _interruptions(job: JobOutcome, plan: Plan, prepared: Prepared) -> tuple[Derived, ...]:
    reliability = prepared.scenario.reliability
    if isinstance(reliability, str):
        return ()
    failures = plan.rates
    pause = () if plan.pause is None else (plan.pause,)
    interval = () if plan.interval is None else (plan.interval,)
    return (
        Derived(
            name="checkpoint_s",
            value=job.checkpoint_s,
            unit="s",
            formula="number of checkpoints x time that saving stops the job",
            inputs=(*pause, *interval),
        ),
        Derived(
            name="lost_s",
            value=job.lost_s,
            unit="s",
            formula="work undone by failures, and until they were noticed",
            inputs=(*failures, *interval, *plan.detections),
        ),
        Derived(
            name="restart_s",
            value=job.restart_s,
            unit="s",
            formula="restarts x restart time",
            inputs=(*failures, Input("reliability.restart", reliability.restart)),
        ),
        Derived(
            name="waiting_s",
            value=job.waiting_s,
            unit="s",
            formula="no spare node left",
            inputs=(*failures, *plan.repairs),
        ),
    )


def _by_cause(job: JobOutcome, plan: Plan) -> Iterator[Derived]:
    """What each cause did, where the scenario tells causes apart; those that did not strike as well."""
    done = {one.cause: one for one in job.causes}
    for cause in plan.failures.hazards.names:
        rates = tuple(rate for rate in plan.rates if f".causes.{cause}." in rate.name)
        one, name = done.get(cause), cause.replace("-", "_")
        yield Derived(
            name=f"num_interruptions_{name}",
            value=0.0 if one is None else float(one.num_interruptions),
            unit="",
            formula=f"times that {cause} stopped the job, simulated",
            inputs=rates,
        )
        yield Derived(
            name=f"lost_{name}_s",
            value=0.0 if one is None else one.lost_s,
            unit="s",
            formula=f"work undone by {cause}, and until it was noticed",
            inputs=rates,
        )


def utilisation(prepared: Prepared, step: Derived, num_devices: Derived) -> tuple[Derived, Derived]:
    """MFU and HFU of a job's steps."""
    peak = peak_input(prepared)
    model, hardware = explain_flop(prepared, "model"), explain_flop(prepared, "hardware")
    available = step.value * num_devices.value * float(peak.number)
    return (
        Derived(
            name="mfu",
            value=model.value / available,
            unit="",
            formula="model FLOP / (step_time x num_devices x dense peak)",
            inputs=(model, step, num_devices, peak),
        ),
        Derived(
            name="hfu",
            value=hardware.value / available,
            unit="",
            formula="model FLOP with recomputation added / (step_time x num_devices x dense peak)",
            inputs=(hardware, step, num_devices, peak),
        ),
    )


def _memory(prepared: Prepared) -> Derived:
    memory = prepared.plain.memory
    return Derived(
        name="memory_bytes",
        value=float(memory.total_bytes),
        unit="byte",
        formula="weights + gradients + optimizer + activations + workspace of the fullest accelerator",
        inputs=tuple(
            Derived(
                name=f"{part}_bytes", value=float(getattr(memory, f"{part}_bytes")), unit="byte", formula=how
            )
            for part, how in (
                ("weights", "weights on one accelerator x bytes"),
                ("gradients", "weights on one accelerator x 4 bytes"),
                ("optimizer", "weights on one accelerator x 12 bytes, shared by ZeRO"),
                ("activations", "Korthikanti et al. 2022 per kind of tensor, micro-batches in flight"),
                ("workspace", "context, collective buffers, allocator"),
            )
        ),
    )


def energy_quantities(prepared: Prepared, outcome: Outcome, duration: Derived) -> dict[str, Derived]:
    """Energy by scope, and mean power; empty where no power is known."""
    if not prepared.machine.knows_power:
        return {}
    scopes = energy_scopes(outcome.ledger, prepared.scenario.site.cooling.pue)
    roots = power_roots(prepared, outcome.ledger, duration)
    found = {f"energy_{scope}_j": rooted(energy, roots) for scope, energy in scopes.items()}
    facility = found["energy_facility_j"]
    found["power_facility_mean_w"] = Derived(
        name="power_facility_mean_w",
        value=facility.value / outcome.end_s,
        unit="W",
        formula="energy_facility / duration",
        inputs=(facility, duration),
    )
    return found


def money_quantities(
    lines: Sequence[CostLine], tokens: Sourced, lacks: Sequence[str] = ()
) -> dict[str, Derived]:
    """The bill, its lines, and the price of a million tokens; empty without lines.

    Args:
        lines: of the bill.
        tokens: that are trained on.
        lacks: lines that a whole bill would have; the total says so.
    """
    if not lines:
        return {}
    total = total_cost(lines)
    if lacks:
        total = replace(total, formula=f"{total.formula}; too low: {' and '.join(lacks)} not known")
    per_token = Derived(
        name="cost_per_million_tokens_usd",
        value=total.value / (float(tokens) / 1e6),
        unit="USD",
        formula="cost_total / tokens, in millions",
        inputs=(total, Input("workload.tokens", tokens)),
    )
    return {
        **{line.amount.name: line.amount for line in lines},
        "cost_total_usd": total,
        "cost_per_million_tokens_usd": per_token,
    }


def carbon_quantities(
    operational: Sequence[CarbonLine], embodied: Sequence[CarbonLine]
) -> dict[str, Derived]:
    """Greenhouse gas: the average account with embodied as the total; the marginal one apart."""
    found = {line.amount.name: line.amount for line in (*operational, *embodied)}
    average = [line for line in operational if line.basis is not Basis.MARGINAL]
    if average:
        found["carbon_total_kgco2e"] = total_carbon([*average, *embodied])
    return found
