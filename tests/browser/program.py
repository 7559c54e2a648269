"""Where the system's Chromium is."""

import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The program, or None."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)
