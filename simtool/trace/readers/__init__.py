"""Readers of other tools' files, one format a file; `simtool.trace.found.READERS` finds them."""
