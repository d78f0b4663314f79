"""Bytes to text: whatever a path leads to, the answer is text or one clear error.

The file's kind and size are looked at before it is opened, so a device, a pipe or a file of many
gigabytes costs nothing.
"""

from __future__ import annotations

import re
import stat
from itertools import islice
from pathlib import Path

from simtool.config.marks import Mark
from simtool.errors import InputError, Problem, did_you_mean

MAX_FILE_BYTES = 4 * 2**20
"""A scenario takes a few kilobytes; what is larger is data and belongs into a CSV file."""

_MAX_SIBLINGS = 2000
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# What YAML calls printable, without three line separators that YAML 1.1 parsers break lines at and
# YAML 1.2 does not, and without byte-order marks inside the text.
_UNREADABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def read_text(path: Path, asked_by: Mark | None = None, field: str = "") -> str:
    """The text of a YAML file.

    Args:
        path: the file.
        asked_by: where the path was written, if a file names it; problems with the file as a whole
            are reported there.
        field: the field that names it.

    Raises:
        InputError: not a readable, regular file of UTF-8 text below `MAX_FILE_BYTES`.
    """
    data = _read_bytes(path, asked_by, field)
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if data.startswith(_UTF16):
        raise _problem(Mark(1, 1, str(path)), "found UTF-16 text", "save the file as UTF-8")
    if (offset := data.find(b"\0")) >= 0:
        where = Mark(0, 0, str(path))
        raise _problem(where, f"found a binary file (a NUL byte at offset {offset})", "name a YAML file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        where = _place(data[: error.start].decode("utf-8"), str(path))
        found = f"found byte 0x{data[error.start]:02x} at offset {error.start}, which is not UTF-8"
        raise _problem(where, found, "save the file as UTF-8") from None
    check_characters(text, str(path))
    return text


def check_characters(text: str, file: str, *, inline: bool = False) -> None:
    """Refuse control characters and line separators on which YAML versions disagree."""
    if match := _UNREADABLE.search(text):
        found = f"found the character U+{ord(match[0]):04X}, which YAML text may not hold"
        mend = f'remove it, or write "\\u{ord(match[0]):04x}" in double quotes'
        where = Mark(0, 0, file) if inline else _place(text[: match.start()], file)
        raise _problem(where, found, mend)


def _read_bytes(path: Path, asked_by: Mark | None, field: str) -> bytes:
    where = asked_by or Mark(0, 0, str(path))
    name = f" {str(path)!r}" if asked_by else ""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _problem(where, f"found a folder{name}", _files_in(path), field)
        if not stat.S_ISREG(status.st_mode):
            raise _problem(where, f"found a device or pipe{name}", "name a YAML file", field)
        size = status.st_size
        with path.open("rb") as file:
            data = b"" if size > MAX_FILE_BYTES else file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise _problem(where, f"found no such file{name}", _nearest(path), field) from None
    except PermissionError:
        mend = "make the file readable for you"
        raise _problem(where, f"found a file{name} that may not be read", mend, field) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _problem(where, f"found a path{name} that cannot be read: {reason}", "", field) from None
    size = max(size, len(data))
    if size > MAX_FILE_BYTES:
        found = f"found a file{name} of {size / 2**20:,.0f} MiB"
        mend = f"at most {MAX_FILE_BYTES / 2**20:.0f} MiB are read; keep tables in CSV files"
        raise _problem(where, found, mend, field)
    return data


def _place(before: str, file: str) -> Mark:
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"), file)


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r}"
    names = _yaml_names(path.parent)
    return did_you_mean(path.name, names) if names else f"{str(path.parent)!r} holds no YAML file"


def _files_in(folder: Path) -> str:
    names = _yaml_names(folder)
    return f"name one of its files: {', '.join(names[:12])}" if names else "name a YAML file"


def _yaml_names(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in islice(folder.iterdir(), _MAX_SIBLINGS)]
    except OSError:
        return []
    return sorted(name for name in names if name.endswith((".yaml", ".yml")))


def _problem(where: Mark, found: str, mend: str, field: str = "") -> InputError:
    return InputError(Problem(str(where), field, found, "", mend))
