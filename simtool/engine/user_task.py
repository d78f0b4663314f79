"""A task file of the user's that raises while it is used: whose mistake it was, and in which line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simtool.engine import model
from simtool.errors import InputError, Problem, SimtoolError


@contextmanager
def blaming(name: str) -> Iterator[None]:
    """Turn what a task file raises into one clear error; what arises elsewhere stays as it is.

    Args:
        name: of the task; only one that ends in ``.py`` is the user's.

    Raises:
        InputError: if the error passed through the file, or through the model that it built.
    """
    try:
        yield
    except (SimtoolError, KeyboardInterrupt):
        raise
    except Exception as error:
        if name.endswith(".py") and (place := _place(error, Path(name))):
            what = f"raised {type(error).__name__}: {error}".rstrip(": ")
            raise InputError(Problem(*place, what, "", "mend the task file")) from error
        raise


def _place(error: Exception, path: Path) -> tuple[str, str] | None:
    """Where to look, and in what; None if neither the file nor its model had a part in it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    if own:
        return f"{path}:{own[-1].lineno}", own[-1].name
    if any(frame.filename == model.__file__ and frame.name in ("forward", "front") for frame in frames):
        return str(path), "the model that build() made"
    return None
