"""What may be opened as data, and the errors about it.

A file is read only if it is a plain file of sane length: a pipe might never end, a device never
begin, and a small archive may unpack into more than the memory holds.
"""

from __future__ import annotations

import gzip
import hashlib
import stat
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.units import BYTES_PER_GIB

MAX_BYTES = int(BYTES_PER_GIB)
"""Longest data file that is read, after unpacking."""


def data_error(where: Path | str, found: str, allowed: str = "", mend: str = "") -> InputError:
    """What is wrong with a data file as a whole."""
    return InputError(Problem(str(where), "data", found, allowed, mend))


def check_path(path: Path) -> Path:
    """The path, if a file or folder stands there.

    Raises:
        InputError: nothing there, a pipe, a device, or an empty file.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise data_error(path, f"cannot be opened: {reason}", "a file or folder", "check the path") from None
    if stat.S_ISDIR(status.st_mode):
        return path
    if not stat.S_ISREG(status.st_mode):
        raise data_error(
            path, "found a device or pipe", "a plain file or a folder", "save the data to a file"
        )
    if status.st_size == 0:
        raise data_error(path, "the file is empty", "", "name a file with data")
    if status.st_size > MAX_BYTES:
        raise data_error(
            path,
            f"the file has {status.st_size / BYTES_PER_GIB:.1f} GiB",
            f"at most {MAX_BYTES / BYTES_PER_GIB:.0f} GiB",
            "name a part of it",
        )
    return path


def check_file(path: Path) -> Path:
    """The path, if a plain file stands there that is not empty.

    Raises:
        InputError: as `check_path`, or a folder.
    """
    if check_path(path).is_dir():
        raise data_error(path, "found a folder", "a file", "name one file of it")
    return path


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``.

    Raises:
        InputError: as `check_file`, or cut short, or longer than `max_bytes` after unpacking.
    """
    check_file(path)
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as packed:
                content = packed.read(max_bytes + 1)
        else:
            with path.open("rb") as plain:
                content = plain.read(max_bytes + 1)
    except EOFError:
        raise data_error(path, "the gzip file is cut short", "", "fetch it again") from None
    except (OSError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise data_error(path, f"cannot be read: {reason}", "a readable file", "fetch it again") from None
    if len(content) > max_bytes:
        raise data_error(
            path,
            f"unpacks to more than {max_bytes:,} bytes",
            f"at most {max_bytes:,} bytes",
            "name a part of it",
        )
    if not content:
        raise data_error(path, "the file is empty", "", "name a file with data")
    return content


def digest(*arrays: NDArray[np.generic]) -> str:
    """Sixteen hex digits that tell one data set from another."""
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(str((array.dtype, array.shape)).encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()[:16]
