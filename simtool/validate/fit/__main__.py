"""Fit the constants of software stacks: ``python -m simtool.validate.fit [--table FILE] [-o DIR]``.

Writes the constants that `simtool validate` predicts with, and with ``--profiles`` the fitted halves of the software
profiles. The same table gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from simtool.errors import SimtoolError
from simtool.profiles.find import default_library
from simtool.validate.case import Case, express
from simtool.validate.fit.cross import fit_table
from simtool.validate.fit.profiles import write_profiles
from simtool.validate.fit.stored import SHIPPED, load, save
from simtool.validate.table import SHIPPED as TABLE
from simtool.validate.table import read_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, and write what was fitted."""
    parser = argparse.ArgumentParser(prog="python -m simtool.validate.fit", description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE, help="published steps as CSV; the shipped one")
    parser.add_argument("-o", "--out", type=Path, default=SHIPPED, help="file of the constants")
    parser.add_argument(
        "--profiles", type=Path, help="folder of software profiles whose fitted halves are written"
    )
    given = parser.parse_args(arguments)
    try:
        found = [express(row, default_library()) for row in read_rows(given.table)]
        cases = [one for one in found if isinstance(one, Case)]
        stored = fit_table(cases, given.table.name, lambda text: print(text, file=sys.stderr))
        save(stored, given.out)
        if given.profiles is not None:
            write_profiles(load(given.out), cases, given.profiles)  # as rounded, so that both files agree
    except SimtoolError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{given.out}: {len(stored.rows)} rows, {len(stored.whole.unknowns)} constants")
    return 0


if __name__ == "__main__":
    sys.exit(main())
