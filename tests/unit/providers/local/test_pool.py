"""The pool with real child processes of the engine `echo`: loading, batching, death, memory, leaving."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferway.errors import BadRequest, EngineFailed, ModelWarming, Overloaded, Unavailable
from inferway.providers.local.engine import Delta, Echoed, EchoTask, Output, Spec, Ticket
from inferway.providers.local.lane import LaneStatus
from inferway.providers.local.pool import LocalEnginePool
from inferway.providers.local.process import ProcessEngine
from inferway.providers.local.shelf import Shelf
from tests.unit.providers.local.conftest import MakePool, echo_model, until
from tests.unit.providers.local.inprocess import InProcessEcho


async def _echo(pool: LocalEnginePool, model: str, text: str = "hello there", **fields: object) -> Echoed:
    output = await pool.run(model, EchoTask(text=text, **fields))  # type: ignore[arg-type]
    assert isinstance(output, Echoed)
    return output


async def _status(pool: LocalEnginePool, model: str) -> LaneStatus:
    return next(lane for lane in await pool.status() if lane.model == model)


async def _at_work(pool: LocalEnginePool, model: str, *, running: int, queued: int = 0) -> None:
    """Returns once so many tasks run and wait."""

    async def is_so() -> bool:
        lane = await _status(pool, model)
        return (lane.running, lane.queued) == (running, queued)

    await until(is_so)


async def _warm(pool: LocalEnginePool, model: str) -> Echoed:
    """Loads a model and returns when it is idle again."""
    output = await _echo(pool, model)
    await _at_work(pool, model, running=0)
    return output


async def _in_state(pool: LocalEnginePool, model: str, state: str) -> None:
    async def is_so() -> bool:
        return (await _status(pool, model)).state == state

    await until(is_so)


async def _gone(pid: int) -> None:
    async def is_so() -> bool:
        return not _is_alive(pid)

    await until(is_so)


async def _has_status(pool: LocalEnginePool) -> bool:
    return bool(await pool.status())


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second when it ends between open and read
        return False


async def test_a_model_is_loaded_by_its_first_call_and_serves_the_next_in_the_same_process(
    make_pool: MakePool,
) -> None:
    pool = make_pool(echo_model("one"))
    first, second = await _echo(pool, "one"), await _echo(pool, "one", "again")
    assert (first.text, second.text) == ("hello there", "again")
    assert first.pid == second.pid != os.getpid()
    assert (await _status(pool, "one")).state == "ready"


async def test_a_stream_gives_deltas_and_last_the_output(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"))
    events: list[Delta | Output] = [event async for event in pool.stream("one", EchoTask(text="a b c"))]
    assert events[:3] == [Delta(text="a"), Delta(text="b"), Delta(text="c")]
    assert isinstance(events[3], Echoed)
    assert len(events) == 4


async def test_calls_that_arrive_together_run_as_one_bounded_batch(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one", options={"batch": 4}))
    outputs = await asyncio.gather(*(_echo(pool, "one", f"call {number}") for number in range(10)))
    assert [output.text for output in outputs] == [f"call {number}" for number in range(10)]
    assert sorted({output.batch for output in outputs}) == [2, 4]


async def test_an_engine_runs_as_many_batches_side_by_side_as_it_says(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one", options={"concurrency": 3}))
    await _warm(pool, "one")
    calls = [asyncio.create_task(_echo(pool, "one", "x", delay_s=0.2)) for _ in range(5)]
    running = 0
    while not all(call.done() for call in calls):
        running = max(running, (await _status(pool, "one")).running)
        await asyncio.sleep(0.01)
    assert running == 3


async def test_a_cold_model_is_waited_for_and_then_said_to_be_warming_with_an_honest_hint(
    make_pool: MakePool,
) -> None:
    pool = make_pool(echo_model("slow", load_s=4.0, options={"load_s": 1.5}), cold_wait_s=0.3)
    began = time.monotonic()
    with pytest.raises(ModelWarming) as caught:
        await _echo(pool, "slow")
    assert 0.25 < time.monotonic() - began < 1.4
    assert caught.value.code == "model_warming"
    assert caught.value.status == 503
    assert caught.value.retry_after_s in (3.0, 4.0)
    # The load went on although nobody waited: the next call is served.
    await _in_state(pool, "slow", "ready")
    assert (await _echo(pool, "slow", "now")).text == "now"


async def test_a_caller_with_less_time_than_the_cold_wait_hears_earlier_that_the_model_is_warming(
    make_pool: MakePool,
) -> None:
    pool = make_pool(echo_model("slow", options={"load_s": 1.0}))
    began = time.monotonic()
    with pytest.raises(ModelWarming):
        await pool.run("slow", EchoTask(text="x"), wait_s=0.1)
    assert time.monotonic() - began < 0.9


async def test_a_model_that_is_not_pulled_is_refused_with_the_command_that_pulls_it(
    make_pool: MakePool,
) -> None:
    pool = make_pool(echo_model("one"), pulled=False)
    with pytest.raises(BadRequest, match="inferway models pull one") as caught:
        await _echo(pool, "one")
    assert caught.value.code == "model_not_pulled"


async def test_a_model_that_is_being_pulled_by_another_process_is_warming(
    make_pool: MakePool, shelf: Shelf
) -> None:
    model = echo_model("one")
    pool = make_pool(model, pulled=False, cold_wait_s=0.2)
    with shelf.lock(model), pytest.raises(ModelWarming, match="being downloaded") as caught:
        await _echo(pool, "one")
    assert caught.value.retry_after_s


async def test_a_pull_that_ends_within_the_cold_wait_is_waited_for(make_pool: MakePool, shelf: Shelf) -> None:
    model = echo_model("one")
    pool = make_pool(model, pulled=False)
    with shelf.lock(model):
        call = asyncio.create_task(_echo(pool, "one"))
        await until(lambda: _has_status(pool))
        folder = shelf.folder_of(model)
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"not a model, only its bytes")
    assert (await call).text == "hello there"


async def test_files_with_other_content_than_the_catalogue_pins_are_never_loaded(
    make_pool: MakePool, shelf: Shelf
) -> None:
    model = echo_model("one")
    pool = make_pool(model)
    (shelf.folder_of(model) / "model.bin").write_bytes(b"NOT a model, only its bytes")
    with pytest.raises(BadRequest, match="not the catalogue's"):
        await _echo(pool, "one")


async def test_an_engine_that_dies_idle_is_replaced_without_anybody_noticing(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"))
    first = await _echo(pool, "one")
    os.kill(first.pid, signal.SIGKILL)
    await _gone(first.pid)
    second = await _echo(pool, "one", "still here")
    assert second.text == "still here"
    assert second.pid != first.pid


async def test_a_call_on_a_dying_engine_is_tried_once_more_when_nothing_was_streamed(
    make_pool: MakePool,
) -> None:
    pool = make_pool(echo_model("one"))
    first = await _warm(pool, "one")
    call = asyncio.create_task(_echo(pool, "one", "word", delay_s=0.5))
    await _at_work(pool, "one", running=1)
    os.kill(first.pid, signal.SIGKILL)
    output = await call
    assert output.text == "word"
    assert output.pid != first.pid
    assert (await _status(pool, "one")).restarts == 1


async def test_a_task_that_kills_its_engine_twice_ends_with_an_error_and_hurts_nobody_else(
    make_pool: MakePool,
) -> None:
    pool = make_pool(echo_model("one", options={"batch": 8}))
    await _warm(pool, "one")
    calls = [asyncio.create_task(_echo(pool, "one", f"good {number}", delay_s=0.01)) for number in range(3)]
    poison = asyncio.create_task(_echo(pool, "one", "", crash=True))
    more = asyncio.create_task(_echo(pool, "one", "later"))
    with pytest.raises(EngineFailed) as caught:
        await poison
    assert caught.value.status == 500
    assert caught.value.retryable is False
    assert (await more).text == "later"
    for number, call in enumerate(calls):
        with contextlib.suppress(EngineFailed):
            # One that had streamed its first word when the engine died cannot be taken back.
            assert (await call).text == f"good {number}"


async def test_a_stream_that_has_begun_is_not_begun_again_after_a_death(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"))
    heard: list[Delta | Output] = []

    async def listen() -> None:
        async for event in pool.stream("one", EchoTask(text="first second", crash=True)):
            heard.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(EngineFailed, match="died under this call"):
        await listen()
    assert heard == [Delta(text="first")]
    assert (await _echo(pool, "one", "fine")).text == "fine"


async def test_an_engine_that_cannot_be_loaded_fails_its_callers_and_backs_off(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("bad", options={"crash_on_load": True}))
    for _ in range(3):
        with pytest.raises(EngineFailed, match="died while it loaded"):
            await _echo(pool, "bad")
    # By now the next start is more than half a second away.
    with pytest.raises(ModelWarming):
        await pool.run("bad", EchoTask(text="x"), wait_s=0.1)


async def test_an_engine_whose_package_is_missing_says_what_to_install(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one", engine="no_such_engine"))
    with pytest.raises(Unavailable, match=r"pip install 'inferway\[local\]'") as caught:
        await _echo(pool, "one")
    assert caught.value.code == "engine_not_installed"
    assert caught.value.retry_after_s


async def test_a_task_that_the_engine_refuses_is_the_callers_error(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"))
    with pytest.raises(BadRequest) as caught:
        await _echo(pool, "one", refuse=True)
    assert caught.value.code == "echo_refused"


async def test_a_task_that_no_engine_can_be_told_fails_at_once_and_hurts_nobody_else(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(echo_model("one"))
    first = await _warm(pool, "one")
    with pytest.raises(EngineFailed, match="could not be asked"):
        await asyncio.wait_for(_echo(pool, "one", "x", delay_s=10**30), timeout=5)
    assert "a batch of one could not be run" in caplog.text
    assert (await _echo(pool, "one", "on we go")).pid == first.pid


async def test_a_full_queue_sheds_with_a_hint(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"), queue=2)
    await _warm(pool, "one")
    calls = [asyncio.create_task(_echo(pool, "one", "x", delay_s=0.5))]
    await _at_work(pool, "one", running=1)
    calls += [asyncio.create_task(_echo(pool, "one", "x")) for _ in range(2)]
    await _at_work(pool, "one", running=1, queued=2)
    with pytest.raises(Overloaded) as caught:
        await _echo(pool, "one")
    assert caught.value.retry_after_s
    assert [output.text for output in await asyncio.gather(*calls)] == ["x"] * 3


async def test_a_caller_that_leaves_frees_the_engine_at_once(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"))
    stream = pool.stream("one", EchoTask(text="word " * 1000, delay_s=0.02))
    assert await anext(stream) == Delta(text="word")
    await stream.aclose()
    began = time.monotonic()
    assert (await _echo(pool, "one", "next")).text == "next"
    assert time.monotonic() - began < 2


async def test_a_caller_that_leaves_the_queue_is_never_run(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"))
    await _warm(pool, "one")
    busy = asyncio.create_task(_echo(pool, "one", "busy", delay_s=0.5))
    await _at_work(pool, "one", running=1)
    left = asyncio.create_task(_echo(pool, "one", "", crash=True))
    await _at_work(pool, "one", running=1, queued=1)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert (await _status(pool, "one")).queued == 0
    pid = (await busy).pid
    assert (await _echo(pool, "one")).pid == pid


async def test_the_model_used_longest_ago_is_unloaded_when_memory_is_needed(make_pool: MakePool) -> None:
    pool = make_pool(*(echo_model(name) for name in ("a", "b", "c")), memory_mb=140)
    first = await _echo(pool, "a")
    await _echo(pool, "b")
    await _echo(pool, "a")
    await _echo(pool, "c")
    states = {lane.model: lane.state for lane in await pool.status()}
    assert states == {"a": "ready", "b": "cold", "c": "ready"}
    assert (await _echo(pool, "a")).pid == first.pid


async def test_two_models_that_do_not_fit_together_take_turns(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("a"), echo_model("b"), memory_mb=100)
    outputs = await asyncio.gather(
        *(_echo(pool, name, f"{name} {number}") for number in range(4) for name in ("a", "b"))
    )
    assert len(outputs) == 8
    assert [lane.state for lane in await pool.status()].count("ready") == 1


async def test_an_engine_that_grew_makes_idle_ones_leave(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("a"), echo_model("big", options={"ballast_mb": 200}), memory_mb=180)
    await _echo(pool, "a")
    await _echo(pool, "big")
    await _in_state(pool, "a", "cold")
    assert (await _status(pool, "big")).memory_mb > 200


async def test_a_model_above_the_whole_bound_is_refused_with_the_numbers(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("big", memory_mb=500), memory_mb=128)
    with pytest.raises(EngineFailed, match=r"needs about 500 MB; local\.memory_mb allows 128"):
        await _echo(pool, "big")


async def test_a_model_that_nobody_uses_is_unloaded(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"), idle_s=0.2)
    pid = (await _echo(pool, "one")).pid
    await _gone(pid)
    assert (await _status(pool, "one")).state == "cold"
    assert (await _echo(pool, "one", "back")).text == "back"


async def test_closing_the_pool_ends_its_processes_and_answers_whoever_waits(
    make_pool: MakePool,
) -> None:
    pool = make_pool(echo_model("one"))
    pid = (await _warm(pool, "one")).pid
    calls = [asyncio.create_task(_echo(pool, "one", "x", delay_s=5.0)) for _ in range(2)]
    await _at_work(pool, "one", running=1, queued=1)
    await pool.aclose()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, Unavailable)
    assert not _is_alive(pid)


async def test_another_way_to_run_engines_joins_by_its_start_function(make_pool: MakePool) -> None:
    pool = make_pool(echo_model("one"), start=InProcessEcho)
    assert (await _echo(pool, "one", "in here")).pid == os.getpid()


def test_no_engine_outlives_its_parent(tmp_path: Path) -> None:
    script = f"""
