"""How long importing a trace of the PyTorch profiler takes beside `json.load`, and how much memory.

Run with ``python benchmarks/import_speed.py TRACE.json.gz [MEGABYTES]``. A real trace is repeated, shifted in time
and in its numbers, until the file has the size. Each reader runs in a process of its own; told are the processor
seconds and the highest resident memory of the whole process and, beside them, of the reading alone. Where the
package HolisticTraceAnalysis is installed, its parse of the same file stands beside.
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import gzip
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simtool.units import MEGA

NUM_RUNS = 3
MEASURE = """
import resource, sys, time
begin = time.process_time()
{prepare}
middle = time.process_time()
{work}
end = time.process_time()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(end - begin, end - middle, memory)
"""
IMPORT = """
from pathlib import Path
from simtool.profiles.find import default_library
from simtool.trace.importing import import_trace
from simtool.trace.summary import summarise
"""
IMPORTING = """
found = import_trace(sys.argv[1])
summarise(found, default_library())
found.write(Path(sys.argv[2]), force=True)
"""
READERS = {
    "json.load": ("import json", "json.load(open(sys.argv[1]))"),
    "simtool import, with -o": (IMPORT, IMPORTING),
    "HolisticTraceAnalysis": (
        "from hta.common.trace_parser import ParserConfig, parse_trace_dataframe",
        "parse_trace_dataframe(sys.argv[1], ParserConfig.get_default_cfg())",
    ),
}


def repeated(events: list[dict[str, Any]], num_bytes: int) -> Iterator[str]:
    """Events as text, again and again, each time later and under new numbers."""
    timed = [event for event in events if isinstance(event.get("ts"), int | float)]
    span = max(event["ts"] + event.get("dur", 0) for event in timed) - min(event["ts"] for event in timed)
    steps = [
        int(event["name"][13:]) for event in events if str(event.get("name")).startswith("ProfilerStep#")
    ]
    num_steps = max(steps) - min(steps) + 1 if steps else 0
    numbers = [
        event.get("args", {}).get(key, 0) for event in events for key in ("correlation", "External id")
    ]
    largest = max(number for number in numbers if isinstance(number, int)) + 1
    size, turn = 0, 0
    while size < num_bytes:
        for event in events:
            moved = dict(event)
            if "ts" in moved:
                moved["ts"] += turn * (span + 100)
            if isinstance(moved.get("id"), int):
                moved["id"] += turn * largest
            if str(moved.get("name")).startswith("ProfilerStep#"):
                moved["name"] = f"ProfilerStep#{int(moved['name'][13:]) + turn * num_steps}"
            if isinstance(moved.get("args"), dict):
                moved["args"] = {
                    key: value + turn * largest
                    if key in ("correlation", "External id") and isinstance(value, int)
                    else value
                    for key, value in moved["args"].items()
                }
            text = json.dumps(moved)
            size += len(text) + 4
            yield text
        turn += 1


def write_repeated(source: Path, target: Path, num_bytes: int) -> None:
    """A trace of at least `num_bytes` made of `source`."""
    data = source.read_bytes()
    document = json.loads(gzip.decompress(data) if source.suffix == ".gz" else data)
    events = document.pop("traceEvents")
    header = json.dumps(document)[1:-1]
    with target.open("w", encoding="utf-8") as file:
        file.write("{" + header + (", " if header else "") + '"traceEvents": [\n  ')
        for place, text in enumerate(repeated(events, num_bytes)):
            file.write(text if place == 0 else ",\n  " + text)
        file.write("\n]}\n")


def measured(reader: str, trace: Path, out: Path) -> tuple[float, float, float]:
    """Processor seconds of the process and of the reading [s], highest memory [MiB]; the least of some runs."""
    prepare, work = READERS[reader]
    code = MEASURE.format(prepare=prepare, work=work)
    runs = []
    for _ in range(NUM_RUNS):
        command = [sys.executable, "-c", code, str(trace), str(out)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        runs.append(tuple(map(float, printed.split()[-3:])))
    return min(run[0] for run in runs), min(run[1] for run in runs), max(run[2] for run in runs)


def main() -> None:
    """Measure on one trace."""
    source = Path(sys.argv[1])
    megabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 100.0
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        write_repeated(source, trace, int(megabytes * MEGA))
        print(f"{source.name} repeated: {trace.stat().st_size / MEGA:.0f} MB")
        base = 0.0
        for reader in READERS:
            if reader == "HolisticTraceAnalysis" and importlib.util.find_spec("hta") is None:
                print(f"{reader:26} is not installed")
                continue
            whole_s, reading_s, memory_mib = measured(reader, trace, Path(folder, "out"))
            base = base or whole_s
            print(
                f"{reader:26} {whole_s:6.2f} s ({whole_s / base:4.2f} x), reading alone {reading_s:6.2f} s, "
                f"{memory_mib:6.0f} MiB"
            )


if __name__ == "__main__":
    main()
