"""Reading a run folder back: only what simtool wrote, as it wrote it, is believed.

The manifest holds the SHA-256 of every other file and of itself, so a file that was cut, changed or
taken away is told at once, whatever is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from simtool.errors import InputError, Problem
from simtool.result.datacenter import files as of_datacenter
from simtool.result.manifest import FILES, MANIFEST_SCHEMA, SCENARIO

SUMMARY = "summary.json"
MANIFEST = "manifest.json"
RESOLVED = "scenario.resolved.yaml"
FIGURES = "figures"
SHA256 = "sha256"
"""Key of the manifest: digest of every file of the folder, by name."""
MAX_JSON_BYTES = 2**24
"""A manifest or summary takes a few kilobytes."""
FILES_OF = {SCENARIO: FILES, of_datacenter.DATACENTER: of_datacenter.FILES}
"""What lies in a run folder, by its kind."""
_FIGURE_SUFFIXES = ("svg", "png", "csv")
_MEND = "run the scenario again"


def is_run_folder(path: Path) -> bool:
    """Whether `path` is a run folder, be it a damaged one."""
    return path.is_dir() and any((path / name).exists() for name in (MANIFEST, SUMMARY))


def written_at(path: Path) -> Path:
    """Where a file was written whose relative names of files it keeps: a run folder's resolved file knows that.

    Raises:
        InputError: the run folder's manifest is damaged.
    """
    if path.name != RESOLVED or not (path.parent / MANIFEST).is_file():
        return path
    return Path(read_manifest(path.parent)["scenario"]["path"])


def is_whole(path: Path) -> bool:
    """Whether `path` is a run folder in which every file is as it was written."""
    return is_run_folder(path) and damage(path) is None


def damage(folder: Path) -> InputError | None:
    """What is wrong with a run folder; None if every file is as it was written."""
    try:
        check(folder)
    except InputError as error:
        return error
    return None


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder in which every file is as it was written.

    Raises:
        InputError: no run folder, or one that is damaged.
    """
    manifest = read_manifest(folder)
    written = manifest[SHA256]
    problems = [
        _problem(folder / name, found)
        for name in _files(manifest)
        if name != MANIFEST and (found := _flaw(folder / name, written.get(name)))
    ]
    if problems:
        raise InputError(problems)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """What went into a run folder.

    Raises:
        InputError: no run folder, or one whose manifest is damaged.
    """
    path = folder / MANIFEST
    manifest = _read_json(path)
    schema, digests = manifest.get("schema"), manifest.get(SHA256)
    if schema != MANIFEST_SCHEMA:
        found = "found no 'schema'" if schema is None else f"found schema {schema!r}"[:80]
        raise InputError(_problem(path, found, f"allowed: {MANIFEST_SCHEMA}"))
    if not isinstance(digests, dict) or digests.get(MANIFEST) != _digest_of(manifest):
        raise InputError(_problem(path, "is not as simtool wrote it: cut or changed"))
    if (kind := kind_of(manifest)) not in FILES_OF:
        found, allowed = f"found a run of kind {kind!r}"[:80], f"allowed: {', '.join(FILES_OF)}"
        raise InputError(_problem(path, found, allowed))
    return manifest


def kind_of(manifest: Mapping[str, Any]) -> str:
    """What was run: a ``scenario`` or a ``datacenter``."""
    return str(manifest.get("kind", SCENARIO))


def _files(manifest: Mapping[str, Any]) -> Collection[str]:
    return FILES_OF[kind_of(manifest)]


def _files_there(folder: Path) -> Collection[str]:
    """What simtool writes into a folder of this kind; of any kind where its manifest cannot be read."""
    try:
        return _files(read_manifest(folder))
    except InputError:
        return set().union(*FILES_OF.values())


def read_summary(folder: Path) -> dict[str, dict[str, Any]]:
    """The quantities of a run folder by name.

    Raises:
        InputError: no run folder, or one that is damaged.
    """
    check(folder)
    return _read_json(folder / SUMMARY)


def sealed(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The manifest of a folder, with the digests of the files that lie there and of itself."""
    digests = {name: _digest(folder / name) for name in _files(manifest) if name != MANIFEST}
    whole = {**manifest, SHA256: digests}
    return {**whole, SHA256: {**digests, MANIFEST: _digest_of(whole)}}


def foreign_files(folder: Path, figures: Collection[str] = ()) -> list[str]:
    """Names of what lies in a folder and was not written there by simtool.

    Args:
        folder: the run folder.
        figures: names of the figures that simtool draws into it.
    """
    return [str(path.relative_to(folder)) for path in _foreign(folder, figures)]


def remove(folder: Path, figures: Collection[str] = ()) -> None:
    """Delete a run folder, but no file that simtool did not write.

    Raises:
        OSError: something else lies there, or may not be removed; the rest is gone.
    """
    for place in (folder / FIGURES, folder):
        if not place.is_dir() or place.is_symlink():
            continue
        strange = set(_foreign(folder, figures))
        for path in list(place.iterdir()):
            if path not in strange and not path.is_dir():
                path.unlink()
        place.rmdir()


def _foreign(folder: Path, figures: Collection[str]) -> Iterator[Path]:
    names = {f"{figure}.{suffix}" for figure in figures for suffix in _FIGURE_SUFFIXES}
    names |= {f".{name}.partial" for name in names}  # of a plot that was killed
    own = _files_there(folder)
    for path in sorted(folder.iterdir()):
        if path.name == FIGURES and path.is_dir() and not path.is_symlink():
            yield from (drawn for drawn in sorted(path.iterdir()) if not _is_ours(drawn, names))
        elif not _is_ours(path, own):
            yield path


def _is_ours(path: Path, names: Collection[str]) -> bool:
    return path.name in names and stat.S_ISREG(path.lstat().st_mode)


def _flaw(path: Path, written: object) -> str:
    """Why a file is not as it was written; empty if it is."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not a file"
        return "" if _digest(path) == written else "is not as simtool wrote it: cut or changed"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(manifest: Mapping[str, Any]) -> str:
    """Digest of all of a manifest but its own digest."""
    digests = {name: digest for name, digest in manifest[SHA256].items() if name != MANIFEST}
    text = json.dumps({**manifest, SHA256: digests}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise InputError(_problem(path, "is not a file"))
        with path.open("rb") as file:
            content = json.loads(_text(file))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "is not JSON"
        raise InputError(_problem(path, f"not the file of a run folder ({reason})")) from None
    if not isinstance(content, dict):
        raise InputError(_problem(path, "found JSON that is not an object"))
    return content


def _text(file: BinaryIO) -> str:
    data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise ValueError("too long")
    return data.decode("utf-8")


def _problem(path: Path, found: str, allowed: str = "") -> Problem:
    return Problem(str(path), "", found, allowed, _MEND)