import asyncio, os, signal
from pathlib import Path
from inferway.providers.local.engine import EchoTask, Spec, Ticket
from inferway.providers.local.process import ProcessEngine
async def main():
    engine = ProcessEngine(Spec(engine="echo", folder=Path({str(tmp_path)!r})))
    await engine.load()
    print(engine.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    deadline = time.monotonic() + 5
    while _is_alive(int(ran.stdout)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(int(ran.stdout))


def test_a_child_sees_no_environment_of_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")

    async def environment() -> bytes:
        engine = ProcessEngine(Spec(engine="echo", folder=tmp_path))
        await engine.load()
        try:
            await engine.run([Ticket(EchoTask(text="x"))])
            return await asyncio.to_thread(Path(f"/proc/{engine.pid}/environ").read_bytes)
        finally:
            await engine.close()

    assert b"sk-very-secret" not in asyncio.run(environment())


async def test_a_default_model_is_warming_while_the_defaults_are_pulled_and_refused_when_that_failed(
    make_pool: MakePool, shelf: Shelf
) -> None:
    # A default model without a source: held by its lock, its pull waits; let go, it fails.
    model = echo_model("one", default=True)
    pool = make_pool(model, pulled=False, cold_wait_s=0.1)
    lines: list[str] = []
    with shelf.lock(model):
        pulling = asyncio.create_task(pool.pull_defaults(lines.append))
        with pytest.raises(ModelWarming, match="being downloaded"):
            await _echo(pool, "one")
    await pulling
    assert lines[-1].startswith("one could not be pulled")
    with pytest.raises(BadRequest, match="inferway models pull one"):
        await _echo(pool, "one")
