"""CodeCarbon's ``emissions.csv``: one row a run, or several that go on; energies in kilowatt-hours.

Every row ends at its time stamp and began its duration before. The power of the RAM is CodeCarbon's model, and
that of the CPU is where it could not read RAPL; both are marked as modelled.
"""

from __future__ import annotations

from simtool.trace.found import READERS, Choices, Found
from simtool.trace.log_table import Meters, first_row, needed, records
from simtool.trace.power_log import PowerLog, moment, reading
from simtool.trace.source import Source, refuse
from simtool.trace.windows import Measured, leaves, put_windows

_PARTS = {"gpu": "gpu_energy", "cpu": "cpu_energy", "ram": "ram_energy"}
_NEEDED = dict.fromkeys(
    ("timestamp", "duration", "gpu_energy", "cpu_energy"), "name CodeCarbon's emissions.csv"
)


@READERS.register("codecarbon")
class CodeCarbon:
    """CodeCarbon's emissions.csv."""

    def claims(self, source: Source) -> bool:
        """A header with emissions and energies."""
        return {"emissions", "duration", "energy_consumed"} <= set(first_row(source))

    def read(self, source: Source, choices: Choices) -> Found:
        """One log each for the GPUs together, the CPUs and the RAM."""
        rows: list[dict[str, str]] = []
        headings: list[str] = []
        for number, row in records(source):
            if not headings:
                headings = [cell.lower() for cell in row]
                needed(source, headings, _NEEDED)
            elif len(row) != len(headings):
                found = f"has {len(row)} cells, the header {len(headings)}"
                raise refuse(f"{source.where}:{number}", found, "take the file as CodeCarbon wrote it")
            else:
                rows.append(dict(zip(headings, row, strict=True)))
        logs: list[PowerLog] = []
        for part, column in _PARTS.items():
            meters = Meters(
                source, "codecarbon", choices, scope={"gpu": "gpus", "cpu": "package", "ram": "ram"}[part]
            )
            windows = _windows(rows, column, meters)
            kept = leaves(windows)
            name = rows[-1].get(f"{part}_model", "") if rows else ""
            put_windows(meters, part, kept, name=name)
            if kept:
                notes = [f"{part}: {len(windows) - len(kept)} overlapping rows were left out"] * (
                    len(kept) < len(windows)
                )
                (log,) = meters.logs(*notes)
                logs.append(log if part == "gpu" else _modelled(log))
        if not logs:
            raise refuse(
                source.where, "has no energy of GPU, CPU or RAM above zero", "let CodeCarbon measure a device"
            )
        return Found(power=tuple(logs))


def _modelled(log: PowerLog) -> PowerLog:
    from dataclasses import replace

    return replace(log, kind="modelled")


def _windows(rows: list[dict[str, str]], column: str, meters: Meters) -> list[Measured]:
    """One window a row; of rows of one run, which count from its begin, the difference to the row before."""
    found: list[Measured] = []
    before: dict[str, tuple[float, float]] = {}
    for cells in rows:
        meters.num_rows += 1
        end, duration_s = moment(cells["timestamp"]), reading(cells["duration"])
        energy_j = reading(cells[column], "kWh")
        if end is None or not duration_s > 0 or not energy_j >= 0:
            meters.num_bad_times += 1
            continue
        meters.clock, meters.resolution_s = end[1], max(meters.resolution_s, end[2])
        run = cells.get("run_id", "")
        passed_s, used_j = before.get(run, (0.0, 0.0)) if run else (0.0, 0.0)
        if duration_s < passed_s or energy_j < used_j:
            passed_s, used_j = 0.0, 0.0  # the run began anew under the same name
        before[run] = (duration_s, energy_j)
        if duration_s > passed_s and energy_j > used_j:
            begin_s = end[0] - (duration_s - passed_s)
            found.append(Measured(begin_s, end[0], energy_j - used_j, cells.get("project_name", "")))
    return found
