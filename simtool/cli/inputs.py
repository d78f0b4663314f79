"""From what a person types to a loaded scenario, a run folder, or an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtool.cli import console
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.config.load import Document, LoadedScenario
    from simtool.config.validate import Placed
    from simtool.profiles.find import ProfileLibrary
    from simtool.result.result import Result

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A run folder and what it holds, whether it was just written or lay there."""

    folder: Path
    reused: bool
    manifest: dict[str, Any]
    summary: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A scenario to work on, perhaps that of a run folder."""

    loaded: LoadedScenario
    library: ProfileLibrary
    seeds: int
    folder: Path | None
    """The run folder it came from."""


def library(profiles: Sequence[Path] | None, beside: Path | None = None) -> ProfileLibrary:
    """The profiles that a command sees, with those beside a scenario's file."""
    from simtool.profiles.find import default_library

    return default_library(tuple(profiles or ()), beside)


def scenario(
    name: str,
    profiles: Sequence[Path] | None,
    overrides: Sequence[str] | None = None,
    seed: int | None = None,
) -> tuple[LoadedScenario, ProfileLibrary]:
    """A scenario by name or path, with the changes of --set and --seed; and the profiles that it sees.

    Raises:
        InputError: it breaks the schema; with the names that stand for nothing and what does not fit together.
    """
    from simtool.config.load import load_scenario
    from simtool.profiles.find import extendable, find_scenario
    from simtool.result.saved import written_at

    changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
    path = find_scenario(name)
    beside = written_at(path)

    def more(document: Document) -> Placed:
        from simtool.result.references import wrong_references

        return wrong_references(document, beside.parent, library(profiles, beside))

    return replace(load_scenario(path, changes, elsewhere=extendable(), more=more), path=beside), library(
        profiles, beside
    )


def is_run_folder(name: str) -> bool:
    """Whether a typed word is the path of a run folder, be it a damaged one."""
    from simtool.result.saved import is_run_folder as is_one

    return is_one(Path(name))


def target(
    name: str,
    profiles: Sequence[Path] | None,
    overrides: Sequence[str] | None = None,
    seed: int | None = None,
    seeds: int | None = None,
) -> Target:
    """A scenario by name or path; or that of a run folder, provided that it still gives the same run.

    Raises:
        InputError: the run folder is damaged; profiles or simtool have changed since it was written, so
            that its numbers would not be repeated; or --set was given for a run folder.
    """
    if not is_run_folder(name):
        loaded, found = scenario(name, profiles, overrides, seed)
        return Target(loaded=loaded, library=found, seeds=seeds or 1, folder=None)
    from simtool.config.load import load_scenario
    from simtool.result.saved import RESOLVED

    folder = Path(name)
    written = as_it_was_run(folder, asks_for_more=bool(overrides) or seed is not None or seeds is not None)
    loaded = replace(load_scenario(folder / RESOLVED), path=Path(written["scenario"]["path"]))
    found = library(profiles, loaded.path)
    return Target(loaded=loaded, library=found, seeds=int(written["seeds"]), folder=folder)


def solve(chosen: Target, progress: Progress | None = None) -> Result:
    """Run the scenario of a target; that of a run folder must give the run that the folder holds."""
    from simtool.result.manifest import run_hash
    from simtool.result.run import run

    result = run(chosen.loaded, chosen.library, seeds=chosen.seeds, progress=progress)
    if chosen.folder is not None:
        own_hash = run_hash(result.scenario, result.profile_digests, chosen.seeds)
        refuse_changed(chosen.folder, own_hash, result.profile_digests, "scenario")
    return result


def as_it_was_run(folder: Path, *, asks_for_more: bool) -> dict[str, Any]:
    """The manifest of a run folder that is to be used as it was run.

    Raises:
        InputError: it is damaged; or a command asks for changes of it, with --set, --seed or --seeds.
    """
    from simtool.result.saved import RESOLVED, check

    if asks_for_more:
        mend = f"run {folder / RESOLVED} with these options, which gives another run folder"
        raise InputError(
            Problem(str(folder), "", "found --set, --seed or --seeds with a run folder", "", mend)
        )
    return check(folder)


def refuse_changed(folder: Path, own_hash: str, digests: Mapping[str, str], kind: str) -> None:
    """What went into a run folder must still be what it was.

    Args:
        folder: of the run.
        own_hash: of the same run now.
        digests: by name of what goes into it now.
        kind: "scenario" or "datacenter".

    Raises:
        InputError: it has changed, with the names of what has.
    """
    from simtool.result.saved import read_manifest

    written = read_manifest(folder)
    if written["hash"] != own_hash:
        changed = sorted(name for name in digests if written["profiles"].get(name) != digests[name])
        what = ", ".join(changed) or f"simtool {written['simtool']}"
        mend = f"run the {kind} again, which gives a new run folder"
        raise InputError(Problem(str(folder), "", f"{what} has changed since this run", "", mend))


def answer(chosen: Target, out: Path, *, force: bool, progress: Progress | None = None) -> Answer:
    """The run folder of a target below `out`: the one that is there, else a new one.

    Raises:
        OutputError: it cannot be written, or would take the place of files that simtool did not write.
    """
    from simtool.result import folder as folders
    from simtool.result.prepare import prepare

    here = chosen.folder
    if here is None and (out / chosen.loaded.scenario.name).is_dir():
        known = prepare(chosen.loaded, chosen.library).profile_digests
        here = folders.run_folder(out, chosen.loaded.scenario, known, chosen.seeds)
        if force:
            folders.refuse_foreign(here, figures(here))  # before the work, not after it
    if here is not None and not force and folders.is_whole(here):
        return read_answer(here, reused=True)
    result = solve(chosen, progress)
    place = folders.run_folder(out, result.scenario, result.profile_digests, chosen.seeds)
    reused = folders.is_whole(place) and not force
    written = folders.write_run_folder(
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
    from simtool.report.gallery import PLATES

    return tuple(plate.name for plate in PLATES)


def read_answer(folder: Path, *, reused: bool) -> Answer:
    """What a run folder holds."""
    from simtool.result.saved import read_manifest, read_summary

    return Answer(folder=folder, reused=reused, manifest=read_manifest(folder), summary=read_summary(folder))
