"""Idempotency-Keys on a simulated clock: processes that share a store, twins, failures, deaths and outages."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferway.access.envelope import Kek
from inferway.cache.kept import KeptAnswers, Room
from inferway.errors import (
    BadRequest,
    GatewayError,
    InvalidShape,
    ProviderFailed,
    StoreUnavailable,
    Unavailable,
)
from inferway.pipeline.once import Kept, Once, Terms, Turn, read_key, reseal_all
from inferway.store.memory.kept import MemoryKeptAnswers
from inferway.types import Deadline
from tests.unit.pipeline.kit import CALLER, MemoryLedger

T = TypeVar("T")
TERMS = Terms(keep_s=1_000.0, lease_s=15.0, room=Room(keys=100, bytes=10**6))
BODIES = (b'{"inputs":{"text":"a"}}', b'{"inputs":{"text":"b"}}')


class Simulated(selectors.DefaultSelector):
    """Waiting takes no time: the loop's clock jumps to the next thing that is to happen."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if not found and timeout:
            self.now += timeout
        return found


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = Simulated()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def simulate(work: Coroutine[Any, Any, T]) -> T:
    """Runs something on a loop of its own whose clock is simulated."""
    loop = SimulatedLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


class Ring:
    """A ring of keys in memory, the newest first."""

    def __init__(self) -> None:
        self.keys = [Kek(kek_id="kek_1", secret=b"k" * 32)]

    def current(self) -> Kek:
        return self.keys[0]

    def find(self, kek_id: str) -> Kek | None:
        return next((key for key in self.keys if key.kek_id == kek_id), None)


class Process:
    """One process: what it asks of the store is answered until it is killed, and then never."""

    def __init__(self, store: KeptAnswers, ring: Ring | None = None) -> None:
        self._store = store
        self.is_dead = False
        self.ahead_s = 0.0
        self.once = Once(
            self,
            ring or Ring(),
            MemoryLedger(),
            TERMS,
            clock_us=lambda: round((now() + self.ahead_s) * 1e6),
            steady_us=lambda: round(now() * 1e6),
        )
        self.tending = asyncio.create_task(self.once.run())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def asked(*values: Any, **named: Any) -> Any:
            await asyncio.sleep(0.001)
            if self.is_dead:
                await asyncio.Event().wait()
            return await method(*values, **named)

        return asked


def answer(text: str) -> Kept:
    return Kept(operation="chat", provider="a", model="m", body=text.encode())


async def begin(
    process: Process, key: bytes = b"k", body: bytes = BODIES[0], timeout_s: float = 120.0
) -> Kept | Turn:
    return await process.once.begin(CALLER, key, body, Deadline.after(timeout_s, now))


def test_a_killed_process_blocks_its_key_for_a_lease_at_most() -> None:
    async def story() -> tuple[float, Kept | Turn]:
        store = MemoryKeptAnswers()
        first, second = Process(store), Process(store)
        assert isinstance(await begin(first), Turn)
        await asyncio.sleep(60)
        first.is_dead = True
        killed_at = now()
        found = await begin(second)
        return now() - killed_at, found

    waited_s, found = simulate(story())
    assert isinstance(found, Turn)
    assert TERMS.lease_s * 0.6 < waited_s <= TERMS.lease_s + 1


def leaps(*processes: Process, ahead_s: float) -> None:
    """The clock of the machine is set."""
    for process in processes:
        process.ahead_s += ahead_s


@pytest.mark.parametrize("ahead_s", [3_600.0, -3_600.0])
def test_when_the_clock_leaps_a_call_that_runs_keeps_its_key(ahead_s: float) -> None:
    async def story() -> None:
        store = MemoryKeptAnswers()
        first, second = Process(store), Process(store)
        turn = await begin(first)
        assert isinstance(turn, Turn)
        await asyncio.sleep(6)
        leaps(first, second, ahead_s=ahead_s)
        twins = [asyncio.create_task(begin(process)) for process in (first, second)]
        assert await second.once.sweep() == 0
        await asyncio.sleep(60)
        await turn.keep(answer("only"))
        assert await asyncio.gather(*twins) == [answer("only")] * 2

    simulate(story())


def test_after_a_leap_a_killed_process_blocks_its_key_for_two_leases_at_most() -> None:
    async def story() -> float:
        store = MemoryKeptAnswers()
        first, second = Process(store), Process(store)
        await begin(first)
        await begin(second, key=b"other")
        leaps(first, second, ahead_s=3_600.0)
        await asyncio.sleep(6)
        first.is_dead = True
        killed_at = now()
        assert isinstance(await begin(second), Turn)
        return now() - killed_at

    assert simulate(story()) <= 2 * TERMS.lease_s + 1


def test_a_call_that_takes_long_keeps_its_key() -> None:
    async def story() -> None:
        store = MemoryKeptAnswers()
        first, second = Process(store), Process(store)
        turn = await begin(first)
        assert isinstance(turn, Turn)
        twin = asyncio.create_task(begin(second))
        await asyncio.sleep(100)
        assert not twin.done()
        await turn.keep(answer("late"))
        assert await twin == answer("late")

    simulate(story())


