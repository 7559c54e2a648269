"""What the doctor asks of others: whether providers can be reached, take our key, and agree about the time. Nothing costs anything."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from msgspec import Struct

from inferway.cli.finding import Finding, fail, ok, warn
from inferway.cli.serve import is_configured
from inferway.client.page import Page, read_page
from inferway.client.reachable import ServerUnreachable, try_connection
from inferway.settings import ProviderSettings, Settings

_SKEW_MAX_S = 60.0
_REFUSED = (401, 403)
_DEFAULT_PORTS = {"redis": 6379, "rediss": 6379}


class _Question(Struct, frozen=True, kw_only=True):
    """A list of models, which every provider gives for nothing."""

    url: str
    headers: dict[str, str]


def look_outside(settings: Settings) -> Iterator[Finding]:
    """Everything beyond this machine that the settings name."""
    yield from _providers(settings)
    if settings.limits.url is not None:
        yield from _reached("limits", settings.limits.url.reveal(), "limits.url")
    if settings.otel.endpoint is not None:
        yield from _reached("telemetry", settings.otel.endpoint, "otel.endpoint")


def _providers(settings: Settings) -> Iterator[Finding]:
    skews: list[float] = []
    for name, chosen in settings.providers.items():
        question = _question_of(chosen)
        if question is None or not is_configured(chosen):
            continue
        try:
            page = read_page(question.url, question.headers)
        except ServerUnreachable as error:
            yield fail("network", f"{name}: {error}. Check the network and providers.{name}.base_url.")
            continue
        yield _judge(
            name, page, has_key="key" in str(question.headers).lower() or "authorization" in question.headers
        )
        skews += _skew_s(page)
    if skews:
        yield _judge_clock(min(skews, key=abs))


def _question_of(chosen: ProviderSettings) -> _Question | None:
    """How a provider is asked for its models; None where it is not known how."""
    key = chosen.api_key.reveal() if chosen.api_key is not None else None
    token = chosen.auth_token.reveal() if chosen.auth_token is not None else None
    bearer = {"authorization": f"Bearer {key or token}"} if key or token else {}
    own = {name: value.reveal() for name, value in chosen.headers.items()}
    base = (chosen.base_url or _ADDRESSES.get(chosen.kind, "")).rstrip("/")
    if not base:
        return None
    match chosen.kind:
        case "openai" | "openai_compatible":
            return _Question(url=f"{base}/models", headers=own | bearer)
        case "anthropic":
            asked = {"x-api-key": key} if key else bearer
            return _Question(
                url=f"{base}/v1/models", headers=own | {"anthropic-version": "2023-06-01"} | asked
            )
        case "google":
            return _Question(
                url=f"{base}/v1beta/models", headers=own | ({"x-goog-api-key": key} if key else {})
            )
        case _:
            return None


_ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
}


def _judge(name: str, page: Page, *, has_key: bool) -> Finding:
    if page.status in _REFUSED and has_key:
        return fail(
            "network",
            f"{name} can be reached and refuses the key (status {page.status}). Check providers.{name}.api_key.",
        )
    if page.status >= 500:
        return warn(
            "network",
            f"{name} can be reached and fails at the moment (status {page.status}). Try again later.",
        )
    return ok(
        "network", f"{name} can be reached" + (" and takes the key" if has_key and page.status == 200 else "")
    )


def _skew_s(page: Page) -> list[float]:
    """By how much this machine's clock is ahead of the answer's."""
    try:
        said = parsedate_to_datetime(page.date or "")
    except ValueError:
        return []
    return [(datetime.now(UTC) - said.replace(tzinfo=said.tzinfo or UTC)).total_seconds()]


def _judge_clock(skew_s: float) -> Finding:
    if abs(skew_s) <= _SKEW_MAX_S:
        return ok("clock", "agrees with the providers' within a minute")
    direction = "ahead of" if skew_s > 0 else "behind"
    return fail(
        "clock",
        f"it is {abs(skew_s):.0f} s {direction} the providers'. Set it (timedatectl set-ntp true): keys expire by it.",
    )


def _reached(check: str, url: str, setting: str) -> Iterator[Finding]:
    address = urlsplit(url)
    if address.scheme == "unix":
        return
    host = f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname
    port = address.port or _DEFAULT_PORTS.get(address.scheme) or (443 if address.scheme == "https" else 80)
    try:
        try_connection(f"tcp://{host}:{port}")
    except ServerUnreachable as error:
        yield warn(check, f"{host}:{port}: {error}. Calls go on without it. Check {setting}.")
    else:
        yield ok(check, f"{host}:{port} can be reached")
