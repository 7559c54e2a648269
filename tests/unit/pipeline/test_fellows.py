"""Embedding calls that the workers of one machine share: workers are pipelines that name one folder."""

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from inferway.errors import ProviderAuth, ProviderBadAnswer, ProviderTimeout
from inferway.pipeline.answer import Answer
from inferway.pipeline.fellows import Fellows
from inferway.pipeline.journey import Spent
from inferway.pipeline.landing import Landed
from inferway.pipeline.leaders import Leaders
from inferway.providers.base import Credential
from inferway.types import Adaptation, EmbeddingCall, EmbeddingResult, Usage
from tests.unit.pipeline.kit import CALLER, Kit, Scripted, row, vectors_of
from tests.unit.pipeline.test_flights import PAID, SHARED, Held, costs, embed

UNREAD = b"[0.10,  1e-3, 7E+0]"
"""A vector as no encoder of ours would write it."""


class Worker:
    """A pipeline among others, with a provider of its own that waits until it is let go."""

    def __init__(self, folder: Path, *then: Any, **fields: Any) -> None:
        self.held = Held(then[0] if then else vectors_of)
        self.scripted = Scripted(self.held, *(then[1:] or ()), max_batch=8)
        self.fellows = Fellows.open(folder)
        self.kit = Kit(row("a", self.scripted, **fields), fellows=self.fellows)
        self._is_closed = False

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self.kit.flights.aclose()
            await self.fellows.aclose()


Make = Callable[..., Any]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Starts workers on one folder."""
    workers = []

    async def started(*then: Any, **fields: Any) -> Worker:
        worker = Worker(tmp_path, *then, **fields)
        await worker.fellows.start(worker.kit.flights.host)
        workers.append(worker)
        return worker

    yield started
    for worker in workers:
        await worker.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Waits for something that other tasks do."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - there is no event for what goes on inside
            await asyncio.sleep(0.005)


def guests(worker: Worker) -> int:
    """How many other workers wait for this one's calls."""
    return sum(len(flight.guests) for flight in worker.kit.flights._flying.values())


async def both(make: Make, *then: Any, body: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """Two workers, the first of which makes the call that the second has joined, and the two callers."""
    one, two = await make(*then), await make()
    first = embed(one.kit)
    await one.held.begun.wait()
    second = embed(two.kit, **(body or {}))
    await until(lambda: guests(one) == 1)
    return one, two, first, second


async def test_the_same_calls_of_several_workers_are_one_and_one_pays(make: Make) -> None:
    workers = [await make() for _ in range(3)]
    first = embed(workers[0].kit)
    await workers[0].held.begun.wait()
    others = [embed(worker.kit) for worker in workers for _ in range(3)]
    await until(lambda: guests(workers[0]) == 2)
    workers[0].held.go.set()
    answers = await asyncio.gather(first, *others)
    assert [len(worker.scripted.calls) for worker in workers] == [1, 0, 0]
    assert {str(answer.data) for answer in answers} == {str(answers[0].data)}
    assert sorted(cost for worker in workers for cost in costs(worker.kit)) == [PAID, *[SHARED] * 9]
    told = [(answer.cached, answer.cost_usd, answer.cache, answer.tokens_used) for answer in answers]
    counted = {"prompt": 2, "completion": 0, "total": 2}
    assert told[0] == (False, 2e-6, None, counted)
    assert told[1:] == [(True, 0.0, {"kind": "coalesced", "status": "hit"}, counted)] * 9
    workers[1].held.go.set()
    await workers[1].kit.infer(inputs={"texts": ["1", "2"]})
    assert len(workers[1].scripted.calls) == 1, "an answer is not kept"


async def test_vectors_cross_unread_with_all_that_is_told_of_the_call(make: Make) -> None:
    result = EmbeddingResult(
        vectors=(msgspec.Raw(UNREAD), [0.1, float("1e-300")]),
        usage=Usage(input=7, source="provider", raw=b'{"total": 7}'),
        model="m-2026",
    )
    one, two, first, second = await both(make, lambda _: result)
    one.scripted.adaptations = (Adaptation(field="seed", action="dropped", reason="it has none"),)
    one.held.go.set()
    made, joined = await asyncio.gather(first, second)
    assert msgspec.json.encode(joined.data) == msgspec.json.encode(made.data)
    assert UNREAD in msgspec.json.encode(joined.data)
    assert (joined.model_version, joined.tokens_used) == ("m-2026", made.tokens_used)
    [record] = two.kit.ledger.records
    assert (record.cache_kind, record.model_version, record.attempts) == ("coalesced", "m-2026", ())


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, {"caller": replace(CALLER, namespace_id="ns_2")}),
        ({}, {"inputs": {"texts": ["12"]}}),
        ({"credential": Credential(secret="other")}, {}),
        ({"address": "http://elsewhere"}, {}),
    ],
)
async def test_nothing_crosses_a_namespace_a_credential_or_an_address(
    make: Make, fields: dict[str, Any], body: dict[str, Any]
) -> None:
    one = await make(vectors_of, credential=Credential(secret="one"), address="http://here")
    two = await make(
        vectors_of, **({"credential": Credential(secret="one"), "address": "http://here"} | fields)
    )
    tasks = [embed(one.kit), embed(two.kit, **body)]
    await asyncio.gather(one.held.begun.wait(), two.held.begun.wait())
    one.held.go.set()
    two.held.go.set()
    await asyncio.gather(*tasks)
    assert [len(each.scripted.calls) for each in (one, two)] == [1, 1]
    assert not any(record.cached for each in (one, two) for record in each.kit.ledger.records)


