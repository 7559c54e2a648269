"""Thousands of texts that would run if a page took them for markup, and a store in which every field holds such texts."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import msgspec

from inferway.access.administration import Actor, event_of
from inferway.access.founding import new_key
from inferway.access.keyring import open_ring
from inferway.access.records import (
    ApiKey,
    Borrowed,
    Namespace,
    Permission,
    Role,
    SpendBudget,
    User,
    new_id,
)
from inferway.access.scopes import Scope
from inferway.access.vault import seal
from inferway.app.desk import Office, open_office
from inferway.settings import Settings
from inferway.types import Usage
from inferway.usage.records import AttemptRecord, UsageRecord

_RUN = "window.__ran=1"
_SCRIPTS = (
    f"<script>{_RUN}</script>",
    f"<ScRiPt>{_RUN}</sCrIpT >",
    f"<script/x>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f"<img/src=x onerror='{_RUN}'>",
    f'<img src="/x" onerror="{_RUN}">',
    f"<svg onload={_RUN}>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<svg><script>{_RUN}</script></svg>",
    f"<body onload={_RUN}>",
    f"<details open ontoggle={_RUN}>x</details>",
    f"<video><source onerror={_RUN}></video>",
    f"<audio src=x onerror={_RUN}>",
    "<iframe srcdoc='<script>parent.__ran=1</script>'></iframe>",
    "<iframe src=javascript:parent.__ran=1></iframe>",
    "<object data=javascript:window.__ran=1></object>",
    "<embed src=javascript:window.__ran=1>",
    f"<input autofocus onfocus={_RUN}>",
    f"<a href=javascript:{_RUN}>x</a>",
    "<form action=javascript:window.__ran=1><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=javascript:window.__ran=1'>",
    "<link rel=stylesheet href=/x.css>",
    "<style>@import '/x.css'; * { display: none }</style>",
    "<base href=//evil.invalid/>",
    f"<math><mtext></p><img src=x onerror={_RUN}>",
    f"<template><script>{_RUN}</script></template>",
    f"<x onpointerrawupdate={_RUN} contenteditable autofocus onfocus={_RUN}>",
    f"<marquee onstart={_RUN}>x</marquee>",
    f"<table background=javascript:{_RUN}><td>",
    f"{{{{7*7}}}}{{% raw %}}<script>{_RUN}</script>",
    f"${{{_RUN}}}`+{_RUN}+`",
    f"{{{{constructor.constructor('{_RUN}')()}}}}",
)
_BEFORE = (
    "", '"', "'", ">", '">', "'>", "</td>", "</title>", "</textarea>", "</script>", "</style>", "</option></select>",
    "-->", "]]>", '" autofocus x="', "' x='", "\\u003c/script>", "%22%3E", "&quot;&gt;", "\x0b", "\u2028", "\xa0",
)  # fmt: skip
_AFTER = ("", "<!--", "//", '"', "'", "\\")
_WRITTEN: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: text.replace("<", "\uff1c"),
    lambda text: text.replace("<", "&lt;"),
    lambda text: text.replace("<", "\u200b<"),
)


def texts() -> list[str]:
    """All of them, in an order that is always the same."""
    made = [
        write(before + script + after)
        for script, before, after, write in product(_SCRIPTS, _BEFORE, _AFTER, _WRITTEN)
    ]
    unique = list(dict.fromkeys(made))
    random.Random(7).shuffle(unique)
    return unique


class Source:
    """Gives out the next text, and counts."""

    def __init__(self) -> None:
        self._all = texts()
        self.used: list[str] = []

    def next(self, longest: int = 10_000) -> str:
        """A text that was not used yet and is short enough."""
        while True:
            found = self._all[len(self.used) % len(self._all)]
            self.used.append(found)
            if len(found) <= longest:
                return found


async def infest(settings: Settings, source: Source, *, rows: int) -> None:
    """Fills every field of every record of a store, past all checks of the API: `rows` of each kind."""
    async with open_office(settings) as office:
        (organization,) = await office.directory.list_organizations()
        await office.directory.replace_organization(
            msgspec.structs.replace(
                organization,
                name=source.next(),
                logo_url=source.next(),
                billing_email=source.next(),
                notifications_email=source.next(),
                metadata={source.next(): source.next()},
                credentials={source.next(): Borrowed(secret_name=source.next(), host=source.next())},
                spend_budget=SpendBudget(daily_microusd=10**9),
            ),
            was=organization,
        )
        now = datetime.now(UTC)
        for number in range(rows):
            await _infest(office, settings, source, now - timedelta(minutes=number))


async def _infest(office: Office, settings: Settings, source: Source, now: datetime) -> None:
    tenant = office.organization_id
    user = User(
        user_id=new_id("user"),
        organization_id=tenant,
        email=source.next() + "@" + source.next(),
        name=source.next(),
        avatar_url=source.next(),
        role=Role.MEMBER,
        metadata={source.next(): source.next()},
        created_at=now,
    )
    await office.directory.add_user(user)
    key = _key(user, source, now)
    await office.directory.add_key(key)
    namespace = Namespace(
        namespace_id=new_id("ns"),
        organization_id=tenant,
        name=source.next(),
        description=source.next(),
        metadata={source.next(): source.next()},
        credentials={source.next(): Borrowed(secret_name=source.next(), host=source.next())},
        keep_days=1,
        created_at=now,
    )
    await office.directory.add_namespace(namespace)
    ring = open_ring(settings.secrets_key_file, settings.secrets_key)
    await office.directory.add_secret(
        seal(ring.current(), new_id("secret"), tenant, source.next(), source.next(), now)
    )
    by = Actor(
        user_id=source.next(),
        email=source.next(),
        key_name=source.next(),
        ip_address=source.next(),
        user_agent=source.next(),
    )
    changes: dict[str, Any] = {source.next(): {"old": source.next(), "new": [source.next()]}}
    await office.directory.add_event(
        event_of(by, tenant, (source.next(), source.next()), source.next(), changes)
    )
    await office.ledger.add([_call(tenant, namespace, key, source, now)])


def _key(user: User, source: Source, now: datetime) -> ApiKey:
    made, _ = new_key(user, source.next(), Permission.WRITE, now)
    return msgspec.structs.replace(
        made,
        description=source.next(),
        created_by=source.next(),
        scopes=(Scope(resource_type="namespace", resource_id=source.next(100)),),
        allowed_origins=(source.next(),),
        models=(source.next(),),
        prefix=source.next(),
    )


def _call(tenant: str, namespace: Namespace, key: ApiKey, source: Source, now: datetime) -> UsageRecord:
    attempt = AttemptRecord(
        provider=source.next(),
        model=source.next(),
        outcome=source.next(),
        duration_ms=3.0,
        model_version=source.next(),
        price_version=source.next(),
        usage=Usage(input=1, output=2, source="provider"),
        cost_microusd=3,
    )
    return UsageRecord(
        record_id=f"rec_{random.getrandbits(96):024x}",
        request_id=source.next(),
        organization_id=tenant,
        namespace_id=namespace.namespace_id,
        key_id=key.key_id,
        operation="chat",
        provider=source.next(),
        model=source.next(),
        status="error",
        started_at=now,
        latency_ms=5.0,
        upstream_ms=3.0,
        usage=Usage(input=1, output=2, source="provider"),
        error_type=source.next(),
        error_code=source.next(),
        attempts=(attempt, attempt),
        cost_microusd=3,
        price_version=source.next(),
    )


def all_of(source: Source) -> Iterator[str]:
    """What was given out."""
    yield from source.used
