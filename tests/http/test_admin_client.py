"""The published `mixpeek` client administers the server, unmodified."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mixpeek
import pytest
from mixpeek.api.account_api import AccountApi
from mixpeek.api.health_api import HealthApi
from mixpeek.api.namespaces_api import NamespacesApi
from mixpeek.api.organization_api_keys_api import OrganizationAPIKeysApi
from mixpeek.api.organization_audit_api import OrganizationAuditApi
from mixpeek.api.organization_secrets_api import OrganizationSecretsApi
from mixpeek.api.organization_users_api import OrganizationUsersApi
from mixpeek.api.organizations_api import OrganizationsApi
from mixpeek.exceptions import ApiException
from mixpeek.models.api_key_create_request import APIKeyCreateRequest
from mixpeek.models.api_key_update_request import APIKeyUpdateRequest
from mixpeek.models.create_namespace_request import CreateNamespaceRequest
from mixpeek.models.create_secret_request import CreateSecretRequest
from mixpeek.models.key_status import KeyStatus
from mixpeek.models.list_namespaces_request import ListNamespacesRequest
from mixpeek.models.namespace_spend_budget_update import NamespaceSpendBudgetUpdate
from mixpeek.models.organization_update_request import OrganizationUpdateRequest
from mixpeek.models.patch_namespace_request import PatchNamespaceRequest
from mixpeek.models.permission import Permission
from mixpeek.models.resource_scope_input import ResourceScopeInput
from mixpeek.models.resource_type_input import ResourceTypeInput
from mixpeek.models.update_namespace_request import UpdateNamespaceRequest
from mixpeek.models.update_secret_request import UpdateSecretRequest
from mixpeek.models.user_create_request import UserCreateRequest
from mixpeek.models.user_role import UserRole
from mixpeek.models.user_update_request import UserUpdateRequest

from inferway.access.directory import Founding
from inferway.app.desk import open_office
from tests.databases.postgres import Postgres
from tests.http.kit import Gateway, Upstream, completion, running
from tests.http.kit import Reply as UpstreamReply

ADMIN = "admin@localhost"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(
    request: pytest.FixtureRequest, session_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A server of this module's own on each database: its keys and names are nobody else's."""
    folder: Path = tmp_path_factory.mktemp("house")
    environ = {"OPENAI_API_KEY": "sk-operators-own", "OPENAI_BASE_URL": f"{session_upstream.url}/v1"}
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        environ["INFERWAY_DATABASE_URL"] = server.new_database()
    with running(folder, **environ) as gateway:
        yield gateway
        assert (folder / "inferway.db").exists() == (request.param == "sqlite")


@pytest.fixture
def upstream(session_upstream: Upstream) -> Upstream:
    session_upstream.seen.clear()
    session_upstream.answer = lambda _: UpstreamReply(completion())
    return session_upstream


def client(house: Gateway, key: str | None = None) -> mixpeek.ApiClient:
    api_client = mixpeek.ApiClient(mixpeek.Configuration(host=house.url))
    api_client.default_headers["Authorization"] = f"Bearer {key or house.admin_key}"
    return api_client


