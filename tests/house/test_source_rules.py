"""Rules of the house that no linter knows, over every file of the package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import PACKAGE, ROOT, name, sources, texts

MAX_LINES = 400
CONVERSIONS = frozenset(
    (3600, 86400, 604800, 8760, 8766, 31536000, 31557600, 3.6e6, 3.6e9, 3.6e12, 1e12, 2**30, 2**40)
)
"""Numbers that turn one unit into another; each is written once, in ``simtool/units.py``."""
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE = re.compile(r"(?<![\w.}$])/(work|tmp|home|root|Users)/")
OWN_RULES = Path(__file__)


def conversions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every bare conversion number, powers and products of numbers included."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant | ast.BinOp):
            continue
        value = _constant(node)
        if value is not None and abs(value) in CONVERSIONS:
            yield node.lineno, ast.unparse(node)


def _constant(node: ast.AST) -> float | None:
    """The value of a number, or of a power or product of small numbers."""
    if isinstance(node, ast.Constant):
        number = node.value
        return None if isinstance(number, bool) or not isinstance(number, int | float) else number
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.Mult):
        left, right = _constant(node.left), _constant(node.right)
        if left is None or right is None or abs(left) > 1e18 or abs(right) > 1e18:
            return None
        if isinstance(node.op, ast.Mult):
            return left * right
        return left**right if 0 <= right <= 64 and left > 0 else None
    return None


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("x / 3600", ["3600"]),
        ("x * 60 * 60", []),  # (x * 60) * 60 has no constant product; the names still tell
        ("60 * 60 * x", ["60 * 60"]),
        ("1e12", ["1000000000000.0"]),
        ("size / 2**30", ["2 ** 30"]),
        ("size / 1024**3", ["1024 ** 3"]),
        ("x == True, 36, 'h 3600'", []),
    ],
)
def test_the_search_for_conversions_finds_what_it_should(code: str, found: list[str]) -> None:
    assert [text for _, text in conversions(ast.parse(code))] == found


@pytest.mark.parametrize("path", sources(), ids=name)
def test_units_are_converted_in_one_place(path: Path) -> None:
    if path == PACKAGE / "units.py":
        return
    found = [f"line {line}: {text}" for line, text in conversions(ast.parse(path.read_text("utf-8")))]
    assert not found, "use the constants of simtool.units"


@pytest.mark.parametrize("path", sources(), ids=name)
def test_a_file_is_one_idea(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", sources(), ids=name)
def test_what_is_public_says_what_it_means(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    definitions = [
        node
        for owner in ast.walk(tree)
        if isinstance(owner, ast.Module | ast.ClassDef) and not _is_protocol(owner)
        for node in owner.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    silent = [
        node.name for node in definitions if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    if not ast.get_docstring(tree):
        silent.insert(0, "the module")
    assert not silent


def _is_protocol(node: ast.Module | ast.ClassDef) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        ast.unparse(base).startswith("Protocol") for base in node.bases
    )


def test_every_folder_of_python_files_is_a_package() -> None:
    folders = {path.parent for path in sources()}
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("path", texts(), ids=name)
def test_the_project_is_finished_and_speaks_of_itself_alone(path: Path) -> None:
    if path == OWN_RULES:
        return
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        assert not UNFINISHED.search(line), f"{name(path)}:{number}: unfinished: {line.strip()}"
        assert not MACHINE.search(line), f"{name(path)}:{number}: a path of one machine: {line.strip()}"


def test_the_search_for_machine_paths_finds_what_it_should() -> None:
    assert MACHINE.search("see /wo" + "rk/shared")
    assert MACHINE.search("'/tm" + "p/x'")
    assert not MACHINE.search("docs/home/index.md and frame/work/flow")


def test_the_tree_was_found() -> None:
    assert PACKAGE / "units.py" in sources()
    assert ROOT / "pyproject.toml" in texts()
