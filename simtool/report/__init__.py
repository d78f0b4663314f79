"""Figures of results, each with the table behind it. Nothing else imports a plotting library."""
