"""Figures to disk: SVG and PNG, and the CSV behind them; the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from simtool.report import style
from simtool.report.table import Table
from simtool.result.place import folder_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = ("svg", "png", "csv")


def render(drawn: Callable[[], Figure]) -> dict[str, bytes]:
    """A figure as SVG and PNG, without date or version, so that it repeats byte by byte."""
    with style.styled():
        figure = drawn()
        vector = _saved(figure, "svg")
        figure.set_layout_engine("none")  # everything has found its place; both files show the same
        return {"svg": vector, "png": _saved(figure, "png")}


def _saved(figure: Figure, kind: str) -> bytes:
    memory = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(memory, format=kind, metadata=metadata)
    return memory.getvalue()


def write(folder: Path, name: str, numbers: Table, drawn: Callable[[], Figure]) -> list[Path]:
    """Write one figure with its table into a folder, which is made if need be; the paths written.

    Raises:
        OSError: the folder cannot be written to; nothing is written before the figure is complete.
    """
    contents = {**render(drawn), "csv": numbers.to_csv().encode()}
    paths = {suffix: folder / f"{name}.{suffix}" for suffix in SUFFIXES}
    partial = {suffix: folder / f".{name}.{suffix}.partial" for suffix in SUFFIXES}
    with folder_for(folder):
        try:
            for suffix, path in partial.items():
                path.write_bytes(contents[suffix])
            for suffix, path in partial.items():
                path.replace(paths[suffix])
        finally:
            for path in partial.values():
                path.unlink(missing_ok=True)
    return list(paths.values())
