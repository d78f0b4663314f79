"""The exception tree; every error knows where it happened and how to mend it.

::

    SimtoolError            exit 1   our bug, unless a subclass says otherwise
     +- InputError          exit 2   one or more Problems in what the user wrote
     +- InfeasibleError     exit 3   a valid question without an answer; names the limit that binds
     +- OutputError         exit 2   the result could not be written where it was asked for

Exceptions take positional arguments and hand all of them to ``super().__init__``, because SimPy
and process pools rebuild them from ``args``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

EXIT_OK = 0
EXIT_BUG = 1
EXIT_INPUT = 2
EXIT_INFEASIBLE = 3
EXIT_INTERRUPTED = 130

LONGEST_PART = 2000
"""Letters of one part of a message: a word of megabytes is not shown whole."""
LONGEST_WORD = 200
"""No name is longer; comparing would take long."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the input: where, which field, what was found, how to mend it."""

    where: str
    """``file:line:col``, or ``--set``, or the name of the command-line option."""
    field: str
    """Dotted path of the field, or an empty string when the whole file is meant."""
    found: str
    """What stands there."""
    allowed: str = ""
    """What may stand there."""
    mend: str = ""
    """The change that makes it right."""

    def __str__(self) -> str:
        head = ": ".join(part for part in (self.where, self.field) if part)
        parts = (self.found, self.allowed, self.mend)
        tail = "; ".join(
            part if len(part) <= LONGEST_PART else f"{part[:LONGEST_PART]}..." for part in parts if part
        )
        return f"{head}: {tail}" if head else tail


class SimtoolError(Exception):
    """Base of all errors that simtool raises on purpose."""

    exit_code = EXIT_BUG


class InputError(SimtoolError):
    """What the user wrote cannot be understood. Holds every problem that was found, not the first."""

    exit_code = EXIT_INPUT

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        many = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(many)
        self.problems = many

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class InfeasibleError(SimtoolError):
    """The question is clear, but no answer exists: which limit binds, by how much, what would do."""

    exit_code = EXIT_INFEASIBLE

    def __init__(self, limit: str, detail: str, alternatives: Iterable[str] = ()) -> None:
        self.limit, self.detail, self.alternatives = limit, detail, tuple(alternatives)
        super().__init__(limit, detail, self.alternatives)

    def __str__(self) -> str:
        lines = [f"infeasible: {self.limit}: {self.detail}"]
        lines += [f"  nearest that does: {alternative}" for alternative in self.alternatives]
        return "\n".join(lines)


class OutputError(SimtoolError):
    """A result could not be written: disk full, folder not writable, name taken."""

    exit_code = EXIT_INPUT

    def __init__(self, path: str, reason: str, mend: str = "") -> None:
        self.path, self.reason, self.mend = path, reason, mend
        super().__init__(path, reason, mend)

    def __str__(self) -> str:
        return "; ".join(part for part in (f"{self.path}: {self.reason}", self.mend) if part)


def output_error(error: OSError, path: Path, mend: str = "choose another place with -o") -> OutputError:
    """What the file system refused, in plain words, and what mends it.

    Args:
        error: its refusal.
        path: what was to be written.
        mend: what to do where the place is the trouble.

    >>> print(output_error(OSError(errno.ENOSPC, "No space left on device"), Path("out/a")))
    out/a: the disk is full; free space, or choose another place with -o
    """
    place = str(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(place, "the disk is full", f"free space, or {mend}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(place, "this place may not be written to", mend)
    if file := _file_above(path):
        return OutputError(place, f"a file stands where a folder is needed: {file}", mend)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return OutputError(place, "a file stands where a folder is needed", mend)
    if error.errno == errno.ENOENT:
        return OutputError(place, "no folder can be made there", mend)
    return OutputError(place, error.strerror or str(error), mend)


def _file_above(path: Path) -> str:
    """The nearest thing above a path, if it is no folder; empty if it is one."""
    above = next((one for one in path.parents if os.path.lexists(one)), None)
    return "" if above is None or above.is_dir() else str(above)


def near_matches(word: str, known: Iterable[str]) -> list[str]:
    """Up to three known words that are like a word, the nearest first.

    >>> near_matches("nothing", ["t9", "nothin"])
    ['nothin']
    """
    return get_close_matches(word, sorted(known), n=3, cutoff=0.6) if len(word) <= LONGEST_WORD else []


def did_you_mean(word: str, known: Iterable[str], num_shown: int = 12) -> str:
    """A short hint for an unknown word: the near matches, else the known words.

    >>> did_you_mean("h100-smx", ["h100-sxm", "mi300x"])
    "did you mean 'h100-sxm'?"
    """
    names = sorted(known)
    near = near_matches(word, names)
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near)}?"
    shown = ", ".join(names[:num_shown]) + (", ..." if len(names) > num_shown else "")
    return f"known: {shown}" if names else "none is known"