async def test_a_caller_of_the_leading_worker_that_leaves_leaves_the_call_and_the_bill(make: Make) -> None:
    one, two, first, second = await both(make)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not one.held.cancelled
    one.held.go.set()
    answer = await second
    assert (answer.cached, answer.cost_usd) == (False, 2e-6)
    assert two.scripted.calls == []
    assert [each.cost_microusd for each in one.kit.ledger.records] == [0]
    [record] = two.kit.ledger.records
    assert (record.cost_microusd, [each.outcome for each in record.attempts]) == (2, ["ok"])


async def test_a_follower_that_leaves_takes_nobody_along(make: Make) -> None:
    one, two, first, second = await both(make)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await until(lambda: guests(one) == 0)
    one.held.go.set()
    assert not (await first).cached
    assert [each.cost_microusd for each in two.kit.ledger.records] == [0]


async def test_when_all_have_left_the_call_is_cancelled_and_the_last_bears_it(make: Make) -> None:
    one, two, first, second = await both(make)
    for task in (first, second):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert one.held.cancelled
    [left] = one.kit.ledger.records
    [last] = two.kit.ledger.records
    assert (left.cost_microusd, last.cost_microusd) == (0, None)
    assert [each.outcome for each in last.attempts] == ["cancelled"]


@pytest.mark.parametrize("error", [ProviderBadAnswer("broken"), ProviderAuth("no"), RuntimeError("defect")])
async def test_when_the_leader_fails_a_follower_makes_its_own_call(make: Make, error: Exception) -> None:
    one, two, first, second = await both(make, lambda _: error)
    two.held.go.set()
    one.held.go.set()
    failed: Any
    answer: Any
    failed, answer = await asyncio.gather(first, second, return_exceptions=True)
    assert failed is error
    assert isinstance(answer, Answer)
    assert not answer.cached
    assert [len(each.scripted.calls) for each in (one, two)] == [1, 1]
    assert [each.cost_microusd for each in two.kit.ledger.records] == [2]


async def test_callers_of_one_worker_make_one_call_together_when_the_leader_fails(make: Make) -> None:
    one, two, first, second = await both(make, lambda _: ProviderBadAnswer("broken"))
    others = [embed(two.kit) for _ in range(3)]
    two.held.go.set()
    one.held.go.set()
    await asyncio.gather(first, return_exceptions=True)
    answers = await asyncio.gather(second, *others)
    assert [answer.cached for answer in answers] == [False, True, True, True]
    assert len(two.scripted.calls) == 1


