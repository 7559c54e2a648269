"""The page of provider credentials: whose is used where, the organization's secrets, and whether a provider takes one."""

from typing import Any

from starlette.responses import Response

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.asking import may, providers_of, secrets_of, unless_forbidden
from inferway.http.dashboard.entry import Entry
from inferway.http.dashboard.namespaces import CREDENTIAL
from inferway.http.dashboard.view import View, Visitor

_PATH = "/settings/credentials"
_ORGANIZATION = "/v1/organizations"
_SECRETS = "/v1/organizations/secrets"
_CHECK = "/v1/organizations/credentials/check"
_SECRET = _SECRETS + "/{secret_name}"
_PLACES = {
    "secret_name_taken": "secret_name",
    "unknown_provider": "credentials",
    "secret_not_found": "credentials",
    "default_llm_credentials": "credentials",
}


class CredentialPages:
    """Provider credentials."""

    def views(self) -> tuple[View, ...]:
        """The pages and forms."""
        one = _PATH + "/secrets/{secret}"
        return (
            View(method="GET", path=_PATH, handler=self.show),
            View(method="POST", path=_PATH, handler=self.choose),
            View(method="POST", path=_PATH + "/check", handler=self.check),
            View(method="POST", path=_PATH + "/secrets", handler=self.add),
            View(method="GET", path=one, handler=self.one),
            View(method="POST", path=one, handler=self.replace),
            View(method="POST", path=one + "/delete", handler=self.remove),
        )

    async def show(self, visitor: Visitor) -> Response:
        """Every provider with whose credential it is called, and the names of the secrets."""
        return await self._show(visitor, await self._chosen(visitor))

    async def choose(self, visitor: Visitor) -> Response:
        """Chooses the organization's own credential for each provider."""
        entry = Entry.of(await visitor.form())
        try:
            await visitor.api.patch(_ORGANIZATION, {"default_llm_credentials": entry.named(CREDENTIAL)})
            return visitor.go(_PATH, "saved")
        except Refused as refused:
            entry.take(refused, _PLACES)
        return await self._show(visitor, entry)

    async def check(self, visitor: Visitor) -> Response:
        """Asks a provider whether it takes a credential, which costs nothing."""
        form = await visitor.form()
        asked = {"provider": form.find("provider") or "", "secret_name": form.find("secret")}
        verdict = await visitor.api.post(_CHECK, asked)
        return await self._show(visitor, await self._chosen(visitor), verdict=verdict)

    async def add(self, visitor: Visitor) -> Response:
        """Keeps a new secret."""
        form = await visitor.form()
        entry = await self._chosen(visitor)
        given = Entry.of(form)
        body = {
            "secret_name": given.require("secret_name", "Give the secret a name."),
            "secret_value": given.require("secret_value", "Paste the key."),
        }
        if not given.is_wrong:
            try:
                await visitor.api.post(_SECRETS, body)
                return visitor.go(_PATH, "secret-kept")
            except Refused as refused:
                given.take(refused, _PLACES)
        entry.continue_with(given, "secret_name")
        return await self._show(visitor, entry)

    async def one(self, visitor: Visitor) -> Response:
        """Forms for one secret."""
        return await self._one(visitor, Entry())

    async def replace(self, visitor: Visitor) -> Response:
        """Puts another value in a secret's place."""
        entry = Entry.of(await visitor.form())
        value = entry.require("secret_value", "Paste the key.")
        if not entry.is_wrong:
            try:
                await visitor.api.put(_SECRET, {"secret_value": value}, secret_name=visitor.place("secret"))
                return visitor.go(_PATH, "secret-kept")
            except Refused as refused:
                entry.take(refused)
        return await self._one(visitor, entry)

    async def remove(self, visitor: Visitor) -> Response:
        """Removes a secret."""
        if (await visitor.form()).find("sure") is None:
            entry = Entry()
            entry.refuse("sure", "Check the box: this cannot be undone.")
            return await self._one(visitor, entry)
        await visitor.api.delete(_SECRET, secret_name=visitor.place("secret"))
        return visitor.go(_PATH, "secret-deleted")

    async def _chosen(self, visitor: Visitor) -> Entry:
        organization = await unless_forbidden(visitor.api.get(_ORGANIZATION))
        chosen = {} if organization is None else organization["default_llm_credentials"]
        return Entry({CREDENTIAL + provider: secret for provider, secret in chosen.items()})

    async def _show(
        self, visitor: Visitor, entry: Entry, *, verdict: dict[str, Any] | None = None
    ) -> Response:
        return await visitor.show(
            "credentials.html",
            entry.status,
            entry=entry,
            verdict=verdict,
            providers=await providers_of(visitor),
            secrets=await secrets_of(visitor),
            is_admin=await may(visitor, "admin"),
        )

    async def _one(self, visitor: Visitor, entry: Entry) -> Response:
        name = visitor.place("secret")
        secrets = await secrets_of(visitor)
        return await visitor.show(
            "secret.html", entry.status, entry=entry, name=name, is_there=name in (secrets or ())
        )
