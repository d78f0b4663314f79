"""Efficiency files from kernel tables: ``python -m simtool.calibrate.kernels --reference DIR -o DIR``.

Fits every device that has a table, writes one readable file for each, and one for every family with
the curves of the nearest device. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from simtool.calibrate.efficiency_files import efficiency_files, fit_all, residual_table
from simtool.errors import OutputError, SimtoolError


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit all tables, write all files, print the residuals; the exit code."""
    parser = argparse.ArgumentParser(prog="simtool.calibrate.kernels", description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="folder that holds data/kernels")
    parser.add_argument("-o", "--out", type=Path, help="folder for the files; only the residuals without it")
    options = parser.parse_args(arguments)
    try:
        fits = fit_all(options.reference)
        if options.out is not None:
            write(options.out, efficiency_files(fits))
    except SimtoolError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(residual_table(fits))
    return 0


def write(folder: Path, files: dict[str, str]) -> None:
    """Write every text as ``<name>.yaml``.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(str(folder), str(error), "choose a folder that can be written") from None


if __name__ == "__main__":
    sys.exit(main())
