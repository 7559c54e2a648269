"""Wires the house rules into every run: no network, nobody's own keys, nothing left out in silence."""

import os

import hypothesis
import pytest

pytest_plugins = ["pytester", "tests.guards.network", "tests.guards.omissions", "tests.databases.fixtures"]

_OWN_SETTINGS = ("OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "INFERWAY_")


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's provider keys and settings, here and in the processes that tests start."""
    for name in list(os.environ):
        if name.startswith(_OWN_SETTINGS) and not name.startswith("INFERWAY_TEST_"):
            del os.environ[name]
    # A busy machine is no reason to fail: how long one example takes is not what these tests are about.
    hypothesis.settings.register_profile("inferway", deadline=None, print_blob=True)
    hypothesis.settings.load_profile("inferway")
