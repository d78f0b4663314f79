"""`simtool plot` for a datacenter."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from simtool.cli import console, drawing, sites
from simtool.cli.drawing import Drawing
from simtool.cli.sites import SiteTarget


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
        drawn = drawing.draw(
            [
                Drawing(plate.name, plate.lacks(result) or "", partial(write_plate, plate, subject))
                for plate in plates
            ],
            folder,
            progress,
        )
    drawing.tell(drawn, asked=bool(only), as_json=as_json)
