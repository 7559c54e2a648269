"""Whether a provider takes a credential: asked for nothing that costs, with one deadline, at the provider's own address only."""

import asyncio
from typing import Literal, Protocol

from msgspec import Struct

from inferway.access.records import Borrowed, LentSecret
from inferway.access.secrets import SealedSecret
from inferway.errors import (
    CredentialUnavailable,
    ProviderAuth,
    ProviderQuota,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderTls,
    ProviderUnreachable,
    UpstreamError,
)
from inferway.pipeline.lending import host_of
from inferway.providers.base import Credential, Provider
from inferway.types import Deadline

State = Literal["ok", "refused", "unreachable", "unclear", "not_needed"]

_TIMEOUT_S = 10.0
_AT_ONCE = 4


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of a check: `message` is for a person, and never holds what the provider wrote."""

    state: State
    message: str


class Reveals(Protocol):
    """Opens lent secrets; raises `CredentialUnavailable`."""

    def reveal(self, lent: LentSecret) -> str: ...


class CredentialChecks:
    """Checks credentials, few at a time."""

    def __init__(self, vault: Reveals, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._vault, self._timeout_s = vault, timeout_s
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def check_operators(self, provider: Provider) -> Verdict:
        """Whether a provider takes the operator's own credential."""
        return await self._check(provider, provider.credential)

    async def check_secret(
        self, provider: Provider, borrowed: Borrowed, sealed: SealedSecret | None
    ) -> Verdict:
        """Whether a provider takes a secret; it is shown to the host that it is bound to and to no other."""
        if borrowed.host != host_of(provider):
            message = "It was given for another address of this provider: choose it again."
            return Verdict(state="refused", message=message)
        try:
            value = self._vault.reveal(LentSecret(provider=provider.name, host=borrowed.host, sealed=sealed))
        except CredentialUnavailable as error:
            return Verdict(state="refused", message=error.message)
        return await self._check(provider, Credential(secret=value))

    async def _check(self, provider: Provider, credential: Credential | None) -> Verdict:
        if provider.look is None:
            is_here = provider.address is None
            return Verdict(
                state="not_needed" if is_here else "unclear",
                message="It needs no credential." if is_here else "This kind of provider cannot be checked.",
            )
        deadline = Deadline.after(self._timeout_s)
        try:
            async with deadline.limit(), self._places:
                await provider.look(credential, deadline)
        except TimeoutError:
            return _unreachable()
        except UpstreamError as error:
            return _verdict(error, has_key=credential is not None)
        if credential is None:
            return Verdict(state="ok", message="It answers without a credential.")
        return Verdict(state="ok", message="It takes the credential.")


def _verdict(error: UpstreamError, *, has_key: bool) -> Verdict:
    match error:
        case ProviderAuth():
            message = "It refuses the credential." if has_key else "It wants a credential, and there is none."
            return Verdict(state="refused", message=message)
        case ProviderQuota():
            message = "It takes the credential, whose account has no money or quota left."
            return Verdict(state="refused", message=message)
        case ProviderUnreachable() | ProviderTimeout() | ProviderTls():
            return _unreachable()
        case ProviderRateLimited():
            return Verdict(state="unclear", message="It is asked too often at the moment: check again later.")
        case _:
            return Verdict(state="unclear", message="It answered, but with no list of models.")


def _unreachable() -> Verdict:
    return Verdict(state="unreachable", message="It cannot be reached, or did not answer in time.")
