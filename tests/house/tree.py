"""The files of the project, as the guards read them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "simtool"
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".cff", ".csv", ".json", ".j2", ".html", ""}
FOLDERS = ("simtool", "tests", "docs", "hardware_profiles", "scenarios", "benchmarks", ".ci")


def sources() -> list[Path]:
    """Every Python file of the package, sorted."""
    return sorted(PACKAGE.rglob("*.py"))


def texts() -> list[Path]:
    """Every text file that belongs to the project, sorted; what tools leave behind does not count."""
    top = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".coverage"]
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return sorted(
        path for path in top + below if path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
    )


def name(path: Path) -> str:
    """The path as a test's id."""
    return path.relative_to(ROOT).as_posix()


def fenced_blocks(text: str, language: str) -> list[str]:
    """The bodies of a Markdown text's fenced code blocks in one language."""
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
