"""The text that `run` prints, made from the run folder alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simtool import units
from simtool.cli import console
from simtool.cli.inputs import Answer
from simtool.report import words

Entry = Mapping[str, Any]

ONE_SEED = "n/a (one seed)"
ASSUMED = " a"
"""Mark of a spread that is the range under what the scenario assumes."""
SURVIVING = (
    ("duration_s", "time"),
    ("energy_facility_j", "energy"),
    ("cost_total_usd", "money"),
    ("carbon_total_kgco2e", "carbon"),
)


def show(answer: Answer) -> None:
    """Print what was run, the table, what survives of the method, memory, published figures, notes."""
    manifest, summary = answer.manifest, answer.summary
    header(manifest)
    _table(manifest, summary)
    if error := error_line(manifest.get("software"), summary):
        console.say(error)
    console.line("")
    if manifest["method"]:
        _survival(manifest, summary)
    console.say(memory_line(manifest["memory_bytes"]))
    if manifest.get("software"):
        console.say(software_line(manifest["software"]))
    _observed(summary)
    _notes(manifest["notes"])
    _closing(answer)


def header(manifest: Mapping[str, Any]) -> None:
    """What was run on what, as executed."""
    setup, layout = manifest["setup"], manifest["setup"]["layout"]
    spare = f" + {setup['spare_nodes']} spare" if setup["spare_nodes"] else ""
    nodes = "node" if setup["num_nodes"] + setup["spare_nodes"] == 1 else "nodes"
    method = f"; method {manifest['method']['profile']}" if manifest["method"] else ""
    console.say(
        f"{manifest['scenario']['name']}: {setup['model']}, {units.display(setup['tokens'], 'token')}, on "
        f"{setup['num_devices']:,} {setup['accelerator']} ({setup['num_nodes']:,}{spare} {nodes}){method}",
        style="bold",
    )
    interleaved = f" (x {layout['vpp']} chunks)" if layout["vpp"] > 1 else ""
    money = setup["money"]
    shared = f"cp {layout['cp']} x " if layout.get("cp", 1) > 1 else ""
    more = "".join(
        f", {word} {layout[name]}"
        for name, word in (("ep", "ep"), ("etp", "etp"), ("dp_shard", "shards of"))
        if layout.get(name, 1) > 1
    )
    console.say(
        f"tp {layout['tp']} x {shared}pp {layout['pp']}{interleaved} x dp {layout['dp']}{more}, ZeRO {layout['zero']}, "
        f"micro-batch {layout['micro_batch']}, global batch {setup['global_batch']:,} x {setup['seq_len']:,} "
        f"tokens; {setup['precision']}, recompute {setup['recompute']}, {setup['framework']}; "
        f"{setup['economics']}, {money['kind']} {money['year']} USD"
    )
    console.line("")


def _table(manifest: Mapping[str, Any], summary: Mapping[str, Entry]) -> None:
    names = [name for name in words.in_order(list(summary)) if name in words.WORDS or console.is_verbose()]
    compared = bool(manifest["method"]) and any("without_method" in summary[name] for name in names)
    spreads = {name: spread(summary[name]) for name in names}
    has_spread = any(spreads.values())
    values = ["without", "with", "saved"] if compared else ["value"]
    headings = ["quantity", *values, *(["spread"] if has_spread else []), "origin"]
    table = console.table(headings, right=values, fold=("quantity",))
    digits = 3 if compared and has_spread else 4  # or the table would not fit into 80 columns
    for name in names:
        entry = summary[name]
        cells = [words.row(name, summary), words.shown(entry["value"], entry["unit"], digits)]
        if compared:
            before, saved = entry.get("without_method"), entry.get("saved_frac")
            cells.insert(1, "" if before is None else words.shown(before, entry["unit"], digits))
            cells.append("" if saved is None else signed(saved))
        if has_spread:
            cells.append(spreads[name] or "none")
        table.add_row(*cells, entry["provenance"])
    console.show(table, below=False)
    _legend(manifest, list(spreads.values()))


def _legend(manifest: Mapping[str, Any], spreads: list[str]) -> None:
    """What the spreads show, or that one seed has none."""
    if any(one and not one.endswith(ASSUMED) for one in spreads):
        console.say(
            f"spread: 10th to 90th percentile of {manifest['seeds']} runs with other failures; "
            "the error of the model is not in it"
        )
    elif manifest["seeds"] == 1:
        console.say(f"spread: {ONE_SEED}; --seeds 20 gives one")
    if any(one.endswith(ASSUMED) for one in spreads):
        console.say(f"{ASSUMED.strip()}: from lowest to highest under the scenario's assumption")


FAR = 10.0
"""Distance over the value beyond which per cent say no more."""


def spread(entry: Entry) -> str:
    """The range under an assumption, else the 10th to 90th percentile over seeds; relative to the value."""
    mark = ASSUMED
    low, high = entry.get("low"), entry.get("high")
    if low is None or high is None:
        low, high, mark = entry.get("p10"), entry.get("p90"), ""
    if low is None or high is None or not entry["value"]:
        return ""
    return f"{_apart(low / entry['value'])}/{_apart(high / entry['value'])} %{mark}"


def _apart(ratio: float) -> str:
    """How far a bound lies from the value, in per cent; beyond tenfold only that it does.

    >>> _apart(0.5), _apart(190.5)
    ('-50.0', '>+1,000')
    """
    return f"{100 * (ratio - 1):+.1f}" if ratio <= 1 + FAR else f">{100 * FAR:+,.0f}"


def signed(saved: float) -> str:
    """A saving in per cent; more than before is negative.

    >>> signed(0.2874)
    '28.7 %'
    """
    return f"{100 * saved:.1f} %"


def times(number: float) -> str:
    """A number of times as people say it.

    >>> times(1.0), times(0.0)
    ('1 time', '0 times')
    """
    return f"{number:g} time{'' if number == 1 else 's'}"


def _survival(manifest: Mapping[str, Any], summary: Mapping[str, Entry]) -> None:
    fewer = manifest["method"]["operations_saved_frac"]
    if fewer is None:
        return
    saved = [
        (word, summary[name]["saved_frac"])
        for name, word in SURVIVING
        if name in summary and summary[name].get("saved_frac") is not None
    ]
    parts = ", ".join(f"{signed(abs(frac))} {'less' if frac >= 0 else 'more'} {word}" for word, frac in saved)
    console.say(f"{signed(abs(fewer))} {'fewer' if fewer >= 0 else 'more'} operations leave {parts}.")
    if fewer > 0:
        console.say(
            "Surviving share: " + ", ".join(f"{word} {frac / fewer:.0%}" for word, frac in saved) + "."
        )
    stops = summary.get("num_interruptions", {})
    before, after = stops.get("without_method"), stops.get("value")
    if manifest["seeds"] == 1 and before is not None and after is not None and before != after:
        step = summary["step_time_s"]["saved_frac"]
        console.say(
            f"In this seed failures stopped the run {times(before)} without the method and {times(after)} "
            f"with it; the step alone saves {signed(step)}. --seeds 20 compares medians."
        )
    console.line("")


def memory_line(memory: Mapping[str, float]) -> str:
    """Bytes on the fullest accelerator, by part, and whether they fit."""
    parts = ", ".join(
        f"{part} {units.display(size, 'byte', 3)}"
        for part, size in memory.items()
        if part not in ("total", "capacity")
    )
    total, capacity = memory["total"], memory["capacity"]
    fits = "fits" if total <= capacity else "DOES NOT FIT"
    return (
        f"memory: {units.display(total, 'byte', 3)} of {units.display(capacity, 'byte', 3)} an accelerator "
        f"({total / capacity:.0%}, {fits}): {parts}"
    )


def software_line(software: Mapping[str, Any]) -> str:
    """Where the numbers of the software profile come from, and how far it was off on published runs."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in software["num_by_kind"].items())
    low, high = software["spread_low"], software["spread_high"]
    spread = "" if low is None else f" with spreads of {100 * low:.0f} to {100 * high:.0f} %"
    text = (
        f"software: {software['name']}, numbers {kinds}{spread}, fitted on {', '.join(software['fitted_on'])}"
    )
    if not software["num_rows"]:
        return f"{text}; no published run was compared with it"
    new = software["architecture"] not in software["fitted_on"]
    return (
        f"{text}; step times of {software['num_rows']} published rows in {software['num_families']} "
        f"{'family' if software['num_families'] == 1 else 'families'}"
        f"{', none on ' + software['architecture'] + ',' if new else ''} were missed by "
        f"{100 * software['median_error_frac']:.1f} % (median) and {100 * software['p90_error_frac']:.0f} % (p90)"
    )


