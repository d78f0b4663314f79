"""Checks against measurements, one per module; see `simtool.validate.check` for what each answers."""
