"""A log line for each call."""

import asyncio
import json
import threading

from inferway.observe.calls import CallLog
from tests.unit.observe.kit import PARAMETERS, settled


async def lines(form: str, *records: object) -> list[str]:
    written: list[bytes] = []
    log = CallLog(form, written.append)  # type: ignore[arg-type] # one of the two words
    for record in records:
        log.ended(record, PARAMETERS)  # type: ignore[arg-type] # records
    await log.aclose()
    assert all(len(piece) <= 4096 for piece in written)
    return b"".join(written).decode().splitlines()


async def test_a_line_for_machines_says_who_what_how_long_and_how_much() -> None:
    (line,) = await lines("json", settled())
    fields = json.loads(line)
    assert fields.pop("time").endswith("Z")
    assert fields == {
        "level": "info",
        "logger": "inferway.calls",
        "message": "call",
        "request_id": "req_1",
        "organization_id": "org_1",
        "namespace_id": "ns_1",
        "key_id": "key_1",
        "operation": "chat",
        "provider": "openai",
        "model": "gpt-5.4-mini",
        "status": "ok",
        "error": None,
        "latency_ms": 320.0,
        "upstream_ms": 318.0,
        "attempts": 1,
        "tokens": {"prompt": 14, "completion": 23, "total": 37, "reasoning": 3, "cached_prompt": 4},
        "cost_usd": 1.2e-05,
        "streamed": False,
        "cached": False,
    }


async def test_a_failed_unpriced_call_says_so_in_both_forms() -> None:
    failed = settled(
        status="error", error_type="InferenceError", error_code="provider_error", cost_microusd=None
    )
    (line,) = await lines("json", failed)
    assert (json.loads(line)["error"], json.loads(line)["cost_usd"]) == ("provider_error", None)
    (text,) = await lines("text", failed)
    assert "openai/gpt-5.4-mini chat error provider_error 320 ms 37 tokens unpriced req_1 key_1 ns_1" in text


async def test_a_name_that_a_caller_made_up_stays_on_its_line() -> None:
    evil = settled(model="x\n2026-01-31T12:00:00.000Z ERROR forged" + "y" * 1000)
    (text,) = await lines("text", evil)
    assert "\\n2026" in text
    assert len(text) < 500
    assert len(await lines("json", evil)) == 1


async def test_many_lines_are_written_whole_and_in_order() -> None:
    records = [settled(request_id=f"req_{number}") for number in range(100)]
    found = [json.loads(line)["request_id"] for line in await lines("json", *records)]
    assert found == [f"req_{number}" for number in range(100)]


async def test_a_reader_that_stands_still_holds_up_nobody() -> None:
    resumed = threading.Event()
    written: list[bytes] = []

    def write(piece: bytes) -> None:
        assert resumed.wait(30)
        written.append(piece)

    log = CallLog("json", write)
    for _ in range(21_000):
        log.ended(settled(), PARAMETERS)
    await asyncio.sleep(0.3)
    log.ended(settled(request_id="req_late"), PARAMETERS)
    resumed.set()
    assert log._flushing is not None
    await asyncio.wait({log._flushing}, timeout=30)
    await log.aclose()
    last = b"".join(written).decode().splitlines()
    assert any("1000 lines were dropped" in line for line in last)
    assert any("req_late" in line for line in last)
