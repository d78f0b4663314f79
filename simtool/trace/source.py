"""A file that somebody else's tool wrote: its text in pieces, whatever its size, packed or not.

Nothing is trusted: a cut gzip stream, bytes that are no text, an archive of another kind end in one
`InputError` that names the file.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from simtool.errors import InputError, Problem

PIECE_BYTES = 2**22
"""Bytes that are read, or unpacked, at once."""
HEAD_CHARACTERS = 2**16
"""Beginning of a file by which its format is recognised."""
MAX_LINE_CHARACTERS = 2**20
"""A longer line is no line of a log."""
_GZIP = b"\x1f\x8b"
_OTHER_PACKED = {
    b"PK\x03\x04": "a ZIP archive",
    b"\xfd7zXZ": "packed with xz",
    b"BZh": "packed with bzip2",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "a database of SQLite, as Nsight Systems exports",
}


def refuse(where: str, found: str, mend: str, *, field: str = "", allowed: str = "") -> InputError:
    """The refusal of a file."""
    return InputError(Problem(where, field, found, allowed, mend))


def counted(num: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "gap"), counted(2, "gap")
    ('1 gap', '2 gaps')
    """
    return f"{num} {what}{'s' * (num != 1)}"


@dataclass(frozen=True)
class Source:
    """One file to read: plain text or gzip, UTF-8 with or without byte order mark.

    Raises:
        InputError: from any method, if the file is missing, cut, or no text.
    """

    path: Path

    @property
    def where(self) -> str:
        """How errors call it."""
        return str(self.path)

    @cached_property
    def head(self) -> str:
        """Its beginning, at most `HEAD_CHARACTERS`."""
        text = ""
        for piece in self.pieces(HEAD_CHARACTERS):
            text += piece
            if len(text) >= HEAD_CHARACTERS:
                break
        return text[:HEAD_CHARACTERS]

    def pieces(self, piece_bytes: int = PIECE_BYTES) -> Iterator[str]:
        """The text, in pieces of about `piece_bytes`."""
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        num_bytes = 0
        try:
            for data in self._bytes(piece_bytes):
                text = decoder.decode(data)
                num_bytes += len(data)
                if "\0" in text:
                    raise refuse(self.where, "holds zero bytes, which no text does", _GIVE_TEXT)
                if text:
                    yield text
            if text := decoder.decode(b"", final=True):
                yield text
        except UnicodeDecodeError as error:
            place = f"byte {num_bytes + error.start}"
            raise refuse(self.where, f"is no UTF-8 text at about {place}", _GIVE_TEXT) from error

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number, from 1, and text of every line, without its end."""
        rest, number = "", 0
        for piece in self.pieces():
            *whole, rest = (rest + piece).split("\n")
            for line in whole:
                number += 1
                yield number, line.rstrip("\r")
            if len(rest) > MAX_LINE_CHARACTERS:
                found = f"line {number + 1} is longer than {MAX_LINE_CHARACTERS} characters"
                raise refuse(self.where, found, "name a log of lines, or say with --format what it is")
        if rest:
            yield number + 1, rest.rstrip("\r")

    def _bytes(self, piece_bytes: int) -> Iterator[bytes]:
        if not self.path.is_file():
            found = "is a folder" if self.path.is_dir() else "does not exist"
            raise refuse(self.where, found, "name a file")
        try:
            with self.path.open("rb") as file:
                begin = file.read(piece_bytes)
                for magic, what in _OTHER_PACKED.items():
                    if begin.startswith(magic):
                        raise refuse(self.where, f"is {what}", _GIVE_TEXT)
                pieces = iter(lambda: file.read(piece_bytes), b"")
                if begin.startswith(_GZIP):
                    yield from self._unpacked(begin, pieces, piece_bytes)
                else:
                    yield begin
                    yield from pieces
        except OSError as error:
            raise refuse(
                self.where, f"cannot be read: {error.strerror or error}", "name a file that can"
            ) from error

    def _unpacked(self, begin: bytes, pieces: Iterator[bytes], piece_bytes: int) -> Iterator[bytes]:
        """Content of a gzip file, member by member."""
        unpacker = zlib.decompressobj(wbits=31)
        packed = begin
        try:
            while True:
                if not packed:
                    packed = next(pieces, b"")
                    if not packed:
                        break
                if unpacker.eof:  # what follows is another member, or zeros that fill a block
                    packed = packed.lstrip(b"\0")
                    if not packed:
                        continue
                    unpacker = zlib.decompressobj(wbits=31)
                if data := unpacker.decompress(packed, piece_bytes):
                    yield data
                packed = unpacker.unconsumed_tail or unpacker.unused_data
        except zlib.error as error:
            raise refuse(self.where, f"is damaged: {error}", _COPY) from error
        if not unpacker.eof:
            raise refuse(self.where, "is cut: the gzip stream has no end", _COPY)


_GIVE_TEXT = "unpack it, or export it as text (JSON, CSV or the tool's own log), plain or gzip"
_COPY = "copy the file again, or export it again"
