"""The provider row of Anthropic, against an upstream on loopback."""

import json
from typing import Any

import pytest

from inferway.errors import ProviderAuth, ProviderBadAnswer, ProviderRateLimited
from inferway.providers.anthropic.row import build
from inferway.providers.base import Context, Credential, Provider, Target
from inferway.providers.transport import HttpTransport
from inferway.types import ChatResult, Deadline, Operation, TextDelta
from tests.unit.providers.anthropic.exchanges import FULL, answer, as_events, ask, text_block
from tests.upstreams.scripted import Peer, Script, scripted

KEY = Credential(secret="sk-ant-test")
HELLO = answer(text_block("Hello"))


def _context(credential: Credential | None = KEY) -> Context:
    return Context(request_id="req_1", deadline=Deadline.after(5), credential=credential)


def _target(row: Provider, model: str = "claude-haiku-4-5") -> Target:
    return Target(provider=row.name, model=model, facts=row.facts(model), options=row.options)


def _answers(body: bytes, *headers: str, status: str = "200 OK") -> Script:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.answer(body, *headers, status=status)

    return play


async def _send(
    script: Script, credential: Credential | None = KEY, **settings: Any
) -> tuple[ChatResult, str, bytes]:
    """The result of one call, and the head and body of the request that left."""
    transport = HttpTransport()
    try:
        async with scripted(script) as upstream:
            row = build(transport=transport, base_url=upstream.url(""), **settings)
            assert row.chat is not None
            prepared = row.chat.prepare(ask("Hi", max_tokens=5), _target(row))
            result = await row.chat.execute(prepared, _context(credential))
            head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
            return result, head.decode(), body
    finally:
        await transport.aclose()


def test_the_row_serves_chat_and_vision_and_nothing_else() -> None:
    row = build(transport=HttpTransport())
    assert (row.name, row.kind) == ("anthropic", "anthropic")
    assert row.operations == {Operation.CHAT, Operation.VISION}
    assert row.capability(Operation.VISION) is row.chat
    assert row.capability(Operation.TEXT_EMBEDDING) is None
    assert row.capability(Operation.TRANSCRIPTION) is None
    assert row.facts("claude-opus-5")["temperature"] is False
    assert row.facts("something-else") == {}


def test_an_operators_facts_come_last() -> None:
    row = build(transport=HttpTransport(), facts=[{"models": ["claude-opus-5"], "temperature": True}])
    assert row.facts("claude-opus-5")["temperature"] is True


async def test_a_key_goes_into_its_own_header() -> None:
    result, head, body = await _send(_answers(json.dumps(HELLO).encode()), headers=(("x-team", "a"),))
    assert result.completion.text == "Hello"
    lines = head.lower().split("\r\n")
    assert lines[0] == "post /v1/messages http/1.1"
    assert "x-api-key: sk-ant-test" in lines
    assert "anthropic-version: 2023-06-01" in lines
    assert "x-team: a" in lines
    assert not any(line.startswith("authorization") for line in lines)
    assert json.loads(body)["max_tokens"] == 5


async def test_a_token_is_a_bearer() -> None:
    token = Credential(secret="tok", kind="bearer")
    _, head, _ = await _send(_answers(json.dumps(HELLO).encode()), token)
    lines = head.lower().split("\r\n")
    assert "authorization: bearer tok" in lines
    assert not any(line.startswith("x-api-key") for line in lines)


@pytest.mark.parametrize(
    "settings",
    [{"options": {"api_version": "2026-10-21"}}, {"headers": (("Anthropic-Version", "2026-10-21"),)}],
)
async def test_the_api_version_is_a_setting_and_sent_once(settings: dict[str, Any]) -> None:
    _, head, _ = await _send(_answers(json.dumps(HELLO).encode()), **settings)
    assert [line for line in head.lower().split("\r\n") if line.startswith("anthropic-version")] == [
        "anthropic-version: 2026-10-21"
    ]


async def test_without_a_credential_nothing_is_sent() -> None:
    with pytest.raises(ProviderAuth):
        await _send(_answers(b""), None)


async def test_a_refusal_is_classified() -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down."}}'
    with pytest.raises(ProviderRateLimited) as caught:
        await _send(_answers(body, "retry-after: 4", status="429 Too Many Requests"))
    assert caught.value.retry_after_s == 4


async def test_html_with_a_200_is_no_answer() -> None:
    with pytest.raises(ProviderBadAnswer):
        await _send(_answers(b"<html>hello</html>", "content-type: text/html"))


async def test_a_stream_ends_with_the_whole_answer() -> None:
    events = "".join(f"event: {name}\ndata: {json.dumps(data)}   \n\n" for name, data in as_events(FULL))
    transport = HttpTransport()
    try:
        async with scripted(_answers(events.encode(), "content-type: text/event-stream")) as upstream:
            row = build(transport=transport, base_url=upstream.url(""))
            assert row.chat is not None
            prepared = row.chat.prepare(ask("Hi", stream=True), _target(row))
            heard = [item async for item in row.chat.stream(prepared, _context())]
        assert b'"stream":true' in upstream.requests[0]
    finally:
        await transport.aclose()
    result = heard[-1]
    assert isinstance(result, ChatResult)
    assert result.completion.text == "Checking both."
    assert "".join(item.text for item in heard if isinstance(item, TextDelta)) == "Checking both."
