"""The only part that opens a socket to a provider: HTTP/1.1 over kept connections, with one deadline for a whole call."""

from inferway.providers.transport.client import HttpTransport
from inferway.providers.transport.limits import Limits

__all__ = ["HttpTransport", "Limits"]
