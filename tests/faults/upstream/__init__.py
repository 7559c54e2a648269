"""Upstream faults: what providers and the network before them do wrong, played byte by byte against a real server."""
