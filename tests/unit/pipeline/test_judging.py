"""A schema that takes too much, or ends the process that judges it, is a refusal: the worker goes on with all other calls."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from inferway.errors import BadRequest, Overloaded
from inferway.pipeline.judge import PROCESSOR_S
from inferway.pipeline.judging import Judges, TakenSchema
from inferway.pipeline.weight import find_weight


def doubling(levels: int) -> Any:
    """Checks its innermost part 2 ** levels times."""
    chain = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**chain, f"d{levels}": {"type": "string"}}}


PAIRS: Any = {
    "allOf": [{"anyOf": [{"type": "object", "required": [f"a{i}{k}"]} for k in range(2)]} for i in range(40)]
}
"""The search for a contradiction would go through 2 ** 40 cases."""

GROWING: Any = {"items": {"allOf": [{"$ref": "#"}, {"items": {"$ref": "#"}}, {"minItems": 1}]}}
"""Checks an array in arrays again and again, more often with each level."""


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


async def _lag_s(work: asyncio.Task[Any]) -> float:
    """The longest that this process was busy with one thing until some work was done; waiting for a processor does not count."""
    worst = 0.0
    while not work.done():
        began = time.process_time()
        await asyncio.sleep(0.001)
        worst = max(worst, time.process_time() - began)
    return worst


@pytest.mark.parametrize("value", ["a word", 7], ids=["valid", "invalid"])
async def test_an_answer_that_takes_too_long_to_check_is_given_up_while_the_loop_runs_on(value: Any) -> None:
    taken = await Judges().take(doubling(36))
    work = asyncio.create_task(taken.findings(value, 10))
    assert await _lag_s(work) < PROCESSOR_S
    assert await work is None


async def test_a_schema_that_repeats_itself_with_each_level_is_given_up() -> None:
    judges = Judges()
    taken = await judges.take(GROWING)
    assert await taken.findings(nested(60), 120) is None
    assert await taken.findings([], 2) == ()


async def test_a_search_that_takes_too_long_is_left_out() -> None:
    judges = Judges()
    work = asyncio.create_task(judges.take(PAIRS))
    assert await _lag_s(work) < PROCESSOR_S
    taken = await work
    assert await taken.findings({f"a{i}0": 1 for i in range(40)}, 400) == ()
    assert await taken.findings({}, 2)


@pytest.mark.parametrize(("queue_max", "patience_s"), [(4, 60.0), (256, 0.1)], ids=["many", "long"])
async def test_while_hostile_schemas_wait_new_ones_are_refused_and_then_taken_again(
    queue_max: int, patience_s: float
) -> None:
    judges = Judges(queue_max=queue_max, patience_s=patience_s)
    hostile = [asyncio.create_task(judges.findings(doubling(36), "x")) for _ in range(8)]
    refused = None
    while refused is None:
        try:
            await asyncio.wait_for(judges.take({"not": {"type": "string"}}), 0.05)
        except TimeoutError:
            assert not all(each.done() for each in hostile), "it was never refused"
        except Overloaded as error:
            refused = error
    assert (refused.status, refused.code, refused.retryable) == (503, "overloaded", True)
    for each in hostile:
        each.cancel()
    await asyncio.gather(*hostile, return_exceptions=True)
    taken = await judges.take({"not": {"type": "string"}})
    assert await taken.findings(1, 1) == ()


async def test_the_death_of_a_judging_process_harms_no_other_call() -> None:
    judges = Judges()
    schema: Any = {"type": "object", "properties": {"n": {"not": {"type": "string"}}}}
    taken = await judges.take(schema)
    [process] = judges._idle
    os.kill(process.pid, signal.SIGSEGV)
    process.wait()
    assert await taken.findings({"n": 1}, 8) == ()
    assert await taken.findings({"n": "a"}, 10)
    assert await judges.findings(doubling(36), "x") is None
    assert await taken.findings({"n": 1}, 8) == ()


CRASHING = """
import asyncio
from inferway.pipeline.judging import Judges

async def main():
    judges = Judges()
    crashing = await judges.take({"if": {"unevaluatedProperties": {}, "$ref": "#"}})
    await crashing.findings({"a": 1}, 8)
    taken = await judges.take({"not": {"type": "string"}})
    assert await taken.findings(1, 1) == ()
    print("alive")

asyncio.run(main())
"""
"""The search for a contradiction overflows the stack of jsonschema_rs 0.60.3: a condition that is itself, and `unevaluatedProperties`."""


def test_a_schema_that_crashes_the_search_leaves_the_worker_alive() -> None:
    # In a process of its own: without the protection it would be the end of this one.
    done = subprocess.run(
        [sys.executable, "-c", CRASHING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


async def test_a_refusal_from_the_other_process_is_the_same_as_from_here() -> None:
    with pytest.raises(BadRequest) as refused:
        await Judges().take(
            {"type": "object", "properties": {"a": {"allOf": [{"enum": []}]}}, "required": ["a"]}
        )
    assert refused.value.code == "impossible_schema"
    assert refused.value.details is not None
    assert refused.value.details["location"][:5] == ["body", "parameters", "schema", "properties", "a"]


async def test_an_answer_nested_too_deeply_is_invalid() -> None:
    for schema in ({"type": "string"}, {"allOf": [{"type": "string"}]}):
        taken = await Judges().take(schema)
        found = await taken.findings(nested(600), 1200)
        assert found is None or found


async def test_a_plain_schema_needs_no_other_process() -> None:
    judges = Judges()
    taken = await judges.take({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
    assert isinstance(taken, TakenSchema)
    assert await taken.findings({"a": "b"}, 10) == ()
    assert await taken.findings({}, 2)
    assert judges._idle == []


@pytest.mark.parametrize(
    ("schema", "weight"),
    [
        (True, 1),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"anyOf": [{}, {"type": "null"}]}},
            },
            5,
        ),
        ({"$defs": {"d": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/d"}}}, 4),
        ({"$ref": "#"}, None),
        ({"$defs": {"d": {"items": {"$ref": "#/$defs/d"}}}}, None),
        ({"$defs": {"d": {"$ref": "#/$defs/d"}}, "$ref": "#/$defs/d"}, None),
        ({"$defs": {"d": {"anyOf": [True, True]}}, "$ref": "#/$defs/d", "minLength": 1}, None),
        ({"anyOf": [True], "minLength": 1}, None),
        ({"pattern": "a"}, None),
        ({"oneOf": [True]}, None),
        ({"allOf": [True]}, None),
        ({"not": False}, None),
        ({"unevaluatedProperties": False}, None),
        ({"const": {"a": 1}}, None),
        ({"enum": list(range(300))}, None),
        ({"minLength": 2**64}, None),
        ({"minimum": 1e300}, None),
        ({"properties": {f"p{i}": {} for i in range(401)}}, None),
        (nested(60), None),
    ],
)
def test_only_what_is_known_to_cost_little_is_plain(schema: Any, weight: int | None) -> None:
    assert find_weight(schema) == weight
