"""Several clients of one pool through its socket."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inferway.errors import BadRequest, ModelWarming, Unavailable
from inferway.providers.local.engine import Delta, Echoed, EchoTask
from inferway.providers.local.pool import LocalEnginePool
from inferway.providers.local.remote import PoolServer, RemoteEnginePool, choose_socket
from tests.unit.providers.local.conftest import MakePool, echo_model, until


class Machine:
    """One pool's owner and any number of workers."""

    def __init__(self, run_dir: Path) -> None:
        self.path = choose_socket(run_dir)
        self.workers: list[RemoteEnginePool] = []
        self.server: PoolServer | None = None

    async def serve(self, pool: LocalEnginePool) -> None:
        self.server = PoolServer(pool, self.path)
        await self.server.start()

    def worker(self) -> RemoteEnginePool:
        self.workers.append(RemoteEnginePool(self.path))
        return self.workers[-1]


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path / "run")
    yield made
    for worker in made.workers:
        await worker.aclose()
    if made.server is not None:
        await made.server.aclose()


async def test_two_workers_share_one_engine_process(make_pool: MakePool, machine: Machine) -> None:
    pool = make_pool(echo_model("one"))
    await machine.serve(pool)
    workers = [machine.worker(), machine.worker()]
    outputs = await asyncio.gather(*(worker.run("one", EchoTask(text="x")) for worker in workers))
    pids = {output.pid for output in outputs if isinstance(output, Echoed)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert await workers[0].status() == await pool.status()


async def test_deltas_come_through_one_by_one(make_pool: MakePool, machine: Machine) -> None:
    await machine.serve(make_pool(echo_model("one")))
    events = [event async for event in machine.worker().stream("one", EchoTask(text="a b"))]
    assert events[:2] == [Delta(text="a"), Delta(text="b")]
    assert isinstance(events[2], Echoed)


async def test_errors_keep_their_kind_code_and_hint(make_pool: MakePool, machine: Machine) -> None:
    await machine.serve(make_pool(echo_model("one", options={"load_s": 1.0}), cold_wait_s=0.1))
    worker = machine.worker()
    with pytest.raises(BadRequest) as unknown:
        await worker.run("nothing", EchoTask(text="x"))
    assert unknown.value.code == "unknown_model"
    assert unknown.value.details == {"provider": "local", "models": ["one"]}
    with pytest.raises(ModelWarming) as warming:
        await worker.run("one", EchoTask(text="x"))
    assert warming.value.retry_after_s == 1.0


async def test_a_worker_that_leaves_a_stream_frees_the_engine(make_pool: MakePool, machine: Machine) -> None:
    await machine.serve(make_pool(echo_model("one")))
    worker = machine.worker()
    stream = worker.stream("one", EchoTask(text="word " * 1000, delay_s=0.02))
    assert await anext(stream) == Delta(text="word")
    await stream.aclose()
    async with asyncio.timeout(5):
        output = await worker.run("one", EchoTask(text="next"))
    assert isinstance(output, Echoed)


async def test_a_worker_that_dies_frees_the_engine(make_pool: MakePool, machine: Machine) -> None:
    await machine.serve(make_pool(echo_model("one")))
    dying = machine.worker()
    stream = dying.stream("one", EchoTask(text="word " * 1000, delay_s=0.02))
    await anext(stream)
    await dying.aclose()
    async with asyncio.timeout(5):
        output = await machine.worker().run("one", EchoTask(text="next"))
    assert isinstance(output, Echoed)
    with pytest.raises(Unavailable):
        # What had arrived is still read; then the stream ends with an error, not in silence.
        async for _ in stream:
            pass


async def test_workers_are_told_when_the_owner_goes_and_find_it_when_it_is_back(
    make_pool: MakePool, machine: Machine
) -> None:
    pool = make_pool(echo_model("one"))
    worker = machine.worker()
    with pytest.raises(Unavailable) as before:
        await worker.run("one", EchoTask(text="x"))
    assert before.value.code == "engines_away"
    assert before.value.retry_after_s
    await machine.serve(pool)
    await worker.run("one", EchoTask(text="x"))
    call = asyncio.create_task(worker.run("one", EchoTask(text="word " * 1000, delay_s=0.02)))

    async def runs() -> bool:
        return (await pool.status())[0].running == 1

    await until(runs)
    assert machine.server is not None
    await machine.server.aclose()
    with pytest.raises(Unavailable):
        await call
    await machine.serve(pool)
    assert isinstance(await worker.run("one", EchoTask(text="again")), Echoed)


async def test_the_socket_is_for_this_user_only(make_pool: MakePool, machine: Machine) -> None:
    await machine.serve(make_pool(echo_model("one")))
    assert stat.S_IMODE(machine.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(machine.path.parent.stat().st_mode) == 0o700


def test_a_long_data_folder_falls_back_to_a_private_temporary_one(tmp_path: Path) -> None:
    path = choose_socket(tmp_path / ("x" * 100) / "run")
    assert len(str(path)) < 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
