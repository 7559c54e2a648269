"""Namespaces over HTTP."""

from typing import Any

import msgspec
from msgspec import UNSET

from inferway.access.administration import Administration
from inferway.access.directory import Directory
from inferway.access.gate import require_permission
from inferway.access.records import Credentials, Namespace, Permission
from inferway.access.scopes import ResourceType, permits
from inferway.errors import Forbidden
from inferway.http.admin.answers import Namespaces, RemovedNamespace, ShownNamespace
from inferway.http.admin.bodies import NamespaceBody, NamespacePatch, NamespaceQuery
from inferway.http.admin.endpoint import Endpoint, Visit
from inferway.http.admin.lending import Lending
from inferway.http.admin.listing import Page, pagination, pick
from inferway.http.admin.places import require_namespace
from inferway.http.admin.query import OptionalNumber
from inferway.http.admin.shown import budget_of, shown_namespace
from inferway.pipeline.recall import Recall

_NAMESPACES = "/v1/namespaces"
_NAMESPACE = _NAMESPACES + "/{namespace}"
_LIMIT = 10
_LIMIT_MAX = 1000
_OFFSET_MAX = 10_000
_CURSOR_MAX = 999_999_999_999
_ASKED_LIMIT = OptionalNumber(name="limit", about="How many at most.", least=1, most=_LIMIT_MAX)
_ASKED_SIZE = OptionalNumber(name="page_size", about="The same as `limit`.", least=1, most=_LIMIT_MAX)
_ASKED_PAGE = OptionalNumber(name="page", about="Which page, from 1.", least=1, most=1_000_000)
_ASKED_OFFSET = OptionalNumber(name="offset", about="How many to leave out first.", least=0, most=_OFFSET_MAX)
_CURSORS = tuple(
    OptionalNumber(name=name, about="The `next_cursor` of an earlier page.", least=0, most=_CURSOR_MAX)
    for name in ("cursor", "next_cursor", "after")
)
_PAGED = (_ASKED_LIMIT, _ASKED_SIZE, _ASKED_PAGE, _ASKED_OFFSET, *_CURSORS)
_KEPT = ("feature_extractors", "payload_indexes")

_body = msgspec.json.Decoder(NamespaceBody)
_patch = msgspec.json.Decoder(NamespacePatch)
_query = msgspec.json.Decoder(NamespaceQuery)