async def test_a_hasty_leader_does_not_take_a_patient_follower_along(make: Make) -> None:
    one, two = await make(), await make()
    hasty = embed(one.kit, parameters={"timeout_s": 1.0})
    await one.held.begun.wait()
    patient = embed(two.kit, parameters={"timeout_s": 60})
    two.held.go.set()
    with pytest.raises(ProviderTimeout):
        await hasty
    assert not (await patient).cached
    assert len(two.scripted.calls) == 1


async def test_a_hasty_follower_keeps_its_own_deadline(make: Make) -> None:
    one, two, first, second = await both(make, body={"parameters": {"timeout_s": 2.5}})
    with pytest.raises(ProviderTimeout):
        await second
    assert not one.held.cancelled
    one.held.go.set()
    assert not (await first).cached
    assert two.scripted.calls == []


async def test_a_worker_that_stops_sends_its_followers_on_with_what_it_began(make: Make) -> None:
    one, two, first, second = await both(make)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    two.held.go.set()
    await one.aclose()
    assert not (await second).cached
    [record] = two.kit.ledger.records
    assert [each.outcome for each in record.attempts] == ["cancelled", "ok"]
    assert [each.cost_microusd for each in record.attempts] == [None, 2]
    assert not (one.fellows._folder / "00.sock").exists()


@contextlib.asynccontextmanager
async def impostor(folder: Path, key: bytes, says: bytes | None) -> AsyncIterator[None]:
    """Leads a call by the table, and answers whoever asks with these bytes, or with silence; None: does not listen."""
    leaders = Leaders.open(folder)
    assert leaders.claim(key) is None
    server = None
    writers = []
    if says is not None:

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            writer.write(says)
            if says:
                writer.close()

        server = await asyncio.start_unix_server(answer, path=str(folder / f"{leaders.seat:02}.sock"))
    try:
        yield
    finally:
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if server is not None:
            server.close()
        leaders.close()


GONE = msgspec.msgpack.encode(Landed())
SPENT = Spent(provider="a", model="m", model_version=None, usage=Usage(input=9, source="provider"), attempt=0)
SHORT = msgspec.msgpack.encode(Landed(route=0, vectors=(UNREAD,), spent=(SPENT,)))
ELSEWHERE = msgspec.msgpack.encode(Landed(route=1, vectors=(UNREAD, UNREAD), spent=(SPENT,)))


def frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(None, id="dead"),
        pytest.param(b"", id="hangs"),
        pytest.param(b"\0\0", id="dies in a length"),
        pytest.param(bytes(4) + b"\0\0\1\0half", id="dies in an answer"),
        pytest.param(frame(GONE), id="does not know the call"),
        pytest.param(frame(SHORT), id="too few vectors"),
        pytest.param(frame(ELSEWHERE), id="an unknown target"),
        pytest.param(frame(b"\xc1nonsense"), id="nonsense"),
        pytest.param(b"\xff\xff\xff\xff", id="too large"),
    ],
)
async def test_a_follower_of_a_worker_that_is_not_right_makes_its_own_call_in_time(
    make: Make, tmp_path: Path, says: bytes | None
) -> None:
    key = await _key_of_the_call(make)
    async with impostor(tmp_path, key, says):
        worker = await make()
        worker.held.go.set()
        answer = await embed(worker.kit, parameters={"timeout_s": 4.0})
    assert not answer.cached
    assert len(worker.scripted.calls) == 1
    assert costs(worker.kit) == [PAID]


async def test_who_replaces_a_dead_leader_is_joined_by_the_others(make: Make, tmp_path: Path) -> None:
    key = await _key_of_the_call(make)
    async with impostor(tmp_path, key, None):
        one, two = await make(), await make()
        first = embed(one.kit)
        await one.held.begun.wait()
        second = embed(two.kit)
        await until(lambda: guests(one) == 1)
        one.held.go.set()
        answers = await asyncio.gather(first, second)
    assert [answer.cached for answer in answers] == [False, True]
    assert two.scripted.calls == []


