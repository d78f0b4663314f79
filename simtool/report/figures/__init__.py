"""The figures, one file each: a function from a result to its table, and one from the table to the figure."""
