"""The text that `run` prints of a datacenter, made from the run folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from simtool import units
from simtool.cli import console
from simtool.cli.inputs import Answer
from simtool.cli.show_run import ONE_SEED, spread
from simtool.report import site_words, words
from simtool.report.site_words import Row
from simtool.units import SECONDS_PER_DAY

Entry = Mapping[str, Any]
FEW_MONTHS = 2
"""Up to so many months every line of a bill is printed, of more the sums by month."""
MAX_CAUSES = 12
STATES = {
    "bubble": "waiting inside jobs",
    "checkpoint": "saving its state",
    "lost_work": "work undone",
    "idle": "without work",
}
"""States of the ledger that a site's reader would call otherwise."""
LABEL_WIDTH = 36
ZERO_IS_NO_NEWS = (
    "num_jobs_",
    "num_interruptions",
    "num_preemptions",
    "num_moves",
    "energy_lost_work_j",
    "water_",
    "wue_",
)


def show(answer: Answer) -> None:
    """Print what was run where, the tables, the bill, notes."""
    manifest, summary = answer.manifest, answer.summary
    header(manifest, summary)
    has_spread = any(spread(entry) for entry in summary.values())
    for group in site_words.GROUPS:
        _group(group.title, group.rows, summary, has_spread=has_spread)
        if group.title == "jobs and queue":
            _waits(manifest["by_size"])
        if group.title == "accelerators":
            _states(manifest["by_state"])
            _causes(manifest["by_cause"])
    _money(manifest, summary, has_spread=has_spread)
    for question, title in site_words.QUESTIONS.items():
        if f"carbon_{question}_kgco2e" in summary:
            rows = site_words.carbon_rows(question, summary, _shadow_rate(manifest))
            _group(title, rows, summary, has_spread=has_spread)
    written = {site_words.word(name): name for name in manifest["setup"].get("campaign", ())}
    for job in site_words.job_names(summary):
        _group(
            f"training run {written.get(job, job)}", site_words.job_rows(job), summary, has_spread=has_spread
        )
    _sites(manifest, summary)
    _rest(manifest, summary, has_spread=has_spread)
    _legend(manifest, has_spread=has_spread)
    if not console.is_quiet():
        for note in manifest["notes"]:
            console.say(f"note: {note}")
    console.line("")
    how = "the same question was answered before; --force computes it again" if answer.reused else "written"
    console.line(f"{answer.folder} ({how})")


def header(manifest: Mapping[str, Any], summary: Mapping[str, Entry]) -> None:
    """What ran where and when, and what it is charged by."""
    setup = manifest["setup"]
    pools = pools_words(setup["pools"])
    num_jobs = summary["num_jobs"]["value"]
    console.say(f"{manifest['scenario']['name']}: {num_jobs:,.0f} jobs on {pools}", style="bold")
    begin = datetime.fromisoformat(setup["start"])
    end = begin + timedelta(seconds=setup["end_s"])
    length = units.display(setup["end_s"] / SECONDS_PER_DAY, "d", 4)
    console.say(
        f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC ({length}); scheduler {setup['scheduler']}, placement "
        f"{setup['placement']}; failures: {setup['reliability']}"
    )
    if limits := limit_words(setup["power_limits"]):
        console.say(f"power of all servers: {limits}")
    for site in setup["sites"]:
        name = f"{site['name']}: " if site["name"] else ""
        weather = f" in the weather of {site['weather']}" if site["weather"] else ""
        own = f"; own {', '.join(site['supply'])}" if site.get("supply") else ""
        console.say(
            f"{name}{site['facility']}{weather}; electricity by {site['electricity']}, clock of "
            f"{site['time_zone']}{own}"
        )
    money = setup["money"]
    if money:
        console.say(f"hardware: {setup['economics']}, {money['kind']} {money['year']} USD")
    console.line("")


def limit_words(limits: Mapping[str, Any]) -> str:
    """Limits of the servers' power in words; empty if there are none.

    >>> limit_words({"limit_w": 85000.0, "num_changes": 0, "num_curtailments": 2})
    'at most 85 kW, 2 calls of the grid'
    """
    parts = [] if limits["limit_w"] is None else [f"at most {units.display(limits['limit_w'], 'W')}"]
    for name, noun, of in (("num_changes", "change", "the limit"), ("num_curtailments", "call", "the grid")):
        num = limits[name]
        parts += [f"{num} {noun}{'s' if num > 1 else ''} of {of}"] if num else []
    return ", ".join(parts)


def pool_words(pool: Mapping[str, Any]) -> str:
    """A pool of nodes in words."""
    spare = f" + {pool['spare_nodes']} spare" if pool["spare_nodes"] else ""
    return f"{pool['num_devices']:,} {pool['accelerator']} ({pool['num_nodes']:,}{spare} nodes)"


