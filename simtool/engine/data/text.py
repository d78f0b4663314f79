"""Text: Python's own standard library, a file, or a folder of files; held out by whole files.

Documents are shuffled once; the first go into the test part until it has its share, the next into
the validation part, the rest trains. A single document is cut into three runs of characters.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from simtool.engine.data.files import MAX_BYTES, check_path, data_error, read_bytes
from simtool.engine.plan import IntArray
from simtool.rng import stream

HELD_OUT_FRAC = 0.06
"""Share of the text in the validation part, and again in the test part."""
MIN_DOCUMENTS = 20
"""With fewer documents, whole ones would make parts of very unequal length."""
SHUNNED = frozenset(
    {"test", "tests", "idlelib", "encodings", "site-packages", "dist-packages", "__pycache__"}
)
"""Folders of the standard library that are tables, tests, or not part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Three texts that share no document, or no character of the one document."""

    train: bytes
    validation: bytes
    test: bytes
    source: str
    num_documents: int


def load_text(path: Path | None, num_bytes: int) -> Text:
    """The text at a path, or of the standard library; of the training part at most `num_bytes`.

    Raises:
        InputError: nothing readable there, or too little.
    """
    return _standard_library(num_bytes) if path is None else _users(path, num_bytes)


@cache
def _standard_library(num_bytes: int) -> Text:
    root = Path(sysconfig.get_paths()["stdlib"])
    names = sorted(_sources(root))
    if not names:
        raise data_error(root, "holds no Python source", "", "name a text of your own with --data")
    order = stream(0, "data", "documents").permutation(len(names))
    wanted = _with_held_out(num_bytes)
    documents = (_if_text(root / names[index]) for index in order)
    found = _until(wanted, (document for document in documents if document))
    return _parts(found, "Python standard library")


def _with_held_out(num_bytes: int) -> int:
    """Length of a text whose training part has `num_bytes`."""
    return int(num_bytes / (1.0 - 2.0 * HELD_OUT_FRAC))


def _sources(root: Path) -> Iterator[str]:
    for path in root.rglob("*.py"):
        inside = path.relative_to(root)
        if not any(part in SHUNNED or part.startswith("config-") for part in inside.parts[:-1]):
            yield inside.as_posix()


def _users(path: Path, num_bytes: int) -> Text:
    check_path(path)
    if path.is_file():
        content = read_bytes(path)
        return _cut(content[: _begin(content, _with_held_out(num_bytes))], path.name, 1)
    names = sorted(
        name.relative_to(path).as_posix()
        for name in path.rglob("*")
        if name.is_file() and not any(part.startswith(".") for part in name.relative_to(path).parts)
    )
    order = stream(0, "data", "documents").permutation(len(names))
    documents = (_if_text(path / names[index]) for index in order)
    found = _until(_with_held_out(num_bytes), (document for document in documents if document))
    if not found:
        raise data_error(path, "the folder holds no text file", "UTF-8 text", "name a folder of text files")
    return _parts(found, path.name)


def _if_text(path: Path) -> bytes:
    """The content of a text file; nothing of a file that is empty, too long, or no text."""
    if not 0 < path.stat().st_size <= MAX_BYTES:
        return b""
    content = path.read_bytes()
    return content if is_text(content) else b""


def is_text(content: bytes) -> bool:
    """Whether this is UTF-8 without NUL.

    >>> is_text("Öl".encode()), is_text(bytes(range(256)))
    (True, False)
    """
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def _until(num_bytes: int, documents: Iterable[bytes]) -> list[bytes]:
    """The first documents that have `num_bytes` together; the last may be longer than asked."""
    taken: list[bytes] = []
    length = 0
    for document in documents:
        taken.append(document)
        length += len(document)
        if length >= num_bytes:
            break
    return taken


def _parts(documents: Sequence[bytes], source: str) -> Text:
    if len(documents) < MIN_DOCUMENTS:
        return _cut(b"\n".join(documents), source, len(documents))
    wanted = HELD_OUT_FRAC * sum(map(len, documents))
    rest = list(documents)
    held_out = []
    for _ in range(2):
        part = _until(int(wanted), rest)
        rest = rest[len(part) :]
        held_out.append(b"\n".join(part))
    if not rest:
        return _cut(b"\n".join(documents), source, len(documents))
    return Text(
        test=held_out[0],
        validation=held_out[1],
        train=b"\n".join(rest),
        source=source,
        num_documents=len(documents),
    )


def _cut(whole: bytes, source: str, num_documents: int) -> Text:
    held_out = int(HELD_OUT_FRAC * len(whole))
    second, third = _begin(whole, len(whole) - 2 * held_out), _begin(whole, len(whole) - held_out)
    return Text(
        train=whole[:second],
        validation=whole[second:third],
        test=whole[third:],
        source=source,
        num_documents=num_documents,
    )


def _begin(text: bytes, place: int) -> int:
    """The first place from `place` on where a character begins; in UTF-8 at most three bytes on.

    >>> _begin("Öl".encode(), 1)
    2
    """
    for begin in range(place, min(place + 3, len(text))):
        if text[begin] & 0xC0 != 0x80:
            return begin
    return min(place + 3, len(text))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which characters a model knows, as a table from code point to id; id 0 stands for all others."""

    code_points: tuple[int, ...]
    """Code point of ids 1, 2, ..."""

    @classmethod
    def of(cls, text: str, *, max_size: int = 256, min_frac: float = 2e-6) -> Vocabulary:
        """The most frequent characters of a text, in order of code point.

        >>> Vocabulary.of("abba").encode("cab").tolist()
        [0, 1, 2]
        """
        points, counts = np.unique(_code_points(text), return_counts=True)
        frequent = counts >= min_frac * counts.sum()
        points, counts = points[frequent], counts[frequent]
        kept = np.sort(points[np.argsort(-counts, kind="stable")[: max_size - 1]])
        return cls(tuple(int(point) for point in kept))

    @property
    def size(self) -> int:
        """Ids in all, with the one for unknown characters."""
        return len(self.code_points) + 1

    def encode(self, text: str) -> IntArray:
        """Ids of a text, shape (characters,)."""
        points = _code_points(text)
        table = np.zeros(max(int(points.max(initial=0)), *self.code_points, 0) + 1, dtype=np.int64)
        table[list(self.code_points)] = np.arange(1, self.size)
        ids: IntArray = table[points]
        return ids


def _code_points(text: str) -> IntArray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)
