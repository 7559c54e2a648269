"""Users over HTTP."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET

from inferway.access.administration import Administration
from inferway.access.directory import Directory
from inferway.access.grants import require_grantable
from inferway.access.records import BY_ROLE, Holder, Permission, Role, SpendBudget, User, UserStatus
from inferway.access.sessions import Sessions
from inferway.errors import NotFound
from inferway.http.admin.answers import Done, ShownUser, SignInLink, Users
from inferway.http.admin.bodies import PasswordBody, UserBody, UserPatch
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.query import Choice, Number
from inferway.http.admin.shown import shown_user

_USERS = "/v1/organizations/users"
_USER = _USERS + "/{email}"

_SKIP = Number(name="skip", about="How many to leave out first.", default=0, least=0, most=1_000_000_000)
_LIMIT = Number(name="limit", about="How many at most.", default=100, least=1, most=1000)
_ROLE = Choice(name="role", about="Those with this role.", choices=tuple(Role))
_STATUS = Choice(name="status", about="Those with this status.", choices=tuple(UserStatus))

_body = msgspec.json.Decoder(UserBody)
_patch = msgspec.json.Decoder(UserPatch)
_password = msgspec.json.Decoder(PasswordBody)


class UserRoutes:
    """The routes of users."""

    def __init__(self, directory: Directory, administration: Administration, sessions: Sessions) -> None:
        self._directory, self._administration, self._sessions = directory, administration, sessions

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""
        admin, read = Permission.ADMIN, Permission.READ
        return (
            Endpoint(
                name="create_user",
                method="POST",
                path=_USERS,
                permission=admin,
                scope="user",
                handler=self.create,
                body=_body,
                refusals=(409,),
            ),
            Endpoint(
                name="list_users",
                method="GET",
                path=_USERS,
                permission=read,
                scope="visible",
                handler=self.list,
                query=(_SKIP, _LIMIT, _ROLE, _STATUS),
            ),
            Endpoint(
                name="get_user", method="GET", path=_USER, permission=read, scope="user", handler=self.get
            ),
            Endpoint(
                name="change_user",
                method="PATCH",
                path=_USER,
                permission=admin,
                scope="user",
                handler=self.change,
                body=_patch,
                refusals=(409,),
            ),
            Endpoint(
                name="set_password",
                method="PUT",
                path=_USER + "/password",
                permission=admin,
                scope="user",
                handler=self.set_password,
                body=_password,
                refusals=(409,),
            ),
            Endpoint(
                name="make_sign_in_link",
                method="POST",
                path=_USER + "/sign-in-link",
                permission=admin,
                scope="user",
                handler=self.link,
            ),
            Endpoint(
                name="remove_user",
                method="DELETE",
                path=_USER,
                permission=admin,
                scope="user",
                handler=self.remove,
                refusals=(409,),
            ),
        )

    async def create(self, visit: Visit) -> ShownUser:
        """A new user."""
        body = await visit.body(_body)
        user = await self._administration.create_user(
            visit.organization_id,
            body.email,
            visit.actor,
            name=body.user_name,
            avatar_url=body.avatar_url,
            role=body.role or Role.MEMBER,
            standing=body.status or UserStatus.ACTIVE,
            metadata=body.metadata or {},
        )
        return shown_user(user)

    async def list(self, visit: Visit) -> Users:
        """The users that the key may see, by page."""
        skip, limit = visit.ask(_SKIP), visit.ask(_LIMIT)
        wanted = {"role": visit.ask(_ROLE), "standing": visit.ask(_STATUS)}
        found = [
            user
            for user in await self._directory.list_users(visit.organization_id)
            if visit.may_see("user", user.user_id, user.email)
            and all(value in (None, getattr(user, name)) for name, value in wanted.items())
        ]
        page = tuple(shown_user(user) for user in found[skip : skip + limit])
        return Users(results=page, total=len(found), skip=skip, limit=limit)

    async def get(self, visit: Visit) -> ShownUser:
        """One user."""
        return shown_user(await self._user(visit))

    async def change(self, visit: Visit) -> ShownUser:
        """Changes a user; its keys stop working while it is suspended."""
        body = await visit.body(_patch)
        was = await self._user(visit)
        changes: dict[str, Any] = {}
        for field, name, empty in (
            ("user_name", "name", None),
            ("avatar_url", "avatar_url", None),
            ("role", "role", None),
            ("status", "standing", None),
            ("metadata", "metadata", {}),
        ):
            value = getattr(body, field)
            if value is not UNSET:
                changes[name] = empty if value is None else value
        now = msgspec.structs.replace(was, **changes)
        if not BY_ROLE[was.role].includes(BY_ROLE[now.role]):
            # Its keys and its own sessions may do more from then on, whoever has them.
            _require_no_less(visit.holder, now)
        return shown_user(await self._administration.change_user(was, visit.actor, **changes))

    async def set_password(self, visit: Visit) -> Done:
        """Gives a user a password to sign in to the dashboard with, or takes it away; sessions that were begun before end."""
        body = await visit.body(_password)
        user = await self._user(visit)
        _require_no_less(visit.holder, user)
        await self._sessions.set_password(user, body.password, visit.actor)
        return Done(message="The password is gone." if body.password is None else "The password is set.")

    async def link(self, visit: Visit) -> SignInLink:
        """Makes a link that signs a user in to the dashboard once, and replaces no password."""
        user = await self._user(visit)
        _require_no_less(visit.holder, user)
        text, minutes = await self._sessions.link_for(user, visit.actor)
        return SignInLink(path=f"/sign-in/{text}", minutes=minutes)

    async def remove(self, visit: Visit) -> Done:
        """Removes a user with all its keys."""
        await self._administration.remove_user(await self._user(visit), visit.actor)
        return Done(message="The user and all its keys are gone.")

    async def _user(self, visit: Visit) -> User:
        email = visit.place("email")
        found = await self._directory.find_user(visit.organization_id, email)
        if found is None:
            details = {"resource": "user", "id": email[:254]}
            raise NotFound("There is no such user.", code="user_not_found", details=details)
        return found


def _require_no_less(holder: Holder, user: User) -> None:
    """Whoever can sign in as a user has all that its role gives: raises `Forbidden` unless that is the holder's to give."""
    as_user = msgspec.structs.replace(
        holder.key,
        permission=BY_ROLE[user.role],
        scopes=(),
        models=(),
        allowed_origins=(),
        per_minute=None,
        expires_at=None,
        spend_budget=SpendBudget(),
    )
    require_grantable(holder, as_user, datetime.now(UTC))
