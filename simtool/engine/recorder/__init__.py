"""The recorder of the engine: from running steps to a trace.

`profile` turns what torch's profiler saw into spans, `join` finds whose time that was, `rows` makes
rows of it, and `recorder` decides which steps are watched.
"""

from simtool.engine.recorder.recorder import TraceRecorder

__all__ = ["TraceRecorder"]
