"""`simtool capture`: any torch model, or a step that was recorded, as a workload file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simtool.cli import console, options
from simtool.errors import InputError, OutputError, Problem, output_error

if TYPE_CHECKING:
    from simtool.workload.captured import CapturedWorkload

EPILOG = options.example(
    "simtool capture my_model.py -o my-model.workload.yaml",
    "simtool capture my_model.py:large --seq 4096 -o large.workload.yaml",
    "simtool capture trace.json.gz --batch 8 --seq 4096 -o recorded.workload.yaml",
)
ENGINE = "pip install 'simtool-planner[engine]'"


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("capture", epilog=EPILOG, short_help="a torch model or a trace as a workload")(capture)


def capture(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="FILE.py[:FUNCTION], a function that returns (module, inputs[, loss[, optimizer]]), build_model if "
            "not given; or a trace of the profiler, or a trace folder.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Workload file to write.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            min=1,
            metavar="N",
            help="Samples of the example or of the recorded micro-batch; "
            "else the function's default, or as shapes tell.",
        ),
    ] = None,
    seq: Annotated[
        int | None,
        typer.Option(
            "--seq",
            min=1,
            metavar="N",
            help="Longest sequence of the example or the recorded one, 1 where samples are none; likewise.",
        ),
    ] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", min=0, metavar="N", help="Of a trace the rank to take; the first.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the workload; the file's.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Write down what one training step of a model does, on shapes alone: no GPU, no memory for weights.

    The model is run at several batches and sequence lengths, so that the file holds all of them. Of a trace the
    sizes of one step are told apart by the batch and the length at which it was recorded. A scenario names the file
    in workload.model.
    """
    console.configure(verbose, quiet)
    if out is not None and out.exists() and not force:
        raise OutputError(str(out), "exists already", "choose another name, or use --force")
    from simtool.result.place import write_whole
    from simtool.workload.captured import write_workload

    if _is_trace(target):
        workload = _from_trace(Path(target), batch=batch, seq_len=seq, rank=rank, name=name)
    else:
        workload = _from_torch(target, batch=batch, seq_len=seq, rank=rank, name=name)
    if out is not None:
        try:
            write_whole(out, write_workload(workload))
        except OSError as error:
            raise output_error(error, out) from error
    if as_json:
        console.say_json({**_figures(workload), "file": None if out is None else str(out)})
        return
    _show(workload)
    if out is not None and not quiet:
        console.line(f"{out} (now name it in a scenario: --set workload.model={out})")


def _is_trace(target: str) -> bool:
    """Whether a target is a folder, or a file that is no Python."""
    path = Path(target)
    return path.is_dir() or (path.is_file() and path.suffix != ".py")


def _from_trace(
    path: Path, *, batch: int | None, seq_len: int | None, rank: int | None, name: str
) -> CapturedWorkload:
    from simtool.trace import KernelTable, import_trace, read_trace
    from simtool.workload.from_trace import from_kernels

    kernels = KernelTable(read_trace(path).device_ops) if path.is_dir() else import_trace(path).kernels
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    return from_kernels(
        kernels, batch=batch, seq_len=seq_len, rank=rank, name=name or stem, where=str(path),
        source=f"{path.name}, a recorded step",
    )  # fmt: skip


def _from_torch(
    target: str, *, batch: int | None, seq_len: int | None, rank: int | None, name: str
) -> CapturedWorkload:
    if rank is not None:
        raise InputError(Problem("--rank", "", "found a model, which has no ranks", "", "leave it out"))
    _need_torch()
    from simtool.workload.from_torch import capture_file

    with console.progress() as progress:
        return capture_file(target, batch=batch, seq_len=seq_len, name=name, progress=progress)


def _need_torch() -> None:
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise InputError(Problem("capture", "", "found no torch in this Python", "", f"install it: {ENGINE}"))


def _figures(workload: CapturedWorkload) -> dict[str, Any]:
    from simtool.stepgraph import Phase
    from simtool.workload.precision import BYTES_PER_ELEMENT

    batch, seq_len = workload.captured.batch, workload.captured.seq_len
    size = BYTES_PER_ELEMENT[workload.precision]
    phases = (Phase.FORWARD, Phase.BACKWARD_INPUT, Phase.BACKWARD_WEIGHT)

    def kept(name: str) -> float:
        total = 0.0
        for times, part in workload.parts:
            one = getattr(part, name)
            total += times * (one.elements.at(batch, seq_len) * size + one.bytes.at(batch, seq_len))
        return total

    return {
        "name": workload.name,
        "source": workload.source,
        "parameters": workload.parameters,
        "batch": batch,
        "seq_len": seq_len,
        "precision": workload.precision,
        "num_layers": workload.num_layers,
        "kinds_of_layers": len(workload.layers),
        **{f"{phase.value}_flop": workload.flop(batch, seq_len, phase) for phase in phases},
        "memory_bytes": workload.num_bytes(batch, seq_len, element_bytes=size, eager=False),
        "memory_eager_bytes": workload.num_bytes(batch, seq_len, element_bytes=size, eager=True),
        "kept_bytes": kept("kept"),
        "kept_eager_bytes": kept("eager_kept"),
        "optimizer": workload.optimizer.name,
        "not_counted": list(workload.not_counted),
        "notes": list(workload.notes),
    }


def _show(workload: CapturedWorkload) -> None:
    from simtool.units import display

    found = _figures(workload)
    layers = (
        f"{found['num_layers']} equal blocks"
        if found["kinds_of_layers"] == 1
        else (f"{found['num_layers']} blocks of {found['kinds_of_layers']} kinds")
    )
    layers = layers if found["num_layers"] > 1 else "no repeated block"
    follows = (
        "any batch and sequence length" if workload.any_seq_len else "any batch; a sample counts as one token"
    )
    console.say(
        f"{found['name']}: {found['parameters']:,} weights, {layers}, {found['precision']}, {found['optimizer']}; "
        f"holds for {follows}."
    )
    console.line("")
    table = console.table([f"batch {found['batch']}, seq_len {found['seq_len']}", ""], right=[""])
    for phase in ("forward", "backward_input", "backward_weight"):
        table.add_row(phase.replace("_", ", "), display(found[f"{phase}_flop"], "FLOP", 4))
    for words, key in (
        ("element-wise, compiled", "memory_bytes"),
        ("element-wise, eager", "memory_eager_bytes"),
        ("kept for backward, compiled", "kept_bytes"),
        ("kept for backward, eager", "kept_eager_bytes"),
    ):
        table.add_row(words, display(found[key], "byte", 4))
    console.show(table)
    for note in workload.notes:
        console.say(f"Note: {note}.")
