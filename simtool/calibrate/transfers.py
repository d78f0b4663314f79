"""Constants of a projection from pairs of traces: ``python -m simtool.calibrate.transfers --reference DIR -o FILE``.

Factors are fitted to all pairs; residuals are those of models that were left out. The same traces give the
same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simtool.config.dump import Inline, dump_yaml
from simtool.errors import OutputError, SimtoolError
from simtool.profiles.find import ProfileLibrary, default_library
from simtool.transfer.constants import Transfer
from simtool.transfer.pairs import fitted, leave_one_out, read_pairs, residuals

PAIRS = Path("data/kineto")
SOURCE = "pairs of PyTorch profiler traces, AMD-AGI/TraceLens 171dd74 (MIT)"
HEADER = """\
# What lies between kernels that PyTorch launches one by one and the machine model, fitted to models that ran on two
# devices. Times over the machine model's: floor for kernels that are all latency, work for large ones.
# Written by simtool.calibrate.transfers: do not edit, calibrate again.
"""


def calibrated(reference: Path, library: ProfileLibrary) -> Transfer:
    """The constants, with the residuals of held-out models.

    Args:
        reference: folder that holds ``data/kineto``.
        library: finds the devices' profiles.
    """
    pairs = read_pairs(reference / PAIRS, library)
    held_out = residuals(list(leave_one_out(pairs, library, with_residuals=False)))
    models = ", ".join(sorted(pair.model for pair in pairs))
    devices = sorted({side.accelerator.name for pair in pairs for side in pair.sides})
    return fitted(pairs, f"{models} on {' and '.join(devices)}: {SOURCE}", held_out)


def text_of(transfer: Transfer) -> str:
    """The profile as its file stands."""
    return HEADER + dump_yaml(_plain(transfer.model_dump(by_alias=True, exclude_none=True)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) >= {"value", "kind", "source"}:
        return Inline({name: fact for name, fact in value.items() if name != "unit" and fact != ""})
    if isinstance(value, dict):
        return {name: _plain(below) for name, below in value.items() if below != ""}
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and write; the exit code."""
    parser = argparse.ArgumentParser(prog="simtool.calibrate.transfers", description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="folder that holds data/kineto")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    try:
        text = text_of(calibrated(options.reference, default_library()))
        try:
            options.out.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(str(options.out), str(error), "choose a file that can be written") from None
    except SimtoolError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
