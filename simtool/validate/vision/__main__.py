"""Fit the stacks of images, encoders and recommenders: ``python -m simtool.validate.vision --reference DIR -o DIR``.

Writes their software profiles, and what all of them share. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simtool.errors import SimtoolError
from simtool.profiles.find import default_library
from simtool.validate.checks.vision import read_tables
from simtool.validate.vision.cases import VisionCase, express
from simtool.validate.vision.fit import fit, out_of_fold_s, rows_of
from simtool.validate.vision.names import BASE
from simtool.validate.vision.profiles import base_lines, profile_texts

HEADER = "# What all stacks of images, encoders and recommenders share. Written by simtool.validate.vision.\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, and write the profiles."""
    parser = argparse.ArgumentParser(prog="python -m simtool.validate.vision", description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="folder that holds validation/")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of software profiles")
    given = parser.parse_args(arguments)
    try:
        library = default_library()
        found = [express(row, library) for row in read_tables(given.reference)]
        rows = rows_of([one for one in found if isinstance(one, VisionCase)])
        values = fit(rows, np.ones(len(rows.cases), dtype=bool))
        texts = profile_texts(rows, values, out_of_fold_s(rows))
        shared = HEADER + "\n".join(base_lines(rows, values)) + "\n"
        (given.out / "fitted").mkdir(parents=True, exist_ok=True)
        (given.out / "fitted" / f"{BASE}.yaml").write_text(shared, "utf-8")
        for name, text in texts.items():
            (given.out / f"{name}.yaml").write_text(text, "utf-8")
    except (SimtoolError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{given.out}: {len(texts)} profiles from {len(rows.cases)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
