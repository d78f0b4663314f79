"""Files that are whole or absent, and folders that vanish where nothing came into them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def make_folders(folder: Path) -> list[Path]:
    """Create a folder with its parents; what had to be created, top down."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            made.append(path)
    except BaseException:
        remove_empty(made)
        raise
    return made


def remove_empty(made: list[Path]) -> None:
    """Remove folders that `make_folders` made, as far as they are empty."""
    for folder in reversed(made):
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def folder_for(folder: Path) -> Iterator[Path]:
    """A folder to write to; one that had to be made is removed again where nothing came into it.

    Raises:
        OSError: it cannot be made.
    """
    made: list[Path] = []
    try:
        made = make_folders(folder)
        yield folder
    except BaseException:
        remove_empty(made)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name, and give it its own once all of it is there.

    Raises:
        OSError: it cannot be written; what was there before is untouched.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