def pools_words(pools: Sequence[Mapping[str, Any]]) -> str:
    """All pools in words, by name where there are several."""
    return ", ".join(
        f"{pool['name']}: {pool_words(pool)}" if len(pools) > 1 else pool_words(pool) for pool in pools
    )


def _shadow_rate(manifest: Mapping[str, Any]) -> str:
    """The shadow price of carbon in words; empty where sites have several."""
    rates = {site.get("shadow_price") for site in manifest["setup"]["sites"]} - {None}
    return str(rates.pop()) if len(rates) == 1 else ""


def _group(title: str, rows: Sequence[Row], summary: Mapping[str, Entry], *, has_spread: bool) -> None:
    shown = [row for row in rows if row.name in summary and not _is_no_news(row.name, summary[row.name])]
    if not shown:
        return
    headings = [title.ljust(LABEL_WIDTH), "value", *(["spread"] if has_spread else [])]
    table = console.table(headings, right=("value", "spread"), fold=(headings[0],))
    for row in shown:
        entry = summary[row.name]
        cells = ["  " * row.depth + row.label, value_words(entry)]
        varies = entry.get("p10") != entry.get("p90")
        table.add_row(*cells, *([spread(entry) if varies else "none"] if has_spread else []))
    console.show(table)


def _is_no_news(name: str, entry: Entry) -> bool:
    return not entry["value"] and not entry.get("p90") and name.startswith(ZERO_IS_NO_NEWS)


def value_words(entry: Entry) -> str:
    """A value as the report prints it: counts whole, shares as per cent.

    >>> value_words({"value": 0.5683, "unit": "", "p10": None}), value_words({"value": 7200.0, "unit": "s"})
    ('0.5683', '2 h')
    """
    value, unit = float(entry["value"]), str(entry["unit"])
    if unit == "" and value.is_integer() and abs(value) >= 1e4:
        return f"{value:,.0f}"
    if unit == "kg":
        return (
            units.display(value, "kg")
            if value < units.KILOGRAMS_PER_TONNE
            else f"{value / units.KILOGRAMS_PER_TONNE:,.4g} t"
        )
    return words.shown(value, unit)


def _waits(rows: Sequence[Entry]) -> None:
    if len(rows) < 2:
        return
    table = console.table(
        ["wait by accelerators of a job", "jobs", "started", "mean", "p50", "p90"],
        right=("jobs", "started", "mean", "p50", "p90"),
        fold=("wait by accelerators of a job",),
    )
    for row in rows:
        times = ["" if row[name] is None else units.display(row[name], "s", 3) for name in WAITS]
        table.add_row(row["accelerators"], f"{row['num_jobs']:,}", f"{row['num_started']:,}", *times)
    console.show(table)


WAITS = ("wait_mean_s", "wait_p50_s", "wait_p90_s")


def _states(rows: Sequence[Entry]) -> None:
    hours, joules = (sum(row[name] for row in rows) for name in ("accelerator_hours", "energy_it_j"))
    headings = ["state of accelerators", "hours", "share", "IT energy", "share of it"]
    table = console.table(headings, right=headings[1:], fold=headings[:1])
    for row in rows:
        table.add_row(
            STATES.get(row["state"], row["state"].replace("_", " ")),
            f"{row['accelerator_hours']:,.0f}",
            f"{100 * row['accelerator_hours'] / hours:.1f} %",
            words.shown(row["energy_it_j"], "J"),
            f"{100 * row['energy_it_j'] / joules:.1f} %" if joules else "",
        )
    console.show(table)


def _causes(rows: Sequence[Entry]) -> None:
    if not rows:
        return
    headings = ["cause of interruptions", "events", "jobs", "lost, h", "restart, h"]
    table = console.table(headings, right=headings[1:], fold=headings[:1])
    for row in rows[:MAX_CAUSES]:
        table.add_row(
            row["cause"],
            f"{row['num_events']:,}",
            f"{row['num_jobs']:,}",
            f"{row['lost_work_accelerator_hours']:,.1f}",
            f"{row['restart_accelerator_hours']:,.1f}",
        )
    console.show(table, below=False)
    if len(rows) > MAX_CAUSES:
        console.say(f"{len(rows) - MAX_CAUSES} more causes are in interruptions.csv")
    console.line("")


def _money(manifest: Mapping[str, Any], summary: Mapping[str, Entry], *, has_spread: bool) -> None:
    _group("costs", site_words.cost_rows(summary), summary, has_spread=has_spread)
    if not manifest["bill"]:
        return
    _group("electricity bill", site_words.bill_rows(summary), summary, has_spread=has_spread)
    for site in dict.fromkeys(line["site"] for line in manifest["bill"]):
        lines = [line for line in manifest["bill"] if line["site"] == site]
        _bill(site, lines)
    for rest in manifest["bill_after"]:
        if not rest["charged"] and rest["amount_usd"]:
            amount = words.shown(rest["amount_usd"], "USD")
            console.say(
                f"not charged: {amount} that ratchets ask for after the end, if no other load takes the place of "
                "this one"
            )
            console.line("")
    if manifest["seeds"] > 1:
        console.say(f"the bill by lines is that of the first of {manifest['seeds']} runs")
        console.line("")


