"""Curves of networks from measured collectives: ``python -m simtool.calibrate.collectives --reference DIR -o DIR``.

Fits every network that has a table, writes one readable file each (network profiles extend them), and
prints the residuals on held-out strata and on tables that took no part. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simtool.calibrate.collective_checks import KERNELS, Check, checks
from simtool.calibrate.collective_fit import (
    ACROSS,
    ALONE,
    IN_SWITCH,
    INSIDE,
    LinkFit,
    Values,
    cross_validated,
    inside,
    predicted_s,
    size_bands,
    solve,
    with_values,
)
from simtool.calibrate.collective_tables import (
    BYTES_PER_MIB,
    FloatArray,
    Mask,
    Timings,
    read_nccl,
    read_simai,
    read_vtrain,
    together,
)
from simtool.calibrate.fit import Coefficient
from simtool.config.dump import Inline, dump_yaml
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import LOCAL_FRAC, RAMP_EXPONENT, Fabric, Link

NCCL_SOURCE = "NCCL tables of NVIDIA aiconfigurator 095f58a (Apache-2.0)"
VTRAIN_SOURCE = "NCCL tables of vTrain f8dda84 (MIT)"
SIMAI_SOURCE = "ratios of SimAI cef83f9 (Apache-2.0), 2 to 128 nodes of 8"
TUNER_SOURCE = "constants of NCCL's tuner 2.28"

SCALE_OUT_STEP_S = 14e-6
"""One step of a ring over a network card in the protocol for large messages (NCCL's tuner)."""
SCALE_OUT_STARTUP_S = 8.4e-6
"""Base latency of the same."""
SIMAI_NODE_BYTES_PER_S = 200e9
"""Cards of one node. The table does not say. Its ratios inside a node are those of NVLink 3 (0.45 at 16 MiB as
A100, H100 0.54), so a ring cannot pass more than 0.81 x 300 GB/s, of which 0.96 of eight cards of 200 Gb/s is
the largest usual figure below."""
TRANSFER_SPREAD = 0.2
"""Least relative spread of a number taken over from another network."""
SIMAI_RANKS_PER_NODE = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A scale-up network with tables."""

    tables: tuple[str, ...]
    bandwidth_bytes_per_s: float
    topology: str = "switch"
    in_switch_from: str | None = None
    """Network whose reductions in the switch were measured; None where the switch cannot add."""
    source: str = NCCL_SOURCE


MEASURED = {
    "nvlink2": Measured(
        tables=("v100",), bandwidth_bytes_per_s=150e9, topology="hybrid-cube-mesh", source=VTRAIN_SOURCE
    ),
    "nvlink3": Measured(tables=("a100_sxm",), bandwidth_bytes_per_s=300e9),
    "nvlink4": Measured(
        tables=("h100_sxm", "h200_sxm"), bandwidth_bytes_per_s=450e9, in_switch_from="nvlink4"
    ),
    "nvlink5": Measured(tables=("b200_sxm",), bandwidth_bytes_per_s=900e9, in_switch_from="nvlink5"),
    "nvlink5-nvl72": Measured(tables=("gb200",), bandwidth_bytes_per_s=900e9, in_switch_from="nvlink5"),
}
"""Bandwidth and topology as in the profiles; a test compares them. The L40S table is left out: 1.4 GB/s
among 8 boards says that their peer-to-peer access was off."""


def fit_inside(reference: Path) -> dict[str, LinkFit]:
    """Every scale-up network with a table: ring and direct transfers, then the switch's own reductions."""
    found = {}
    for name, measured in MEASURED.items():
        rows = _rows(reference, measured)
        fit = _fit_link(name, rows.where(~_adds(rows, measured)))
        if measured.in_switch_from == name:
            link = fitted_link(name, fit.values)
            values, spreads = _fit_in_switch(link, rows.where(_adds(rows, measured)))
            fit = replace(fit, values=fit.values | values, spreads=fit.spreads | spreads)
        found[name] = fit
    return found


def _adds(rows: Timings, measured: Measured) -> Mask:
    """All-reduces for which the library may use the switch: from 8 ranks on in these tables."""
    return rows.can_reduce_in_switch & (rows.group_size >= 8.0) & (measured.in_switch_from is not None)


def _ring_rows(reference: Path, measured: Measured) -> Timings:
    rows = _rows(reference, measured)
    return rows.where(~_adds(rows, measured))


def _rows(reference: Path, measured: Measured) -> Timings:
    if measured.source == VTRAIN_SOURCE:
        return read_vtrain(reference / KERNELS / "vtrain/allreduce" / measured.tables[0])
    folder = reference / KERNELS / "aiconfigurator"
    return together([read_nccl(folder / f"nccl_{table}.csv.gz") for table in measured.tables])


def fitted_link(name: str, values: Values) -> Link:
    """A measured network with these values, nothing else lost."""
    measured = MEASURED[name]
    plain = Link(
        name=name,
        bandwidth_bytes_per_s=measured.bandwidth_bytes_per_s,
        efficiency_frac=1.0,
        latency_s=0.0,
        startup_s=0.0,
        topology=measured.topology,
    )
    return with_values(plain, values)


def _fit_link(name: str, rows: Timings) -> LinkFit:
    def predict(values: Values, chosen: Mask) -> FloatArray:
        return predicted_s(rows.where(chosen), inside(fitted_link(name, values)), "ring")

    def predict_plain(values: Values, chosen: Mask) -> FloatArray:
        link = replace(fitted_link(name, values), local_frac=0.0)
        return predicted_s(rows.where(chosen), inside(link), "ring")

    strata = {"group size": rows.group_size, "message size": size_bands(rows.size_bytes)}
    return cross_validated(name, INSIDE, predict, predict_plain, rows.time_s, rows.size_bytes, strata)


def _fit_in_switch(link: Link, rows: Timings) -> tuple[Values, Values]:
    """From messages so large that the library adds in the switch."""
    large = rows.where(rows.size_bytes >= 64.0 * BYTES_PER_MIB)

    def predict(values: Values, chosen: Mask) -> FloatArray:
        return predicted_s(large.where(chosen), inside(with_values(link, values)), "in-switch")

    return solve(IN_SWITCH, predict, large.time_s, np.ones(len(large), dtype=bool))


def fit_across(reference: Path) -> LinkFit:
    """The ring across nodes: what a relay within a node adds, efficiency and ramp."""
    sizes, nodes, ratios = read_simai(reference / KERNELS / "simai/nic_ratio.csv")
    size, count = (axis.ravel() for axis in np.meshgrid(sizes, nodes, indexing="ij"))
    ranks = count * SIMAI_RANKS_PER_NODE
    measured_s = 2.0 * (ranks - 1.0) / ranks * size / (ratios.ravel() * SIMAI_NODE_BYTES_PER_S)

    def at(values: Values, chosen: Mask) -> FloatArray:
        fabric = Fabric(scale_up=ALONE, scale_out=across_link(values), accelerators_per_domain=8)
        return np.asarray(
            collective_time_s("all_reduce", size[chosen], ranks[chosen], SIMAI_RANKS_PER_NODE, fabric, "ring")
        )

    def plain(values: Values, chosen: Mask) -> FloatArray:
        return at(values | {"latency_s": 0.0}, chosen)

    half = np.isin(count, [4.0, 16.0, 64.0]).astype(float)
    strata = {"half of the node counts": half, "number of nodes": count, "message size": size_bands(size)}
    return cross_validated("scale-out", ACROSS, at, plain, measured_s, size, strata)


def across_link(values: Values) -> Link:
    """One accelerator's card among eight of a node."""
    card = Link(
        name="scale-out",
        bandwidth_bytes_per_s=SIMAI_NODE_BYTES_PER_S / SIMAI_RANKS_PER_NODE,
        efficiency_frac=1.0,
        latency_s=SCALE_OUT_STEP_S,
        startup_s=SCALE_OUT_STARTUP_S,
        topology="fat-tree",
    )
    return with_values(card, values)


def fit_shape(reference: Path) -> tuple[float, float]:
    """Ramp exponent and local share that suit all networks with switches at once.

    These are `machine.network.RAMP_EXPONENT` and `LOCAL_FRAC`; all else is fitted with them fixed.
    """
    rows = {name: _ring_rows(reference, one) for name, one in MEASURED.items() if one.topology == "switch"}
    measured_s = np.concatenate([one.time_s for one in rows.values()])
    coefficients = {
        "ramp_exponent": Coefficient(0.3, 0.5, is_frac=True),
        "local_frac": Coefficient(0.4, 0.5),
    }
    for name in rows:
        coefficients |= {f"{name}.{key}": one for key, one in INSIDE.items()}

    def predict(values: Values, chosen: Mask) -> FloatArray:
        shape = {key: values[key] for key in ("ramp_exponent", "local_frac")}
        parts = []
        for name, one in rows.items():
            own = {key: values[f"{name}.{key}"] for key in INSIDE}
            parts.append(predicted_s(one, inside(fitted_link(name, own | shape)), "ring"))
        return np.concatenate(parts)[chosen]

    values, _ = solve(coefficients, predict, measured_s, np.ones(len(measured_s), dtype=bool))
    return values["ramp_exponent"], values["local_frac"]


def curve_files(fits: dict[str, LinkFit], across: LinkFit) -> dict[str, str]:
    """Text of every curve file, by its name."""
    files = {}
    for name, measured in MEASURED.items():
        values, spreads = fits[name].values, fits[name].spreads
        source = f"{measured.source}: {', '.join(measured.tables).replace('_sxm', '').upper()}"
        curve: dict[str, Any] = {
            "latency": _time(values["latency_s"], source, spreads["latency_s"]),
            "efficiency": _number(_rounded(values["efficiency_frac"]), source, spreads["efficiency_frac"]),
            "collective_latency": _time(values["startup_s"], source, spreads["startup_s"]),
            "ramp_time": _time(values["ramp_time_s"], source, spreads["ramp_time_s"]),
        }
        if measured.in_switch_from is not None:
            own = measured.in_switch_from == name
            what = source if own else f"taken over from {measured.in_switch_from}"
            widest = 0.0 if own else TRANSFER_SPREAD
            adding = fits[measured.in_switch_from]
            gain, start = adding.values["in_switch_gain"], adding.values["in_switch_startup_s"]
            gain_spread = max(widest, adding.spreads["in_switch_gain"])
            start_spread = max(widest, adding.spreads["in_switch_startup_s"])
            curve["in_switch_reduction"] = _number(_rounded(gain), what, gain_spread)
            curve["in_switch_latency"] = _time(start, what, start_spread)
        curve["basis"] = "measured"
        curve["notes"] = _notes(fits[name])
        files[f"{name}.yaml"] = _text(f"Collectives over {name}, fitted to NCCL's", curve)
    files["scale-up.yaml"] = _scale_up(list(fits.values()))
    files["scale-out.yaml"] = _scale_out(across)
    return files


def _scale_up(fits: list[LinkFit]) -> str:
    """For links without a table: the geometric means of those that have one and a switch."""
    curve: dict[str, Any] = {}
    seen = [fit.values for fit in fits if MEASURED[fit.name].topology == "switch"]
    for key, name in (("collective_latency", "startup_s"), ("ramp_time", "ramp_time_s")):
        logs = np.log([values[name] for values in seen])
        spread = max(TRANSFER_SPREAD, float(np.std(logs)))
        curve[key] = _time(
            float(np.exp(np.mean(logs))), "taken over from NVLink 3 to 5, geometric mean", spread
        )
    return _text(
        "Collectives over links without a table: the mean of NVLink 3 to 5", curve | {"basis": "transferred"}
    )


def _scale_out(fit: LinkFit) -> str:
    relay, ramp = fit.values["relay_latency_s"], fit.values["ramp_time_s"]
    notes = (
        f"{_notes(fit)} The table does not name its cluster; it is read as eight cards of 200 Gb/s a node. With "
        f"faster cards, the {SCALE_OUT_STEP_S * 1e6:g} us of a step and seven relays would be shorter in proportion."
    )
    curve = {
        "collective_latency": Inline(
            value=_micro(SCALE_OUT_STARTUP_S), kind="published", source=TUNER_SOURCE, spread=0.3
        ),
        "relay_latency": _time(relay, SIMAI_SOURCE, max(TRANSFER_SPREAD, fit.spreads["relay_latency_s"])),
        "ramp_time": _time(ramp, SIMAI_SOURCE, max(TRANSFER_SPREAD, fit.spreads["ramp_time_s"])),
        "basis": "transferred",
        "notes": notes,
    }
    return _text("Collectives across nodes: one curve for all cluster networks", curve)


def _text(title: str, curve: dict[str, Any]) -> str:
    return f"# {title}. Written by simtool.calibrate.collectives.\n" + dump_yaml(curve)


def _notes(fit: LinkFit) -> str:
    parts = [
        f"by {one.stratum} {one.large.p50:.0%} median and {one.large.p90:.0%} p90 "
        f"(one start-up and one efficiency {one.plain_large.p50:.0%} and {one.plain_large.p90:.0%})"
        for one in fit.held_out
    ]
    return f"Held-out residuals of {fit.num_measured} collectives, messages from 1 MiB: {'; '.join(parts)}."


def _number(value: str | float, source: str, spread: float) -> Inline:
    written = round(min(max(spread, 0.01), 2.0), 2)
    return Inline(value=value, kind="calibrated", source=source, spread=written)


def _time(value_s: float, source: str, spread: float) -> Inline:
    return _number(_micro(value_s), source, spread)


def _micro(value_s: float) -> str:
    return f"{_rounded(value_s * 1e6):g} us"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


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
    links = {name: fitted_link(name, fit.values) for name, fit in fits.items()}
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