def refused(call: Any, *given: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(ApiException) as caught:
        call(*given, **named)
    body = json.loads(caught.value.body or "{}")
    assert body["success"] is False
    return caught.value.status or 0, body["error"].get("code")


def infer(house: Gateway, key: str, namespace: str = "default", **more: str) -> Any:
    headers = house.headers(x_namespace=namespace, **more) | {"authorization": f"Bearer {key}"}
    body = b'{"provider":"openai","model":"gpt-5.4-mini","inputs":{"prompts":["hi"]}}'
    return house.request("POST", "/v1/inference", body, headers)


def test_a_key_lives_and_ends(house: Gateway, upstream: Upstream) -> None:
    keys = OrganizationAPIKeysApi(client(house))
    ends = datetime.now(UTC) + timedelta(days=1)
    made = keys.create_key_organizations_users_email(
        ADMIN, APIKeyCreateRequest(name="ci", description="for CI", rate_limit_override=7, expires_at=ends)
    )
    assert made.key.startswith("sk_")
    assert made.key_prefix == made.key[:10]
    assert made.permissions == [Permission.READ, Permission.WRITE, Permission.DELETE]
    assert (made.status, made.rate_limit_override, made.expires_at) == (KeyStatus.ACTIVE, 7, ends)
    assert infer(house, made.key).status == 200
    assert AccountApi(client(house, made.key)).whoami_me().key.name == "ci"
    listed = keys.list_keys_organizations_users_email(ADMIN)
    assert listed["total"] == len(listed["results"])  # type: ignore[arg-type]
    assert "ci" in {each["name"] for each in listed["results"]}  # type: ignore[attr-defined]
    assert made.key not in str(listed)
    changed = keys.update_key_organizations_users_email_name(
        ADMIN, "ci", APIKeyUpdateRequest(name="cd", permissions=[Permission.READ])
    )
    assert (changed.name, changed.permissions, changed.key_id) == ("cd", [Permission.READ], made.key_id)
    assert infer(house, made.key).status == 403
    again = keys.rotate_key_organizations_users_email_name(ADMIN, made.key_id or "")
    assert again.key != made.key
    assert (again.key_id, again.name) == (made.key_id, "cd")
    assert refused(AccountApi(client(house, made.key)).whoami_me) == (401, "key_rotated")
    assert AccountApi(client(house, again.key)).whoami_me().key.permissions == ["read"]
    assert keys.delete_key_organizations_users_email_name(ADMIN, "cd").success
    assert refused(AccountApi(client(house, again.key)).whoami_me) == (401, "key_revoked")
    revoked = keys.list_keys_organizations_users_email(ADMIN, include_revoked=True)["results"]
    assert {"cd"} <= {each["name"] for each in revoked if each["status"] == "revoked"}  # type: ignore[attr-defined]
    patch = keys.update_key_organizations_users_email_name
    to_active = APIKeyUpdateRequest(status=KeyStatus.ACTIVE)
    assert refused(patch, ADMIN, made.key_id, to_active) == (400, "key_final")
    assert refused(keys.rotate_key_organizations_users_email_name, ADMIN, made.key_id) == (400, "key_final")


def test_an_old_key_works_through_its_overlap(house: Gateway) -> None:
    keys = OrganizationAPIKeysApi(client(house))
    made = keys.create_key_organizations_users_email(ADMIN, APIKeyCreateRequest(name="overlapping"))
    path = f"/v1/organizations/users/{ADMIN}/api-keys/overlapping/rotate"
    answer = house.request(
        "POST", path, b'{"overlap_s":600}', house.headers(authorization="x") | admin(house)
    )
    assert answer.status == 200, answer.body
    for key in (made.key, answer.json()["key"]):
        assert AccountApi(client(house, key)).whoami_me().key.name == "overlapping"


def admin(house: Gateway) -> dict[str, str]:
    return {"authorization": f"Bearer {house.admin_key}", "content-type": "application/json"}


def test_a_scoped_key_works_in_its_namespaces_only(house: Gateway, upstream: Upstream) -> None:
    namespaces = NamespacesApi(client(house))
    for name in ("team-a", "team-b", "other"):
        namespaces.create_namespace(CreateNamespaceRequest(namespace_name=name))
    scope = ResourceScopeInput(resource_type=ResourceTypeInput.NAMESPACE, resource_id="team-*")
    made = OrganizationAPIKeysApi(client(house)).create_key_organizations_users_email(
        ADMIN, APIKeyCreateRequest(name="scoped", scopes=[scope])
    )
    assert [infer(house, made.key, name).status for name in ("team-a", "team-b", "other", "nowhere")] == [
        200,
        200,
        403,
        403,
    ]
    assert infer(house, made.key, "team-zzz").status == 404
    own = NamespacesApi(client(house, made.key))
    assert {each.namespace_name for each in own.list_namespaces_get().results} == {"team-a", "team-b"}
    assert refused(own.get_namespace, "other") == (404, "namespace_not_found")
    assert own.get_namespace("team-a").namespace_name == "team-a"
    users = OrganizationUsersApi(client(house, made.key))
    assert users.list_users_organizations()["total"] == 0


def test_models_and_origins_are_enforced(house: Gateway, upstream: Upstream) -> None:
    path = f"/v1/organizations/users/{ADMIN}/api-keys"
    body = b'{"name":"narrow","models":["openai/gpt-4*"],"allowed_origins":["https://*.example.com"]}'
    key = house.request("POST", path, body, admin(house)).json()["key"]
    refusal = infer(house, key, origin="https://app.example.com")
    assert (refusal.status, refusal.json()["error"]["code"]) == (403, "model_not_allowed")
    house.request("PATCH", f"{path}/narrow", b'{"models":null}', admin(house))
    assert infer(house, key, origin="https://app.example.com").status == 200
    for origin in ({}, {"origin": "https://evil.com"}, {"origin": "https://example.com.evil.com"}):
        assert infer(house, key, **origin).status == 403
    assert len(upstream.seen) == 1


def test_nobody_grants_what_he_does_not_hold(house: Gateway) -> None:
    namespaces = NamespacesApi(client(house))
    namespaces.create_namespace(CreateNamespaceRequest(namespace_name="granted"))
    scope = ResourceScopeInput(resource_type=ResourceTypeInput.NAMESPACE, resource_id="granted")
    wider = ResourceScopeInput(resource_type=ResourceTypeInput.NAMESPACE, resource_id="*")
    made = OrganizationAPIKeysApi(client(house)).create_key_organizations_users_email(
        ADMIN, APIKeyCreateRequest(name="lesser admin", scopes=[scope], permissions=[Permission.ADMIN])
    )
    create = OrganizationAPIKeysApi(client(house, made.key)).create_key_organizations_users_email
    for number, scopes in enumerate(([], None, [wider], [scope, wider])):
        request = APIKeyCreateRequest(name=f"more {number}", scopes=scopes)
        assert refused(create, ADMIN, request) == (403, "grant_denied")
    assert create(ADMIN, APIKeyCreateRequest(name="as much", scopes=[scope])).key
    lesser = OrganizationAPIKeysApi(client(house, made.key))
    for call in (
        lesser.rotate_key_organizations_users_email_name,
        lesser.delete_key_organizations_users_email_name,
    ):
        assert refused(call, ADMIN, "admin") == (403, "scope_denied")
    assert refused(
        OrganizationSecretsApi(client(house, made.key)).create_secret_organizations,
        CreateSecretRequest(secret_name="x", secret_value="y"),
    ) == (403, "scope_denied")


def test_users(house: Gateway) -> None:
    users = OrganizationUsersApi(client(house))
    made = users.create_user_organizations(UserCreateRequest(email="Ann@example.com", user_name="Ann"))
    assert (made["email"], made["role"], made["status"]) == ("Ann@example.com", "member", "active")
    # A path could not name it.
    slash = UserCreateRequest(email="an/n@example.com", user_name="Ann")
    assert refused(users.create_user_organizations, slash) == (400, "email_invalid")
    again = UserCreateRequest(email="ann@EXAMPLE.com", user_name="Ann")
    assert refused(users.create_user_organizations, again) == (409, "user_taken")
    assert users.get_user_organizations_email("ann@example.com")["user_name"] == "Ann"
    key = OrganizationAPIKeysApi(client(house)).create_key_organizations_users_email(
        "ann@example.com", APIKeyCreateRequest(name="hers")
    )
    assert infer(house, key.key, "nowhere").status == 404
    changed = users.update_user_organizations_email(
        "ann@example.com", UserUpdateRequest(role=UserRole.VIEWER, user_name="Anna")
    )
    assert (changed["role"], changed["user_name"]) == ("viewer", "Anna")
    assert infer(house, key.key).status == 403
    house.request("PATCH", "/v1/organizations/users/ann@example.com", b'{"status":"suspended"}', admin(house))
    assert refused(AccountApi(client(house, key.key)).whoami_me) == (401, "user_suspended")
    listed = users.list_users_organizations(role=UserRole.VIEWER)
    assert [each["email"] for each in listed["results"]] == ["Ann@example.com"]  # type: ignore[attr-defined]
    assert users.delete_user_organizations_email("ann@example.com").success
    assert refused(users.get_user_organizations_email, "ann@example.com") == (404, "user_not_found")
    assert refused(AccountApi(client(house, key.key)).whoami_me) == (401, "key_unknown")


def test_namespaces(house: Gateway) -> None:
    api = NamespacesApi(client(house))
    made = api.create_namespace(
        CreateNamespaceRequest(
            namespace_name="paged-1",
            description="first",
            spend_budget=NamespaceSpendBudgetUpdate(daily_usd=1.5, monthly_usd=20),
        )
    )
    assert made.namespace_id is not None
    assert made.namespace_id.startswith("ns_")
    assert made.spend_budget == {"daily_usd": 1.5, "monthly_usd": 20.0}
    twin = CreateNamespaceRequest(namespace_name="paged-1")
    assert refused(api.create_namespace, twin) == (409, "namespace_name_taken")
    for number in (2, 3):
        api.create_namespace(CreateNamespaceRequest(namespace_name=f"paged-{number}"))
    page = api.list_namespaces(limit=2, list_namespaces_request=ListNamespacesRequest(search="PAGED"))
    assert (page.total_count, len(page.results), page.pagination.total_pages) == (3, 2, 2)
    rest = api.list_namespaces(
        cursor=page.pagination.next_cursor,
        limit=2,
        list_namespaces_request=ListNamespacesRequest(search="paged"),
    )
    assert [each.namespace_name for each in rest.results] == ["paged-3"]
    found = api.list_namespaces(
        list_namespaces_request=ListNamespacesRequest(
            filters={"namespace_name": ["paged-1", "paged-2"]},
            sort={"field": "namespace_name", "direction": "desc"},
        )
    )
    assert [each.namespace_name for each in found.results] == ["paged-2", "paged-1"]
    assert api.list_namespaces_get(limit=1).pagination.page_size == 1
    assert api.get_namespace(made.namespace_id) == api.get_namespace("paged-1")
    patched = api.patch_namespace("paged-1", PatchNamespaceRequest(description="other"))
    assert (patched.description, patched.spend_budget) == ("other", made.spend_budget)
    assert api.update_namespace(
        made.namespace_id, UpdateNamespaceRequest(namespace_name="paged-9")
    ).description
    assert api.delete_namespace("paged-9")
    assert refused(api.get_namespace, made.namespace_id) == (404, "namespace_not_found")
    assert infer(house, house.inference_key, "paged-9").status == 404


def test_own_credentials_take_the_operators_place(house: Gateway, upstream: Upstream) -> None:
    secrets, organizations = OrganizationSecretsApi(client(house)), OrganizationsApi(client(house))
    create = secrets.create_secret_organizations
    value = "sk-callers-own-1"
    assert create(CreateSecretRequest(secret_name="openai-key", secret_value=value)).created
    twin = CreateSecretRequest(secret_name="openai-key", secret_value="x")
    assert refused(create, twin) == (409, "secret_name_taken")
    assert "openai-key" in secrets.list_secrets_organizations().secrets
    chosen = {"openai": "openai-key"}
    now = organizations.update_organization(OrganizationUpdateRequest(default_llm_credentials=chosen))
    assert now.default_llm_credentials == chosen
    assert infer(house, house.inference_key).status == 200
    assert upstream.seen[-1].headers["authorization"] == f"Bearer {value}"
    secrets.update_secret_organizations_name("openai-key", UpdateSecretRequest(secret_value="sk-callers-2"))
    assert infer(house, house.inference_key).status == 200
    assert upstream.seen[-1].headers["authorization"] == "Bearer sk-callers-2"
    (folder,) = {house.app.settings.data_dir}
    kept = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert value.encode() not in kept
    assert (folder / "secrets.key").stat().st_mode & 0o777 == 0o600
    assert secrets.delete_secret_organizations_name("openai-key").deleted
    upstream.seen.clear()
    gone = infer(house, house.inference_key)
    assert (gone.status, gone.json()["error"]["code"]) == (503, "credential_unavailable")
    assert int(gone.headers["retry-after"]) >= 1
    assert upstream.seen == [], "the operator's key never takes its place"
    house.request("PATCH", "/v1/organizations", b'{"default_llm_credentials":null}', admin(house))
    assert infer(house, house.inference_key).status == 200
    assert upstream.seen[-1].headers["authorization"] == "Bearer sk-operators-own"
    wrong = OrganizationUpdateRequest(default_llm_credentials={"openai": "nothing"})
    assert refused(organizations.update_organization, wrong) == (400, "secret_not_found")


def test_the_organization(house: Gateway) -> None:
    api = OrganizationsApi(client(house))
    api.update_organization(OrganizationUpdateRequest(organization_name="House", metadata={"a": 1}))
    found = api.get_organization()
    assert (found.organization_name, found.metadata, found.credit_count) == ("House", {"a": 1}, 0)
    limits = b'{"spend_limits":{"daily_usd":10}}'
    answer = house.request("PATCH", "/v1/organizations", limits, admin(house))
    assert answer.json()["spend_limits"]["daily_usd"] == 10


def test_the_audit_log(house: Gateway) -> None:
    secrets = OrganizationSecretsApi(client(house))
    secrets.create_secret_organizations(CreateSecretRequest(secret_name="told", secret_value="canary-told"))
    api = OrganizationAuditApi(client(house))
    page = api.list_audit_logs_organizations(resource_id="told")
    assert (page.total, page.results[0].action, page.results[0].actor_email) == (1, "secret_created", ADMIN)
    assert "canary-told" not in page.to_json()
    assert api.get_audit_log_organizations(page.results[0].audit_id).resource_id == "told"
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert api.list_audit_logs_organizations(start=future).total == 0
    rows = list(csv.DictReader(io.StringIO(api.export_audit_logs_organizations(resource_id="told"))))
    assert [row["action"] for row in rows] == ["secret_created"]


def test_health(house: Gateway) -> None:
    api = HealthApi(client(house))
    assert api.healthcheck_health()
    assert api.liveness_health()
    deep = api.healthcheck_deep_health()
    assert deep.status.value == "OK"
    assert deep.data.to_dict() == {
        **dict.fromkeys(
            ("cache", "metadata", "vector_store", "object_storage", "task_queue", "inference"), True
        )
    }
    assert refused(
        HealthApi(mixpeek.ApiClient(mixpeek.Configuration(host=house.url))).healthcheck_deep_health
    ) == (
        401,
        "key_missing",
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"/v1/organizations/users/{ADMIN}/api-keys", b'{"name":"x","is_internal":true}'),
        ("POST", f"/v1/organizations/users/{ADMIN}/api-keys", b'{"name":"x","organization_id":"org_x"}'),
        ("PATCH", f"/v1/organizations/users/{ADMIN}/api-keys/admin", b'{"user_id":"user_x"}'),
        ("PATCH", "/v1/organizations", b'{"account_type":"enterprise"}'),
        ("PATCH", f"/v1/organizations/users/{ADMIN}", b'{"organization_id":"org_x"}'),
        ("POST", "/v1/namespaces", b'{"namespace_name":"abc","namespace_id":"ns_mine"}'),
        ("PATCH", "/v1/namespaces/default", b'{"organization_id":"org_x"}'),
    ],
)
def test_what_is_not_writable_is_refused_by_name(house: Gateway, method: str, path: str, body: bytes) -> None:
    answer = house.request(method, path, body, admin(house))
    assert answer.status == 422
    assert answer.json()["error"]["details"]["validation_errors"][0]["type"] == "extra_forbidden"


