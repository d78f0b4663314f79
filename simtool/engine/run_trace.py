"""The trace of a whole run from its parts: every start of a run that was stopped and continued leaves one.

A run that goes on begins behind its last checkpoint, so what an earlier part recorded behind that was done
again. It is left out here: every step, evaluation and event counts once, as in the summary of the run.
Prices and operations come from the last part, whose cost table holds the whole run; what only an earlier
process saw (profiles, plans) is taken from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simtool.engine.facts import TRACE
from simtool.engine.watch import combined_kind
from simtool.trace.columns import RowTaker, record_batch
from simtool.trace.manifest import Manifest
from simtool.trace.reader import Trace, read_trace
from simtool.trace.schema import EVALUATIONS, EVENTS, OPS, OUTSIDE, PHASES, POWER, SIGNATURES, STEPS, Stream

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
RESUME = "resume"
TIMES = ("begin_s", "end_s", "time_s")


def read_run(folder: Path) -> Trace:
    """All parts of the run in a folder as one trace; of a run that was never stopped, its only part as it is.

    Raises:
        InputError: if there is none, or one is damaged.
    """
    folders = [folder / TRACE]
    while (following := folder / f"{TRACE}-{len(folders) + 1}").is_dir():
        folders.append(following)
    *earlier, last = folders
    # A start that was killed before it had written anything left an empty folder.
    parts = [read_trace(path) for path in earlier if (path / "manifest.yaml").is_file()]
    return joined([*parts, read_trace(last)])


def joined(parts: Sequence[Trace]) -> Trace:
    """The parts of one run, in the order of their starts, as one trace.

    Args:
        parts: each but the first says in its event ``resume`` after which step it goes on; without
            that event it began anew, and what stood before is left out. One that did no step, because
            the start was refused or stopped at once, says nothing of the run.
    """
    parts = [trace for trace in parts if trace.steps.num_rows] or parts[-1:]
    kept: list[_Part] = []
    until: float = inf
    for trace in reversed(parts):
        part = _Part(trace, until)
        kept.insert(0, part)
        if part.resumed_after is None:
            break
        until = part.resumed_after
    if len(kept) == 1:
        return parts[-1]
    _align(kept)
    _drop_repeated(kept)
    last = kept[-1].trace
    num_steps = Counter(row["signature"] for part in kept for row in part.steps)
    signatures, phases, ops = _prices(kept, num_steps)
    names = dict.fromkeys(name for part in kept for name in part.trace.power)
    return replace(
        last,
        manifest=_manifest([part.trace.manifest for part in kept]),
        steps=_table(STEPS, (row for part in kept for row in part.steps)),
        evaluations=_table(EVALUATIONS, (row for part in kept for row in part.evaluations)),
        events=_table(EVENTS, (row for part in kept for row in part.events)),
        signatures=_table(SIGNATURES, signatures),
        phases=_table(PHASES, phases),
        ops=_table(OPS, ops),
        power=MappingProxyType(
            {
                name: _table(POWER, (row for part in kept for row in part.power.get(name, ())))
                for name in names
            }
        ),
    )


class _Part:
    """What one part adds to the run.

    Args:
        trace: the part.
        until: the last step that counts; later ones were done again by the next part.
    """

    def __init__(self, trace: Trace, until: float) -> None:
        self.trace = trace
        events = trace.events.to_pylist()
        resumes = [number for number, row in enumerate(events) if row["kind"] == RESUME]
        self.resumed_after: int | None = events[resumes[0]]["step"] if resumes else None
        first = resumes[0] if resumes else 0  # what is prepared anew before was told by the first part
        events = events[first:]
        late = next((at for at, row in enumerate(events) if (row["step"] or 0) > until), len(events))
        self.events: list[Row] = events[:late]
        self.steps: list[Row] = [row for row in trace.steps.to_pylist() if row["step"] <= until]
        self.evaluations: list[Row] = [row for row in trace.evaluations.to_pylist() if row["step"] <= until]
        self.power: dict[str, list[Row]] = {name: table.to_pylist() for name, table in trace.power.items()}

    def last_s(self) -> float:
        """The latest time of this part."""
        rows = [*self.steps[-1:], *self.evaluations[-1:], *self.events[-1:]]
        return max((row[name] for row in rows for name in TIMES if row.get(name) is not None), default=-inf)

    def shift(self, by_s: float) -> None:
        """Move all times."""
        for row in (
            *self.steps,
            *self.evaluations,
            *self.events,
            *(one for rows in self.power.values() for one in rows),
        ):
            for name in TIMES:
                if row.get(name) is not None:
                    row[name] += by_s


def _align(parts: Sequence[_Part]) -> None:
    """Where the monotonic clock began anew (another boot, another machine), go by the dates of the starts."""
    for before, after in pairwise(parts):
        first, second = before.trace.manifest.clock, after.trace.manifest.clock
        if first.zero_s is None or second.zero_s is None or second.zero_s >= before.last_s():
            continue
        apart_s = (
            datetime.fromisoformat(second.started) - datetime.fromisoformat(first.started)
        ).total_seconds()
        begin_s = max(first.zero_s + apart_s, before.last_s())
        after.shift(begin_s - second.zero_s)


def _drop_repeated(parts: Sequence[_Part]) -> None:
    """An evaluation right after the checkpoint was done again by the next part, unless it was saved, too."""
    seen: set[tuple[Any, ...]] = set()
    for part in reversed(parts):
        mine = [row for row in part.evaluations if _place(row) not in seen]
        seen.update(map(_place, mine))
        part.evaluations = mine


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["step"], row["part"], row["metric"]


def _prices(parts: Sequence[_Part], num_steps: Mapping[str, int]) -> tuple[list[Row], list[Row], list[Row]]:
    """Signatures, phases and operations: the latest of each kind, with the profile of whoever sampled most."""
    signatures: list[Row] = []
    phases: list[Row] = []
    ops: list[Row] = []
    tables = [
        {name: _by_signature(getattr(part.trace, name)) for name in ("signatures", "phases", "ops")}
        for part in parts
    ]
    for name in dict.fromkeys(name for table in tables for name in table["signatures"]):
        if name != OUTSIDE and not num_steps.get(name):
            continue  # met only in what was done again
        holding = [table for table in tables if name in table["signatures"]]
        latest = holding[-1]
        numbers = [table["signatures"][name][0]["num_sampled"] for table in holding]
        sampled = next(
            table
            for table, number in zip(reversed(holding), reversed(numbers), strict=True)
            if number == max(numbers)
        )
        (row,) = latest["signatures"][name]
        for older in reversed(holding[:-1]):  # a plan that the last process did not meet
            (before,) = older["signatures"][name]
            row |= {key: value for key, value in before.items() if row[key] is None}
        row["num_sampled"] = max(numbers)
        row["num_steps"] = num_steps.get(name, row["num_steps"])
        signatures.append(row)
        wall_s = {one["phase"]: one["sampled_mean_s"] for one in sampled["phases"].get(name, ())}
        phases += [
            {**one, "sampled_mean_s": wall_s.get(one["phase"])} for one in latest["phases"].get(name, ())
        ]
        ops += sampled["ops"].get(name, ())
    return signatures, phases, ops


def _by_signature(table: pa.Table) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in table.to_pylist():
        found.setdefault(row["signature"], []).append(row)
    return found


def _manifest(manifests: Sequence[Manifest]) -> Manifest:
    """Of the last part, with the beginning of the first; energy is measured only if it was in all of them."""
    first, last = manifests[0], manifests[-1]
    kind = combined_kind(*(manifest.power.kind for manifest in manifests))
    power = last.power
    if kind != power.kind:
        sources = "+".join(dict.fromkeys(manifest.power.source for manifest in manifests))
        power = power.model_copy(update={"kind": kind, "source": sources})
    return last.model_copy(update={"clock": first.clock, "power": power})


def _table(stream: Stream, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    take = RowTaker(stream)
    return pa.Table.from_batches([record_batch(stream, [take(row) for row in rows])])
