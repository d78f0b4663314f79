"""Streams a run to disk while it goes on, and packs it when it is over.

Rows are kept in lists and written in batches, twice a second by a thread of its own, so a step pays
for an append and a kill costs at most the rows of the last half second.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from simtool.errors import OutputError
from simtool.trace import manifest_file
from simtool.trace.columns import Row, RowTaker, arrow_schema
from simtool.trace.compact import compact_part, compact_revised
from simtool.trace.manifest import Manifest
from simtool.trace.schema import STREAMS, Stream
from simtool.trace.stream_file import StreamFile

FLUSH_INTERVAL_S = 0.5
"""Time after which waiting rows are written."""
MAX_WAITING = 4096
"""Rows of one stream that may wait; more are written at once."""
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,39}\Z")


class _Open:
    """A stream that is being written: rows that wait, and the file they go to."""

    def __init__(self, folder: Path, name: str, stream: Stream) -> None:
        self.name, self.stream = name, stream
        arrow_schema(stream)  # loads Arrow now, rather than in the middle of a run
        self.take = RowTaker(stream)
        self.waiting: list[Row] = []
        self.revision = 0
        pack = None if stream.is_revised else self._pack
        self.file = StreamFile(folder, name, stream, pack)
        self._folder = folder

    def _pack(self, part: int) -> None:
        compact_part(self._folder, self.name, self.stream, part)

    def finish(self) -> None:
        """End the stream and make Parquet of what is left of it."""
        self.file.close()
        if not self.file.num_parts:
            return
        if self.stream.is_revised:
            compact_revised(self._folder, self.name, self.stream, self.file.num_parts)
        else:
            self._pack(self.file.num_parts)


class TraceWriter:
    """A trace while it is written; any thread may add rows, until `close`.

    Everything is on disk, readable, within `FLUSH_INTERVAL_S`; `close` turns the streams into Parquet.
    After an error of the file system nothing more is written, and what was written stays readable.

    Args:
        folder: where the trace goes; it is made, and must hold no other trace.
        manifest: what is known at the start.
        flush_interval_s: time after which waiting rows are written.

    Raises:
        OutputError: if there is a trace already, or, from any method, if writing failed.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, *, flush_interval_s: float = FLUSH_INTERVAL_S
    ) -> None:
        self.folder, self.manifest = folder, manifest.model_copy(update={"status": "running"})
        manifest_file.claim(folder, self.manifest)
        self._streams: dict[str, _Open] = {}
        self._adding, self._writing = threading.Lock(), threading.Lock()
        self._failure: OutputError | None = None
        self._is_closed = False
        self._end = threading.Event()
        for name, stream in STREAMS.items():
            if name != "power":
                self._streams[name] = _Open(folder, name, stream)
        self._steps = self._streams["steps"]
        self._interval_s = flush_interval_s
        self._thread = threading.Thread(target=self._keep_flushing, name="trace-writer", daemon=True)
        self._thread.start()

    def step(self, row: Mapping[str, Any]) -> None:
        """One finished step."""
        self._add(self._steps, row)

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """One figure of an evaluation."""
        self._add(self._streams["evals"], row)

    def event(self, row: Mapping[str, Any]) -> None:
        """One event; `detail` may be any plain data."""
        self._add(self._streams["events"], row)

    def kernel(self, row: Mapping[str, Any]) -> None:
        """One kernel that was timed by itself."""
        self._add(self._streams["kernels"], row)

    def power(self, device: str, row: Mapping[str, Any]) -> None:
        """One reading of a device's power meter.

        Raises:
            ValueError: for a device whose name makes no file name.
        """
        name = f"power-{device}"
        stream = self._streams.get(name)
        if stream is None:
            if not _DEVICE.match(device):
                raise ValueError(
                    f"device {device!r}: letters, digits, +, - and _ make its name, at most 40 of them"
                )
            with self._adding:
                stream = self._streams.setdefault(name, _Open(self.folder, name, STREAMS["power"]))
        self._add(stream, row)

    def signatures(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Kinds of steps; they replace what was said of the same signatures before."""
        self._revise("signatures", rows)

    def phases(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Times of phases; they replace what was said of the same signatures before."""
        self._revise("phases", rows)

    def ops(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Operations; they replace what was said of the same signatures before."""
        self._revise("ops", rows)

    @property
    def num_writes(self) -> int:
        """Writes to stream files so far."""
        return sum(stream.file.num_writes for stream in list(self._streams.values()))

    def flush(self) -> None:
        """Write every row that waits."""
        with self._writing:
            self._check()
            self._flush()

    def close(self, *, status: str = "finished", reason: str = "", **facts: Any) -> None:
        """Write what waits, turn the streams into Parquet, and tell in the manifest how it ended.

        Args:
            status: finished, diverged or interrupted.
            reason: why it did not finish.
            facts: fields of the manifest that are known only now, such as `power`.

        Raises:
            OutputError: if that fails, or writing failed before; what was written stays readable.
        """
        if self._is_closed:
            return
        final = Manifest.model_validate({**dict(self.manifest), **facts, "status": status, "reason": reason})
        self._is_closed = True
        self._end.set()
        self._thread.join()
        with self._writing:
            try:
                if self._failure is not None:
                    raise self._failure
                self._flush()
                for stream in self._streams.values():
                    stream.finish()
                manifest_file.replace(self.folder, final)
                self.manifest = final
            except OutputError as error:
                self._failure = error
                raise
            finally:
                for stream in self._streams.values():
                    stream.file.abandon()

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif self._failure is None:
            self.close(status="interrupted", reason=f"{type(error).__name__}: {error}".rstrip(": "))
        else:
            self.abandon()

    def abandon(self) -> None:
        """Stop writing and leave everything as it is: a trace that reads as cut."""
        self._is_closed = True
        self._end.set()
        self._thread.join()
        with self._writing:
            for stream in self._streams.values():
                stream.file.abandon()

    # ------------------------------------------------------------------------------------ behind it

    def _add(self, stream: _Open, row: Mapping[str, Any]) -> None:
        taken = stream.take(row)
        with self._adding:
            stream.waiting.append(taken)
            is_full = len(stream.waiting) >= MAX_WAITING
        if self._failure is not None or self._is_closed:
            self._check()
        if is_full:
            self.flush()

    def _revise(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        stream = self._streams[name]
        with self._writing:
            self._check()
            stream.revision += 1
            taken = [stream.take({"revision": stream.revision, **row}) for row in rows]
            self._write(stream, taken)

    def _flush(self) -> None:
        with self._adding:
            batches = [(stream, stream.waiting) for stream in self._streams.values() if stream.waiting]
            for stream, _ in batches:
                stream.waiting = []
        for stream, rows in batches:
            self._write(stream, rows)

    def _write(self, stream: _Open, rows: list[Row]) -> None:
        try:
            stream.file.append(rows)
        except OutputError as error:
            self._failure = error
            raise

    def _keep_flushing(self) -> None:
        while not self._end.wait(self._interval_s):
            with self._writing:
                if self._failure is not None:
                    return
                try:
                    self._flush()
                except OutputError:
                    return  # kept in `_failure`, and raised to whoever adds the next row

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_closed:
            raise RuntimeError("the trace is closed")
