"""The command line as people script it: a verb or an option that goes or changes breaks their scripts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from simtool.cli.app import app
from tests.cli.conftest import Called

SURFACE = Path(__file__).with_name("surface.txt")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def surface() -> str:
    lines = []
    for verb, command in sorted(COMMANDS.items()):
        arguments = [p.name for p in command.params if p.param_type_name == "argument"]
        options = sorted("/".join(p.opts) for p in command.params if p.param_type_name == "option")
        lines.append(" ".join([verb, *arguments, *options]))
    return "\n".join(lines) + "\n"


def test_the_surface_is_the_one_that_was_agreed() -> None:
    assert surface() == SURFACE.read_text("utf-8"), (
        "a change here is a change for every script that calls simtool"
    )


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_has_help_with_an_example_that_parses(verb: str, simtool: Callable[..., Called]) -> None:
    called = simtool(verb, "--help")
    assert called.code == 0
    assert called.err == ""
    assert max(len(line) for line in called.out.splitlines()) <= 80
    examples = re.findall(rf"^ +simtool ({verb}.*)$", called.out, flags=re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        COMMANDS[verb].make_context(verb, words[1:])


def test_options_that_recur_mean_the_same() -> None:
    helps: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.name in ("changes", "seed", "profiles", "as_json", "verbose", "quiet"):
                helps.setdefault(parameter.name, set()).add(parameter.help)
    assert {name: len(texts) for name, texts in helps.items()} == dict.fromkeys(helps, 1)
    for command in COMMANDS.values():
        assert {"verbose", "quiet"} <= {parameter.name for parameter in command.params}


def test_without_arguments_the_help_is_shown(simtool: Callable[..., Called]) -> None:
    called = simtool()
    assert "Usage: simtool" in called.out + called.err
    assert called.code in (0, 2)


def test_the_version(simtool: Callable[..., Called]) -> None:
    import simtool as package

    assert simtool("--version") == Called(0, f"simtool {package.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument"),
        (["run", "quickstart", "--sed", "1"], "No such option"),
        (["run", "quickstart", "--seed", "-1"], "Invalid value for '--seed'"),
        (["run", "quickstart", "--seeds", "many"], "Invalid value for '--seeds'"),
    ],
    ids=str,
)
def test_a_wrong_word_is_bad_input(words: list[str], said: str, simtool: Callable[..., Called]) -> None:
    called = simtool(*words)
    assert called.code == 2
    assert said in called.err
    assert "Traceback" not in called.err
    assert called.out == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_verbs(shell: str) -> None:
    environment = {
        **os.environ,
        "_SIMTOOL_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "simtool ex",
        "COMP_CWORD": "1",
    }
    environment |= {"_TYPER_COMPLETE_ARGS": "simtool ex", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    code = "from simtool.cli.main import main; main()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "explain" in ran.stdout
