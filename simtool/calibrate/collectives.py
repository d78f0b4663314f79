"""Curves of networks from measured collectives: ``python -m simtool.calibrate.collectives --reference DIR -o DIR``.

Fits every network that has a table, writes one readable file each (network profiles extend them), and
prints the residuals on held-out strata and on tables that took no part. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from simtool.calibrate.collective_checks import Check, checks
from simtool.calibrate.collective_files import curve_files
from simtool.calibrate.collective_fit import (
    LinkFit,
)
from simtool.calibrate.collective_links import across_link, corrected_link, fit_across, fit_inside, fit_shape
from simtool.machine.network import LOCAL_FRAC, RAMP_EXPONENT


def residual_table(fits: Sequence[LinkFit]) -> str:
    """Held-out residuals by network and stratum, beside one start-up and one efficiency."""
    lines = [
        f"{'network':15}{'rows':>6}  {'held out in turn':25}"
        + "".join(f"{what:>15}" for what in ("from 1 MiB", "all sizes", "plain 1 MiB", "plain all")),
        " " * 48 + f"{'p50':>7}{'p90':>8}" * 4,
    ]
    for fit in fits:
        for one in fit.held_out:
            quantiles = (one.large, one.everything, one.plain_large, one.plain_everything)
            head = f"{fit.name:15}{fit.num_measured:6}  {one.stratum:25}"
            lines.append(head + "".join(f"{part.p50:7.1%}{part.p90:8.1%}" for part in quantiles))
    return "\n".join(lines)


def check_table(found: Sequence[Check]) -> str:
    """Residuals on tables that took no part, messages from 1 MiB."""
    lines = [f"{'took no part':50}{'rows':>6}{'p50':>8}{'p90':>8}{'bias':>8}"]
    for check in found:
        off = check.off
        lines.append(f"{check.name:50}{off.num_measured:6}{off.p50:8.1%}{off.p90:8.1%}{check.bias:+8.1%}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit all tables, write all files, print the residuals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="folder that holds data/kernels")
    parser.add_argument("-o", "--out", type=Path, help="folder for the files; only the residuals without it")
    options = parser.parse_args(arguments)
    fits, across = fit_inside(options.reference), fit_across(options.reference)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, text in curve_files(fits, across).items():
            (options.out / name).write_text(text, encoding="utf-8")
    links = {name: corrected_link(name, fit, fits) for name, fit in fits.items()}
    found = checks(options.reference, links, across_link(across.values))
    exponent, local = fit_shape(options.reference)
    shape = (
        f"shape, all switches together: exponent {exponent:.3f} (used {RAMP_EXPONENT:g}), "
        f"own share {local:.2f} (used {LOCAL_FRAC:g})"
    )
    sys.stdout.write(
        "\n\n".join([residual_table([*fits.values(), across]), check_table(found), shape]) + "\n"
    )


if __name__ == "__main__":
    main()
