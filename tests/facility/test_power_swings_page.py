"""The page on power swings prints what it shows."""

from __future__ import annotations

import contextlib
import io
import re

from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "explanation" / "power-swings.md"
BLOCK = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def test_the_page_shows_what_its_code_prints() -> None:
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102 - our own page
        assert printed.getvalue() == shown
