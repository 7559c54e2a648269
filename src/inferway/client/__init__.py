"""The Python client: calls a server over HTTP."""
