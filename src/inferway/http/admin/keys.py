"""API keys over HTTP, and whose key it is."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from inferway.access.administration import Administration, find_by_reference, require_live
from inferway.access.directory import Directory
from inferway.access.grants import require_grantable
from inferway.access.records import ApiKey, Permission, Role, SpendBudget, User
from inferway.errors import Forbidden, NotFound
from inferway.http.admin.answers import Done, Key, Keys, Me, NewKey, OwnedKeys, OwnKey, OwnLimits
from inferway.http.admin.bodies import KeyBody, KeyPatch, RotateBody
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.query import Number, Switch, Text, aware
from inferway.http.admin.shown import (
    budget_of,
    shown_key,
    shown_new_key,
    shown_owned_key,
    shown_permissions,
)

_DEFAULT = (Permission.READ, Permission.WRITE, Permission.DELETE)
_KEYS = "/v1/organizations/users/{email}/api-keys"
# A key's name may hold a slash, which arrives unescaped.
_KEY = _KEYS + "/{key:path}"

_ALL = "/v1/organizations/api-keys"

_SKIP = Number(name="skip", about="How many to leave out first.", default=0, least=0, most=1_000_000_000)
_LIMIT = Number(name="limit", about="How many at most.", default=100, least=1, most=1000)
_OWNER = Text(name="user_email", about="Those of the user with this email.")
_SEARCH = Text(
    name="search", about="Those with this text in their id, name, description, prefix or owner's email."
)
_WITH_REVOKED = Switch(name="include_revoked", about="Revoked keys too.")

_body = msgspec.json.Decoder(KeyBody)
_patch = msgspec.json.Decoder(KeyPatch)
_rotation = msgspec.json.Decoder(RotateBody)


class KeyRoutes:
    """The routes of API keys. `per_minute` is the rate of a key that has none of its own."""

    def __init__(self, directory: Directory, administration: Administration, per_minute: int) -> None:
        self._directory, self._administration, self._per_minute = directory, administration, per_minute

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        admin, read = Permission.ADMIN, Permission.READ
        return (
            Endpoint(
                name="who_am_i",
                method="GET",
                path="/v1/me",
                permission=read,
                scope="anyone",
                handler=self.me,
            ),
            Endpoint(
                name="create_key",
                method="POST",
                path=_KEYS,
                permission=admin,
                scope="grant",
                handler=self.create,
                body=_body,
                refusals=(409,),
            ),
            Endpoint(
                name="list_keys",
                method="GET",
                path=_KEYS,
                permission=admin,
                scope="visible",
                handler=self.list,
                query=(_WITH_REVOKED,),
            ),
            Endpoint(
                name="list_all_keys",
                method="GET",
                path=_ALL,
                permission=admin,
                scope="visible",
                handler=self.list_all,
                query=(_SKIP, _LIMIT, _OWNER, _SEARCH, _WITH_REVOKED),
            ),
            Endpoint(
                name="rotate_key",
                method="POST",
                path=_KEY + "/rotate",
                permission=admin,
                scope="api_key",
                handler=self.rotate,
                body=_rotation,
                may_lack_body=True,
                refusals=(409,),
            ),
            Endpoint(
                name="change_key",
                method="PATCH",
                path=_KEY,
                permission=admin,
                scope="api_key",
                handler=self.change,
                body=_patch,
                refusals=(409,),
            ),
            Endpoint(
                name="revoke_key",
                method="DELETE",
                path=_KEY,
                permission=admin,
                scope="api_key",
                handler=self.revoke,
                refusals=(409,),
            ),
        )

    async def me(self, visit: Visit) -> Me:
        """Who calls: organization, key and limits."""
        holder = visit.holder
        return Me(
            organization_id=holder.organization.organization_id,
            organization_name=holder.organization.name,
            account_type="enterprise",
            user_email=holder.user.email,
            key=OwnKey(
                key_id=holder.key.key_id,
                name=holder.key.name,
                key_type="standard",
                permissions=shown_permissions(holder.key),
                expires_at=holder.key.expires_at,
            ),
            rate_limits=OwnLimits(compute=max(0, holder.key.per_minute or self._per_minute)),
            principal_scoped=False,
        )

    async def create(self, visit: Visit) -> NewKey:
        """A new key of a user; its text is shown here and never again."""
        body = await visit.body(_body)
        user = await self._user(visit)
        granted = tuple(dict.fromkeys(body.permissions or _default(user)))
        fields: dict[str, Any] = {
            "description": body.description or "",
            "granted": granted,
            "scopes": body.scopes or (),
            "per_minute": body.rate_limit_override,
            "allowed_origins": _origins(body.allowed_origins),
            "models": body.models or (),
            "spend_budget": budget_of(body.spend_budget),
        }
        expires_at = None if body.expires_at is None else aware(body.expires_at)
        permission = Permission.highest(granted)
        _require_role(user, permission)
        wanted = _as_wanted(visit.holder.key, permission, fields | {"expires_at": expires_at})
        require_grantable(visit.holder, wanted, datetime.now(UTC))
        record, text = await self._administration.create_key(
            user, body.name, permission, expires_at=expires_at, by=visit.actor, **fields
        )
        return shown_new_key(record, text)

    async def list(self, visit: Visit) -> Keys:
        """The keys of a user; revoked ones only when they are asked for."""
        user = await self._user(visit)
        with_revoked = visit.ask(_WITH_REVOKED)
        found = tuple(
            shown_key(key)
            for key in (await self._directory.list_keys(visit.organization_id))
            if key.user_id == user.user_id
            and (with_revoked or key.revoked_at is None)
            and visit.may_see("api_key", key.key_id, key.name)
        )
        return Keys(results=found, total=len(found))

    async def list_all(self, visit: Visit) -> OwnedKeys:
        """The keys of all users, the newest first, by page; revoked ones only when they are asked for."""
        skip, limit = visit.ask(_SKIP), visit.ask(_LIMIT)
        owner, search = visit.ask(_OWNER), (visit.ask(_SEARCH) or "").lower()
        emails = {
            user.user_id: user.email for user in await self._directory.list_users(visit.organization_id)
        }
        found = [
            key
            for key in await self._directory.list_keys(visit.organization_id)
            if (visit.ask(_WITH_REVOKED) or key.revoked_at is None)
            and visit.may_see("api_key", key.key_id, key.name)
            and owner in (None, "", emails.get(key.user_id))
            and _has(key, emails.get(key.user_id, ""), search)
        ]
        found.sort(key=lambda key: key.created_at, reverse=True)
        page = tuple(shown_owned_key(key, emails.get(key.user_id, "")) for key in found[skip : skip + limit])
        return OwnedKeys(results=page, total=len(found), skip=skip, limit=limit)

    async def change(self, visit: Visit) -> Key:
        """Changes a key; the status can only be made final."""
        body = await visit.body(_patch)
        user, was = await self._key(visit)
        if body.status == "revoked" and was.revoked_at is None:
            require_live(was, datetime.now(UTC))
            return shown_key(await self._administration.revoke(was, visit.actor))
        changes = _changes_of(body)
        require_live(was, datetime.now(UTC))
        now = msgspec.structs.replace(was, **changes)
        _require_role(user, now.permission)
        # The key as it was counts too: whoever cannot make such a key cannot turn it to their own use either.
        require_grantable(visit.holder, was, datetime.now(UTC))
        require_grantable(visit.holder, now, datetime.now(UTC))
        if body.status == "expired":
            return shown_key(await self._administration.expire_key(was, visit.actor))
        return shown_key(await self._administration.change_key(was, visit.actor, **changes))

    async def rotate(self, visit: Visit) -> NewKey:
        """Gives a key a new text, shown here and never again."""
        body = await visit.body(_rotation)
        _, was = await self._key(visit)
        require_grantable(visit.holder, was, datetime.now(UTC))
        record, text = await self._administration.rotate_key(was, visit.actor, overlap_s=body.overlap_s)
        return shown_new_key(record, text)

    async def revoke(self, visit: Visit) -> Done:
        """Takes a key back for good."""
        _, key = await self._key(visit)
        if key.revoked_at is None:
            await self._administration.revoke(key, visit.actor)
        return Done(message="The key is revoked.")

    async def _user(self, visit: Visit) -> User:
        email = visit.place("email")
        found = await self._directory.find_user(visit.organization_id, email)
        if found is None:
            details = {"resource": "user", "id": email[:254]}
            raise NotFound("There is no such user.", code="user_not_found", details=details)
        return found

    async def _key(self, visit: Visit) -> tuple[User, ApiKey]:
        user = await self._user(visit)
        keys = await self._directory.list_keys(visit.organization_id)
        reference = visit.place("key")
        owned = tuple(key for key in keys if key.user_id == user.user_id)
        found = find_by_reference(owned, reference)
        if found is None:
            details = {"resource": "api_key", "id": reference[:100]}
            raise NotFound("There is no such key.", code="key_not_found", details=details)
        return user, found


def _has(key: ApiKey, email: str, search: str) -> bool:
    """Whether a text, in lower case, stands in something that a key goes by."""
    told = (key.key_id, key.name, key.description, key.prefix, email)
    return not search or any(search in each.lower() for each in told)


def _default(user: User) -> tuple[Permission, ...]:
    return (Permission.READ,) if user.role is Role.VIEWER else _DEFAULT


def _require_role(user: User, permission: Permission) -> None:
    if user.role is Role.VIEWER and permission is not Permission.READ:
        raise Forbidden("A viewer's keys can only read.", code="permission_above_role")


def _as_wanted(own: ApiKey, permission: Permission, fields: dict[str, Any]) -> ApiKey:
    """A key that is asked for, as a record that can be compared with the asker's own."""
    return msgspec.structs.replace(own, permission=permission, **fields)


def _changes_of(body: KeyPatch) -> dict[str, Any]:
    """The fields of a record that a patch changes."""
    changes: dict[str, Any] = {}
    if body.name is not UNSET:
        changes["name"] = body.name
    if body.description is not UNSET:
        changes["description"] = body.description or ""
    if body.permissions is not UNSET:
        granted = tuple(dict.fromkeys(body.permissions))
        changes |= {"granted": granted, "permission": Permission.highest(granted)}
    if body.scopes is not UNSET:
        changes["scopes"] = body.scopes or ()
    if body.rate_limit_override is not UNSET:
        changes["per_minute"] = body.rate_limit_override
    if body.expires_at is not UNSET:
        changes["expires_at"] = None if body.expires_at is None else aware(body.expires_at)
    if body.allowed_origins is not UNSET:
        changes["allowed_origins"] = _origins(body.allowed_origins)
    if body.models is not UNSET:
        changes["models"] = body.models or ()
    if body.spend_budget is not UNSET:
        changes["spend_budget"] = SpendBudget() if body.spend_budget is None else budget_of(body.spend_budget)
    return changes


def _origins(given: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.lower().rstrip("/") for each in given or ()))
