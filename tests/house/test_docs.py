"""What the documents say works: their commands, links, files and code."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simtool import load_scenario
from simtool.profiles.find import FOLDERS, ProfileLibrary, shipped_folder
from tests.house.tree import ROOT, fenced_blocks, name

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SCENARIOS = sorted(shipped_folder("scenarios").glob("*.yaml"))
COMMAND = re.compile(r"(?:`|^|\s|bin/)simtool ((?:[a-z]+)(?: [^`\n#]*)?)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
FILE_BLOCK = re.compile(r"^```(?:yaml|python) (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def verbs() -> set[str]:
    """The verbs that the command line offers."""
    ran = subprocess.run(
        [sys.executable, "-c", "from simtool.cli.main import main; main()", "--help"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr
    listed = ran.stdout.partition("Commands:")[2]
    return set(re.findall(r"^  ([a-z]+)  ", listed, flags=re.MULTILINE))


def commands(text: str) -> list[str]:
    """Every call of simtool in the code of a Markdown text, without what follows a pipe."""
    code = "\n".join(
        [*fenced_blocks(text, "sh"), *fenced_blocks(text, "console"), *re.findall(r"`[^`\n]+`", text)]
    )
    return [re.split(r" (?:&&|\||>)", found)[0].strip() for found in COMMAND.findall(code)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_documented_commands_exist(path: Path) -> None:
    known = verbs()
    for command in commands(path.read_text("utf-8")):
        assert shlex.split(command)[0] in known, f"simtool {command}"


def test_the_search_for_commands_finds_what_it_should() -> None:
    text = (
        "`simtool run x --set a=b`, not simtool prose\n```sh\n.venv/bin/simtool list hardware | head\n```\n"
    )
    assert sorted(commands(text)) == ["list hardware", "run x --set a=b"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_shipped_scenario_opens_with_its_question_and_loads(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert "?" in path.read_text("utf-8").partition("schema:")[0], "the question that it answers"
    assert load_scenario(path.stem).scenario.name == path.stem


def test_every_shipped_scenario_passes_the_check(tmp_path: Path) -> None:
    code = "from simtool.cli.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "check", *(path.stem for path in SCENARIOS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def shown_files(folder: str) -> list[Any]:
    """Path and content of the files below a folder that documents show in full, as parameters of a test."""
    found = [block for path in DOCUMENTS for block in FILE_BLOCK.findall(path.read_text("utf-8"))]
    return [
        pytest.param(target, content, id=target) for target, content in found if target.startswith(folder)
    ]


KINDS = {folder: kind for kind, folder in FOLDERS.items()}


@pytest.mark.parametrize(("target", "content"), shown_files("hardware_profiles/"))
def test_a_documented_profile_loads(target: str, content: str, tmp_path: Path) -> None:
    shutil.copytree(shipped_folder("hardware_profiles"), tmp_path / "hardware_profiles")
    file = tmp_path / target
    assert not file.exists(), "an example must not hide a shipped profile"
    file.write_text(content, "utf-8")
    kind = KINDS["" if file.parent.name == "hardware_profiles" else file.parent.name]
    assert ProfileLibrary((tmp_path / "hardware_profiles",)).get(kind, file.stem)


@pytest.mark.parametrize(("target", "content"), shown_files("simtool/"))
def test_documented_code_can_be_dropped_in(target: str, content: str, tmp_path: Path) -> None:
    """In a process of its own, so that the tables of this one stay as they are."""
    assert not (ROOT / target).exists(), "an example must not hide a module"
    package = ".".join(Path(target).parent.parts)
    file = tmp_path / "example.py"
    file.write_text(content, "utf-8")
    code = (
        f"import importlib, runpy\nimportlib.import_module({package!r})\n"
        f"names = runpy.run_path({str(file)!r})\n"
        "table, = [value for value in names.values() if type(value).__name__ == 'Registry']\n"
        "assert table.summaries()['example']\n"
        "getattr(table['example'], 'example', lambda: None)()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 0, ran.stderr
