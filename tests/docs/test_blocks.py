"""Every figure in README and docs is what its command prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("documentation_blocks", Path(__file__).with_name("blocks.py"))
blocks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(blocks)

FOUND = [
    pytest.param(match["command"], match["printed"], page, id=f"{page.name}: {match['command']}")
    for page in blocks.PAGES
    for match in blocks.BLOCK.finditer(page.read_text("utf-8"))
]


@pytest.mark.parametrize(("command", "shown", "page"), FOUND)
def test_a_documented_output_is_what_the_command_prints(command: str, shown: str, page: Path) -> None:
    printed = blocks.printed_by(command, blocks.files_of(page.read_text("utf-8")))
    assert blocks.matches(shown, printed), f"run python tests/docs/blocks.py; now printed:\n{printed}"


def test_the_comparison_sees_a_difference() -> None:
    assert blocks.matches("a\n...\nc\n", "a\nb\nb\nc\n")
    assert not blocks.matches("a\nc\n", "a\nb\n")
    assert FOUND


def test_the_files_of_a_page_are_found() -> None:
    page = "```yaml a/b.yaml\nx: 1\n```\n\n```yaml\nno name\n```\n```csv c.csv\nt\n```\n```console\n$ simtool\n```\n"
    assert blocks.files_of(page) == {"a/b.yaml": "x: 1\n", "c.csv": "t\n"}


def test_every_tutorial_and_how_to_is_named_in_the_readme() -> None:
    readme = (blocks.ROOT / "README.md").read_text("utf-8")
    tutorials = sorted((blocks.ROOT / "docs" / "tutorials").glob("*.md"))
    assert tutorials
    assert not [page.name for page in tutorials if f"docs/tutorials/{page.name}" not in readme]
