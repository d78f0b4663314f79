"""`simtool plot` for a datacenter."""

from __future__ import annotations

from pathlib import Path

from simtool.cli import console, sites
from simtool.cli.sites import SiteTarget
from simtool.errors import InputError, Problem, output_error


def plot(chosen: SiteTarget, *, out: Path | None, only: list[str], force: bool, as_json: bool) -> None:
    """Draw the figures of a datacenter, each with the table behind it."""
    from simtool.report.site_gallery import PLATES, SiteSubject, choose, write_plate
    from simtool.result.datacenter.folder import write_site_folder
    from simtool.result.saved import FIGURES

    plates = choose(only)
    with console.progress() as progress:
        result = sites.solve(chosen, progress)
        folder = out
        if folder is None:
            base = chosen.folder or write_site_folder(
                result,
                Path("out"),
                command=console.command_line(),
                force=force,
                seeds=chosen.seeds,
                figures=[plate.name for plate in PLATES],
            )
            folder = base / FIGURES
        subject = SiteSubject(result=result, seeds=chosen.seeds)
        written: list[str] = []
        skipped: dict[str, str] = {}
        for index, plate in enumerate(plates):
            progress(f"drawing {plate.name}", index / len(plates))
            if reason := plate.lacks(result):
                skipped[plate.name] = reason
                continue
            try:
                written += [str(path) for path in write_plate(plate, subject, folder)]
            except OSError as error:
                raise output_error(error, folder) from error
    if only and skipped:
        raise InputError(
            [Problem("--only", name, f"cannot be drawn: {why}") for name, why in skipped.items()]
        )
    if as_json:
        console.say_json({"folder": str(folder), "written": written, "skipped": skipped})
        return
    for path in written:
        console.line(path)
    for name, why in skipped.items():
        console.tell(f"{name} was not drawn: {why}")
