"""Tables of published results: reading them, and fields that may be blank."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from simtool.errors import InputError, Problem

Row = dict[str, str]

SHIPPED = Path(__file__).parent / "data" / "llm_training.csv.gz"
"""The rows of the public table of language models, sweeps of one cluster included; see NOTICE."""

NEEDED = ("id", "accelerator", "n_accel")
"""Columns without which a table is no table of runs."""
KNOWN = (
    *("family", "quality", "source", "source_kind", "task", "model", "params_b", "moe", "experts", "top_k"),
    *("layers", "hidden", "ffn_hidden", "heads", "kv_heads", "vocab", "seq_len", "precision"),
    *("tp", "pp", "vpp", "dp", "cp", "ep", "zero_stage", "micro_batch", "global_batch", "recompute"),
    *("attention_impl", "framework", "interconnect", "flops_convention"),
    *("tokens_per_s_per_accel", "step_time_s", "tflops_per_accel", "mfu", "mem_gb"),
)
"""Columns that are read where they are there; others are left alone."""
LEAST, MOST = 1e-12, 1e18
"""Of a number that is not 0: beyond, it is a slip, and would make sums over all rows infinite or empty."""
MAX_TABLE_BYTES = 200_000_000
"""Unpacked; a table of this many rows is another file than meant."""


@dataclass
class Filled:
    """A row's fields with blanks filled, and the ids of the rules that filled them."""

    row: Row
    rules: list[str] = field(default_factory=list)

    def number(self, name: str, rule: str = "", default: float | None = None) -> float | None:
        """A numeric field; where it is blank the default, under the rule's id.

        Raises:
            InputError: no number, or none that a run can have.
        """
        written = self.row.get(name) or ""
        if written.strip().lower() not in ("", "nan"):
            try:
                value = float(written)
            except ValueError:
                value = math.nan
            if not (value == 0.0 or LEAST <= value <= MOST):
                raise self._problem(name, "a number, not negative, or blank")
            return value
        if default is not None and rule:
            self.rules.append(rule)
        return default

    def count(self, name: str, rule: str = "", default: float = 1.0) -> float:
        """A degree or a size that is a whole number; the default where it is blank or 0.

        Raises:
            InputError: no whole number.
        """
        value = self.number(name, rule, default) or default
        if value != int(value):
            raise self._problem(name, "a whole number, or blank")
        return value

    def _problem(self, name: str, allowed: str) -> InputError:
        found = f"found {self.text(name)[:40]!r} as {name}"
        return InputError(Problem(f"row {self.row.get('id') or '?'}", name, found, allowed, "mend the row"))

    def text(self, name: str) -> str:
        """A text field, empty where blank."""
        written = (self.row.get(name) or "").strip()
        return "" if written.lower() == "nan" else written


def read_rows(path: Path) -> list[Row]:
    """Rows of a table of published results, plain or gzipped CSV.

    Raises:
        InputError: the file cannot be read, lacks a column, or names a row twice.
    """
    try:
        if path.exists() and not path.is_file():
            found = "found a folder, a device or a pipe"
            raise InputError(Problem(str(path), "", found, "", "give a CSV of results"))
        with path.open("rb") as raw:
            packed = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            data = packed.read(MAX_TABLE_BYTES + 1)
        text = data.decode("utf-8-sig")
        read = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(read)
    except (OSError, UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise InputError(
            Problem(str(path), "", f"cannot be read: {error}", "", "give a CSV of results")
        ) from None
    if len(data) > MAX_TABLE_BYTES:
        found = f"found more than {MAX_TABLE_BYTES // 1_000_000} MB"
        raise InputError(Problem(str(path), "", found, "", "give a table of results, or cut it"))
    if not rows:
        raise InputError(Problem(str(path), "", "found no rows", "", "give a CSV of results with a header"))
    if missing := [name for name in NEEDED if name not in rows[0]]:
        allowed = f"needed: {', '.join(NEEDED)}"
        raise InputError(
            Problem(str(path), missing[0], "column is missing", allowed, "add it, blank if unknown")
        )
    if twice := [name for name, times in Counter(read.fieldnames or ()).items() if times > 1 and name]:
        found = "is the name of several columns"
        raise InputError(Problem(str(path), twice[0][:40], found, "", "keep one of them"))
    _refuse_broken(rows, path)
    blank = dict.fromkeys(KNOWN, "")
    return [blank | {name: value or "" for name, value in row.items()} for row in rows]


def _refuse_broken(rows: list[Row], path: Path) -> None:
    seen: dict[str, int] = {}
    problems = []
    for line, row in enumerate(rows, start=2):
        name = row.get("id") or ""
        if None in row:
            problems.append(
                Problem(f"{path}:{line}", "", "found more cells than columns", "", "mend the row")
            )
        elif not name.strip():
            problems.append(Problem(f"{path}:{line}", "id", "is blank", "", "name the row"))
        elif name in seen:
            found = f"found {name[:40]!r}, the name of line {seen[name]} too"
            problems.append(Problem(f"{path}:{line}", "id", found, "", "name every row once"))
        seen.setdefault(name, line)
    if problems:
        raise InputError(problems[:20])
