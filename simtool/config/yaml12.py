"""YAML 1.2, core schema, for files that strangers may have written.

PyYAML cuts the text into events; what the events mean is decided in this room. PyYAML alone reads
YAML 1.1: ``1e12`` as text, ``17:00`` as 1020, ``NO`` as false, ``010`` as 8, and of two equal keys the
last one wins. Here nothing is guessed, nothing is run, and every value knows its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from simtool.config.compose import FAST_LOADER, Composer, Node
from simtool.config.files import check_characters, read_text
from simtool.config.marks import COMMAND_LINE, Document, Keys, Mark, capped, shown
from simtool.errors import InputError, Problem


class Value(NamedTuple):
    """Plain data and the places of its values and keys."""

    data: Any
    marks: dict[Keys, Mark]
    key_marks: dict[Keys, Mark]


def load_yaml(path: Path, asked_by: Mark | None = None, field: str = "") -> Document:
    """Read one YAML file whose top level is a mapping.

    Args:
        path: the file.
        asked_by: where the path was written, if another file names it.
        field: the field that names it.

    Raises:
        InputError: with every problem that can be told apart, each at ``file:line:col``.
    """
    file = str(path)
    value = parse(read_text(path, asked_by, field), file)
    if not isinstance(value.data, dict):
        where = value.marks[()]
        if value.data is None:
            found, mend = "found an empty file", "begin with 'schema: simtool/<kind>/1'"
        else:
            found, mend = f"found {shown(value.data)} at the top", "write 'key: value' lines"
        raise InputError(Problem(str(where), "", found, "allowed: a mapping", mend))
    return Document(path=path, data=value.data, marks=value.marks, key_marks=value.key_marks, files=(file,))


def parse_override(text: str, keys: Keys) -> Value:
    """The value of a ``--set`` option: a scalar or a flow collection, as it would stand in a file."""
    return parse(text, COMMAND_LINE, keys, inline=True)


def parse(
    text: str, file: str, keys: Keys = (), *, inline: bool = False, loader: type[Any] = FAST_LOADER
) -> Value:
    """Plain data of one YAML document.

    Args:
        text: the document.
        file: its name in marks and messages.
        keys: path of the document's root inside a larger one.
        inline: whether block collections are refused and places are not counted, as in ``--set``.
        loader: the PyYAML loader whose parser is used.

    Raises:
        InputError: with every problem that can be told apart.
    """
    check_characters(text, file, inline=inline)
    composer = Composer(file=file, root_keys=keys, inline=inline)
    composer.read(text if text.endswith("\n") else text + "\n", loader)
    if composer.problems:
        raise InputError(capped(composer.problems, file))
    value = Value(None, {}, {})
    root = composer.root or Node(mark=composer.mark(0, 0))
    return value._replace(data=_build(root, keys, value))


def _build(node: Node, keys: Keys, value: Value) -> Any:
    """Plain data of a node, aliases written out; places are filed in `value`."""
    value.marks[keys] = node.mark
    if node.is_list:
        return [_build(item, (*keys, index), value) for index, item in enumerate(node.content)]
    if not node.is_mapping:
        return node.content
    data = {}
    for key, key_mark, item in node.content:
        value.key_marks[(*keys, key)] = key_mark
        data[key] = _build(item, (*keys, key), value)
    return data
