"""Streams a file from an address, for model files whose packages are gone."""

import urllib.request
from collections.abc import Iterator
from http.client import HTTPException

_CHUNK = 1 << 18
_TIMEOUT_S = 10.0


def fetch(url: str) -> Iterator[bytes]:
    """Streams the body behind an address; raises OSError after 10 seconds of silence or on any status but 200."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - the catalogue allows http(s) only
            while chunk := response.read(_CHUNK):
                yield chunk
    except HTTPException as error:
        raise OSError("broken answer") from error