async def _key_of_the_call(make: Make) -> bytes:
    """The key under which a worker makes the call of `embed`."""
    worker = await make()
    task = embed(worker.kit)
    await worker.held.begun.wait()
    [key] = worker.kit.flights._flying
    worker.held.go.set()
    await task
    assert not worker.fellows.leads(key), "what has ended is led by nobody"
    await worker.aclose()
    return bytes(key)


async def test_a_worker_that_does_not_listen_claims_nothing(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.held.go.set()
    task = embed(worker.kit)
    await worker.held.begun.wait()
    assert not any(worker.fellows.leads(key) for key in worker.kit.flights._flying)
    await task
    await worker.aclose()


async def test_a_stale_socket_is_replaced_and_is_the_users_alone(tmp_path: Path) -> None:
    (tmp_path / "00.sock").write_text("left behind")
    worker = Worker(tmp_path)
    await worker.fellows.start(worker.kit.flights.host)
    assert (tmp_path / "00.sock").is_socket()
    assert (tmp_path / "00.sock").stat().st_mode & 0o777 == 0o600
    await worker.aclose()


def test_a_folder_whose_path_no_socket_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        Fellows.open(tmp_path / ("x" * 100))


def test_vectors_of_both_forms_survive_the_way() -> None:
    call = EmbeddingCall(items=("1", "2"))
    told = Landed(route=0, vectors=(UNREAD, [0.5]))
    heard = msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Landed)
    assert heard.has_result_for(call, 1)
    assert msgspec.json.encode(heard.result().vectors) == b"[" + UNREAD + b",[0.5]]"


async def test_an_answer_larger_than_any_buffer_crosses_whole_and_one_too_large_does_not(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = b"[" + b",".join([b"0.123456789"] * 300_000) + b"]"
    result = EmbeddingResult(vectors=(msgspec.Raw(long),) * 2, usage=Usage(input=2, source="provider"))
    one, two, first, second = await both(make, lambda _: result)
    one.held.go.set()
    made, joined = await asyncio.gather(first, second)
    assert msgspec.json.encode(joined.data) == msgspec.json.encode(made.data)
    assert two.scripted.calls == []
    monkeypatch.setattr("inferway.pipeline.fellows._FRAME_MAX", 1_000_000)
    three, four, third, fourth = await both(make, lambda _: result)
    four.held.go.set()
    three.held.go.set()
    assert [each.cached for each in await asyncio.gather(third, fourth)] == [False, False]
    assert len(four.scripted.calls) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_schedule_each_call_of_the_provider_is_borne_by_one_request(
    make: Make, seed: int
) -> None:
    chance = random.Random(seed)

    async def whim(call: EmbeddingCall) -> EmbeddingResult:
        await asyncio.sleep(chance.random() * 0.05)
        if chance.random() < 0.2:
            raise ProviderBadAnswer("broken")
        return vectors_of(call)

    workers = [await make() for _ in range(3)]
    for worker in workers:
        worker.scripted.script = [whim]
    tasks = []
    for _ in range(80):
        body = {"inputs": {"texts": [str(chance.randint(1, 3))]}}
        task = embed(
            chance.choice(workers).kit, parameters={"timeout_s": chance.choice([0.03, 1.0, 30.0])}, **body
        )
        tasks.append(task)
        if chance.random() < 0.3:
            asyncio.get_running_loop().call_later(chance.random() * 0.05, task.cancel)
        await asyncio.sleep(chance.random() * 0.004)
    ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert {type(each) for each in ends} <= {
        Answer,
        ProviderBadAnswer,
        ProviderTimeout,
        asyncio.CancelledError,
    }
    made = sum(len(worker.scripted.calls) for worker in workers)
    borne = sum(len(record.attempts) for worker in workers for record in worker.kit.ledger.records)
    assert made == borne < len(tasks)
    assert not any(worker.kit.flights._flying for worker in workers)
