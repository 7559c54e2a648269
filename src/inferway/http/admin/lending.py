"""Which secret stands in for the operator's key at which provider, as a caller writes it."""

from collections.abc import Callable, Mapping

from inferway.access.records import Borrowed, Credentials
from inferway.access.vault import Vault
from inferway.errors import BadRequest, NotFound

FindHost = Callable[[str], tuple[str, str | None] | None]
"""A provider's name or alias → its own name and the host that its credential is shown to; None when there is no such provider."""


class Lending:
    """Checks what a caller writes and binds each credential to the host that its provider has now."""

    def __init__(self, vault: Vault, find_host: FindHost) -> None:
        self._vault, self._find_host = vault, find_host

    async def read(self, organization_id: str, given: Mapping[str, str] | None) -> Credentials:
        """Credentials from the wire (provider → secret name); `BadRequest` for a provider or a secret that is not there."""
        chosen: Credentials = {}
        for provider, secret_name in (given or {}).items():
            found = self._find_host(provider)
            if found is None:
                raise BadRequest(f"There is no provider {provider!r} here.", code="unknown_provider")
            try:
                await self._vault.require(organization_id, secret_name)
            except NotFound as error:
                raise BadRequest(
                    f"There is no secret {secret_name!r}.", code="secret_not_found", details=error.details
                ) from None
            name, host = found
            chosen[name] = Borrowed(secret_name=secret_name, host=host)
        return chosen