def test_a_twin_is_told_at_its_deadline() -> None:
    async def story() -> tuple[float, Unavailable]:
        process = Process(MemoryKeptAnswers())
        await begin(process)
        with pytest.raises(Unavailable) as told:
            await begin(process, timeout_s=7.0)
        return now(), told.value

    at, error = simulate(story())
    assert (error.code, error.status) == ("idempotency_in_progress", 503)
    assert error.retry_after_s is not None
    assert 7.0 <= at < 7.1


def test_who_has_hardly_any_time_left_starts_no_call() -> None:
    async def story() -> None:
        process = Process(MemoryKeptAnswers())
        turn = await begin(process)
        assert isinstance(turn, Turn)
        twin = asyncio.create_task(begin(process, timeout_s=5.0))
        await asyncio.sleep(4.5)
        await turn.close()
        with pytest.raises(Unavailable, match="still running"):
            await twin

    simulate(story())


def test_bodies_are_compared_by_what_they_ask() -> None:
    async def story() -> None:
        process = Process(MemoryKeptAnswers())
        turn = await begin(process, body=b'{"inputs": {"text": "a"}, "model": "m"}')
        assert isinstance(turn, Turn)
        await turn.keep(answer("one"))
        for same in (
            b'{"model":"m","inputs":{"text":"\\u0061"}}',
            b'{"model":"m","inputs":{"text":"a"},"parameters":{"timeout_s":3}}',
        ):
            assert await begin(process, body=same) == answer("one")
        for other in (
            b'{"model":"m","inputs":{"text":"A"}}',
            b'{"model":"m","inputs":{"text":"a"},"parameters":{"seed":3}}',
        ):
            with pytest.raises(InvalidShape) as told:
                await begin(process, body=other)
            assert told.value.code == "idempotency_key_reused"

    simulate(story())


def test_while_the_store_is_away_no_call_with_a_key_begins() -> None:
    async def story() -> None:
        store = MemoryKeptAnswers()
        store.is_away = True
        with pytest.raises(StoreUnavailable):
            await begin(Process(store))

    simulate(story())


def test_an_answer_that_the_store_did_not_take_is_saved_when_it_is_back() -> None:
    async def story() -> None:
        store = MemoryKeptAnswers()
        first, second = Process(store), Process(store)
        turn = await begin(first)
        assert isinstance(turn, Turn)
        store.is_away = True
        assert await turn.keep(answer("paid for")) == answer("paid for")
        assert await begin(first) == answer("paid for")
        store.is_away = False
        assert await begin(second) == answer("paid for")

    simulate(story())


def test_the_answer_that_was_kept_first_is_everybodys() -> None:
    async def story() -> None:
        store = MemoryKeptAnswers()
        first, second = Process(store), Process(store)
        slow = await begin(first)
        first.tending.cancel()  # as when the machine slept: its lease runs out
        fast = await begin(second)
        assert isinstance(slow, Turn)
        assert isinstance(fast, Turn)
        assert await fast.keep(answer("fast")) == answer("fast")
        assert await slow.keep(answer("slow")) == answer("fast")
        assert await begin(first) == answer("fast")

    simulate(story())


def test_an_answer_is_as_readable_after_its_keys_were_rotated_and_lost_without_them() -> None:
    async def story() -> None:
        store, ring = MemoryKeptAnswers(), Ring()
        process = Process(store, ring)
        turn = await begin(process)
        assert isinstance(turn, Turn)
        await turn.keep(answer("sealed"))
        new = Kek(kek_id="kek_2", secret=b"n" * 32)
        ring.keys.insert(0, new)
        assert await reseal_all(store, ring, new) == 1
        ring.keys = [new]
        assert await begin(process) == answer("sealed")
        assert await reseal_all(store, ring, new) == 0
        ring.keys = [Kek(kek_id="kek_2", secret=b"x" * 32)]
        with pytest.raises(Unavailable) as told:
            await begin(process)
        assert told.value.code == "idempotency_unreadable"

    simulate(story())


def test_a_sealed_answer_opens_in_its_own_row_only() -> None:
    async def story() -> None:
        store = MemoryKeptAnswers()
        process = Process(store)
        for key in (b"one", b"two"):
            turn = await begin(process, key)
            assert isinstance(turn, Turn)
            await turn.keep(answer(key.decode()))
        rows = await store.list_under_other_keys("", after=b"", limit=2)
        assert all(b"one" not in row.sealed.ciphertext for row in rows if row.sealed)
        swapped = [replace(row, sealed=other.sealed) for row, other in zip(rows, reversed(rows), strict=True)]
        await store.reseal(swapped)
        with pytest.raises(Unavailable):
            await begin(process, b"one")

    simulate(story())


