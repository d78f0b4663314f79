"""How the quantities of a datacenter are called and grouped for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: a quantity, and how deep it is indented below what it is a part of."""

    name: str
    label: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: tuple[Row, ...]


GROUPS: tuple[Group, ...] = (
    Group(
        "jobs and queue",
        (
            Row("num_jobs", "jobs"),
            Row("num_jobs_completed", "completed", 1),
            Row("num_jobs_failed", "failed by themselves", 1),
            Row("num_jobs_cancelled", "cancelled", 1),
            Row("num_jobs_over_limit", "ended by their limit", 1),
            Row("num_jobs_unfinished", "unfinished at the end", 1),
            Row("num_jobs_never_started", "never started", 1),
            Row("wait_mean_s", "wait for the first start, mean"),
            Row("wait_p50_s", "half waited no longer than", 1),
            Row("wait_p90_s", "90 % no longer than", 1),
            Row("wait_p99_s", "99 % no longer than", 1),
            Row("slowdown_mean", "bounded slowdown, mean"),
            Row("slowdown_p90", "90 % have no larger one", 1),
            Row("num_waiting_mean", "jobs in the queue, mean"),
            Row("num_running_mean", "jobs running, mean"),
            Row("num_interruptions", "interruptions of jobs"),
            Row("num_preemptions", "preemptions of jobs"),
            Row("num_moves", "moves of running jobs"),
            Row("num_deadlines_missed", "deadlines missed"),
        ),
    ),
    Group(
        "accelerators",
        (
            Row("accelerator_hours", "hours that jobs held"),
            Row("accelerator_hours_useful", "work that was kept", 1),
            Row("accelerator_hours_ended_early", "work of failed or stopped jobs", 1),
            Row("utilisation_frac", "utilisation (held / all)"),
            Row("goodput_frac", "goodput (kept / held)"),
        ),
    ),
    Group(
        "energy and power",
        (
            Row("energy_it_j", "IT energy"),
            Row("energy_accelerator_j", "accelerators", 1),
            Row("energy_unheld_j", "while no job held them", 1),
            Row("energy_lost_work_j", "work that was undone", 1),
            Row("energy_chain_loss_j", "conversion losses"),
            Row("energy_cooling_j", "cooling"),
            Row("energy_facility_j", "site energy"),
            Row("pue", "PUE"),
            Row("power_it_peak_w", "highest IT power"),
            Row("power_facility_peak_w", "highest power of the site"),
            Row("power_facility_mean_w", "mean power of the site"),
            Row("load_factor_frac", "load factor (mean / highest)"),
            Row("power_swing_std_w", "swings within seconds, rms"),
            Row("power_swing_below_w", "lowest below the mean", 1),
            Row("power_swing_above_w", "highest above the mean", 1),
            Row("power_ramp_w_per_s", "steepest ramp"),
            Row("energy_import_j", "taken from the grid"),
            Row("power_grid_peak_w", "highest power from the grid"),
            Row("energy_export_j", "fed into the grid"),
            Row("energy_solar_j", "own panels"),
            Row("energy_wind_j", "own turbines"),
            Row("energy_generator_j", "own generators"),
            Row("energy_discharge_j", "given by batteries"),
            Row("energy_stored_end_j", "left in batteries at the end"),
            Row("energy_curtailed_j", "sun and wind nobody took"),
            Row("energy_unserved_j", "load nobody supplied"),
            Row("energy_moving_j", "moving saved states"),
            Row("battery_cycles", "cycles of the batteries"),
            Row("battery_life_used_frac", "share of their life used"),
        ),
    ),
    Group(
        "water",
        (
            Row("water_site_kg", "water at the site"),
            Row("wue_kg_per_kwh", "WUE"),
            Row("water_grid_kg", "water at the power plants"),
        ),
    ),
)
QUESTIONS = {
    "average": "carbon, average: what the grid emitted for this load",
    "marginal": "carbon, marginal: what would not have been emitted without it",
    "market_based": "carbon, market-based: what the contracts of the site say",
}
MADE = "carbon_embodied_"


def site_row(name: str) -> Row | None:
    """The row of a quantity that tables show; None for any other."""
    return next((row for group in GROUPS for row in group.rows if row.name == name), None)


