"""The kinds of files: which class each is read into, and which versions of it this simtool knows.

A kind names its class as text and imports it on the first look-up, so this low room can offer the
kinds of the rooms above without importing them.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from simtool.config.marks import shown
from simtool.errors import InputError, Problem, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKind:
    """One kind of file."""

    name: str
    module: str
    class_name: str
    version: int = 1
    bare_quantities: bool = False
    """Whether a quantity may stand without its source."""

    @property
    def schema(self) -> str:
        """The value of the file's ``schema``."""
        return f"simtool/{self.name}/{self.version}"

    def load(self) -> type[BaseModel]:
        """The class, imported if it was not."""
        model: type[BaseModel] = getattr(importlib.import_module(self.module), self.class_name)
        return model


def _profile(name: str) -> FileKind:
    return FileKind(name=name, module="simtool.profiles.schema", class_name=name.capitalize())


KINDS: dict[str, FileKind] = {
    kind.name: kind
    for kind in (
        FileKind(
            name="scenario", module="simtool.config.scenario", class_name="Scenario", bare_quantities=True
        ),
        FileKind(
            name="datacenter",
            module="simtool.config.datacenter",
            class_name="Datacenter",
            bare_quantities=True,
        ),
        _profile("accelerator"),
        _profile("node"),
        _profile("network"),
        _profile("software"),
        FileKind(name="model", module="simtool.workload.preset", class_name="ModelPreset"),
        FileKind(name="encoder", module="simtool.workload.preset", class_name="EncoderPreset"),
        FileKind(name="vision", module="simtool.workload.preset", class_name="VisionPreset"),
        FileKind(name="convnet", module="simtool.workload.preset", class_name="ConvNetPreset"),
        FileKind(name="recommender", module="simtool.workload.preset", class_name="RecommenderPreset"),
        FileKind(name="facility", module="simtool.facility.profile", class_name="FacilityProfile"),
        FileKind(name="effect", module="simtool.methods.effect", class_name="Effect"),
        FileKind(name="transfer", module="simtool.transfer.constants", class_name="Transfer"),
        FileKind(name="reliability", module="simtool.profiles.reliability", class_name="ReliabilityProfile"),
        FileKind(name="tariff", module="simtool.profiles.tariff", class_name="Tariff"),
        FileKind(name="workload", module="simtool.workload.captured", class_name="CapturedWorkload"),
        FileKind(name="jobs", module="simtool.jobs.generator", class_name="Generator"),
    )
}

_SCHEMA = re.compile(r"simtool/([a-z][a-z0-9-]*)/([0-9]{1,6})\Z")


def file_kind(name: str) -> FileKind:
    """The kind of this name.

    Raises:
        InputError: no such kind.
    """
    if name not in KINDS:
        raise InputError(Problem("", "kind", f"found {shown(name)}", "", did_you_mean(name, KINDS)))
    return KINDS[name]


def kind_of(model_class: type[BaseModel]) -> FileKind | None:
    """The kind that is read into this class, if one is."""
    where = (model_class.__module__, model_class.__qualname__)
    return next((kind for kind in KINDS.values() if (kind.module, kind.class_name) == where), None)


def schema_problem(written: Any, kind: FileKind, is_written: bool) -> Problem | None:
    """What is wrong with a file's ``schema``, if it is to be of this kind."""
    line = f"'schema: {kind.schema}'"

    def problem(found: str, mend: str) -> Problem:
        return Problem("", "schema", found, f"allowed: {kind.schema}", mend)

    if not is_written:
        return problem("found no such key", f"begin the file with {line}")
    if written == kind.schema:
        return None
    found = f"found {shown(written)}"
    match = _SCHEMA.match(written) if isinstance(written, str) else None
    if match is None:
        return problem(found, f"write {line}")
    name, version = match[1], int(match[2])
    if name not in KINDS:
        return problem(f"{found}, which is no kind of file", did_you_mean(name, KINDS))
    if name != kind.name:
        return problem(f"{found}, a file of another kind", f"name a file of kind {kind.name}")
    if version > kind.version:
        return problem(f"{found}, which needs a newer simtool", f"update simtool, or write {line}")
    mend = f"bring the fields up to date and write {line}"
    return problem(f"{found}, which is older than any that can be read", mend)
