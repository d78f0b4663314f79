"""The run folder ``<out>/<scenario>/<hash8>/``: a stable contract, whole or absent.

Everything is written to a sibling with another name, which is renamed at the very end. A full
disk, a folder that may not be written to, or an interruption leaves nothing behind. What simtool did
not write is never deleted.
"""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from simtool.config.resolved import resolved_yaml
from simtool.config.scenario import Scenario
from simtool.errors import OutputError, output_error
from simtool.result.ledger_file import write_ledger
from simtool.result.manifest import HASH_LENGTH, manifest, run_hash
from simtool.result.place import make_folders, remove_empty
from simtool.result.result import Result
from simtool.result.saved import (
    FIGURES,
    MANIFEST,
    RESOLVED,
    SUMMARY,
    damage,
    foreign_files,
    is_run_folder,
    is_whole,
    read_manifest,
    read_summary,
    remove,
    sealed,
)
from simtool.result.summary import rounded, summarise
from simtool.result.timeline import write_timeline

__all__ = [
    "FIGURES",
    "MANIFEST",
    "RESOLVED",
    "SUMMARY",
    "is_run_folder",
    "is_whole",
    "keep_or_write",
    "read_manifest",
    "read_summary",
    "refuse_foreign",
    "run_folder",
    "whole_folder",
    "write_json",
    "write_run_folder",
]

LOGGER = logging.getLogger(__name__)
_SHOWN = 5
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


def run_folder(out: Path, scenario: Scenario, profile_digests: Mapping[str, str], seeds: int = 1) -> Path:
    """Where the run folder of a question is, or will be."""
    return out / scenario.name / run_hash(scenario, profile_digests, seeds)[:HASH_LENGTH]


def write_run_folder(
    result: Result,
    out: Path,
    *,
    command: str,
    force: bool = False,
    seeds: int = 1,
    figures: Collection[str] = (),
) -> Path:
    """Write the run folder of a result below `out`; a whole one of the same hash is kept unless `force`.

    Args:
        result: what is written.
        out: the folder of all run folders.
        command: for the manifest.
        force: replace a folder that is there.
        seeds: number of runs in the result.
        figures: names of the figures that simtool draws into run folders; other files there are kept.

    Raises:
        OutputError: the folder cannot be written, then nothing of it is left; or what stands there is
            not simtool's alone.
    """

    def write(new: Path) -> None:
        write_json(new / SUMMARY, summarise(result))
        (new / RESOLVED).write_text(resolved_yaml(result.scenario, result.loaded.origins), "utf-8")
        _write_costs(new / "costs.csv", result)
        write_ledger(new / "ledger.parquet", result.outcome.ledger)
        write_timeline(new / "timeline.perfetto.json.gz", result)
        write_json(new / MANIFEST, sealed(manifest(result, command=command, seeds=seeds), new))

    own_hash = run_hash(result.scenario, result.profile_digests, seeds)
    return keep_or_write(out / result.scenario.name, own_hash, write, force=force, figures=figures)


def keep_or_write(
    above: Path, own_hash: str, write: Callable[[Path], None], *, force: bool, figures: Collection[str]
) -> Path:
    """The run folder of a hash below `above`: the whole one that is there unless `force`, else a new one.

    Args:
        above: the folder of all runs of one name.
        own_hash: of the run, all of it.
        write: writes the files, the manifest last, into the folder that it is given.
        force: replace a folder that is there.
        figures: names of the figures that simtool draws into run folders; other files there are kept.

    Raises:
        OutputError: the folder cannot be written, then nothing of it is left; or what stands there is
            not simtool's alone, or another run's.
    """
    target = above / own_hash[:HASH_LENGTH]
    replace = force
    if is_run_folder(target) and not force:
        flaws = damage(target)
        if flaws is None:
            _refuse_other_run(target, own_hash)
            return target
        LOGGER.warning("%s: is damaged (%s) and is written anew", target, flaws.problems[0].found)
        replace = True
    elif target.exists() and not force:
        raise OutputError(str(target), "exists, but is not a whole run folder", "remove it, or use --force")
    with whole_folder(target, replace=replace, figures=figures) as new:
        write(new)
    return target


@contextmanager
def whole_folder(target: Path, *, replace: bool, figures: Collection[str] = ()) -> Iterator[Path]:
    """A folder to write to that becomes `target` if all goes well, and vanishes otherwise.

    What was at `target` before is replaced only with `replace`, only once the new folder is complete,
    and only if simtool wrote all of it.

    Raises:
        OutputError: for every error of the file system, with the reason in plain words; and for files
            at `target` that simtool did not write.
    """
    new = target.with_name(f".{target.name}.{os.getpid()}.partial")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    made: list[Path] = []
    try:
        if replace:
            refuse_foreign(target, figures)
        made = make_folders(target.parent)
        new.mkdir()
        yield new
        if replace and target.exists():
            refuse_foreign(target, figures)  # it may have come while we were writing
            target.rename(old)
        new.rename(target)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        remove_empty(made)
        if isinstance(error, OSError):
            if error.errno in _TAKEN and is_whole(target):
                return  # another process has just finished the same run: its folder is as good
            raise output_error(error, target) from error
        raise
    finally:
        if old.exists():
            with suppress(OSError):
                remove(old, figures)


def refuse_foreign(target: Path, figures: Collection[str] = ()) -> None:
    """Refuse to replace a folder that holds what simtool did not write.

    Raises:
        OutputError: it does, or it is no folder at all.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(
            str(target),
            "a file or link stands where a folder is needed",
            "move it away, or choose another -o",
        )
    if target.is_dir() and (foreign := foreign_files(target, figures)):
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise OutputError(
            str(target),
            f"holds files that simtool did not write and will not delete: {', '.join(foreign[:_SHOWN])}{more}",
            "move them away, or choose another -o",
        )


def _refuse_other_run(target: Path, wanted: str) -> None:
    if read_manifest(target).get("hash") != wanted:
        raise OutputError(
            str(target), "holds another run whose hash begins alike", "choose another -o, or use --force"
        )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write values as JSON that people can read, too."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:  # a path that is no text; escaped, it is read back as it was
        data = json.dumps(content, indent=2, allow_nan=False).encode() + b"\n"
    path.write_bytes(data)


def _write_costs(path: Path, result: Result) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "amount_usd", "note"))
        writer.writerows((line.name, repr(rounded(line.amount_usd)), line.note) for line in result.costs)
        writer.writerows(
            (name, "", "not known: needs a power that nobody states") for name in result.bill_lacks
        )
