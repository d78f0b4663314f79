"""Ways to spend less on training, one file each. The first lines of a file say what the method skips.

A file registers a maker under the name that the effect file and `simtool.methods` use too; the
trainer knows none of them by name.
"""
