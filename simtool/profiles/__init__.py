"""Profiles of hardware, software and networks: what a file may hold, and where it is found by name."""
