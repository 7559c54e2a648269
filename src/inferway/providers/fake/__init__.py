"""The fake provider: made-up answers that depend on nothing but the call, and switches for everything that goes wrong.

It serves tests and demonstrations, says that it is fake, and is never a default: it is enabled in the settings, and every one of its
models has a name that begins with `fake-`.
"""

from inferway.providers.fake.row import build
from inferway.providers.fake.switches import Switches

__all__ = ["Switches", "build"]