def error_line(software: Mapping[str, Any] | None, summary: Mapping[str, Entry]) -> str:
    """By how much predictions with this software profile missed published runs, as a range of time and money.

    The error is a factor to either side: ``|log(predicted / measured)|``. A run's time is that of its steps, and at
    given prices its bill goes with its time.
    """
    if software is None or not software.get("expected_median_frac"):
        return ""
    errors = [(software["expected_median_frac"], "median"), (software["expected_p90_frac"], "p90")]
    missed = " and ".join(f"{percent(error)} ({which})" for error, which in errors)
    whose = "published step times"
    if software["architecture"] not in software["fitted_on"]:
        whose = f"{software['name']} is new to {software['architecture']}; step times on such an architecture"
    names = [name for name in ("duration_s", "cost_total_usd") if name in summary]
    ranges = []
    for error, which in errors:
        ends = [
            " to ".join(
                words.shown(summary[name]["value"] * factor, summary[name]["unit"], 3)
                for factor in (1.0 / (1.0 + error), 1.0 + error)
            )
            for name in names
        ]
        ranges.append(f"{' and '.join(ends)} ({which})")
    return (
        f"model error: {whose} were missed by {missed}: {'; '.join(ranges)}; what a real run loses beside its steps is "
        "not in it"
    )


def percent(error_frac: float) -> str:
    """An error as it is told everywhere: small ones with a decimal.

    >>> percent(0.06), percent(0.14)
    ('6.0 %', '14 %')
    """
    return f"{100 * error_frac:.1f} %" if error_frac < 0.1 else f"{100 * error_frac:.0f} %"


def _observed(summary: Mapping[str, Entry]) -> None:
    rows = [
        (name, one) for name in words.in_order(list(summary)) for one in summary[name].get("observed", ())
    ]
    if not rows:
        return
    console.line("")
    table = console.table(
        ["published of the real run", "predicted", "observed", "error", "kind"],
        right=("predicted", "observed", "error"),
        fold=("published of the real run",),
    )
    for name, one in rows:
        table.add_row(
            words.label(name),
            words.shown(one["predicted"], one["unit"]),
            words.shown(one["value"], one["unit"]),
            f"{100 * one['error_frac']:+.1f} %",
            one["kind"] if one["scored"] else f"{one['kind']}, not scored",
        )
    console.show(table, below=False)
    for source in dict.fromkeys(one["source"] for _, one in rows):
        console.say(f"source: {source}")


def _notes(notes: list[str]) -> None:
    if notes and not console.is_quiet():
        console.line("")
        for note in notes:
            console.say(f"note: {note}")


def _closing(answer: Answer) -> None:
    console.line("")
    how = "the same question was answered before; --force computes it again" if answer.reused else "written"
    console.line(f"{answer.folder} ({how})")
