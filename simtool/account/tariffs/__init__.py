"""Electricity tariffs, one per module; see `simtool.account.tariff` for what each answers."""
