"""Drawing the figures of `simtool plot` one after the other, and telling what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from simtool.cli import console
from simtool.cli.inputs import Progress
from simtool.errors import InputError, Problem, output_error


@dataclass(frozen=True, slots=True)
class Drawing:
    """One figure that could be drawn."""

    name: str
    lacks: str
    """Why it cannot be drawn; empty if it can."""
    write: Callable[[Path], Iterable[Path]]
    """Writes it into a folder, and answers with the paths."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn, and what was not."""

    folder: Path
    written: list[str]
    skipped: dict[str, str]
    """Why, by name."""


def draw(drawings: list[Drawing], folder: Path, progress: Progress) -> Drawn:
    """Draw all that can be drawn.

    Raises:
        OutputError: the folder cannot be written.
    """
    written: list[str] = []
    for index, one in enumerate(drawings):
        progress(f"drawing {one.name}", index / len(drawings))
        if one.lacks:
            continue
        try:
            written += [str(path) for path in one.write(folder)]
        except OSError as error:
            raise output_error(error, folder) from error
    return Drawn(folder, written, {one.name: one.lacks for one in drawings if one.lacks})


def tell(drawn: Drawn, *, asked: bool, as_json: bool) -> None:
    """Print paths and what was left out.

    Raises:
        InputError: a figure that was asked for by name cannot be drawn.
    """
    if asked and drawn.skipped:
        raise InputError(
            [Problem("--only", name, f"cannot be drawn: {why}") for name, why in drawn.skipped.items()]
        )
    if as_json:
        console.say_json({"folder": str(drawn.folder), "written": drawn.written, "skipped": drawn.skipped})
        return
    for path in drawn.written:
        console.line(path)
    for name, why in drawn.skipped.items():
        console.tell(f"{name} was not drawn: {why}")
