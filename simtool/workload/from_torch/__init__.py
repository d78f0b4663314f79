"""Any ``torch.nn.Module`` as a workload: one training step written down on the meta device.

No weight is allocated and no GPU is needed, so a model of hundreds of billions of weights is captured on a
laptop. This package is the only part of simtool beside the engine that imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from simtool.errors import InputError, Problem
from simtool.stepgraph import Kind
from simtool.workload.assemble import assemble
from simtool.workload.captured import CapturedWorkload
from simtool.workload.from_torch.load import Builder, builder_of, load_builder
from simtool.workload.from_torch.passes import record
from simtool.workload.recorded import Recording
from simtool.workload.sizes import Sizes

__all__ = ["capture", "capture_file"]

MIN_SEQ_LEN = 8
Progress = Callable[[str, float], None]


def capture_file(
    target: str,
    *,
    batch: int | None = None,
    seq_len: int | None = None,
    name: str = "",
    progress: Progress | None = None,
) -> CapturedWorkload:
    """The workload of a model that a function in a Python file makes.

    Args:
        target: ``FILE.py`` or ``FILE.py:function``.
        batch: samples in the example; the function's own default if not given.
        seq_len: tokens in a sample of the example; the same.
        name: of the workload; the file's if not given.
        progress: called with what is done and the share of it.

    Raises:
        InputError: what the file holds cannot be captured.
    """
    builder = load_builder(target, batch, seq_len)
    file, _, function = target.partition(":")
    return _capture(
        builder, name or Path(file).stem, f"{Path(file).name}:{function or 'build_model'}", progress
    )


def capture(
    function: Callable[..., Any], *, batch: int | None = None, seq_len: int | None = None, name: str = ""
) -> CapturedWorkload:
    """The same for a function that is there already.

    >>> def build(batch=4):
    ...     return torch.nn.Linear(16, 8), torch.zeros(batch, 16)
    >>> workload = capture(build)
    >>> workload.parameters, [int(workload.flop(batch, 1)) for batch in (1, 32)]
    (136, [512, 16384])
    """
    named = name or getattr(function, "__name__", "model")
    return _capture(builder_of(function, batch, seq_len), named, named, None)


def _capture(builder: Builder, name: str, source: str, progress: Progress | None) -> CapturedWorkload:
    if builder.takes_sequence and (builder.seq_len % 4 or builder.seq_len < MIN_SEQ_LEN):
        found, mend = (
            f"found a seq_len of {builder.seq_len}",
            f"use a multiple of 4 of at least {MIN_SEQ_LEN}",
        )
        raise InputError(Problem(builder.where, "seq_len", found, "", mend))
    sizes = Sizes.around(builder.batch, builder.seq_len if builder.takes_sequence else None)
    recordings: list[Recording] = []
    for batch, seq_len in sizes.all:
        if progress is not None:
            progress(f"capturing batch {batch}, seq_len {seq_len}", len(recordings) / len(sizes.all))
        built = builder.build(batch, seq_len)
        is_first = not recordings
        recordings.append(
            record(built, batch=batch, seq_len=seq_len, where=builder.where, with_optimizer=is_first)
        )
    written = f"{source}, captured on the meta device with torch {torch.__version__}"
    return assemble(
        recordings, sizes, name=name, source=written, notes=_notes(recordings[0]), where=builder.where
    )


def _notes(recording: Recording) -> list[str]:
    notes = []
    if recording.not_counted:
        words = ", ".join(sorted(recording.not_counted))
        notes.append(f"torch counts no operations for {words}: they are priced by the bytes that they move")
    if any(
        op.flop > 2 * op.m * op.n * op.k * op.batch > 0 for op in recording.ops if op.kind is Kind.CONVOLUTION
    ):
        notes.append(
            "torch counts the weight gradient of a grouped convolution once too often for every further group; "
            "it is priced by its real work"
        )
    return notes
