"""Asks a provider for its list of models: free, and enough to see whether it takes a credential."""

from inferway.errors import ProviderBadAnswer, ProviderFailed, UpstreamError
from inferway.providers.base import (
    Authenticator,
    Credential,
    Endpoint,
    ErrorClassifier,
    Transport,
    WireRequest,
    WireResponse,
)
from inferway.types import Deadline


class Look:
    """`GET` of a path below a provider's own address, with its own way of showing a credential."""

    def __init__(
        self,
        path: str,
        *,
        endpoint: Endpoint,
        authenticator: Authenticator,
        classify: ErrorClassifier,
        transport: Transport,
    ) -> None:
        self._request = WireRequest(path=path, body=b"", headers=(), method="GET")
        self._url = endpoint.base_url.rstrip("/") + path
        self._headers = endpoint.headers
        self._authenticator, self._classify, self._transport = authenticator, classify, transport

    async def __call__(self, credential: Credential | None, deadline: Deadline) -> None:
        """Comes back when the provider gave its list; raises `ProviderAuth` when it refused the credential, and `UpstreamError`."""
        shown = self._headers + await self._authenticator.headers(credential, deadline)
        response = await self._transport.send(self._url, self._request, shown, deadline)
        if response.status >= 300:
            raise self._error(response)

    def _error(self, response: WireResponse) -> UpstreamError:
        if response.status < 400:
            return ProviderBadAnswer("The provider answered with a redirect; redirects are never followed.")
        try:
            return self._classify(response)
        except (ValueError, LookupError, TypeError, AttributeError):
            failed = ProviderFailed if response.status >= 500 else ProviderBadAnswer
            return failed(f"The provider answered with status {response.status}.")
