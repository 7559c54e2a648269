"""Writes the tables of the documentation from the code: `make docs`."""
