"""Console blocks of the documentation, and what their commands print now.

``python tests/docs/blocks.py`` writes what is printed now into the pages; the test compares. A block is

    ```console
    $ simtool run quickstart
    what it prints
    ```

A line ``...`` stands for any number of lines. Lines that name a folder of results are left out. A command runs
in a folder that holds the files which its page shows, a block each that begins with ```` ```yaml name.yaml ````
or ```` ```csv name.csv ````. What a command that refuses its input says of it is printed as well.
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
FILE = re.compile(r"^```(?:yaml|csv) (?P<name>\S+)\n(?P<content>.*?)^```", re.DOTALL | re.MULTILINE)
REFUSED = (2, 3)
"""Exit codes of a command whose input is wrong, or has no answer."""


def files_of(page: str) -> dict[str, str]:
    """The files that a page shows, by name."""
    return {block["name"]: block["content"] for block in FILE.finditer(page)}


def printed_by(command: str, files: dict[str, str]) -> str:
    """What one command prints in a folder of these files, at 80 columns."""
    simtool = Path(sys.executable).with_name("simtool")
    words = [str(simtool), *shlex.split(command)[1:]]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SIMTOOL_")} | {"COLUMNS": "80"}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, *REFUSED):
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stderr}")
    text = (done.stdout + (done.stderr if done.returncode else "")).replace(f"{folder}{os.sep}", "")
    lines = [line.rstrip() for line in text.splitlines() if not re.match(r"out/.* \(", line)]
    return "\n".join(lines).strip("\n") + "\n"


def matches(shown: str, printed: str) -> bool:
    """Whether a block shows what is printed; ``...`` stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)]
    return re.fullmatch(r"(?:.*\n)*?".join(parts), printed) is not None


def main() -> None:
    """Write what is printed now into every block that shows no ellipsis."""
    for page in PAGES:
        text = page.read_text("utf-8")
        files = files_of(text)

        def now(block: re.Match[str], files: dict[str, str] = files, name: str = page.name) -> str:
            if "...\n" in block["printed"]:
                if not matches(block["printed"], printed_by(block["command"], files)):
                    sys.stderr.write(f"{name}: shortened and stale: {block['command']}\n")
                return block[0]
            return f"```console\n$ {block['command']}\n{printed_by(block['command'], files)}```"

        page.write_text(BLOCK.sub(now, text), encoding="utf-8")


if __name__ == "__main__":
    main()
