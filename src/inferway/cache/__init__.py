"""Answers that are kept because the caller asked for it."""
