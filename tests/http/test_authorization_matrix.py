"""Every route × every kind of caller × one's own and another's things: who gets in, made from the route table itself."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from starlette.routing import Route

from inferway.access.administration import OPERATOR
from inferway.access.directory import AuditFilter
from inferway.access.keyring import Keyring
from inferway.access.keys import mint_key
from inferway.access.records import Permission, User
from inferway.access.scopes import Scope
from inferway.cache.contents import CallHead, KeptCall
from inferway.http.admin.endpoint import Endpoint
from inferway.http.admin.health import PARTS
from inferway.http.dashboard.view import PageRoute
from inferway.http.front import INFERENCE_PATH
from inferway.pipeline.content import Content, seal_content
from inferway.types import Usage
from inferway.usage.records import UsageRecord
from tests.http.kit import Gateway, running

CALLERS = {
    "nobody": 401,
    "typo": 401,
    "stranger": 401,
    "expired": 401,
    "revoked": 401,
    "suspended": 401,
    "rotated": 401,
    "wrong_origin": 403,
    "read": None,
    "write": None,
    "delete": None,
    "admin": None,
    "viewer": None,
    "elsewhere_read": None,
    "elsewhere_admin": None,
    "other_organization": None,
}
"""A kind of caller, and the status that it always gets (None: it depends on the route)."""

PUBLIC = {
    *(
        "/",
        "/v1/health",
        "/v1/health/liveness",
        "/v1/health/readiness",
        "/openapi.json",
        "/static/{version}/{name}",
    ),
    INFERENCE_PATH,
}
"""What needs no key, and the hot path, which has its own declaration below."""

BODIES = {
    ("POST", "/v1/namespaces"): {"namespace_name": "made-by-matrix"},
    ("POST", "/v1/namespaces/list"): {},
    ("POST", "/v1/organizations/users"): {"email": "made@matrix.example", "user_name": "made"},
    ("POST", "/v1/organizations/users/{email}/api-keys"): {"name": "made by the matrix"},
    ("POST", "/v1/organizations/secrets"): {"secret_name": "made", "secret_value": "canary"},
    ("PUT", "/v1/organizations/secrets/{secret_name}"): {"secret_value": "canary"},
    ("PUT", "/v1/organizations/users/{email}/password"): {"password": "correct horse battery"},
    ("POST", "/v1/organizations/credentials/check"): {"provider": "fake"},
}
"""Bodies that are well formed; elsewhere an empty object is."""


@dataclass
class House:
    """A server with two organizations that have things of the same kinds, and a key for each kind of caller."""

    gateway: Gateway
    endpoints: tuple[Endpoint, ...]
    keys: dict[str, str]
    own: dict[str, str]
    theirs: dict[str, str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    # Hundreds of refusals from one address are the point here.
    environ = {"INFERWAY_PROVIDERS__FAKE__ENABLED": "true", "INFERWAY_ACCESS__BAD_KEYS_PER_MINUTE": "0"}
    with running(folder, **environ) as gateway:
        yield asyncio.run(_furnish(gateway))


async def _furnish(gateway: Gateway) -> House:
    office, directory = gateway.app.office, gateway.app.directory
    administration = office.administration
    (organization,) = await directory.list_organizations()
    tenant = organization.organization_id
    user = await administration.require_user(tenant, "matrix@own.example")
    keys = {"nobody": "", "typo": "sk_" + "a" * 36, "stranger": mint_key()}

    async def key(name: str, owner: User, permission: Permission, **fields: object) -> str:
        _, text = await administration.create_key(owner, name, permission, **fields)
        keys[name] = str(text)
        return str(text)

    for permission in Permission:
        await key(str(permission), user, permission)
    for name in ("expired", "revoked", "rotated"):
        await key(name, user, Permission.ADMIN)
    await key("wrong_origin", user, Permission.ADMIN, allowed_origins=("https://here.example",))
    elsewhere = (Scope(resource_type="namespace", resource_id="elsewhere-*"),)
    await key("elsewhere_read", user, Permission.READ, scopes=elsewhere)
    await key("elsewhere_admin", user, Permission.ADMIN, scopes=elsewhere)
    for name, changes in (("suspended", {"standing": "suspended"}), ("viewer", {"role": "viewer"})):
        made = await administration.create_user(tenant, f"{name}@own.example", OPERATOR)
        await key(name, made, Permission.ADMIN)
        stored = await directory.find_user_by_id(made.user_id)
        changed = msgspec.convert(msgspec.structs.asdict(stored) | changes, User)
        await directory.replace_user(changed, was=stored)
    for record in await directory.list_keys(tenant):
        if record.name == "expired":
            past = datetime.now(UTC) - timedelta(seconds=1)
            await directory.replace_key(msgspec.structs.replace(record, expires_at=past), was=record)
        elif record.name == "revoked":
            await administration.revoke(record, OPERATOR)
        elif record.name == "rotated":
            await administration.rotate_key(record, OPERATOR)
    founding, keys["other_organization"] = await administration.create_tenant("Other", "matrix@other.example")
    own = await _things(gateway, tenant, "matrix@own.example", "mine")
    theirs = await _things(gateway, founding.organization.organization_id, "matrix@other.example", "theirs")
    endpoints = office.endpoints(dict.fromkeys(PARTS, _well))
    return House(gateway, endpoints, keys, own, theirs)


async def _things(gateway: Gateway, tenant: str, email: str, name: str) -> dict[str, str]:
    """One thing of each kind in an organization, by the name that paths have for it."""
    office, directory = gateway.app.office, gateway.app.directory
    namespace = await office.administration.create_namespace(tenant, f"{name}-namespace", keep_days=1)
    call = await _kept_call(gateway, tenant, namespace.namespace_id)
    user = await directory.find_user(tenant, email)
    await office.administration.create_key(user, f"{name}-key", Permission.READ)
    await office.vault.create(tenant, f"{name}-secret", "canary", OPERATOR)
    events, _ = await directory.list_events(tenant, AuditFilter(), skip=0, limit=1)
    return {
        "namespace": namespace.namespace_id,
        "email": email,
        "key": f"{name}-key",
        "secret_name": f"{name}-secret",
        "audit_id": events[0].audit_id,
        "call": call,
        "request": await _settled_call(gateway, tenant, namespace.namespace_id),
    }


async def _settled_call(gateway: Gateway, tenant: str, namespace_id: str) -> str:
    record = UsageRecord(
        record_id=f"{time.time_ns():x}",
        request_id=f"req_of_{namespace_id}",
        organization_id=tenant,
        namespace_id=namespace_id,
        key_id="key_of_nobody",
        started_at=datetime.now(UTC),
        latency_ms=1.0,
        upstream_ms=1.0,
        usage=Usage(),
        operation="chat",
        provider="fake",
        model="fake-chat",
        status="ok",
    )
    await gateway.app.ledger.add([record])
    return record.request_id


async def _kept_call(gateway: Gateway, tenant: str, namespace_id: str) -> str:
    head = CallHead(
        record_id=f"record-of-{namespace_id}",
        organization_id=tenant,
        namespace_id=namespace_id,
        request_id="req_kept",
        at_us=time.time_ns() // 1000,
        **dict.fromkeys(("operation", "provider", "model", "status"), "ok"),
    )
    sealed = seal_content(
        Keyring(gateway.app.settings.secrets_key_file).current(), head, Content(request=b"{}")
    )
    await gateway.app.store.contents.add([KeptCall(head=head, sealed=sealed)])
    return head.record_id


async def _well() -> None:
    return None


def test_every_route_of_the_server_declares_its_permission(house: House) -> None:
    declared = {(endpoint.method, endpoint.path) for endpoint in house.endpoints}
    served = {
        (method, route.path)
        for route in house.gateway.app._front._pages.routes
        for method in (route.methods or ())
        # Pages and forms have a session instead of a permission: test_dashboard_doors.py tries each.
        if isinstance(route, Route) and not isinstance(route, PageRoute)
        if route.path not in PUBLIC and method != "HEAD"
    }
    assert served == declared
    assert all(isinstance(endpoint.permission, Permission) for endpoint in house.endpoints)


def _status(house: House, endpoint: Endpoint, caller: str, things: dict[str, str]) -> int:
    path = endpoint.path.replace("{key:path}", "{key}").format_map(things)
    body = None
    headers = {"content-type": "application/json"}
    if house.keys[caller]:
        headers["authorization"] = f"Bearer {house.keys[caller]}"
    if caller == "wrong_origin":
        headers["origin"] = "https://evil.example"
    if endpoint.method in ("POST", "PATCH", "PUT"):
        body = json.dumps(BODIES.get((endpoint.method, endpoint.path), {})).encode()
    answer = house.gateway.request(endpoint.method, path, body, headers)
    if answer.status >= 400:
        assert answer.json()["success"] is False
        assert answer.headers["x-request-id"]
    assert house.keys[caller] not in answer.body.decode() or not house.keys[caller]
    assert "canary" not in answer.body.decode()
    return answer.status


def _expected(endpoint: Endpoint, caller: str, *, is_own: bool) -> set[int]:  # noqa: PLR0911 - a table of cases
    """What a caller may be told; `fine` includes the refusals that come after authorization."""
    always = CALLERS[caller]
    if always is not None:
        return {always}
    held = {
        "viewer": "read",
        "elsewhere_read": "read",
        "elsewhere_admin": "admin",
        "other_organization": "admin",
    }
    if not Permission(held.get(caller, caller)).includes(endpoint.permission):
        return {403}
    names_something = "{" in endpoint.path
    if caller.startswith("elsewhere"):
        if endpoint.scope == "anyone":
            return {200}
        return (
            {200, 404, 403} if endpoint.scope == "visible" and not endpoint.path.endswith("}") else {403, 404}
        )
    is_other = (caller == "other_organization") == is_own
    if endpoint.scope == "operator" and caller == "other_organization":
        return {403}
    if names_something and is_other:
        return {404}
    # What cannot be repeated ends in a conflict, and only after the caller was let in.
    return {200, 409}


def test_who_gets_in_where(house: House) -> None:
    # What destroys comes last, so that everything is still there for those who may only look.
    order = sorted(house.endpoints, key=lambda each: (each.method == "DELETE", "{" in each.path))
    cells, wrong = 0, []
    for caller in CALLERS:
        for endpoint in order:
            for is_own in (True, False):
                allowed = _expected(endpoint, caller, is_own=is_own)
                if endpoint.method == "DELETE" and 200 in allowed:
                    continue
                status = _status(house, endpoint, caller, house.own if is_own else house.theirs)
                cells += 1
                if status not in allowed:
                    wrong.append((caller, endpoint.method, endpoint.path, is_own, status, allowed))
    assert not wrong, "\n".join(map(str, wrong))
    assert cells >= 500, cells


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        ("nobody", 401),
        ("typo", 401),
        ("stranger", 401),
        ("expired", 401),
        ("revoked", 401),
        ("suspended", 401),
        ("rotated", 401),
        ("wrong_origin", 403),
        ("read", 403),
        ("viewer", 403),
        ("write", 200),
        ("delete", 200),
        ("admin", 200),
        ("elsewhere_read", 403),
        ("elsewhere_admin", 403),
        ("other_organization", 404),
    ],
)
def test_who_may_call_inference(house: House, caller: str, expected: int) -> None:
    headers = {"content-type": "application/json", "x-namespace": house.own["namespace"]}
    if house.keys[caller]:
        headers["authorization"] = f"Bearer {house.keys[caller]}"
    if caller == "wrong_origin":
        headers["origin"] = "https://evil.example"
    body = b'{"provider":"fake","model":"fake-1","inputs":{"prompts":["hi"]}}'
    assert house.gateway.request("POST", INFERENCE_PATH, body, headers).status == expected