class NamespaceRoutes:
    """The routes of namespaces. One that a key's scopes leave out is not there for it."""

    def __init__(
        self, directory: Directory, administration: Administration, lending: Lending, recall: Recall
    ) -> None:
        self._directory, self._administration, self._lending = directory, administration, lending
        self._recall = recall

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The routes and what each needs."""

        read, write = Permission.READ, Permission.WRITE
        return (
            Endpoint(
                name="create_namespace",
                method="POST",
                path=_NAMESPACES,
                permission=write,
                scope="visible",
                handler=self.create,
                body=_body,
                refusals=(409,),
            ),
            Endpoint(
                name="list_namespaces",
                method="GET",
                path=_NAMESPACES,
                permission=read,
                scope="visible",
                handler=self.list,
                query=_PAGED,
            ),
            Endpoint(
                name="search_namespaces",
                method="POST",
                path=_NAMESPACES + "/list",
                permission=read,
                scope="visible",
                handler=self.search,
                body=_query,
                may_lack_body=True,
                query=_PAGED,
            ),
            Endpoint(
                name="get_namespace",
                method="GET",
                path=_NAMESPACE,
                permission=read,
                scope="visible",
                handler=self.get,
            ),
            *(
                Endpoint(
                    name=name,
                    method=method,
                    path=_NAMESPACE,
                    permission=write,
                    scope="visible",
                    handler=self.change,
                    body=_patch,
                    refusals=(409,),
                )
                for name, method in (("change_namespace", "PATCH"), ("update_namespace", "PUT"))
            ),
            Endpoint(
                name="remove_namespace",
                method="DELETE",
                path=_NAMESPACE,
                permission=Permission.DELETE,
                scope="visible",
                handler=self.remove,
                refusals=(409,),
            ),
        )

    async def create(self, visit: Visit) -> ShownNamespace:
        """A new namespace."""
        body = await visit.body(_body)
        if not visit.may_see("namespace", body.namespace_name):
            raise Forbidden("This key's scopes leave that out.", code="scope_denied")
        _require_admin_for_some(visit, body, (body.namespace_name,))
        namespace = await self._administration.create_namespace(
            visit.organization_id,
            body.namespace_name,
            visit.actor,
            description=body.description,
            metadata=body.metadata or {},
            attributes=_attributes({}, body),
            credentials=await self._lending.read(visit.organization_id, body.llm_credentials),
            spend_budget=budget_of(body.spend_budget),
            keep_days=None if body.keep_content is None else body.keep_content.days,
        )
        return shown_namespace(namespace)

    async def list(self, visit: Visit) -> Namespaces:
        """The namespaces that the key may see, by page."""
        return await self._listed(visit, NamespaceQuery())

    async def search(self, visit: Visit) -> Namespaces:
        """The namespaces that the key may see, picked and ordered by a body."""
        return await self._listed(visit, await visit.body(_query))

    async def get(self, visit: Visit) -> ShownNamespace:
        """One namespace by id or name."""
        return shown_namespace(await self._namespace(visit))

    async def change(self, visit: Visit) -> ShownNamespace:
        """Changes those fields that are given."""
        body = await visit.body(_patch)
        was = await self._namespace(visit)
        _require_admin_for_some(visit, body, (was.namespace_id, was.name), was.credentials)
        changes: dict[str, Any] = {}
        if body.namespace_name is not UNSET:
            changes["name"] = self._require_within(visit, was, body.namespace_name)
        if body.description is not UNSET:
            changes["description"] = body.description
        if body.metadata is not UNSET:
            changes["metadata"] = body.metadata or {}
        if body.spend_budget is not UNSET:
            changes["spend_budget"] = budget_of(body.spend_budget)
        if body.llm_credentials is not UNSET:
            given = body.llm_credentials
            changes["credentials"] = await self._lending.read(visit.organization_id, given)
        if body.keep_content is not UNSET:
            changes["keep_days"] = None if body.keep_content is None else body.keep_content.days
        if any(getattr(body, name) is not UNSET for name in _KEPT):
            changes["attributes"] = _attributes(was.attributes, body)
        now = await self._administration.change_namespace(was, visit.actor, **changes)
        if now.keep_days is None and was.keep_days is not None:
            await self._recall.forget(now.namespace_id)
        return shown_namespace(now)

    async def remove(self, visit: Visit) -> RemovedNamespace:
        """Removes a namespace: nothing can be called in it from then on."""
        namespace = await self._namespace(visit)
        await self._administration.remove_namespace(namespace, visit.actor)
        if namespace.keep_days is not None:
            await self._recall.forget(namespace.namespace_id)
        return RemovedNamespace(
            message="The namespace is gone.",
            namespace_id=namespace.namespace_id,
            namespace_name=namespace.name,
        )

    async def _listed(self, visit: Visit, query: NamespaceQuery) -> Namespaces:
        stored = await self._directory.list_namespaces(visit.organization_id)
        seen = [each for each in stored if visit.may_see("namespace", each.namespace_id, each.name)]
        found, page = pick(seen, query), _page(visit, query)
        shown = tuple(map(shown_namespace, found[page.offset : page.offset + page.limit]))
        return Namespaces(results=shown, pagination=pagination(len(found), page), total_count=len(found))

    async def _namespace(self, visit: Visit) -> Namespace:
        return await require_namespace(self._directory, visit)

    def _require_within(self, visit: Visit, was: Namespace, name: str) -> str:
        """A new name must leave the namespace within the key's scopes, as scopes may go by name."""
        names = (was.namespace_id, name)
        if not permits(visit.holder.key.scopes, "namespace", names, visit.organization_id, str(visit.need)):
            raise Forbidden("This key's scopes leave that name out.", code="scope_denied")
        return name


def _require_admin_for_some(
    visit: Visit,
    body: NamespaceBody | NamespacePatch,
    names: tuple[str, ...],
    lent: Credentials | None = None,
) -> None:
    """What a namespace may spend, with whose credentials, and what it keeps is an administrator's to say, of the namespace and the secrets.

    `lent` are the credentials that it has: who may not touch a secret may leave it where it is.
    """
    none = None if isinstance(body, NamespaceBody) else UNSET
    if all(each is none for each in (body.spend_budget, body.llm_credentials, body.keep_content)):
        return
    require_permission(visit.holder, Permission.ADMIN)
    _require_scope(visit, "namespace", names)
    for provider, secret_name in (body.llm_credentials or {}).items():
        borrowed = (lent or {}).get(provider)
        if borrowed is None or borrowed.secret_name != secret_name:
            _require_scope(visit, "secret", (secret_name,))


def _require_scope(visit: Visit, kind: ResourceType, names: tuple[str, ...]) -> None:
    """Raises `Forbidden` unless the key's scopes let it administer a thing."""
    if not permits(visit.holder.key.scopes, kind, names, visit.organization_id, str(Permission.ADMIN)):
        raise Forbidden("This key's scopes leave that out.", code="scope_denied")


def _attributes(was: dict[str, Any], body: NamespaceBody | NamespacePatch) -> dict[str, Any]:
    kept = dict(was)
    for name in _KEPT:
        value = getattr(body, name)
        if value is not UNSET:
            kept[name] = msgspec.to_builtins(value or ())
    return kept


def _page(visit: Visit, query: NamespaceQuery) -> Page:
    """The page that the query asks for, in the address or in the body."""
    limit = visit.ask(_ASKED_LIMIT) or visit.ask(_ASKED_SIZE) or query.limit or query.page_size or _LIMIT
    offset = query.offset if query.offset is not None else (query.page or 1) * limit - limit
    page = visit.ask(_ASKED_PAGE)
    if page is not None:
        offset = (page - 1) * limit
    for parameter in (*reversed(_CURSORS), _ASKED_OFFSET):
        asked = visit.ask(parameter)
        offset = offset if asked is None else asked
    return Page(offset=offset, limit=limit)
