"""The Python client against a server that runs, and against the pipeline in its own process."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import inferway
from inferway.client import AsyncClient, Client, ConnectionFailed, NotFoundError, UnauthorizedError
from inferway.client.errors import APIError, BadRequestError
from tests.e2e.process import Served, serving
from tests.upstreams.scripted import Peer, scripted

_CHAT = {"provider": "fake", "model": "fake-chat"}
_FAKE = {"providers": {"fake": {"enabled": True}}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture(params=["server", "inside"])
def client(served: Served, request: pytest.FixtureRequest) -> Iterator[Client]:
    address = served.ready["url"], served.ready["api_key"], served.ready["namespace"]
    with Client(*address) if request.param == "server" else inferway.local(settings=_FAKE) as opened:
        yield opened


def test_a_chat_is_answered_with_types(client: Client) -> None:
    answer = client.chat(["One.", "Two."], system="Be short.", **_CHAT)
    assert [each.finish_reason for each in answer.completions] == ["stop", "stop"]
    assert answer.text == answer.completions[0].text
    assert answer.tokens_used is not None
    assert answer.tokens_used["total"] > 0
    assert (answer.provider, answer.cost_usd) == ("fake", 0.0)
    assert answer.raw["request_id"] == answer.request_id


def test_a_schema_brings_an_object(client: Client) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert set(client.chat("Where?", schema=schema, **_CHAT).parsed) == {"city"}
    assert client.chat("Where?", **_CHAT).parsed is None


def test_vectors_come_as_tuples_and_as_an_array(client: Client) -> None:
    answer = client.embed(["a", "b", "a"], provider="fake", model="fake-embedding", dimensions=4)
    assert len(answer.vectors) == 3
    assert answer.vectors[0] == answer.vectors[2] != answer.vectors[1]
    array = answer.numpy()
    assert (array.shape, str(array.dtype)) == ((3, 4), "float32")
    assert math.isclose(float(array[0][0]), answer.vector[0], rel_tol=1e-6)


def test_a_recording_is_written_down(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80>\0\0\0}\0\0\x02\0\x10\0data\0\0\0\0")
    answer = client.transcribe(file, provider="fake", model="fake-transcription", response_format="segments")
    assert answer.text.startswith("This is a fake transcript")
    assert answer.transcript.segments


def test_a_stream_is_the_same_answer_in_pieces(client: Client) -> None:
    with client.stream("Say something.", **_CHAT) as stream:
        text = "".join(stream.text())
    assert text == stream.answer.text == client.chat("Say something.", **_CHAT).text


def test_leaving_a_stream_early_leaves_the_client_usable(client: Client) -> None:
    with client.stream("Say something.", **_CHAT) as stream:
        next(iter(stream))
    with pytest.raises(ConnectionFailed):
        _ = stream.answer
    assert client.chat("Hi", **_CHAT).text


def test_errors_are_told_by_class(client: Client, served: Served) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat("Hi", provider="nobody", model="m")
    assert caught.value.code == "unknown_provider"
    with (
        Client(served.ready["url"], "sk_wrong", served.ready["namespace"]) as other,
        pytest.raises(UnauthorizedError),
        other.stream("Hi", **_CHAT),
    ):
        pass
    with (
        Client(served.ready["url"], served.ready["api_key"], "nowhere") as other,
        pytest.raises(NotFoundError),
    ):
        other.chat("Hi", **_CHAT)


@pytest.mark.parametrize("where", ["server", "inside"])
async def test_the_asynchronous_client_does_the_same(served: Served, where: str) -> None:
    address = served.ready["url"], served.ready["api_key"], served.ready["namespace"]
    async with AsyncClient(*address) if where == "server" else inferway.local_async(settings=_FAKE) as client:
        answer = await client.chat("Hi", **_CHAT)
        async with client.stream("Hi", **_CHAT) as stream:
            pieces = [piece async for piece in stream.text()]
        assert "".join(pieces) == stream.answer.text == answer.text
        embedded = await client.embed("a", provider="fake", model="fake-embedding", dimensions=2)
        assert len(embedded.vector) == 2
        with pytest.raises(BadRequestError):
            await client.chat("Hi", provider="nobody", model="m")


def test_the_address_comes_from_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "INFERWAY_URL", str(served.ready["url"]))
    monkeypatch.setitem(os.environ, "INFERWAY_API_KEY", str(served.ready["api_key"]))
    with Client() as client:
        assert client.chat("Hi", **_CHAT).text


def test_a_client_without_a_key_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INFERWAY_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="INFERWAY_API_KEY"):
        Client()


async def test_a_refusal_that_passes_is_waited_for_and_what_is_done_is_not_done_twice() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    refusal = b'{"error":{"message":"busy","type":"TooManyRequestsError","details":{"retryable":true}}}'
    done = (
        b'{"data":{"completions":[{"text":"yes","finish_reason":"stop"}]},"provider":"p","model":"m",'
        b'"latency_ms":1.0,"cached":false,"request_id":"r"}'
    )

    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            if b'"break"' in asked:
                peer.reset()
                return
            if len(peer.upstream.requests) == 1:
                await peer.answer(refusal, "Retry-After: 3", status="429 Too Many Requests")
            else:
                await peer.answer(done)

    async with (
        scripted(script) as upstream,
        AsyncClient(upstream.url(""), "sk_x", "ns", sleep=sleep) as client,
    ):
        answer = await client.chat("Hi", provider="p", model="m", idempotency_key="once")
        assert answer.text == "yes"
        assert waited[0] >= 3
        assert len(upstream.requests) == 2
        assert all(b"idempotency-key: once" in each.lower() for each in upstream.requests)
        with pytest.raises(ConnectionFailed) as caught:
            await client.chat("break", provider="p", model="m")
        assert caught.value.sent
        assert len(upstream.requests) == 3, "it may have been done: it is not sent again"


async def test_a_server_that_is_not_there_is_told_after_its_retries() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with AsyncClient("http://127.0.0.1:9", "sk_x", "ns", sleep=sleep) as client:
        with pytest.raises(ConnectionFailed) as caught:
            await client.chat("Hi", provider="p", model="m")
    assert not isinstance(caught.value, APIError)
    assert len(waited) == 2
