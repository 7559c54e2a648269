"""Whose credential each provider is called with, over HTTP, and whether the provider takes it."""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from inferway.access.records import Borrowed, Organization, Permission
from inferway.access.vault import Vault
from inferway.errors import Forbidden, NotFound
from inferway.http.admin.answers import CheckedCredential, ShownCredential, ShownCredentials
from inferway.http.admin.bodies import CheckBody
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.models import Providers
from inferway.pipeline.checking import CredentialChecks, Verdict
from inferway.pipeline.lending import host_of
from inferway.providers.base import Provider

Circuit = Literal["closed", "half_open", "open"]
FindCircuits = Callable[[], Iterable[tuple[str, str, Circuit]]]
"""Provider, whose credential (`operator`: the operator's), and the circuit's state, for the circuits that there are."""

_check = msgspec.json.Decoder(CheckBody)


class CredentialRoutes:
    """The routes of provider credentials."""

    def __init__(
        self, vault: Vault, providers: Providers, checks: CredentialChecks, circuits: FindCircuits
    ) -> None:
        self._vault, self._providers = vault, providers
        self._checks, self._circuits = checks, circuits

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        return (
            Endpoint(
                name="list_credentials",
                method="GET",
                path="/v1/organizations/credentials",
                permission=Permission.READ,
                scope="organization",
                handler=self.list,
            ),
            Endpoint(
                name="check_credential",
                method="POST",
                path="/v1/organizations/credentials/check",
                permission=Permission.ADMIN,
                scope="organization",
                handler=self.check,
                body=_check,
                refusals=(400, 404),
            ),
        )

    async def list(self, visit: Visit) -> ShownCredentials:
        """Whose credential each provider is called with, where a namespace has none of its own, and how its circuit stands."""
        circuits = {name: state for name, whose, state in self._circuits() if whose == "operator"}
        organization = visit.holder.organization
        results = tuple(
            _shown(row, organization, circuits.get(row.name, "closed")) for row in self._providers.rows()
        )
        return ShownCredentials(results=results, total=len(results))

    async def check(self, visit: Visit) -> CheckedCredential:
        """Asks a provider for its list of models with a credential, which costs nothing.

        Without a secret it is the credential that the organization's calls use.
        """
        body = await visit.body(_check)
        provider = self._providers.get(body.provider)
        borrowed = visit.holder.organization.credentials.get(provider.name)
        if body.secret_name is not None:
            if not visit.may_see("secret", body.secret_name):
                raise Forbidden("This key's scopes leave that out.", code="scope_denied")
            await self._vault.require(visit.organization_id, body.secret_name)
            borrowed = Borrowed(secret_name=body.secret_name, host=host_of(provider))
        verdict = await self._verdict(visit.organization_id, provider, borrowed)
        return CheckedCredential(
            provider=provider.name,
            secret_name=None if borrowed is None else borrowed.secret_name,
            state=verdict.state,
            message=verdict.message,
        )

    async def _verdict(self, tenant: str, provider: Provider, borrowed: Borrowed | None) -> Verdict:
        if borrowed is None:
            return await self._checks.check_operators(provider)
        try:
            sealed = await self._vault.require(tenant, borrowed.secret_name)
        except NotFound:
            sealed = None
        return await self._checks.check_secret(provider, borrowed, sealed)


def _shown(row: Provider, organization: Organization, circuit: Circuit) -> ShownCredential:
    borrowed = organization.credentials.get(row.name)
    whose: Literal["organization", "operator", "not_needed", "none"] = "none"
    if borrowed is not None:
        whose = "organization"
    elif row.credential is not None:
        whose = "operator"
    elif row.address is None:
        whose = "not_needed"
    return ShownCredential(
        provider=row.name,
        kind=row.kind,
        credential=whose,
        secret_name=None if borrowed is None else borrowed.secret_name,
        can_be_lent=row.address is not None,
        can_be_checked=row.look is not None,
        circuit=circuit,
    )
