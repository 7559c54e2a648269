"""Inferway: a self-hosted raw-inference gateway."""

__version__ = "0.1.0"
