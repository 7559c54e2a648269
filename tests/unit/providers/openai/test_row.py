"""The row of OpenAI and those of compatible servers."""

from typing import Any

import msgspec
import pytest

from inferway.errors import ProviderAuth
from inferway.providers.base import Context, Credential, Headers, Provider, WireRequest, WireResponse
from inferway.providers.openai.quirks import COMPATIBLE, Quirks, find_server, load_servers, make_quirks
from inferway.providers.openai.row import BASE_URL, OPERATIONS, build
from inferway.types import ChatResult, Deadline, Operation
from tests.unit.providers.openai.samples import ask, completion, response, target


class Wire:
    """A transport that keeps what leaves and answers with one completion."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, WireRequest, dict[str, str]]] = []

    async def send(
        self, url: str, request: WireRequest, headers: Headers, deadline: Deadline
    ) -> WireResponse:
        assert deadline.remaining_s() > 0
        self.sent.append((url, request, dict(headers)))
        return response(completion())

    def open(self, url: str, request: WireRequest, headers: Headers, deadline: Deadline) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


async def call(row: Provider, key: str | None = "key-1") -> ChatResult:
    assert row.chat is not None
    context = Context(
        request_id="r", deadline=Deadline.after(5), credential=Credential(secret=key) if key else None
    )
    return await row.chat.execute(row.chat.prepare(ask(max_tokens=5), target("m")), context)


async def test_openai_is_called_at_its_address_with_its_headers() -> None:
    wire = Wire()
    row = build(
        transport=wire, options={"organization": "org-1", "project": None}, headers=(("x-team", "a"),)
    )
    assert (row.name, row.kind, row.operations) == ("openai", "openai", OPERATIONS)
    assert (await call(row)).completion.text == "Hi there."
    url, request, headers = wire.sent[0]
    assert url == f"{BASE_URL}/chat/completions"
    assert headers == {"authorization": "Bearer key-1", "openai-organization": "org-1", "x-team": "a"}
    assert b'"max_completion_tokens":5' in request.body
    with pytest.raises(ProviderAuth):
        await call(row, key=None)


async def test_a_known_server_needs_only_its_name_and_a_key() -> None:
    wire = Wire()
    row = build(transport=wire, name="together", kind="openai_compatible")
    await call(row)
    url, request, headers = wire.sent[0]
    assert url == "https://api.together.xyz/v1/chat/completions"
    assert headers == {"authorization": "Bearer key-1"}
    assert b'"max_tokens":5' in request.body


async def test_a_server_of_ones_own_needs_an_address_and_may_need_no_key() -> None:
    wire = Wire()
    row = build(transport=wire, name="mine", kind="openai_compatible", base_url="http://127.0.0.1:9/v1/")
    await call(row, key=None)
    assert wire.sent[0][0] == "http://127.0.0.1:9/v1/chat/completions"
    assert wire.sent[0][2] == {}
    assert row.operations == OPERATIONS
    with pytest.raises(ValueError, match="mine needs a base_url"):
        build(transport=wire, name="mine", kind="openai_compatible")


def test_a_server_is_known_by_its_address_before_its_name() -> None:
    servers = load_servers()
    by_host = find_server(servers, "whatever", "https://api.mistral.ai/v1")
    assert by_host is not None
    assert by_host.name == "mistral"
    elsewhere = find_server(servers, "ollama", "http://gpu.example:11434/v1")
    assert elsewhere is not None
    assert elsewhere.name == "ollama"
    assert find_server(servers, "whatever", "https://other.example/v1") is None


def test_every_known_server_makes_a_row() -> None:
    servers = load_servers()
    assert len({server.name for server in servers}) == len(servers)
    assert not {"openai", "anthropic", "google", "gemini", "local", "fake"} & {
        server.name for server in servers
    }
    for server in servers:
        row = build(transport=Wire(), name=server.name, kind="openai_compatible")
        assert row.operations == frozenset(server.operations)
        assert make_quirks(COMPATIBLE, server.quirks) != Quirks()


def test_options_change_quirks_operations_and_facts() -> None:
    row = build(
        transport=Wire(),
        name="tei",
        kind="openai_compatible",
        options={"quirks": {"max_batch": 5}, "operations": ["chat"]},
        facts=[{"models": ["x*"], "vision": False}],
    )
    assert row.embedding is not None
    assert row.embedding.max_batch == 5
    assert row.operations == frozenset((Operation.CHAT,))
    assert row.facts("x1") == {"vision": False}


@pytest.mark.parametrize("quirks", [{"max_batches": 5}, {"max_batch": "many"}, {"structured": "magic"}])
def test_a_quirk_that_does_not_exist_is_said(quirks: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="quirks: "):
        build(transport=Wire(), options={"quirks": quirks})


def test_the_defaults_of_quirks_are_openai() -> None:
    assert make_quirks(Quirks(), {}) == Quirks()
    assert msgspec.to_builtins(COMPATIBLE)["fields"] == {}
