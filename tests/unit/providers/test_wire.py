"""Wire capabilities over the real transport: the request that leaves, and what each kind of answer becomes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from inferway.errors import (
    ProviderAuth,
    ProviderBadAnswer,
    ProviderFailed,
    ProviderRateLimited,
    ProviderTimeout,
    UpstreamError,
)
from inferway.providers.authenticators import KeyHeader, bearer, optional_bearer
from inferway.providers.base import (
    Context,
    Credential,
    Endpoint,
    Target,
    Translated,
    WireRequest,
    WireResponse,
)
from inferway.providers.transport import HttpTransport
from inferway.providers.wire import WireChat
from inferway.types import (
    Adaptation,
    ChatCall,
    ChatEvent,
    ChatResult,
    Completion,
    Deadline,
    Message,
    Reasoning,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from tests.upstreams.scripted import Peer, Upstream, scripted

CALL = ChatCall(messages=(Message(role="user", content=(TextPart(text="hi"),)),))
TARGET = Target(provider="acme", model="m")
RESULT = ChatResult(
    completion=Completion(
        text="hello",
        finish_reason="stop",
        reasoning=(Reasoning(text="hm"), Reasoning(signature="s")),
        tool_calls=(ToolCall(id="1", name="f", arguments={"a": 1}),),
    )
)


class Decoder:
    """A plain wire: `{"text": …}` events, `end` as the terminal one; an array is a whole stream."""

    def __init__(self) -> None:
        self.text = ""
        self.ended = False

    @property
    def usage(self) -> Usage:
        return Usage(input=7, output=len(self.text), source="provider")

    def on_event(self, name: str, data: bytes) -> list[ChatEvent]:
        if name == "end":
            self.ended = True
            return []
        if name == "error":
            raise ProviderFailed("it failed in the middle")
        read = msgspec.json.decode(data)
        if isinstance(read, list):
            self.ended = True
            return [TextDelta(text=item["text"]) for item in read]
        self.text += read["text"]
        return [TextDelta(text=read["text"])]

    def finish(self) -> ChatResult:
        if not self.ended:
            raise ProviderBadAnswer("The stream ended before its end.")
        return ChatResult(completion=Completion(text=self.text, finish_reason="stop"))


class Translator:
    max_batch = 3

    def to_wire(self, call: ChatCall, target: Target) -> Translated:
        body = msgspec.json.encode({"model": target.model, "said": call.messages[0].text()})
        told = (Adaptation(field="seed", action="dropped", reason="because"),)
        return Translated(request=WireRequest(path="/chat", body=body, query="a=b"), adaptations=told)

    def from_wire(self, call: ChatCall, target: Target, response: WireResponse) -> ChatResult:
        del call, target
        read = msgspec.json.decode(response.body)
        assert read["choices"][0]["text"] + "" == "hello"
        return RESULT

    def decoder(self, call: ChatCall, target: Target) -> Decoder:
        del call, target
        return Decoder()


def classify(response: WireResponse) -> UpstreamError:
    if response.status == 429:
        return ProviderRateLimited(msgspec.json.decode(response.body)["message"])
    return ProviderFailed(f"status {response.status}")


def context(timeout_s: float = 10.0, secret: str | None = "sk-secret") -> Context:
    credential = None if secret is None else Credential(secret=secret)
    return Context(request_id="r", deadline=Deadline.after(timeout_s), credential=credential)


@asynccontextmanager
async def connected(script: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[tuple[WireChat, Upstream]]:
    async with scripted(script) as upstream:
        transport = HttpTransport()
        endpoint = Endpoint(base_url=upstream.url("/v1/"), headers=(("x-org", "o"),))
        yield (
            WireChat(
                translator=Translator(),
                endpoint=endpoint,
                authenticator=bearer("acme"),
                classify=classify,
                transport=transport,
            ),
            upstream,
        )
        await transport.aclose()


def answering(body: bytes, *headers: str, status: str = "200 OK") -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(body, *headers, status=status)
        await peer.gone()

    return script


async def stream(chat: WireChat, where: Context | None = None) -> tuple[list[Any], UpstreamError | None]:
    items: list[Any] = []
    try:
        async for item in chat.stream(chat.prepare(CALL, TARGET), where or context()):
            items.append(item)  # noqa: PERF401 - what came before an error counts
    except UpstreamError as error:
        return items, error
    return items, None


GOOD = b'{"choices":[{"text":"hello"}]}'


async def test_the_request_leaves_with_address_headers_and_credential_joined() -> None:
    async with connected(answering(GOOD)) as (chat, upstream):
        prepared = chat.prepare(CALL, TARGET)
        assert prepared.adaptations[0].field == "seed"
        assert chat.max_batch == 3
        where = context()
        assert await chat.execute(prepared, where) == RESULT
        head, _, body = upstream.requests[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /v1/chat?a=b HTTP/1.1"
        assert lines[5:] == [
            "x-org: o",
            "authorization: Bearer sk-secret",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        assert body == b'{"model":"m","said":"hi"}'
        assert where.timing.attempts == 1
        assert 0 < where.timing.upstream_s < 5


async def test_a_prepared_request_holds_no_credential() -> None:
    async with connected(answering(GOOD)) as (chat, _):
        assert "sk-secret" not in repr(chat.prepare(CALL, TARGET))
        assert "sk-secret" not in repr(context())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>sk-secretsecret</html>",
        b"{",
        b"[]",
        b"null",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[{"text":null}]}',
        b'{"choices":[{"text":1}]}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_an_answer_that_cannot_be_read_is_bad_and_only_the_log_sees_it(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(answering(body)) as (chat, _):
        with caplog.at_level(logging.WARNING), pytest.raises(ProviderBadAnswer) as caught:
            await chat.execute(chat.prepare(CALL, TARGET), context())
    assert not caught.value.retryable
    assert "html" not in caught.value.message
    (record,) = caplog.records
    assert record.name == "inferway.providers"
    assert "secret" not in record.getMessage()
    assert len(record.getMessage()) < 500


@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=x", "nonsense"])
async def test_a_wrong_content_type_is_tolerated_when_the_body_can_be_read(content_type: str) -> None:
    async with connected(answering(GOOD, f"content-type: {content_type}")) as (chat, _):
        assert await chat.execute(chat.prepare(CALL, TARGET), context()) == RESULT


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("429 Slow", b'{"message":"slow down"}', ProviderRateLimited),
        ("503 No", b"", ProviderFailed),
        ("429 Slow", b"<html>", ProviderBadAnswer),
        ("302 Found", b"", ProviderBadAnswer),
        ("304 Same", b"", ProviderBadAnswer),
        ("204 None", b"", ProviderBadAnswer),
    ],
)
async def test_every_other_status_is_an_error_whole_and_streamed(
    status: str, body: bytes, kind: type[UpstreamError]
) -> None:
    async with connected(answering(body, "location: http://127.0.0.1:9/", status=status)) as (chat, upstream):
        with pytest.raises(kind):
            await chat.execute(chat.prepare(CALL, TARGET), context())
        assert len(upstream.requests) == 1
    async with connected(answering(body, status=status)) as (chat, _):
        items, error = await stream(chat)
        assert items == []
        assert isinstance(error, kind)


EVENTS = b': hi\n\ndata: {"text":"a"}\n\ndata: {"text":"b"}\n\nevent: end\ndata: {}\n\n'


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", "text/plain"])
async def test_a_stream_gives_its_events_and_then_the_result(content_type: str) -> None:
    async with connected(answering(EVENTS, f"content-type: {content_type}")) as (chat, _):
        where = context()
        items, error = await stream(chat, where)
        assert error is None
        assert items[:-1] == [TextDelta(text="a"), TextDelta(text="b")]
        assert items[-1].completion.text == "ab"
        assert where.timing.attempts == 1


@pytest.mark.parametrize(
    "blank", [b"data:\n\n", b"data: \n\n", b"event: ping\ndata\n\n", b"data:\ndata:\n\n"]
)
async def test_events_without_data_only_keep_the_connection_busy(blank: bytes) -> None:
    async with connected(answering(blank + EVENTS.replace(b"\n\n", b"\n\n" + blank))) as (chat, _):
        items, error = await stream(chat)
        assert error is None
        assert items[-1].completion.text == "ab"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'data: {"text":"a"}\n\n', ProviderBadAnswer),
        (b'data: {"text":"a"}\n\ndata: {"text"', ProviderBadAnswer),
        (b'data: {"text":"a"}\n\ndata: 7\n\n', ProviderBadAnswer),
        (b'data: {"text":"a"}\n\nevent: error\ndata: {}\n\n', ProviderFailed),
    ],
)
async def test_a_stream_that_breaks_gives_what_came_and_no_result(
    body: bytes, kind: type[UpstreamError]
) -> None:
    async with connected(answering(body)) as (chat, _):
        items, error = await stream(chat)
        assert items == [TextDelta(text="a")]
        assert isinstance(error, kind)


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"\n\n", b"no events here"])
async def test_a_stream_without_events_is_a_bad_answer(body: bytes) -> None:
    async with connected(answering(body)) as (chat, _):
        assert isinstance((await stream(chat))[1], ProviderBadAnswer)


async def test_a_server_that_ignores_stream_is_read_as_a_whole_answer() -> None:
    async with connected(answering(b"\n " + GOOD, "content-type: application/json")) as (chat, _):
        items, error = await stream(chat)
        assert error is None
        assert items == [
            ReasoningDelta(text="hm"),
            TextDelta(text="hello"),
            ToolCallDelta(call=0, id="1", name="f", arguments='{"a":1}'),
            RESULT,
        ]
    async with connected(answering(b'{"error":"x"}', "content-type: application/json")) as (chat, _):
        assert isinstance((await stream(chat))[1], ProviderBadAnswer)


async def test_an_array_is_left_to_the_decoder() -> None:
    async with connected(answering(b'[{"text":"a"},\n{"text":"b"}]')) as (chat, _):
        items, error = await stream(chat)
        assert error is None
        assert items[:-1] == [TextDelta(text="a"), TextDelta(text="b")]


async def test_events_come_before_the_stream_is_over_and_closing_it_hangs_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b'HTTP/1.1 200 OK\r\n\r\ndata: {"text":"a"}\n\n')
        await peer.gone()

    async with connected(script) as (chat, upstream):
        items = chat.stream(chat.prepare(CALL, TARGET), context())
        assert await anext(items) == TextDelta(text="a")
        await items.aclose()
        await asyncio.wait_for(upstream.hung_up.wait(), 1)


async def test_others_get_their_turn_while_thousands_of_events_are_read() -> None:
    event = b'data: {"text":"a"}\n\n'
    turn, most, so_far, at = 0, 0, 0, 0

    async def tick() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async with connected(answering(event * 20_000 + b"event: end\ndata: {}\n\n")) as (chat, _):
        ticking = asyncio.create_task(tick())
        async for _item in chat.stream(chat.prepare(CALL, TARGET), context()):
            so_far = so_far + 1 if turn == at else 1
            at, most = turn, max(most, so_far)
        ticking.cancel()
    # The rest of what had arrived, and a full piece of what has arrived meanwhile.
    assert most <= 2 * (4 * 1024 / len(event) + 1)


async def test_only_the_wait_for_the_provider_counts_as_its_time() -> None:
    async with connected(answering(EVENTS)) as (chat, _):
        where = context()
        async for _ in chat.stream(chat.prepare(CALL, TARGET), where):
            await asyncio.sleep(0.2)
        assert where.timing.upstream_s < 0.4


async def test_a_stream_ends_at_the_deadline() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n: ping\n\n")
        await peer.gone()

    async with connected(script) as (chat, _):
        assert isinstance((await stream(chat, context(0.2)))[1], ProviderTimeout)


async def test_without_a_credential_nothing_is_sent() -> None:
    async with connected(answering(GOOD)) as (chat, upstream):
        for secret in (None, ""):
            with pytest.raises(ProviderAuth, match=r"for acme: .* providers\.acme\.api_key"):
                await chat.execute(chat.prepare(CALL, TARGET), context(secret=secret))
        assert upstream.connections == 0


async def test_credentials_travel_in_the_header_of_the_provider() -> None:
    key = Credential(secret="sk-1")
    assert await KeyHeader("google", "x-goog-api-key").headers(key) == (("x-goog-api-key", "sk-1"),)
    assert await optional_bearer("x").headers(None) == ()
    assert await optional_bearer("x").headers(key) == (("authorization", "Bearer sk-1"),)


@pytest.mark.parametrize("secret", ["a\r\nb", "a b", "ключ", "a\x00"])
async def test_a_credential_that_no_header_can_hold_is_named_without_being_shown(secret: str) -> None:
    with pytest.raises(ProviderAuth) as caught:
        await bearer("acme").headers(Credential(secret=secret))
    assert secret not in caught.value.message


async def test_a_stream_ends_with_its_end_marker_even_if_the_server_stays_open() -> None:
    async def stays(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        await peer.send(b'data: {"text": "all"}\n\nevent: end\ndata: {}\n\n')
        await peer.gone()

    async with connected(stays) as (chat, upstream):
        items, error = await asyncio.wait_for(stream(chat), 5)
        assert error is None
        assert isinstance(items[-1], ChatResult)
        assert items[-1].completion.text == "all"
        await asyncio.wait_for(upstream.hung_up.wait(), 5)


@pytest.mark.parametrize("rest", ["", "event: error\ndata: {}\n\n", "event: end\ndata: {}\n\n"])
async def test_however_a_stream_ends_what_the_provider_counted_by_then_is_told(rest: str) -> None:
    body = f'data: {{"text": "hello"}}\n\n{rest}'.encode()
    where = msgspec.structs.replace(context(), told=[])
    async with connected(answering(body)) as (chat, _):
        await stream(chat, where)
    assert where.told == [Usage(input=7, output=5, source="provider")]


async def test_a_reader_that_leaves_is_told_what_the_provider_counted_by_then() -> None:
    where = msgspec.structs.replace(context(), told=[])
    async with connected(answering(b'data: {"text": "hello"}\n\ndata: {"text": " all"}\n\n')) as (chat, _):
        items = chat.stream(chat.prepare(CALL, TARGET), where)
        await anext(items)
        await items.aclose()
    assert where.told == [Usage(input=7, output=5, source="provider")]
