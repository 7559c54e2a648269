"""Google Cloud credentials as access tokens: service accounts, user credentials of gcloud, or a token as it is."""

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from inferway.errors import ProviderAuth, ProviderBadAnswer, ProviderFailed, ProviderTimeout, UpstreamError
from inferway.providers.authenticators import KeyHeader, bearer
from inferway.providers.base import Credential, Headers, Transport, WireRequest, WireResponse
from inferway.types import Deadline

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE_S = 3600
_EARLY_S = 300
_TIMEOUT_S = 10.0
_KEPT_TOKENS = 64


class ServiceAccount(Struct, frozen=True, tag_field="type", tag="service_account"):
    """What a service-account key file says, as far as it is needed. Its `token_uri` is not read: see `TokenSource`."""

    client_email: str
    private_key: str
    private_key_id: str | None = None
    project_id: str | None = None

    def __repr__(self) -> str:
        return "ServiceAccount(***)"


class AuthorizedUser(Struct, frozen=True, tag_field="type", tag="authorized_user"):
    """The credentials that `gcloud auth application-default login` writes."""

    client_id: str
    client_secret: str
    refresh_token: str
    quota_project_id: str | None = None

    def __repr__(self) -> str:
        return "AuthorizedUser(***)"


Account = ServiceAccount | AuthorizedUser


class _Granted(Struct, frozen=True):
    access_token: str
    expires_in: float = _LIFE_S


_accounts = msgspec.json.Decoder(Account)
_grants = msgspec.json.Decoder(_Granted)


def read_credentials_file(path: Path) -> Credential:
    """The credential of a file that `GOOGLE_APPLICATION_CREDENTIALS` names.

    Raises `ValueError` with a line that says what to do when it is neither a service account nor credentials of gcloud.
    """
    try:
        content = path.read_text(encoding="utf-8")
        _accounts.decode(content)
    except OSError as error:
        raise ValueError(f"the Google credentials file cannot be read ({error.strerror})") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ValueError(
            "the Google credentials file is neither a service-account key nor what `gcloud auth application-default login` writes"
        ) from None
    return Credential(kind="service_account", secret=content)


def find_kind(credential: Credential) -> str:
    """What a credential is; a caller's own comes as a bare secret, so that its look has to tell: a JSON document or a `ya29.` token."""
    if credential.kind != "api_key":
        return credential.kind
    secret = credential.secret.lstrip()
    if secret.startswith("{"):
        return "service_account"
    return "access_token" if secret.startswith("ya29.") else "api_key"


def find_project(credential: Credential | None) -> str | None:
    """The Google Cloud project that an account document names, for when none is configured."""
    if credential is None or find_kind(credential) != "service_account":
        return None
    try:
        account = _read_account(credential.secret)
    except ProviderAuth:
        # Whoever calls Vertex AI with it will be told.
        return None
    return account.project_id if isinstance(account, ServiceAccount) else account.quota_project_id


class _Token(Struct, frozen=True):
    text: str
    good_until: float


