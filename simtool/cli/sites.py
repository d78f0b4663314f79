"""From what a person types to a loaded datacenter, its run folder, or an answer: `simtool.cli.inputs` for sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from simtool.cli import console
from simtool.cli.inputs import (
    Answer,
    Progress,
    as_it_was_run,
    is_run_folder,
    library,
    read_answer,
    refuse_changed,
)
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.config.load_datacenter import LoadedDatacenter
    from simtool.profiles.find import ProfileLibrary
    from simtool.result.datacenter.result import DatacenterResult


MAX_FOLDERS = 3
"""Run folders that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteTarget:
    """A datacenter to work on, perhaps that of a run folder."""

    loaded: LoadedDatacenter
    library: ProfileLibrary
    seeds: int
    folder: Path | None
    """The run folder it came from."""


def is_datacenter(name: str) -> bool:
    """Whether a word names a datacenter: its file, a shipped one, or a run folder of one.

    Raises:
        InputError: it names nothing, or a file that cannot be read.
    """
    from simtool.config.load import load_document
    from simtool.profiles.find import extendable, find_scenario
    from simtool.result.datacenter.files import DATACENTER
    from simtool.result.saved import kind_of, read_manifest

    if is_run_folder(name):
        try:
            return kind_of(read_manifest(Path(name))) == DATACENTER
        except InputError:
            return False  # damaged: told where it is read
    _refuse_folder(Path(name))
    return is_datacenter_schema(load_document(find_scenario(name), elsewhere=extendable()).data.get("schema"))


def _refuse_folder(path: Path) -> None:
    """A folder that is no run folder, but perhaps holds some."""
    if not path.is_dir():
        return
    below = sorted(
        str(one) for pattern in ("*", "*/*") for one in path.glob(pattern) if is_run_folder(str(one))
    )
    mend = "name a run folder, or a YAML file"
    if below:
        more = ", ..." if len(below) > MAX_FOLDERS else ""
        mend = f"name a run folder below it, or a YAML file: {', '.join(below[:MAX_FOLDERS])}{more}"
    raise InputError(Problem(str(path), "", "found a folder that is no run folder", "", mend))


def is_datacenter_schema(schema: object) -> bool:
    """Whether a file's ``schema`` is that of a datacenter, of whatever version."""
    return isinstance(schema, str) and schema.startswith("simtool/datacenter/")


def target(
    name: str,
    profiles: Sequence[Path] | None,
    overrides: Sequence[str] | None = None,
    seed: int | None = None,
    seeds: int | None = None,
) -> SiteTarget:
    """A datacenter by name or path; or that of a run folder, provided that it still gives the same run.

    Raises:
        InputError: it breaks the schema; the run folder is damaged; or --set was given for a run folder.
    """
    from simtool.config.load_datacenter import load_datacenter
    from simtool.profiles.find import extendable, find_scenario
    from simtool.result.saved import RESOLVED, written_at

    if not is_run_folder(name):
        changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
        path = find_scenario(name)
        beside = written_at(path)
        loaded = replace(load_datacenter(path, changes, elsewhere=extendable()), path=beside)
        return SiteTarget(loaded=loaded, library=library(profiles, beside), seeds=seeds or 1, folder=None)
    folder = Path(name)
    written = as_it_was_run(folder, asks_for_more=bool(overrides) or seed is not None or seeds is not None)
    loaded = replace(load_datacenter(folder / RESOLVED), path=Path(written["scenario"]["path"]))
    found = library(profiles, loaded.path)
    return SiteTarget(loaded=loaded, library=found, seeds=int(written["seeds"]), folder=folder)


def solve(chosen: SiteTarget, progress: Progress | None = None) -> DatacenterResult:
    """Run the datacenter of a target; that of a run folder must give the run that the folder holds."""
    from simtool.result.datacenter.manifest import digests_of, hash_of
    from simtool.result.datacenter.run import run_datacenter

    result = run_datacenter(chosen.loaded, chosen.library, seeds=chosen.seeds, progress=progress)
    if chosen.folder is not None:
        own_hash = hash_of(result.site, chosen.seeds)
        refuse_changed(chosen.folder, own_hash, digests_of(result.site), "datacenter")
    return result


def answer(chosen: SiteTarget, out: Path, *, force: bool, progress: Progress | None = None) -> Answer:
    """The run folder of a target below `out`: the one that is there, else a new one.

    Raises:
        OutputError: it cannot be written, or would take the place of files that simtool did not write.
    """
    from simtool.result.datacenter import folder as folders
    from simtool.result.datacenter.prepare import prepare_site
    from simtool.result.folder import is_whole, refuse_foreign

    here = chosen.folder
    if here is None and (out / chosen.loaded.datacenter.name).is_dir():
        here = folders.site_folder(out, prepare_site(chosen.loaded, chosen.library), chosen.seeds)
        if force:
            refuse_foreign(here, figures(here))  # before the work, not after it
    if here is not None and not force and is_whole(here):
        return read_answer(here, reused=True)
    result = solve(chosen, progress)
    place = folders.site_folder(out, result.site, chosen.seeds)
    reused = is_whole(place) and not force
    written = folders.write_site_folder(
        result,
        out,
        command=console.command_line(),
        force=force,
        seeds=chosen.seeds,
        figures=figures(place),
    )
    return read_answer(written, reused=reused)


def figures(folder: Path) -> tuple[str, ...]:
    """Names of the figures that `plot` draws; asked only where a run folder has some."""
    from simtool.result.saved import FIGURES

    if not (folder / FIGURES).exists():
        return ()
    from simtool.report.site_gallery import PLATES

    return tuple(plate.name for plate in PLATES)
