"""Where to call: what is given, and what is not from the settings."""

from inferway.client.requests import Address
from inferway.settings import load

_DEFAULT_URL = "http://127.0.0.1:8080"


def find_address(url: str | None, api_key: str | None, namespace: str | None) -> Address:
    """The address; what is not given comes from the settings file or `INFERWAY_URL`, `INFERWAY_API_KEY` and `INFERWAY_NAMESPACE`.

    Raises `ValueError` when there is no key anywhere.
    """
    if api_key is None or url is None or namespace is None:
        chosen = load().client
        url = url or chosen.url
        namespace = namespace or chosen.namespace
        if api_key is None and chosen.api_key is not None:
            api_key = chosen.api_key.reveal()
    if not api_key:
        raise ValueError("a key is needed: give api_key or set INFERWAY_API_KEY")
    return Address(url=(url or _DEFAULT_URL).rstrip("/"), api_key=api_key, namespace=namespace or "default")