def test_another_organization_is_invisible(house: Gateway) -> None:
    async def create() -> tuple[Founding, str]:
        async with open_office(house.app.settings) as office:
            return await office.administration.create_tenant("Other", "bob@other.com")

    founding, key = asyncio.run(create())
    theirs = NamespacesApi(client(house, key))
    assert [each.namespace_name for each in theirs.list_namespaces_get().results] == ["default"]
    ours = NamespacesApi(client(house)).get_namespace("default")
    assert ours.namespace_id is not None
    assert refused(theirs.get_namespace, ours.namespace_id) == (404, "namespace_not_found")
    assert infer(house, key, ours.namespace_id).status == 404
    users = OrganizationUsersApi(client(house, key))
    assert refused(users.get_user_organizations_email, ADMIN) == (404, "user_not_found")
    assert founding.organization.organization_id != AccountApi(client(house)).whoami_me().organization_id


def test_a_writer_makes_namespaces_but_sets_no_money(house: Gateway) -> None:
    headers = house.headers()
    made = house.request("POST", "/v1/namespaces", b'{"namespace_name":"writers"}', headers)
    assert made.status == 200
    for body in (b'{"spend_budget":{"daily_usd":9}}', b'{"llm_credentials":{"openai":"x"}}'):
        answer = house.request("PATCH", "/v1/namespaces/writers", body, headers)
        assert (answer.status, answer.json()["error"]["code"]) == (403, "permission_denied")
    assert house.request("DELETE", "/v1/namespaces/writers", None, headers).status == 403