def test_expired_answers_are_swept_in_the_background() -> None:
    async def story() -> None:
        store = MemoryKeptAnswers()
        process = Process(store)
        for number in range(100):
            turn = await begin(process, b"%d" % number)
            assert isinstance(turn, Turn)
            await turn.keep(answer("x"))
        await asyncio.sleep(TERMS.keep_s + 60)
        assert await store.sweep(now_us=round(now() * 1e6), limit=10) == 0
        assert await store.list_under_other_keys("", after=b"", limit=10) == ()

    simulate(story())


@pytest.mark.parametrize(
    "good", [b"a", b"a b", b"x" * 255, b'"8e03978e-40d5-43dd-bc93-6894a57f9324"', b"  padded  "]
)
def test_keys_that_can_be_used(good: bytes) -> None:
    assert read_key(good) == good.strip()


@pytest.mark.parametrize("bad", [b"", b"   ", b"x" * 256, b"a\x00b", b"a\tb", "\u00e9".encode(), b"a\x7f"])
def test_keys_that_cannot(bad: bytes) -> None:
    with pytest.raises(BadRequest):
        read_key(bad)


@dataclass(frozen=True)
class Step:
    """A call: when it comes, where, what it asks, how long the provider takes and what comes of it."""

    at_s: float
    process: int
    namespace: int
    key: int
    body: int
    takes_s: float
    fails: bool
    timeout_s: float


@dataclass
class Seen:
    """What happened: the runs of each place, those that run now, and what was answered when."""

    runs: Counter[tuple[int, int]] = field(default_factory=Counter)
    running: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    answered: dict[tuple[int, int], set[tuple[int, bytes]]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)


STEPS = st.lists(
    st.builds(
        Step,
        at_s=st.floats(0, 90),
        process=st.integers(0, 2),
        namespace=st.integers(0, 1),
        key=st.integers(0, 1),
        body=st.sampled_from([0, 0, 0, 1]),
        takes_s=st.floats(0, 40),
        fails=st.sampled_from([False, False, True]),
        timeout_s=st.floats(0.1, 60),
    ),
    max_size=12,
)
DEATHS = st.lists(st.tuples(st.floats(0, 90), st.integers(0, 2)), max_size=2)


async def _call(step: Step, processes: list[Process], seen: Seen) -> None:
    await asyncio.sleep(step.at_s)
    process = processes[step.process]
    if process.is_dead:
        return
    place, ends_at = (step.namespace, step.key), now() + step.timeout_s
    caller = replace(CALLER, namespace_id=f"ns_{step.namespace}")
    try:
        text = await _serve(step, process, seen, caller, Deadline(ends_at, now))
        seen.answered.setdefault(place, set()).add((step.body, text))
    except GatewayError:
        pass
    seen.late.append(now() - ends_at)


async def _serve(step: Step, process: Process, seen: Seen, caller: Any, deadline: Deadline) -> bytes:
    place = (step.namespace, step.key)
    began = await process.once.begin(caller, b"key %d" % step.key, BODIES[step.body], deadline)
    if isinstance(began, Kept):
        return began.body
    try:
        running = seen.running.setdefault(place, [])
        assert not [each for each in running if each >= 0], "two calls run under one key"
        assert place not in seen.answered, "a call runs though its key was answered"
        running.append(step.process)
        seen.runs[place] += 1
        number = seen.runs[place]
        await asyncio.sleep(min(step.takes_s, deadline.remaining_s()))
        if process.is_dead:
            await asyncio.Event().wait()
        running.remove(step.process)
        if step.fails or deadline.remaining_s() <= 0:
            raise ProviderFailed("no")
        body = b"%d %d %d %d" % (step.namespace, step.key, step.body, number)
        return (await began.keep(replace(answer(""), body=body))).body
    finally:
        await began.close()


@settings(max_examples=150)
@given(steps=STEPS, deaths=DEATHS)
def test_under_any_schedule_a_key_has_one_answer(steps: list[Step], deaths: list[tuple[float, int]]) -> None:
    async def kill(at_s: float, number: int, processes: list[Process], seen: Seen) -> None:
        await asyncio.sleep(at_s)
        processes[number].is_dead = True
        processes[number].tending.cancel()
        for running in seen.running.values():
            running[:] = [-1 if each == number else each for each in running]

    async def story() -> Seen:
        store, seen, ring = MemoryKeptAnswers(), Seen(), Ring()
        processes = [Process(store, ring) for _ in range(3)]
        work = [asyncio.create_task(_call(step, processes, seen)) for step in steps]
        killers = [asyncio.create_task(kill(at_s, number, processes, seen)) for at_s, number in deaths]
        await asyncio.sleep(200)
        for task in (*killers, *(each for each in work if each.done())):
            task.result()
        dead = {number for _, number in deaths}
        assert all(task.done() for task, step in zip(work, steps, strict=True) if step.process not in dead)
        return seen

    seen = simulate(story())
    for place, answers in seen.answered.items():
        assert len(answers) == 1, "one key has two answers"
        ((body, text),) = answers
        assert text.split()[:3] == [b"%d" % part for part in (*place, body)], "an answer crossed a border"
    assert max(seen.late, default=0.0) < 1.0, "a call outlived its deadline"
