"""The composition root: the only part that names the concrete parts and puts them together."""

from inferway.app.root import Inferway, create

__all__ = ["Inferway", "create"]