class TokenSource:
    """Turns account credentials into access tokens and keeps them until shortly before they expire.

    Tokens are always asked of `token_url`, never of the address in a credential: a caller's own document must not choose where we
    connect to. `clock` is monotonic seconds, `now` seconds of Unix time.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        token_url: str = TOKEN_URL,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._token_url = token_url
        self._clock = clock
        self._now = now
        self._tokens: OrderedDict[bytes, _Token] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[str]] = {}

    async def get(self, secret: str) -> str:
        """The access token of an account document.

        Raises `ProviderAuth` when the document or the account is no good, other `UpstreamError`s when the token server cannot be asked.
        """
        key = hashlib.sha256(secret.encode()).digest()
        token = self._tokens.get(key)
        if token is not None and self._clock() < token.good_until:
            self._tokens.move_to_end(key)
            return token.text
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key, secret))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._forget(key, task))
        # A caller who leaves must not take the token away from those who wait for the same one.
        return await asyncio.shield(asking)

    def _forget(self, key: bytes, task: asyncio.Task[str]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _ask(self, key: bytes, secret: str) -> str:
        form = await self._form(_read_account(secret))
        asked_at = self._clock()
        request = WireRequest(
            path="",
            body=urlencode(form).encode(),
            headers=(("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")),
        )
        response = await self._transport.send(self._token_url, request, (), Deadline.after(_TIMEOUT_S))
        granted = _read_granted(response)
        self._tokens[key] = _Token(
            text=granted.access_token, good_until=asked_at + _kept_s(granted.expires_in)
        )
        self._tokens.move_to_end(key)
        while len(self._tokens) > _KEPT_TOKENS:
            self._tokens.popitem(last=False)
        return granted.access_token

    async def _form(self, account: Account) -> dict[str, str]:
        if isinstance(account, AuthorizedUser):
            return {
                "grant_type": "refresh_token",
                "client_id": account.client_id,
                "client_secret": account.client_secret,
                "refresh_token": account.refresh_token,
            }
        # Loading the library and signing take milliseconds of CPU, which others need not wait for.
        assertion = await asyncio.to_thread(sign_assertion, account, self._token_url, int(self._now()))
        return {"grant_type": _GRANT, "assertion": assertion}


def _kept_s(expires_in_s: float) -> float:
    """Seconds for which a token is used: most of its life, never beyond it."""
    life_s = min(max(expires_in_s, 0.0), float(_LIFE_S))
    return max(life_s - _EARLY_S, life_s / 2)


def _read_account(secret: str) -> Account:
    try:
        account: Account = _accounts.decode(secret)
    except (msgspec.MsgspecError, RecursionError):
        raise ProviderAuth("The Google credential is no service account that can be read.") from None
    return account


def sign_assertion(account: ServiceAccount, audience: str, now: int) -> str:
    """The JWT that a service account swaps for an access token (RS256). Source: Google OAuth 2.0 for server-to-server applications.

    Raises `ProviderAuth` when its key cannot be used, or when the library that signs is not installed.
    """
    header: dict[str, Any] = {"alg": "RS256", "typ": "JWT"}
    if account.private_key_id:
        header["kid"] = account.private_key_id
    claims = {"iss": account.client_email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now + _LIFE_S}
    signed = f"{_base64url(msgspec.json.encode(header))}.{_base64url(msgspec.json.encode(claims))}"
    return f"{signed}.{_base64url(_sign(account.private_key, signed.encode()))}"


def _sign(private_key: str, message: bytes) -> bytes:
    from inferway.providers.google.signing import sign_rs256  # noqa: PLC0415 - few servers ever need its library

    try:
        return sign_rs256(private_key, message)
    except ValueError:
        raise ProviderAuth("The private key of the Google service account cannot be read.") from None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _read_granted(response: WireResponse) -> _Granted:
    if response.status != 200:
        raise _refusal(response.status)
    try:
        granted = _grants.decode(response.body)
    except (msgspec.MsgspecError, RecursionError):
        granted = None
    if granted is None or not granted.access_token:
        raise ProviderBadAnswer("Google's token server gave an answer that cannot be read.")
    return granted


def _refusal(status: int) -> UpstreamError:
    """Its words may name the account, so that only the status is told."""
    details = {"provider_error": {"status": status, "type": "token"}}
    if status >= 500 or status in (408, 429):
        return ProviderFailed("Google's token server failed.", details=details)
    return ProviderAuth("Google's token server refused the credential.", details=details)


class VertexAuth:
    """Shows Vertex AI an access token.

    `own` is the operator's Google Cloud credential; it stands in for no credential and for `own_key`, the operator's API key, which Vertex
    AI does not take. It never stands in for another's key: that would bill the wrong party.
    """

    def __init__(
        self, tokens: TokenSource, *, own: Credential | None = None, own_key: Credential | None = None
    ) -> None:
        self._tokens = tokens
        self._own = own
        self._own_key = own_key
        self._bearer = bearer("google")

    def find_headers(self, credential: Credential | None) -> Headers | None:
        """Tokens expire."""
        del credential
        return None

    async def headers(self, credential: Credential | None, deadline: Deadline | None = None) -> Headers:
        """`authorization: Bearer <token>`; raises `ProviderAuth` when there is no credential that Vertex AI takes."""
        if credential is None or (self._own is not None and credential == self._own_key):
            credential = self._own
        if credential is None or not credential.secret:
            raise ProviderAuth("No Google Cloud credential is configured for Vertex AI.")
        kind = find_kind(credential)
        if kind == "api_key":
            raise ProviderAuth("Vertex AI takes a service account or an access token, not an API key.")
        if kind == "service_account":
            token = await self._token(credential.secret, deadline)
            credential = Credential(kind="access_token", secret=token)
        return await self._bearer.headers(credential, deadline)

    async def _token(self, secret: str, deadline: Deadline | None) -> str:
        if deadline is None:
            return await self._tokens.get(secret)
        try:
            async with deadline.limit():
                return await self._tokens.get(secret)
        except TimeoutError:
            raise ProviderTimeout("Google's token server did not answer by the deadline.") from None


class GeminiAuth:
    """Shows the Gemini API a key, or an access token, which it takes too."""

    def __init__(self, tokens: TokenSource) -> None:
        self._key = KeyHeader("google", "x-goog-api-key")
        self._account = VertexAuth(tokens)

    def find_headers(self, credential: Credential | None) -> Headers | None:
        """The key that was shown last; tokens expire."""
        return self._key.find_headers(credential)

    async def headers(self, credential: Credential | None, deadline: Deadline | None = None) -> Headers:
        """`x-goog-api-key: <key>` or `authorization: Bearer <token>`; raises `ProviderAuth` when there is no credential."""
        if credential is None or find_kind(credential) == "api_key":
            return await self._key.headers(credential, deadline)
        return await self._account.headers(credential, deadline)
