"""Families of models as step graphs: what is computed, whatever it runs on."""
