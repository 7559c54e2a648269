"""Marks what needs a network namespace."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "netns: makes a network namespace of its own, which root may do, and some users"
    )
