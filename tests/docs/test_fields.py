"""The reference of datacenter files tells every field as the schema has it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("datacenter_fields", Path(__file__).with_name("fields.py"))
assert _spec is not None
assert _spec.loader is not None
fields = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fields)


def test_the_tables_of_the_page_are_those_of_the_schema() -> None:
    page = fields.PAGE.read_text("utf-8")
    assert page == fields.written(page), "run python tests/docs/fields.py"


def test_every_field_has_a_meaning() -> None:
    bare = [line for line in fields.tables().splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert not bare


def test_every_file_of_a_run_folder_is_told() -> None:
    from simtool.result.datacenter.files import FILES

    page = fields.PAGE.read_text("utf-8")
    assert not [name for name in FILES if f"`{name}`" not in page]
