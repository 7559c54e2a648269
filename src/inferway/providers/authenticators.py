"""Simple ways to show a credential to a provider: a key in a header, or none."""

from inferway.errors import ProviderAuth
from inferway.providers.base import Authenticator, Credential, Headers
from inferway.types import Deadline


class KeyHeader:
    """Sends a key in one header, such as `x-api-key`."""

    def __init__(self, provider: str, header: str, prefix: str = "") -> None:
        self._provider = provider
        self._header = header
        self._prefix = prefix
        self._last: Credential | None = None
        self._shown: Headers = ()

    def find_headers(self, credential: Credential | None) -> Headers | None:
        """The header with the key that was shown last."""
        return self._shown if credential is not None and credential is self._last else None

    async def headers(self, credential: Credential | None, deadline: Deadline | None = None) -> Headers:
        """The header with the key; raises `ProviderAuth` when there is none, or none that fits into a header."""
        del deadline
        if credential is None or not credential.secret:
            raise ProviderAuth(
                f"No credential is configured for {self._provider}: the server's setting"
                f" providers.{self._provider}.api_key, or its variable, holds one."
            )
        shown = ((self._header, self._prefix + self._sendable(credential.secret)),)
        self._last, self._shown = credential, shown
        return shown

    def _sendable(self, secret: str) -> str:
        if secret.isascii() and secret.isprintable() and " " not in secret:
            return secret
        raise ProviderAuth(
            f"The credential configured for {self._provider} holds characters that no key has."
        )


class OptionalKey:
    """Sends the key when there is one: servers of our own often ask for none."""

    def __init__(self, inner: Authenticator) -> None:
        self._inner = inner

    def find_headers(self, credential: Credential | None) -> Headers | None:
        """None at all without a credential."""
        if credential is None or not credential.secret:
            return ()
        return self._inner.find_headers(credential)

    async def headers(self, credential: Credential | None, deadline: Deadline | None = None) -> Headers:
        """The headers of the authenticator inside, or none without a credential."""
        if credential is None or not credential.secret:
            return ()
        return await self._inner.headers(credential, deadline)


def bearer(provider: str) -> KeyHeader:
    """`authorization: Bearer <key>`."""
    return KeyHeader(provider, "authorization", "Bearer ")


def optional_bearer(provider: str) -> OptionalKey:
    """`authorization: Bearer <key>` when a key is configured."""
    return OptionalKey(bearer(provider))
