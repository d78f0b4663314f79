"""The manifest of a trace: on what, with what and how it was recorded, and what its columns mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simtool.errors import InputError, Problem
from simtool.trace.schema import ADDED_STREAMS, SCHEMA, columns_by_stream

Status = Literal["running", "finished", "diverged", "interrupted"]
PowerKind = Literal["measured", "modelled", "none"]
Plain = str | bool | int | float | None
Positive = Annotated[float, Field(gt=0)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Device(_Facts):
    """What did the work."""

    name: str = ""
    """As the device calls itself."""
    kind: str = ""
    """``cpu``, ``cuda``, ..."""
    driver: str = ""
    power_limit_w: Positive | None = None
    """Limit that was enforced at the start."""
    idle_power_w: Positive | None = None
    """Power before the run, with nothing to do."""
    scope: str = ""
    """What the power readings include: gpu, module, package, process, ..."""
    num_threads: int | None = Field(default=None, ge=1)
    """Threads of one operation on a CPU."""
    num_devices: int = Field(default=1, ge=1)
    architecture: str = ""
    """Family of hardware profiles; empty where it is not known."""
    num_processors: int | None = Field(default=None, ge=1)
    """Multiprocessors or compute units."""
    memory_size_bytes: Positive | None = None
    cache_size_bytes: Positive | None = None
    """Of the last level."""


class Software(_Facts):
    """What ran on the device."""

    simtool: str = ""
    revision: str = ""
    """Of the code, where it is known."""
    python: str = ""
    torch: str = ""
    toolkit: str = ""
    """Version of the maker's libraries, such as CUDA's."""
    dtype: str = ""
    is_compiled: bool = False


class Clock(_Facts):
    """How the clocks of the streams lie to each other."""

    ops: str = "monotonic"
    """Clock of all times but those of power readings."""
    power: str = "monotonic"
    durations: str = ""
    """Clock of step and phase durations: ``process`` (processor seconds) or ``device`` (synchronised)."""
    zero_s: float | None = None
    """Reading of the clock of `ops` when the trace began."""
    started: str = ""
    """The same moment as UTC, ISO 8601."""
    offset_s: float = 0.0
    """What to add to a time of `power` to have it by the clock of `ops`."""
    offset_error_s: float | None = Field(default=None, ge=0)
    """Its uncertainty."""
    alignment: str = ""
    """How the offset was found: ``wall clock``, ``cross-correlation``, ``given``, ..."""


class Power(_Facts):
    """Where the power readings come from, and how far they can be trusted."""

    kind: PowerKind = "none"
    source: str = ""
    """``nvml-counter``, ``rapl``, ``cpu-seconds``, ..."""
    period_s: tuple[Positive, Positive] | None = Field(default=None, strict=False)
    """Shortest and longest time between readings."""
    window_s: float | None = Field(default=None, ge=0)
    """Time over which the device averages."""
    counter_vs_integral_gap_frac: float | None = None
    """(integral of the power readings - energy counter) / energy counter."""
    by_phase_w: dict[str, Annotated[tuple[float, float], Field(strict=False)]] = Field(default_factory=dict)
    """Mean power of each phase of a step and its standard error, where the meter was read at their borders."""
    coverage_frac: float | None = Field(default=None, ge=0, le=1)
    """Share of the time of the steps in which the power of every device is known."""
    num_gaps: int = Field(default=0, ge=0)
    """Times without readings, over which nothing was integrated."""
    num_resets: int = Field(default=0, ge=0)
    """Times that an energy counter began anew."""
    num_wraps: int = Field(default=0, ge=0)
    """Times that an energy counter went over its end."""


class Data(_Facts):
    """What was trained on."""

    name: str = ""
    fingerprint: str = ""
    """Digest of the data."""


class Manifest(_Facts):
    """Everything about a trace that is no table."""

    task: str = ""
    method: str = "none"
    """Registry names joined by +."""
    seed: int = 0
    num_processes: int = Field(default=1, ge=1)
    """That trained together; the trace is of the first."""
    budget: str = ""
    num_parameters: int | None = Field(default=None, ge=0)
    recipe: dict[str, Plain] = Field(default_factory=dict)
    """Learning rate, batch size and whatever else decides how it was trained."""
    settings: dict[str, Plain] = Field(default_factory=dict)
    """Of the methods."""
    device: Device = Device()
    software: Software = Software()
    clock: Clock = Clock()
    power: Power = Power()
    data: Data = Data()
    status: Status = "running"
    reason: str = ""
    """Why the run did not finish."""
    sources: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Files that the trace was imported from, each with its format."""
    notes: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """What is missing in them or doubtful."""


def as_document(manifest: Manifest) -> dict[str, Any]:
    """The content of ``manifest.yaml``: the manifest with the schema and all columns."""
    return {"schema": SCHEMA, **manifest.model_dump(mode="json"), "columns": columns_by_stream()}


def from_document(document: Mapping[str, Any], where: str) -> Manifest:
    """The manifest that a document describes.

    Args:
        document: what stands in the file.
        where: its path, for errors.

    Raises:
        InputError: with every problem that was found.
    """
    facts = dict(document)
    _check_schema(facts.pop("schema", None), where)
    columns = facts.pop("columns", None)
    problems: list[Problem] = []
    try:
        manifest = Manifest.model_validate(facts)
    except ValidationError as error:
        problems = [
            Problem(
                where, ".".join(map(str, told["loc"])), told["msg"], "", "restore the file as it was written"
            )
            for told in error.errors(include_url=False)
        ]
    problems += _wrong_columns(columns, where)
    if problems:
        raise InputError(problems)
    return manifest


def _check_schema(found: Any, where: str) -> None:
    kind, _, number = SCHEMA.rpartition("/")
    written, _, version = found.rpartition("/") if isinstance(found, str) else ("", "", "")
    if written != kind or not (version.isascii() and version.isdigit()):
        raise InputError(
            Problem(
                where, "schema", f"found {str(found)[:80]!r}", SCHEMA, "name the folder of a trace of simtool"
            )
        )
    if int(version[:9]) > int(number):
        raise InputError(
            Problem(
                where, "schema", f"{found[:80]} is newer than this simtool reads", SCHEMA, "update simtool"
            )
        )
    if int(version[:9]) < int(number):
        raise InputError(
            Problem(where, "schema", f"{found[:80]} was never published", SCHEMA, "record the trace again")
        )


def _wrong_columns(found: Any, where: str) -> list[Problem]:
    """Columns whose unit is not the one that this schema means."""
    if not isinstance(found, Mapping):
        return [Problem(where, "columns", "is missing", "", "restore the file as it was written")]
    problems = []
    for stream, columns in columns_by_stream().items():
        told = found.get(stream)
        if told is None and stream in ADDED_STREAMS:
            continue  # written before there was such a stream
        for name, about in columns.items():
            entry = told.get(name) if isinstance(told, Mapping) else None
            unit = entry.get("unit") if isinstance(entry, Mapping) else None
            if unit != about["unit"]:
                shown = "is missing" if unit is None else f"found the unit {str(unit)[:40]!r}"
                allowed = f"{about['unit']!r}" if about["unit"] else "no unit"
                problems.append(
                    Problem(
                        where,
                        f"columns.{stream}.{name}",
                        shown,
                        allowed,
                        "restore the file as it was written",
                    )
                )
    return problems
