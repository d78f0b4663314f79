"""``manifest.yaml`` on disk: claimed once, replaced as a whole, read without trust."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from simtool.errors import InputError, OutputError, Problem
from simtool.trace.manifest import Manifest, as_document, from_document
from simtool.trace.stream_file import plain

NAME = "manifest.yaml"
# In C where PyYAML was built with it: a hundred columns take a tenth of a second else.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = type("_Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
MAX_BYTES = 2**20
MAX_DEPTH = 12
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./(),-]+)*\Z")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})


def claim(folder: Path, manifest: Manifest) -> None:
    """Make the folder and write the manifest, unless a trace is there.

    Raises:
        OutputError: if there is one, or the folder cannot be written.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        left = sorted(found.name for found in folder.iterdir() if found.suffix in {".arrow", ".parquet"})
        if left:
            raise OutputError(str(folder), f"holds {left[0]} of another trace", "name another folder with -o")
        # Of several that come at the same moment, the file system lets one through.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError as error:
        found = "holds a trace already" if path.exists() else "is a file, not a folder"
        raise OutputError(str(folder), found, "name another folder with -o") from error
    except OSError as error:
        raise plain(error, path) from error
    try:
        os.write(descriptor, _text(manifest))
        replace(folder, manifest)  # whole even where the first write was cut short
    except OSError as error:
        path.unlink(missing_ok=True)
        raise plain(error, path) from error
    except OutputError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def replace(folder: Path, manifest: Manifest) -> None:
    """Write the manifest anew: beside, flushed to the disk, then renamed.

    Raises:
        OutputError: if that fails; the former one is kept.
    """
    write_whole(folder / NAME, _text(manifest))


def write_whole(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise plain(error, path) from error


def read(folder: Path) -> Manifest:
    """The manifest of a trace.

    Raises:
        InputError: if there is none, or it cannot be understood.
    """
    path = folder / NAME
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise InputError(Problem(str(folder), "", found, "", "name the folder of a trace"))
    if not path.is_file():
        raise InputError(Problem(str(folder), "", f"has no {NAME}", "", "name the folder of a trace"))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if len(data) > MAX_BYTES:
        raise _unreadable(path, f"is larger than {MAX_BYTES} bytes, which no manifest is")
    return from_document(_mapping(data, path), str(path))


def _mapping(data: bytes, path: Path) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
        _refuse_tricks(text, path)
        document = yaml.load(text, Loader=_LOADER)  # noqa: S506 - the safe one
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"byte {error.start} is no UTF-8") from error
    except yaml.MarkedYAMLError as error:
        found = f"is no YAML: {error.problem or error.context}"
        raise _unreadable(path, found, _place(error.problem_mark)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(path, f"is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise _unreadable(path, "is no mapping of names" if document else "is empty")
    return document


def _refuse_tricks(text: str, path: Path) -> None:
    """Aliases (a few lines that unfold to gigabytes), tags and towers of brackets; nothing of ours needs them."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if (
            isinstance(event, yaml.AliasEvent)
            or getattr(event, "tag", None)
            or getattr(event, "anchor", None)
        ):
            raise _unreadable(path, "has an alias, anchor or tag", _place(event.start_mark))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _unreadable(path, f"is nested deeper than {MAX_DEPTH} levels")


def _place(mark: Any) -> str:
    return "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"


def _unreadable(path: Path, found: str, place: str = "") -> InputError:
    return InputError(Problem(f"{path}{place}", "", found, "", "restore the file as it was written"))


def _represent_text(dumper: Any, text: str) -> Any:
    """Quotes what any reader of YAML could take for something else than text."""
    is_plain = bool(_WORD.match(text)) and text.lower() not in _NOT_TEXT
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_DUMPER.add_representer(str, _represent_text)


def _text(manifest: Manifest) -> bytes:
    written = yaml.dump(as_document(manifest), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=110)
    return str(written).encode()