def _bill(site: str, lines: Sequence[Entry]) -> None:
    months = list(dict.fromkeys(line["month"] for line in lines))
    at = f", {site}" if site else ""
    if len(months) > FEW_MONTHS and not console.is_verbose():
        _months(f"bill by month{at}", months, lines)
        return
    for month in months:
        headings = [f"bill of {month}{at}", "quantity", "unit", "USD a unit", "USD"]
        table = console.table(headings, right=("quantity", "USD a unit", "USD"), fold=headings[:1])
        mine = [line for line in lines if line["month"] == month]
        for line in mine:
            part = f" ({100 * line['month_frac']:.1f} % of the month)" if line["month_frac"] != 1.0 else ""
            table.add_row(
                line["line"] + part,
                f"{line['quantity']:,.1f}",
                line["unit"],
                f"{line['rate_usd_per_unit']:,.5g}",
                f"{line['amount_usd']:,.2f}",
            )
        table.add_row("total", "", "", "", f"{sum(line['amount_usd'] for line in mine):,.2f}")
        console.show(table)


def _months(title: str, months: Sequence[str], lines: Sequence[Entry]) -> None:
    kinds = [kind for kind in ("energy", "demand", "fixed") if any(line["kind"] == kind for line in lines)]
    has_demand = "demand" in kinds
    headings = [title, "kWh", *(["billed kW"] if has_demand else []), *kinds, "USD"]
    table = console.table(headings, right=headings[1:])

    def amounts(mine: Sequence[Entry]) -> list[str]:
        by_kind = [sum(line["amount_usd"] for line in mine if line["kind"] == kind) for kind in kinds]
        return [f"{amount:,.0f}" for amount in (*by_kind, sum(by_kind))]

    for month in months:
        mine = [line for line in lines if line["month"] == month]
        kwh = sum(line["quantity"] for line in mine if line["unit"] == "kWh" and line["kind"] == "energy")
        highest = max((line["quantity"] for line in mine if line["kind"] == "demand"), default=0.0)
        table.add_row(month, f"{kwh:,.0f}", *([f"{highest:,.0f}"] if has_demand else []), *amounts(mine))
    table.add_row("total", *[""] * (1 + has_demand), *amounts(lines))
    console.show(table, below=False)
    console.say("every line: bill.csv, or -v")
    console.line("")


def _sites(manifest: Mapping[str, Any], summary: Mapping[str, Entry]) -> None:
    """Several sites beside each other."""
    names = [site["name"] for site in manifest["setup"]["sites"] if site["name"]]
    if len(names) < 2:  # the whole is the only one
        return
    headings = ["site", "IT energy", "site energy", "PUE", "highest power", "bill, USD"]
    table = console.table(headings, right=headings[1:])
    for name in names:
        cells = [summary[one] for one in site_words.of_site(name)]
        bill = sum(line["amount_usd"] for line in manifest["bill"] if line["site"] == name)
        table.add_row(name, *(value_words(cell) for cell in cells), f"{bill:,.0f}")
    console.show(table)


def _rest(manifest: Mapping[str, Any], summary: Mapping[str, Entry], *, has_spread: bool) -> None:
    """Whatever no other table shows; what is the same as elsewhere only with -v."""
    told = {row.name for group in site_words.GROUPS for row in group.rows}
    told |= {row.name for row in (*site_words.cost_rows(summary), *site_words.bill_rows(summary))}
    told.add("bill_after_end_usd")
    told |= {row.name for one in site_words.QUESTIONS for row in site_words.carbon_rows(one, summary)}
    told |= {row.name for job in site_words.job_names(summary) for row in site_words.job_rows(job)}
    if not console.is_verbose():
        told |= {name for name in summary if name.startswith(("share_", "duration_s"))}
        sites = [site["name"] for site in manifest["setup"]["sites"] if site["name"]]
        told |= {name for name in summary for site in sites if site_words.word(site) in name}
    rest = tuple(Row(name, site_words.label(name)) for name in summary if name not in told)
    _group("other quantities", rest, summary, has_spread=has_spread)


def _legend(manifest: Mapping[str, Any], *, has_spread: bool) -> None:
    if has_spread:
        console.say(
            f"value: median, spread: 10th to 90th percentile, of {manifest['seeds']} runs with other jobs and other "
            "failures; the error of the models is not in it"
        )
    elif manifest["seeds"] == 1:
        console.say(f"spread: {ONE_SEED}; --seeds 5 gives one")
    console.line("")
