"""Secrets over HTTP: values go in and never come out."""

import re

import msgspec

from inferway.access.records import Permission
from inferway.access.vault import Vault
from inferway.errors import InvalidShape
from inferway.http.admin.answers import CreatedSecret, DeletedSecret, Secrets, UpdatedSecret
from inferway.http.admin.bodies import SecretBody, SecretValue
from inferway.http.admin.endpoint import Endpoint, Visit

_SECRETS = "/v1/organizations/secrets"
_SECRET = _SECRETS + "/{secret_name}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_body = msgspec.json.Decoder(SecretBody)
_value = msgspec.json.Decoder(SecretValue)


class SecretRoutes:
    """The routes of secrets."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        admin = Permission.ADMIN
        return (
            Endpoint(
                name="create_secret",
                method="POST",
                path=_SECRETS,
                permission=admin,
                scope="secret",
                handler=self.create,
                body=_body,
                refusals=(409,),
            ),
            Endpoint(
                name="list_secrets",
                method="GET",
                path=_SECRETS,
                permission=admin,
                scope="visible",
                handler=self.list,
            ),
            Endpoint(
                name="change_secret",
                method="PUT",
                path=_SECRET,
                permission=admin,
                scope="secret",
                handler=self.change,
                body=_value,
                refusals=(409,),
            ),
            Endpoint(
                name="remove_secret",
                method="DELETE",
                path=_SECRET,
                permission=admin,
                scope="secret",
                handler=self.remove,
                refusals=(409,),
            ),
        )

    async def create(self, visit: Visit) -> CreatedSecret:
        """Keeps a new secret."""
        body = await visit.body(_body)
        if not _NAME.fullmatch(body.secret_name):
            message = "a secret's name has 1 to 100 letters, digits, '.', '_' or '-'"
            raise InvalidShape.at(["body", "secret_name"], "value_error", message)
        await self._vault.create(visit.organization_id, body.secret_name, body.secret_value, visit.actor)
        return CreatedSecret(secret_name=body.secret_name)

    async def list(self, visit: Visit) -> Secrets:
        """The names of the secrets that the key may see."""
        stored = await self._vault.names(visit.organization_id)
        names = tuple(name for name in stored if visit.may_see("secret", name))
        return Secrets(secrets=names, count=len(names))

    async def change(self, visit: Visit) -> UpdatedSecret:
        """Puts another value in a secret's place."""
        body = await visit.body(_value)
        name = visit.place("secret_name")
        await self._vault.change(visit.organization_id, name, body.secret_value, visit.actor)
        return UpdatedSecret(secret_name=name)

    async def remove(self, visit: Visit) -> DeletedSecret:
        """Removes a secret."""
        name = visit.place("secret_name")
        await self._vault.remove(visit.organization_id, name, visit.actor)
        return DeletedSecret(secret_name=name)
