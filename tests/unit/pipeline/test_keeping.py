"""What namespaces keep is written beside the calls, never in their way, and deleted when its days are over."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from inferway.access.administration import OPERATOR, Administration
from inferway.access.keyring import Keyring
from inferway.access.records import Namespace
from inferway.errors import ProviderFailed, Unavailable
from inferway.pipeline.answer import Answer
from inferway.pipeline.content import content_of
from inferway.pipeline.keeping import Keeping, Terms
from inferway.pipeline.recall import Recall, reseal_calls, sweep
from inferway.pipeline.request import InferenceRequest
from inferway.store.memory.contents import MemoryContents
from inferway.store.memory.directory import MemoryDirectory
from inferway.types import Usage
from inferway.usage.records import UsageRecord
from tests.unit.pipeline.kit import CALLER, Kit, Scripted, row, said, vectors_of
from tests.unit.pipeline.test_content import answer, request

DAY = timedelta(days=1)
RECORD = UsageRecord(
    record_id="0001",
    request_id="req_1",
    organization_id="org_1",
    namespace_id="ns_1",
    key_id="key_1",
    operation="chat",
    provider="fake",
    model="fake-1",
    status="ok",
    started_at=datetime.now(UTC),
    latency_ms=1.0,
    upstream_ms=0.5,
    usage=Usage(),
)
NAMESPACE = Namespace(
    namespace_id="ns_1", organization_id="org_1", name="kept", created_at=datetime.now(UTC), keep_days=7
)


class Bench:
    """A queue over stores in memory."""

    def __init__(self, folder: Path, terms: Terms | None = None) -> None:
        self.store, self.directory = MemoryContents(), MemoryDirectory()
        self.ring = Keyring(folder / "secrets.key")
        self.keeping = Keeping(self.store, self.ring, self.directory, terms or Terms(retry_s=0.01))
        self.recall = Recall(self.store, self.ring)

    async def kept(self) -> list[str]:
        heads = await self.store.list_heads("ns_1", since_us=0, before=None, limit=999)
        return [head.record_id for head in heads]

    def keep(self, number: int, text: str = "hi") -> None:
        record = replace(RECORD, record_id=f"{number:04}", request_id=f"req_{number}")
        self.keeping.keep(record, request(prompts=[text]), answer({"text": text}))


async def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.keep(1, "canary")
    await bench.keeping.write()
    call = await bench.recall.find(NAMESPACE, "req_1")
    assert call is not None
    assert b"canary" not in msgspec.msgpack.encode(call)
    content = bench.recall.open(call)
    assert b"canary" in content.request
    assert b"canary" in (content.answer or b"")


async def test_a_full_queue_drops_the_newest_and_says_how_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    bench = Bench(tmp_path, Terms(waiting_max=2))
    for number in range(5):
        bench.keep(number)
    assert bench.keeping.dropped == 3
    assert "the requests and answers of 1 calls were not kept" in caplog.text
    await bench.keeping.write()
    assert await bench.kept() == ["0001", "0000"]
    heavy = Bench(tmp_path, Terms(waiting_max_bytes=50_000))
    heavy.keep(1, "x" * 20_000)
    heavy.keep(2, "x" * 20_000)
    assert heavy.keeping.dropped == 1


async def test_what_cannot_be_written_waits_for_the_store_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.is_away = True
    running = asyncio.create_task(bench.keeping.run())
    bench.keep(1)
    await asyncio.sleep(0.05)
    bench.keep(2)
    bench.store.is_away = False
    async with asyncio.timeout(20):
        while len(await bench.kept()) < 2:  # noqa: ASYNC110 - a store does not tell
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    bench.keep(3)
    await bench.keeping.aclose()
    assert await bench.kept() == ["0003", "0002", "0001"]
    bench.keep(4)
    bench.store.is_away = True
    await bench.keeping.aclose()
    assert bench.keeping.dropped == 1


async def test_calls_are_there_for_the_days_of_their_namespace_and_then_deleted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    administration = Administration(bench.directory)
    founding, _ = await administration.create_tenant("Mine", "a@b.example")
    tenant = founding.organization.organization_id
    namespace = await administration.create_namespace(tenant, "kept", keep_days=7)
    now = datetime.now(UTC)
    for days in range(10):
        record = replace(
            RECORD,
            record_id=f"{days:04}",
            organization_id=tenant,
            namespace_id=namespace.namespace_id,
            started_at=now - days * DAY + timedelta(minutes=1),
        )
        bench.keeping.keep(record, request(prompts=["hi"]), answer({}))
    await bench.keeping.write()
    # Over before anybody has deleted it.
    assert len(await bench.recall.list_calls(namespace, limit=99)) == 8
    assert await bench.recall.find(namespace, "0008") is None
    assert await sweep(bench.store, bench.directory, now=now.timestamp()) == 2
    shorter = await administration.change_namespace(namespace, OPERATOR, keep_days=2)
    assert len(await bench.recall.list_calls(shorter, limit=99)) == 3
    assert await sweep(bench.store, bench.directory, now=now.timestamp()) == 5
    off = await administration.change_namespace(shorter, OPERATOR, keep_days=None)
    assert await bench.recall.list_calls(off, limit=99) == ()
    assert await bench.recall.find(off, "0000") is None
    assert await sweep(bench.store, bench.directory, now=now.timestamp()) == 3
    assert await bench.store.next_owner("") is None


async def test_a_namespace_that_is_gone_has_nothing_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.keep(1)
    await bench.keeping.write()
    assert await sweep(bench.store, bench.directory, now=datetime.now(UTC).timestamp()) == 1
    assert await bench.kept() == []


async def test_a_rotated_key_opens_what_was_kept_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(60):
        bench.keep(number)
    await bench.keeping.write()
    new = bench.ring.prepend()
    assert await reseal_calls(bench.store, bench.ring, new) == 60
    bench.ring.keep_only(new)
    call = await bench.recall.find(NAMESPACE, "req_59")
    assert call is not None
    assert call.sealed.kek_id == new.kek_id
    assert bench.recall.open(call).request
    with pytest.raises(Unavailable) as refused:
        Recall(bench.store, Keyring(tmp_path / "another.key")).open(call)
    assert refused.value.code == "content_unreadable"


class Shelf:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[UsageRecord, InferenceRequest, Answer | BaseException]] = []

    def keep(self, record: UsageRecord, asked: InferenceRequest, outcome: Answer | BaseException) -> None:
        self.told.append((record, asked, outcome))


async def test_a_follower_of_a_shared_call_keeps_its_own_and_a_dry_run_nothing() -> None:
    shelf = Shelf()
    kit = Kit(row("a", Scripted(vectors_of)), content=shelf)
    keeps = replace(CALLER, is_kept=True)
    embed = {"inputs": {"text": "1"}, "caller": keeps}
    await asyncio.gather(kit.infer(**embed), kit.infer(**embed), kit.infer(dry_run=True, **embed))
    assert sorted(record.cached for record, _, _ in shelf.told) == [False, True]
    first, second = (outcome for _, _, outcome in shelf.told)
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.data == second.data


async def test_of_a_call_whose_caller_left_the_request_is_kept() -> None:
    shelf = Shelf()
    kit = Kit(row("a", Scripted(lambda _: asyncio.sleep(60))), content=shelf)
    call = asyncio.create_task(kit.infer(caller=replace(CALLER, is_kept=True)))
    async with asyncio.timeout(20):
        while not kit.ledger.intents:  # noqa: ASYNC110 - a ledger does not tell
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    ((record, asked, outcome),) = shelf.told
    assert record.status == "client_disconnected"
    content = content_of(asked, outcome, 10_000)
    assert (content.answer, content.error) == (None, None)
    assert b"hi" in content.request


async def test_only_calls_in_namespaces_that_ask_for_it_are_told() -> None:
    shelf = Shelf()
    kit = Kit(row("a", Scripted(said("hello"), ProviderFailed("down"))), content=shelf)
    await kit.infer()
    assert shelf.told == []
    with pytest.raises(ProviderFailed):
        await kit.infer(caller=replace(CALLER, is_kept=True))
    ((record, asked, outcome),) = shelf.told
    assert record is kit.ledger.records[-1]
    assert asked.model == "m"
    assert isinstance(outcome, ProviderFailed)
