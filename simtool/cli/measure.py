"""`simtool measure`: train with methods and record it, measure a machine, or measure a command."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simtool.cli import console, options
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.engine.measure import RunRequest

EPILOG = options.example(
    "simtool measure image-cnn --method none --method progressive-size --seeds 2",
    "simtool measure char-gpt --data my.txt --method counted-priors --budget 60s",
    "simtool measure --suite cpu -o out/my-cpu",
    "simtool measure -o out/train -- python train.py",
    "torchrun --nproc-per-node 2 --no-python simtool measure char-gpt",
)
ENGINE = "pip install 'simtool-planner[engine]'"


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("measure", epilog=EPILOG, short_help="train, record work, time and power")(measure)


def measure(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASK | -- COMMAND...",
            help="A task's name, a Python file with one, or a command after --.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", metavar="NAMES", help="Methods joined by +, e.g. muon+growth:at=0.3; repeatable."
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="AMOUNT", help="'16 ksamples', '20 GFLOP', '60 s' or '2 kJ'.")
    ] = "8 ksamples",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, metavar="N", help="Runs with seeds 0 to N - 1.")
    ] = 1,
    out: options.Out = Path("out/measured"),
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="Data of your own; see 'docs/how-to'.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="KEY=VALUE", help="A setting of the task, e.g. context=64; repeatable."
        ),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change the recipe, e.g. learning_rate=4e-3; repeatable."
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", min=1, metavar="N", help="Width of the model.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, metavar="N", help="Blocks of the model.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Runs at the same time.")] = 1,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda or cuda:1.")] = "cpu",
    precision: Annotated[
        str, typer.Option("--precision", metavar="NAME", help="float32 or bfloat16 (autocast).")
    ] = "float32",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the first 8 kinds of steps; the rest run as they are.")
    ] = False,
    parallel: Annotated[
        str, typer.Option("--parallel", metavar="KIND", help="Under torchrun: ddp or fsdp.")
    ] = "ddp",
    power: Annotated[
        str, typer.Option("--power", metavar="SOURCE", help="auto, nvml, amd, rapl, modelled or none.")
    ] = "auto",
    suite: Annotated[
        str | None, typer.Option("--suite", metavar="KIND", help="Measure this machine: gpu or cpu.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="N", help="Time for a suite.", show_default=False)
    ] = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Draw every trace too: timeline.perfetto.json.gz.")
    ] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Train a task with methods under a budget and record work by phase, quality, time and energy.

    Every run leaves a trace in OUT/TASK/METHOD/seed-N; with 'none' among the methods, the others leave
    an effect file that scenarios read. An interrupted run goes on when the command is repeated.
    """
    console.configure(verbose, quiet)
    words = what or []
    if suite is None and not words:
        raise InputError(
            Problem(
                "measure", "", "nothing to measure", "a task, --suite, or a command after --", "see --help"
            )
        )
    if suite is not None and words:
        raise InputError(
            Problem("measure", "--suite", f"found a task too: {' '.join(words)}", "one of the two")
        )
    _need_torch()
    from simtool.cli import show_measure

    if suite is not None:
        from simtool.engine.suites import run_suite

        with console.progress() as progress:
            outcome = run_suite(suite, out, minutes=minutes, progress=progress)
        show_measure.suite(outcome, as_json=as_json)
        show_measure.timelines([out] if timeline else [])
        return
    if _is_command(words):
        from simtool.engine.wrap import run_command

        cost = run_command(words, out, power=power)
        show_measure.command(cost, as_json=as_json)
        show_measure.timelines([out] if timeline else [])
        raise typer.Exit(cost.exit_code and 2)
    requests = _requests(
        words[0],
        method,
        budget,
        seeds,
        out,
        data,
        option,
        recipe,
        width,
        depth,
        device,
        precision,
        compiled,
        power,
    )
    from simtool.engine.experiment import by_method, run_all
    from simtool.engine.processes import checked_wrapping, num_processes, together
    from simtool.engine.task import load_task

    load_task(requests[0].task, requests[0].options)  # a mistake is told before anything is started
    wrapping, several = checked_wrapping(parallel), num_processes()
    if several > 1 and workers > 1:
        raise InputError(Problem("--workers", "", f"found {workers} under torchrun", "1", "leave it out"))
    with together(wrapping, device) as (processes, own_device), console.progress() as progress:
        if several > 1:
            requests = [
                replace(request, num_processes=several, wrapping=wrapping, device=own_device)
                for request in requests
            ]
        is_first = processes.rank == 0
        follow = progress.with_time_left(words[0]) if is_first else None
        runs = run_all(requests, num_workers=workers, progressed=follow, parallel=processes)
    if is_first:
        show_measure.runs(by_method(runs), out, as_json=as_json)
        show_measure.timelines([Path(run.folder) for run in runs] if timeline else [])


def _is_command(words: list[str]) -> bool:
    return len(words) > 1 or "--" in sys.argv


def _need_torch() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise InputError(
            Problem("measure", "", "needs the extra 'engine', which is not installed", "", ENGINE)
        )


def _requests(
    task: str,
    methods: list[str] | None,
    budget: str,
    seeds: int,
    out: Path,
    data: Path | None,
    option: list[str] | None,
    recipe: list[str] | None,
    width: int | None,
    depth: int | None,
    device: str,
    precision: str,
    compiled: bool,
    power: str,
) -> list[RunRequest]:
    from simtool.engine.budget import Budget
    from simtool.engine.experiment import folder_name
    from simtool.engine.measure import RunRequest
    from simtool.engine.suites.devices import check_device
    from simtool.engine.task import TaskOptions

    if precision not in ("float32", "bfloat16"):
        raise InputError(Problem("--precision", "", f"found {precision!r}", "float32 or bfloat16"))
    check_device(device)
    named = dict.fromkeys(methods or ["none"])
    chosen = TaskOptions(data=data, width=width, depth=depth, settings=_pairs("--option", option))
    return [
        RunRequest(
            task=task,
            method=name,
            budget=Budget.parse(budget),
            seed=seed,
            folder=out / folder_name(task) / folder_name(name) / f"seed-{seed}",
            options=chosen,
            recipe=_numbers(_pairs("--set", recipe)),
            device=device,
            precision=precision,
            compile=compiled,
            power=power,
        )
        for name in named
        for seed in range(seeds)
    ]


def _pairs(flag: str, written: list[str] | None) -> dict[str, str]:
    pairs = {}
    for item in written or []:
        key, equals, value = item.partition("=")
        if not (equals and key.strip()):
            raise InputError(Problem(flag, "", f"found {item!r}", "KEY=VALUE"))
        pairs[key.strip()] = value.strip()
    return pairs


def _numbers(pairs: dict[str, str]) -> dict[str, float]:
    numbers = {}
    for key, value in pairs.items():
        try:
            numbers[key] = float(value)
        except ValueError as error:
            raise InputError(Problem("--set", key, f"found {value!r}", "a number")) from error
    return numbers
