"""The run folder ``<out>/<scenario>/<hash8>/``: a stable contract, whole or absent.

Everything is written to a sibling with another name, which is renamed at the very end. A full
disk, a folder that may not be written to, or an interruption leaves nothing behind.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from simtool.config.resolved import resolved_yaml
from simtool.config.scenario import Scenario
from simtool.errors import InputError, OutputError, Problem
from simtool.result.ledger_file import write_ledger
from simtool.result.manifest import HASH_LENGTH, manifest, run_hash
from simtool.result.result import Result
from simtool.result.summary import rounded, summarise
from simtool.result.timeline import write_timeline

SUMMARY = "summary.json"
MANIFEST = "manifest.json"
RESOLVED = "scenario.resolved.yaml"
FIGURES = "figures"
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


def run_folder(out: Path, scenario: Scenario, profile_digests: Mapping[str, str], seeds: int = 1) -> Path:
    """Where the run folder of a question is, or will be."""
    return out / scenario.name / run_hash(scenario, profile_digests, seeds)[:HASH_LENGTH]


def is_run_folder(path: Path) -> bool:
    """Whether `path` is a whole run folder."""
    return (path / MANIFEST).is_file() and (path / SUMMARY).is_file()


def write_run_folder(result: Result, out: Path, *, command: str, force: bool = False, seeds: int = 1) -> Path:
    """Write the run folder of a result below `out`; one of the same hash is kept unless `force`.

    Raises:
        OutputError: the folder cannot be written; then nothing of it is left.
    """
    target = run_folder(out, result.scenario, result.profile_digests, seeds)
    if is_run_folder(target) and not force:
        _refuse_other_run(target, run_hash(result.scenario, result.profile_digests, seeds))
        return target
    if target.exists() and not is_run_folder(target) and not force:
        raise OutputError(str(target), "exists, but is not a whole run folder", "remove it, or use --force")
    with whole_folder(target, replace=force) as new:
        _write_json(new / MANIFEST, manifest(result, command=command, seeds=seeds))
        _write_json(new / SUMMARY, summarise(result))
        (new / RESOLVED).write_text(resolved_yaml(result.scenario, result.loaded.origins), "utf-8")
        _write_costs(new / "costs.csv", result)
        write_ledger(new / "ledger.parquet", result.outcome.ledger)
        write_timeline(new / "timeline.perfetto.json.gz", result)
    return target


@contextmanager
def whole_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """A folder to write to that becomes `target` if all goes well, and vanishes otherwise.

    What was at `target` before is replaced only with `replace`, and only once the new folder is complete.

    Raises:
        OutputError: for every error of the file system, with the reason in plain words.
    """
    new = target.with_name(f".{target.name}.{os.getpid()}.partial")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    made: list[Path] = []
    try:
        made = _make_parents(target.parent)
        new.mkdir()
        yield new
        if replace and target.exists():
            target.rename(old)
        new.rename(target)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            if error.errno in _TAKEN and is_run_folder(target):
                return  # another process has just finished the same run: its folder is as good
            raise _plain(error, target) from error
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def read_summary(folder: Path) -> dict[str, dict[str, Any]]:
    """The quantities of a run folder by name.

    Raises:
        InputError: no run folder, or one that is damaged.
    """
    return _read_json(folder, SUMMARY)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What went into a run folder.

    Raises:
        InputError: no run folder, or one that is damaged.
    """
    return _read_json(folder, MANIFEST)


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "is not JSON"
        problem = Problem(
            str(path), "", f"not the file of a run folder ({reason})", "", "run the scenario again"
        )
        raise InputError(problem) from None
    if not isinstance(content, dict):
        raise InputError(
            Problem(str(path), "", "found JSON that is not an object", "", "run the scenario again")
        )
    return content


def _make_parents(folder: Path) -> list[Path]:
    """Create a folder with its parents; what had to be created, top down."""
    missing = [folder, *folder.parents]
    made = [path for path in reversed(missing) if not path.exists()]
    for path in made:
        path.mkdir(exist_ok=True)
    return made


def _refuse_other_run(target: Path, wanted: str) -> None:
    if read_manifest(target).get("hash") != wanted:
        raise OutputError(
            str(target), "holds another run whose hash begins alike", "choose another -o, or use --force"
        )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", "utf-8")


def _write_costs(path: Path, result: Result) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "amount_usd", "note"))
        writer.writerows((line.name, repr(rounded(line.amount_usd)), line.note) for line in result.costs)


def _plain(error: OSError, target: Path) -> OutputError:
    """The file system's refusal in plain words."""
    place = str(target)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return OutputError(
                place, "the disk is full", "nothing was left there; free space or choose another -o"
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return OutputError(place, "this folder may not be written to", "choose another with -o")
        case errno.ENOTDIR | errno.EEXIST:
            return OutputError(place, "a file stands where a folder is needed", "choose another with -o")
        case _:
            return OutputError(place, error.strerror or str(error), "choose another with -o")
