"""What a training run did, step by step and operation by operation, as files that outlive a kill.

`TraceWriter` streams a run to a folder, `read_trace` reads it back, `write_perfetto` makes a picture of
it, `import_trace` makes a trace of other tools' files, and `summarise` says what stands in it. `schema` holds
every column with its unit. Nothing here needs torch: what a machine with an accelerator measured is read on
one without.
"""

from simtool.trace.importing import Imported, import_trace
from simtool.trace.kernels import KernelTable
from simtool.trace.manifest import Manifest
from simtool.trace.perfetto import write_perfetto
from simtool.trace.reader import Trace, read_trace
from simtool.trace.summary import Summary, summarise
from simtool.trace.writer import TraceWriter

__all__ = [
    "Imported",
    "KernelTable",
    "Manifest",
    "Summary",
    "Trace",
    "TraceWriter",
    "import_trace",
    "read_trace",
    "summarise",
    "write_perfetto",
]
