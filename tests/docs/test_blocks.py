"""Every figure in README and docs is what its command prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("documentation_blocks", Path(__file__).with_name("blocks.py"))
blocks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(blocks)

FOUND = [
    pytest.param(match["command"], match["printed"], id=f"{page.name}: {match['command']}")
    for page in blocks.PAGES
    for match in blocks.BLOCK.finditer(page.read_text("utf-8"))
]


@pytest.mark.parametrize(("command", "shown"), FOUND)
def test_a_documented_output_is_what_the_command_prints(command: str, shown: str) -> None:
    printed = blocks.printed_by(command)
    assert blocks.matches(shown, printed), f"run python tests/docs/blocks.py; now printed:\n{printed}"


def test_the_comparison_sees_a_difference() -> None:
    assert blocks.matches("a\n...\nc\n", "a\nb\nb\nc\n")
    assert not blocks.matches("a\nc\n", "a\nb\n")
    assert FOUND
