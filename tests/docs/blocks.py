"""Console blocks of the documentation, and what their commands print now.

``python tests/docs/blocks.py`` writes what is printed now into the pages; the test compares. A block is

    ```console
    $ simtool run quickstart
    what it prints
    ```

A line ``...`` stands for any number of lines. Lines that name a folder of results are left out.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"```console\n\$ (?P<command>simtool [^\n]*)\n(?P<printed>.*?)```", re.DOTALL)


def printed_by(command: str) -> str:
    """Standard output of one command, in an empty folder, at 80 columns."""
    simtool = Path(sys.executable).with_name("simtool")
    words = [str(simtool), *shlex.split(command)[1:]]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SIMTOOL_")} | {"COLUMNS": "80"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    lines = [line.rstrip() for line in done.stdout.splitlines() if not re.match(r"out/.* \(", line)]
    return "\n".join(lines).strip("\n") + "\n"


def matches(shown: str, printed: str) -> bool:
    """Whether a block shows what is printed; ``...`` stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)]
    return re.fullmatch(r"(?:.*\n)*?".join(parts), printed) is not None


def main() -> None:
    """Write what is printed now into every block that shows no ellipsis."""
    for page in PAGES:
        text = page.read_text("utf-8")

        def now(block: re.Match[str]) -> str:
            if "...\n" in block["printed"]:
                return block[0]
            return f"```console\n$ {block['command']}\n{printed_by(block['command'])}```"

        page.write_text(BLOCK.sub(now, text), encoding="utf-8")


if __name__ == "__main__":
    main()
