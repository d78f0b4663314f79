"""The page about the format tells every column, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from simtool.trace import Manifest
from simtool.trace.manifest import as_document
from simtool.trace.schema import STREAMS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "trace.md").read_text("utf-8")


def test_every_column_is_on_the_page_as_it_is_in_the_schema() -> None:
    expected = {
        f"| `{column.name}` | {column.kind}{', may be null' if column.is_optional else ''} "
        f"| {column.unit or '-'} | {column.meaning} |"
        for stream in STREAMS.values()
        for column in stream.columns
    }
    columns = PAGE.partition("## The columns")[2]
    assert set(re.findall(r"^\| `.*$", columns, flags=re.MULTILINE)) == expected
    for stream in STREAMS.values():
        name = "power-<device>" if stream.name == "power" else stream.name
        assert f"### `{name}`: {stream.meaning}\n" in columns


def test_every_field_of_the_manifest_is_on_the_page() -> None:
    document = yaml.safe_load(yaml.safe_dump(as_document(Manifest())))
    for name, value in document.items():
        assert f"`{name}`" in PAGE
        if isinstance(value, dict) and name != "columns":
            assert all(f"`{inner}`" in PAGE for inner in value)
