"""One document from a file, its parents and the command line; one scenario from a document.

``extends: base.yaml`` names one parent, relative to the file; a folder of profiles takes what it lacks from
the shipped ones (`Mirror`). Mappings are merged key by key, anything else is replaced. Two kinds of mapping
are replaced as a whole, because half of them would be a lie: a quantity that states its own ``value`` (the
parent's source and spread say nothing about it), and a section that states another ``mode``.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtool.config.compose import MAX_DEPTH
from simtool.config.dump import dump_yaml
from simtool.config.extends import EXTENDS, Elsewhere, extends_problem, parent_path
from simtool.config.marks import COMMAND_LINE, Document, Keys, Mark, dotted, shown, steps, walk
from simtool.config.origins import origins_of
from simtool.config.schema_export import json_schema
from simtool.config.validate import BARE, Placed, validate
from simtool.config.yaml12 import Value, load_yaml, parse_override
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.config.scenario import Scenario

__all__ = [
    "Document",
    "LoadedScenario",
    "dump_yaml",
    "json_schema",
    "load_document",
    "load_scenario",
    "validate",
]

MAX_PARENTS = 10
_FILES = (".yaml", ".yml", ".json", ".csv", ".csv.gz", ".parquet")
"""Endings of the files that a scenario may name."""
_PATH = re.compile(r"[^.\[\]]+(?:\[[0-9]{1,6}\])*(?:\.[^.\[\]]+(?:\[[0-9]{1,6}\])*)*\Z")
_TYPED = Mark(0, 0, COMMAND_LINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedScenario:
    """A scenario, and where each part of it was written."""

    scenario: Scenario
    origins: Mapping[str, str]
    """Origin of every leaf field: ``file.yaml:5:11`` (relative to the scenario's folder), ``--set`` or
    ``default``."""
    path: Path
    document: Document

    def locate(self, field: str) -> str:
        """Place of a dotted field, or of the nearest section around it, as messages give it."""
        return self.document.locate(field)

    def section(self, field: str) -> Document:
        """The mapping at a dotted field as a document, to be checked against a model of its own.

        Raises:
            KeyError: no mapping stands there.
        """
        return self.document.part(tuple(steps(field)))


def load_scenario(
    path: Path | str,
    overrides: Sequence[str] = (),
    *,
    elsewhere: Elsewhere | None = None,
    more: Callable[[Document], Placed] | None = None,
) -> LoadedScenario:
    """Read, merge and check a scenario file.

    Args:
        path: the file.
        overrides: ``path=value`` of every ``--set``, in their order.
        elsewhere: where a parent is looked for that does not stand beside its child.
        more: finds what else is wrong with a document that breaks the schema, so that both are told at once.

    Raises:
        InputError: with every problem, each at its place.
    """
    from simtool.config.scenario import Scenario

    document = load_document(path, overrides, elsewhere=elsewhere)
    scenario = validate(document, Scenario, BARE, more=None if more is None else lambda: more(document))
    origins = origins_of(scenario, document)
    return LoadedScenario(scenario=scenario, origins=origins, path=document.path, document=document)


def load_document(
    path: Path | str, overrides: Sequence[str] = (), *, elsewhere: Elsewhere | None = None
) -> Document:
    """A file with its parents and overrides merged in; `extends` itself is gone.

    Args:
        path: the file.
        overrides: ``path=value``, where the path has dots and list indices (``a.b[0]``) and the value is
            a YAML scalar, ``[a, b]`` or ``{key: value}``. It replaces what stands there.
        elsewhere: where a parent is looked for that does not stand beside its child.

    Raises:
        InputError: a file that cannot be read, a cycle of parents, or an override that cannot be placed.
    """
    chain = _chain(Path(path), elsewhere)
    document = chain[-1]
    for child in reversed(chain[:-1]):
        document = _merged(document, child)
    if overrides:
        document = _overridden(document, overrides)
    return document


def _chain(path: Path, elsewhere: Elsewhere | None = None) -> list[Document]:
    """The file, its parent, and so on, each without its `extends`."""
    chain = [load_yaml(path)]
    seen = {os.path.realpath(path): str(path)}
    while EXTENDS in chain[-1].data:
        child = chain[-1]
        parent, mark = child.data.pop(EXTENDS), child.mark((EXTENDS,))
        if not isinstance(parent, str) or not parent.strip() or "\0" in parent:
            mend = "write a path relative to this file"
            raise extends_problem(mark, f"found {shown(parent)}", "allowed: one file name", mend)
        above = parent_path(child.path, parent, mark, elsewhere)
        if (real := os.path.realpath(above)) in seen:
            mend = "remove one 'extends:'"
            raise extends_problem(mark, f"found a cycle: {seen[real]!r} extends itself", "", mend)
        if len(chain) > MAX_PARENTS:
            mend = "merge some of the files"
            raise extends_problem(mark, f"found more than {MAX_PARENTS} parents in a row", "", mend)
        seen[real] = str(above)
        chain.append(load_yaml(above, asked_by=mark, field=EXTENDS))
        _check_same_kind(chain, mark)
    return chain


def _check_same_kind(chain: Sequence[Document], mark: Mark) -> None:
    """A parent may leave `schema` out, but not be of another kind than its children."""
    *children, parent = chain
    kind = next((child.data["schema"] for child in children if "schema" in child.data), None)
    theirs = parent.data.get("schema", kind)
    if kind is not None and theirs != kind:
        found, allowed = f"found a parent with schema {shown(theirs)}", f"allowed: {shown(kind)}"
        raise extends_problem(mark, found, allowed, "extend a file of the same kind")


def _merged(parent: Document, child: Document) -> Document:
    """`child` laid over `parent`; every value keeps the mark of the file it came from."""
    marks, key_marks = dict(parent.marks), dict(parent.key_marks)

    def lay(below: Any, above: Any, keys: Keys) -> Any:
        if not isinstance(below, dict) or not isinstance(above, dict) or _stands_alone(below, above):
            for at, _ in walk(above, keys):
                marks[at] = child.marks[at]
                if at in child.key_marks:
                    key_marks[at] = child.key_marks[at]
            return above
        marks[keys] = child.marks[keys]
        if keys in child.key_marks:
            key_marks[keys] = child.key_marks[keys]
        laid = {key: lay(below[key], above[key], (*keys, key)) for key in below if key in above}
        new = {key: lay(None, above[key], (*keys, key)) for key in above if key not in below}
        return {**below, **laid, **new}

    data = lay(parent.data, child.data, ())
    return _document(child.path, data, marks, key_marks, (*child.files, *parent.files))


def _stands_alone(below: dict[str, Any], above: dict[str, Any]) -> bool:
    other_mode = "mode" in above and above["mode"] != below.get("mode", above["mode"])
    return "value" in above or other_mode


def _overridden(document: Document, overrides: Sequence[str]) -> Document:
    data = copy.deepcopy(document.data)
    marks, key_marks = dict(document.marks), dict(document.key_marks)
    problems: list[Problem] = []
    for override in overrides:
        try:
            written, value = _parse_override(override)
            keys, made = _place(data, written, _found_here(value.data, document.path.parent))
        except InputError as error:
            problems += error.problems
            continue
        for at in (*made, *(at for at, _ in walk(value.data, keys))):
            marks[at] = key_marks[at] = _TYPED
    if problems:
        raise InputError(problems)
    return _document(document.path, data, marks, key_marks, document.files)


def _found_here(value: Any, folder: Path) -> Any:
    """A typed value; files of the current folder are named in full unless the scenario's has one of that name."""
    if isinstance(value, dict):
        return {key: _found_here(one, folder) for key, one in value.items()}
    if isinstance(value, list):
        return [_found_here(one, folder) for one in value]
    if not isinstance(value, str) or not value.endswith(_FILES):
        return value
    try:
        is_beside = (folder / value).exists()
        return value if is_beside or not Path(value).is_file() else str(Path(value).absolute())
    except (OSError, ValueError):  # a name that no file can have: said where the file is read
        return value


def _parse_override(override: str) -> tuple[Keys, Value]:
    path, equals, text = override.partition("=")
    path = path.strip()
    if not equals or not _PATH.match(path) or path.count(".") + path.count("[") >= MAX_DEPTH:
        found, mend = f"found {shown(override)}", "write e.g. workload.seq_len=4096"
        raise InputError(Problem(COMMAND_LINE, "", found, "allowed: path=value", mend))
    keys = tuple(steps(path))
    if keys[0] == EXTENDS:
        mend = "write it in the file, or name the other file"
        raise InputError(Problem(COMMAND_LINE, EXTENDS, "found a parent on the command line", "", mend))
    return keys, parse_override(text, keys)


def _place(data: dict[str, Any], written: Keys, value: Any) -> tuple[Keys, list[Keys]]:
    """Put `value` where `written` leads; its keys as the data has them, and the mappings made on the way.

    A scalar on the way gives way to a mapping (``layout: auto`` under ``--set layout.tp=8``): the check
    against the schema that follows decides whether one may stand there.
    """
    here: Any = data
    keys: Keys = ()
    made = []
    for step in written[:-1]:
        key = _key(here, step, keys)
        keys = (*keys, key)
        below = here[key] if isinstance(here, list) else here.get(key)
        if not isinstance(below, dict | list):
            below = here[key] = {}
            made.append(keys)
        here = below
    key = _key(here, written[-1], keys)
    here[key] = value
    return (*keys, key), made


def _key(here: dict[str, Any] | list[Any], step: str | int, keys: Keys) -> Any:
    """The key or index of a written step in the mapping or list that stands there."""
    if isinstance(here, dict):
        return str(step)
    text = str(step)
    index = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else -1
    if not 0 <= index < len(here):
        allowed = f"allowed: 0 to {len(here) - 1}" if here else "allowed: no index, the list is empty"
        mend = f"write {dotted(keys)}=[...] to replace the list"
        problem = Problem(COMMAND_LINE, dotted(keys), f"found the list index {shown(step)}", allowed, mend)
        raise InputError(problem)
    return index


def _document(
    path: Path, data: Any, marks: Mapping[Keys, Mark], key_marks: Mapping[Keys, Mark], files: tuple[str, ...]
) -> Document:
    """A document whose marks are those of its data, without what was replaced."""
    places = [keys for keys, _ in walk(data)]
    return Document(
        path=path,
        data=data,
        marks={keys: marks[keys] for keys in places},
        key_marks={keys: key_marks[keys] for keys in places if keys in key_marks},
        files=files,
    )
