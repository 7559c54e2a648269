"""Google Cloud credentials: how they become tokens, how long those are used, and to whom nothing is shown."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from inferway.errors import ProviderAuth, ProviderBadAnswer, ProviderFailed, ProviderTimeout
from inferway.providers.base import Credential
from inferway.providers.google.vertex import GeminiAuth, TokenSource, VertexAuth, read_credentials_file
from inferway.providers.transport import HttpTransport
from inferway.types import Deadline
from tests.unit.providers.google.upstream import Upstream, as_json, running

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT = {
    "type": "service_account",
    "project_id": "acme",
    "private_key_id": "kid-1",
    "private_key": PEM,
    "client_email": "robot@acme.iam.gserviceaccount.com",
    "token_uri": "https://evil.example/token",
}
TOKEN = {"access_token": "ya29.first", "expires_in": 3600, "token_type": "Bearer"}


def _account(**changes: Any) -> Credential:
    return Credential(kind="service_account", secret=json.dumps({**ACCOUNT, **changes}))


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _source(upstream: Upstream, clock: Clock | None = None) -> TokenSource:
    clock = clock or Clock()
    return TokenSource(
        HttpTransport(), token_url=f"{upstream.url}/token", clock=clock, now=lambda: 1_800_000_000.5
    )


def _segment(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


async def test_a_service_account_swaps_a_signed_claim_for_a_token() -> None:
    async with running(as_json(TOKEN)) as upstream:
        headers = await VertexAuth(_source(upstream)).headers(_account())
    assert headers == (("authorization", "Bearer ya29.first"),)
    (asked,) = upstream.asked
    assert (asked.method, asked.target) == ("POST", "/token")
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = form["assertion"][0].split(".")
    assert _segment(head) == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"}
    assert _segment(claims) == {
        "iss": "robot@acme.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": f"{upstream.url}/token",
        "iat": 1_800_000_000,
        "exp": 1_800_003_600,
    }
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    KEY.public_key().verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


async def test_credentials_of_gcloud_are_refreshed() -> None:
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    async with running(as_json(TOKEN)) as upstream:
        credential = Credential(kind="service_account", secret=json.dumps(user))
        headers = await VertexAuth(_source(upstream)).headers(credential)
    assert headers == (("authorization", "Bearer ya29.first"),)
    assert parse_qs(upstream.asked[0].body.decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["c"],
        "client_secret": ["s"],
        "refresh_token": ["r"],
    }


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    clock = Clock()
    second = as_json({**TOKEN, "access_token": "ya29.second"})
    async with running(as_json(TOKEN), second) as upstream:
        auth = VertexAuth(_source(upstream, clock))
        for now, token in ((1000, "first"), (1000 + 3299, "first"), (1000 + 3301, "second")):
            clock.now = now
            assert await auth.headers(_account()) == (("authorization", f"Bearer ya29.{token}"),)
    assert len(upstream.asked) == 2


@pytest.mark.parametrize(("expires_in", "kept_s"), [(10**9, 3300), (600, 300), (0, 0), (-5, 0)])
async def test_a_strange_lifetime_is_bounded(expires_in: int, kept_s: int) -> None:
    clock = Clock()
    async with running(as_json({**TOKEN, "expires_in": expires_in})) as upstream:
        source = _source(upstream, clock)
        await source.get(_account().secret)
        clock.now += max(0.0, kept_s - 0.5)
        await source.get(_account().secret)
        assert len(upstream.asked) == (1 if kept_s else 2)
        clock.now += 1
        await source.get(_account().secret)
        assert len(upstream.asked) == (2 if kept_s else 3)


async def test_callers_at_the_same_time_share_one_request_even_when_the_first_leaves() -> None:
    async with running(as_json(TOKEN)) as upstream:
        upstream.gate = asyncio.Event()
        source = _source(upstream)
        waiting = [asyncio.create_task(source.get(_account().secret)) for _ in range(5)]
        await upstream.arrived.wait()
        waiting[0].cancel()
        await asyncio.sleep(0)
        upstream.gate.set()
        assert await asyncio.gather(*waiting[1:]) == ["ya29.first"] * 4
        assert waiting[0].cancelled()
    assert len(upstream.asked) == 1


async def test_a_failure_is_not_kept() -> None:
    async with running(as_json({"error": "internal"}, 503), as_json(TOKEN)) as upstream:
        source = _source(upstream)
        with pytest.raises(ProviderFailed) as caught:
            await source.get(_account().secret)
        assert caught.value.retryable
        assert await source.get(_account().secret) == "ya29.first"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (as_json({"error": "invalid_grant", "error_description": "robot@acme not found"}, 400), ProviderAuth),
        (as_json({}, 401), ProviderAuth),
        (as_json({}, 429), ProviderFailed),
        (as_json({}), ProviderBadAnswer),
        (as_json({"access_token": ""}), ProviderBadAnswer),
        (as_json({"access_token": 7}), ProviderBadAnswer),
        ((200, "text/html", b"<html>"), ProviderBadAnswer),
    ],
)
async def test_what_the_token_server_says_is_classified_and_not_repeated(
    answer: tuple[int, str, bytes], kind: type[Exception]
) -> None:
    async with running(answer) as upstream:
        with pytest.raises(kind) as caught:
            await _source(upstream).get(_account().secret)
    assert "robot" not in str(caught.value) + str(vars(caught.value))


@pytest.mark.parametrize(
    "secret",
    [
        "{",
        "{}",
        '{"type": "external_account"}',
        '{"type": "service_account"}',
        json.dumps({**ACCOUNT, "private_key": "nonsense"}),
        "[" * 5000,
    ],
)
async def test_a_document_that_is_no_good_is_refused_without_asking_anybody(secret: str) -> None:
    async with running(as_json(TOKEN)) as upstream:
        with pytest.raises(ProviderAuth) as caught:
            await _source(upstream).get(secret)
        assert upstream.asked == []
    assert caught.value.__cause__ is None


async def test_a_token_is_shown_as_it_is() -> None:
    async with running(as_json(TOKEN)) as upstream:
        auth = VertexAuth(_source(upstream))
        for credential in (
            Credential(kind="access_token", secret="abc"),
            Credential(kind="bearer", secret="abc"),
        ):
            assert await auth.headers(credential) == (("authorization", "Bearer abc"),)
        bare = Credential(secret="ya29.mine")
        assert await auth.headers(bare) == (("authorization", "Bearer ya29.mine"),)
        assert upstream.asked == []


async def test_the_operators_account_stands_in_for_the_operators_key_only() -> None:
    own_key = Credential(secret="AIza-operator")
    own = Credential(kind="access_token", secret="operator")
    async with running(as_json(TOKEN)) as upstream:
        auth = VertexAuth(_source(upstream), own=own, own_key=own_key)
        for credential in (None, own_key):
            assert await auth.headers(credential) == (("authorization", "Bearer operator"),)
        with pytest.raises(ProviderAuth):
            await auth.headers(Credential(secret="AIza-callers-own"))
        callers = Credential(kind="access_token", secret="callers")
        assert await auth.headers(callers) == (("authorization", "Bearer callers"),)


async def test_no_credential_is_an_error_that_says_so() -> None:
    async with running(as_json(TOKEN)) as upstream:
        for auth in (VertexAuth(_source(upstream)), GeminiAuth(_source(upstream))):
            with pytest.raises(ProviderAuth):
                await auth.headers(None)


async def test_the_gemini_api_takes_keys_and_tokens() -> None:
    async with running(as_json(TOKEN)) as upstream:
        auth = GeminiAuth(_source(upstream))
        assert await auth.headers(Credential(secret="AIza-1")) == (("x-goog-api-key", "AIza-1"),)
        assert await auth.headers(Credential(kind="access_token", secret="t")) == (
            ("authorization", "Bearer t"),
        )
        bare = Credential(secret=_account().secret)
        assert await auth.headers(bare) == (("authorization", "Bearer ya29.first"),)


def test_a_credentials_file_is_checked_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps(ACCOUNT))
    credential = read_credentials_file(file)
    assert credential.kind == "service_account"
    assert json.loads(credential.secret) == ACCOUNT
    assert "PRIVATE" not in repr(credential)
    for content in ("", "{}", '{"type": "external_account"}', "\x00"):
        file.write_text(content)
        with pytest.raises(ValueError, match="service-account"):
            read_credentials_file(file)
    with pytest.raises(ValueError, match="cannot be read"):
        read_credentials_file(tmp_path / "nowhere.json")


async def test_a_token_is_waited_for_until_the_deadline_at_most() -> None:
    async with running(as_json(TOKEN)) as upstream:
        upstream.gate = asyncio.Event()
        with pytest.raises(ProviderTimeout):
            await VertexAuth(_source(upstream)).headers(_account(), Deadline.after(0.05))
        upstream.gate.set()