def cost_rows(summary: Mapping[str, Any]) -> tuple[Row, ...]:
    """The sum of all costs and its lines, in the order of the summary."""
    lines = [
        name
        for name in summary
        if name.startswith("cost_") and not name.startswith(("cost_total_", "cost_per_"))
    ]
    return (
        Row("cost_total_usd", "costs in all"),
        *(Row(name, _words(name, "cost_", "_usd"), 1) for name in lines),
        Row("cost_per_useful_accelerator_hour_usd", "per hour of work that was kept"),
    )


def bill_rows(summary: Mapping[str, Any]) -> tuple[Row, ...]:
    """The electricity bill by kind of line."""
    return (
        Row("bill_energy_usd", "energy"),
        Row("bill_demand_usd", "demand"),
        Row("bill_fixed_usd", "fixed"),
        *(
            (Row("bill_after_end_usd", "ratchets, after the end"),)
            if _of(summary, "bill_after_end_usd")
            else ()
        ),
        Row("price_mean_usd_per_kwh", "mean price"),
    )


def carbon_rows(question: str, summary: Mapping[str, Any], rate: str = "") -> tuple[Row, ...]:
    """The account of one question; what making the hardware emitted is in those that are accounts of all.

    Args:
        question: which account.
        summary: quantities.
        rate: the shadow price in words.
    """
    made = [] if question == "marginal" else [name for name in summary if name.startswith(MADE)]
    fuel = ("carbon_fuel_kgco2e",) if "carbon_fuel_kgco2e" in summary else ()
    return (
        Row(f"carbon_{question}_kgco2e", "in all"),
        Row(f"carbon_electricity_{question}_kgco2e", "electricity", 1),
        *(Row(name, "fuel of generators", 1) for name in fuel),
        *(Row(name, f"making {_words(name, MADE, '_kgco2e')}", 1) for name in made),
        Row(f"carbon_shadow_cost_{question}_usd", f"at {rate or 'the shadow price'}, in no bill"),
    )


def word(site: str) -> str:
    """The name of a site or a pool inside the names of quantities."""
    return site.replace("-", "_").replace(".", "_")


def of_site(site: str) -> tuple[str, ...]:
    """Quantities of one of several sites that stand beside those of the others."""
    own = word(site)
    return (f"energy_it_{own}_j", f"energy_facility_{own}_j", f"pue_{own}", f"power_facility_peak_{own}_w")


def job_names(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Training runs of the campaign, as their quantities name them."""
    ending = "_energy_it_j"
    return tuple(
        name.removeprefix("job_").removesuffix(ending)
        for name in summary
        if name.startswith("job_") and name.endswith(ending)
    )


def job_rows(word: str) -> tuple[Row, ...]:
    """One training run of the campaign."""
    return (
        Row(f"job_{word}_time_s", "from submission to end"),
        Row(f"job_{word}_waited_s", "in the queue", 1),
        Row(f"job_{word}_num_devices", "accelerators"),
        Row(f"job_{word}_accelerator_hours", "hours that it held"),
        Row(f"job_{word}_goodput_frac", "goodput"),
        Row(f"job_{word}_step_time_s", "step"),
        Row(f"job_{word}_mfu", "MFU of its steps"),
        Row(f"job_{word}_energy_it_j", "IT energy"),
        *(
            Row(f"job_{word}_carbon_electricity_{question}_kgco2e", f"carbon of its electricity, {words}")
            for question, words in (
                ("average", "average"),
                ("marginal", "marginal"),
                ("market_based", "contracts"),
            )
        ),
        Row(f"job_{word}_cost_usd", "share of the costs, idle time apart"),
        Row(f"job_{word}_cost_per_million_tokens_usd", "per million tokens", 1),
    )


def label(name: str) -> str:
    """What people call a quantity of a datacenter.

    >>> label("wait_mean_s"), label("cost_rent_usd"), label("job_big_energy_it_j")
    ('wait for the first start, mean', 'rent', 'job big energy it')
    """
    from simtool.report import words

    row = site_row(name)
    return row.label if row is not None else words.label(name)


def _words(name: str, before: str, after: str) -> str:
    return name.removeprefix(before).removesuffix(after).replace("_", " ")


def _of(summary: Mapping[str, Any], name: str) -> float:
    return float(summary[name]["value"]) if name in summary else 0.0
