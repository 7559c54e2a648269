"""`inferway usage` on a ledger of known calls: sums, exports, another's count beside ours, and a new price."""

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from inferway.app.desk import open_office
from inferway.cli.root import command
from inferway.settings import load
from inferway.types import Usage
from inferway.usage.records import AttemptRecord, UsageRecord

CALL = UsageRecord(
    record_id="1",
    request_id="r1",
    organization_id="",
    namespace_id="",
    key_id="key_1",
    operation="chat",
    provider="openai",
    model="gpt-4o",
    status="ok",
    started_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    latency_ms=100.0,
    upstream_ms=90.0,
    usage=Usage(input=1000, output=100, source="provider", raw=b'{"prompt_tokens":1000}'),
    attempts=(AttemptRecord(provider="openai", model="gpt-4o", outcome="ok", duration_ms=90.0),),
    cost_microusd=3500,
    price_version="v1",
)
FAILED = AttemptRecord(
    provider="google", model="gemini-2.5-flash", outcome="provider_error", duration_ms=5.0, cost_microusd=0
)
ANSWERED = AttemptRecord(
    provider="openai",
    model="gpt-4o",
    outcome="ok",
    duration_ms=50.0,
    usage=Usage(input=2000, source="provider"),
    cost_microusd=5000,
    price_version="v1",
)
CALLS = (
    CALL,
    replace(
        CALL,
        record_id="2",
        usage=Usage(input=2000, source="provider"),
        cost_microusd=5000,
        attempts=(FAILED, ANSWERED),
        retries=1,
    ),
    replace(
        CALL,
        record_id="3",
        model="mine",
        attempts=(replace(CALL.attempts[0], model="mine"),),
        cost_microusd=None,
        price_version=None,
        key_id="key_2",
        started_at=datetime(2026, 3, 5, 23, tzinfo=UTC),
    ),
    replace(
        CALL,
        record_id="4",
        model="mine",
        status="error",
        usage=Usage(),
        cost_microusd=0,
        attempts=(),
        started_at=datetime(2026, 3, 6, tzinfo=UTC),
    ),
)
RANGE = ("--from", "2026-03-04", "--to", "2026-03-06")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with open_office(load(environ={"INFERWAY_DATA_DIR": str(tmp_path)})) as office:
            (namespace,) = await office.directory.list_namespaces(office.organization_id)
            owner = {"organization_id": office.organization_id, "namespace_id": namespace.namespace_id}
            await office.ledger.add([replace(each, **owner) for each in CALLS])

    asyncio.run(fill())
    return tmp_path


def run(home: Path, *words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(command, ["--data-dir", str(home), "usage", *words])
    assert result.exit_code == status, result.output
    return result


def told(home: Path, *words: str, status: int = 0) -> Any:
    return json.loads(run(home, *words, "--json", status=status).stdout)


def test_show_adds_up(home: Path) -> None:
    shown = told(home, "show", *RANGE)
    assert [
        (row["model"], row["calls"], row["cost_microusd"], row["unpriced_calls"]) for row in shown["results"]
    ] == [
        ("gpt-4o", 2, 8500, 0),
        ("mine", 2, 0, 1),
    ]
    assert shown["total"]["tokens"]["total"] == 4200
    text = run(home, "show", *RANGE, "--by", "day", "--by", "key").stdout
    assert "2026-03-05  key_2" in text
    assert text.splitlines()[-1].startswith("all")
    assert told(home, "show", "--from", "2026-03-05", "--to", "2026-03-05")["total"]["calls"] == 1
    assert told(home, "show", *RANGE, "--namespace", "default")["total"]["calls"] == 4
    assert told(home, "show", *RANGE, "--namespace", "ns_elsewhere")["total"]["calls"] == 0
    assert "no key nobody" in run(home, "show", "--key", "nobody", status=1).output
    assert "a day such as" in run(home, "show", "--from", "soon", status=2).output


def test_export_holds_every_call_with_everything(home: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(home, "export", *RANGE).stdout)))
    assert [row["record_id"] for row in rows] == ["1", "2", "3", "4"]
    assert (rows[0]["input"], rows[0]["cost_microusd"], rows[2]["cost_microusd"]) == ("1000", "3500", "")
    assert rows[0]["usage_raw"] == '{"prompt_tokens":1000}'
    lines = [
        json.loads(line)
        for line in run(home, "export", *RANGE, "--json", "--model", "gpt-4o").stdout.splitlines()
    ]
    assert [len(line["attempts"]) for line in lines] == [1, 2]
    attempts = [
        json.loads(line)
        for line in run(home, "export", *RANGE, "--attempts", "--format", "jsonl").stdout.splitlines()
    ]
    assert [
        (each["record_id"], each["attempt"], each["outcome"], each["cost_microusd"]) for each in attempts
    ] == [
        ("1", 1, "ok", 3500),
        ("2", 1, "provider_error", 0),
        ("2", 2, "ok", 5000),
        ("3", 1, "ok", None),
    ]
    file = home / "calls.csv"
    run(home, "export", *RANGE, "--output", str(file))
    assert len(file.read_text().splitlines()) == 5


EXPORTS = {
    "csv": (
        "date,model,input_tokens,output_tokens,cost\n"
        "2026-03-04,gpt-4o-2024-08-06,2000,100,$0.0060\n"
        '2026-03-04,gpt-4o,"1,000",0,0.0025\n'
    ),
    "json": json.dumps(
        {
            "data": [
                {
                    "start_time": 1772582400,
                    "model": "gpt-4o",
                    "usage": {"all": 3100},
                    "amount": {"value": 0.0085},
                }
            ]
        }
    ),
    "jsonl": '{"day":"2026-03-04T23:00:00+02:00","model":"gpt-4o","tokens":3000}\n{"day":"2026-03-04","model":"gpt-4o","tokens":100}\n',
}


@pytest.mark.parametrize(
    ("name", "words"), [("csv", ()), ("json", ("--column", "tokens=usage.all")), ("jsonl", ())]
)
def test_another_count_that_agrees_is_told_to_agree(home: Path, name: str, words: Sequence[str]) -> None:
    file = home / f"export.{name}"
    file.write_text(EXPORTS[name])
    found = told(home, "reconcile", str(file), *words)
    (row,) = found["results"]
    assert (row["day"], row["model"], row["tokens_ours"], row["tokens_theirs"]) == (
        "2026-03-04",
        "gpt-4o",
        3100,
        3100,
    )
    assert row["microusd_theirs"] in (8500, None)
    assert found["differing"] == 0


def test_differences_are_shown_by_day_and_model_and_fail(home: Path) -> None:
    file = home / "bill.csv"
    file.write_text("date,model\n")
    assert "no rows" in run(home, "reconcile", str(file), status=1).output
    file.write_text("when,what,eur\n2026-03-04,gpt-4o,100\n2026-03-05,other,7\n")
    words = (
        "--column",
        "date=when",
        "--column",
        "model=what",
        "--column",
        "cost=eur",
        "--cost-unit",
        "cents",
    )
    found = told(home, "reconcile", str(file), *words, status=1)
    rows = {(row["day"], row["model"]): row for row in found["results"]}
    assert rows["2026-03-04", "gpt-4o"]["microusd_difference"] == 8500 - 1_000_000
    assert rows["2026-03-05", "mine"]["calls_ours"] == 1
    assert rows["2026-03-05", "other"]["microusd_theirs"] == 70_000
    assert found["differing"] == 3
    assert run(home, "reconcile", str(file), *words, status=1).stdout.count("!") == 3
    file.write_text("a,b\n1,2\n")
    assert "say --column date=NAME" in run(home, "reconcile", str(file), status=1).output
    file.write_text("date,model,cost\nsoon,m,1\n")
    assert "row 1 of the export" in run(home, "reconcile", str(file), status=1).output


def test_reprice_shows_what_moves_and_writes_it_only_when_told(home: Path) -> None:
    (home / "inferway.toml").write_text(
        '[prices."openai/gpt-4o"]\ninput = 1\noutput = 1\n[prices."openai/mine"]\ninput = 2\noutput = 2\n'
    )
    shown = told(home, "reprice", *RANGE)
    assert shown["changed"] == 3
    moves = {
        row["model"]: (row["was_microusd"], row["now_microusd"], row["was_unpriced"], row["now_unpriced"])
        for row in shown["results"]
    }
    assert moves == {"gpt-4o": (8500, 1100 + 2000, 0, 0), "mine": (0, 2200, 1, 0)}
    assert told(home, "show", *RANGE)["total"]["cost_microusd"] == 8500
    assert told(home, "reprice", *RANGE, "--apply")["applied"] is True
    total = told(home, "show", *RANGE)["total"]
    assert (total["cost_microusd"], total["unpriced_calls"]) == (1100 + 2000 + 2200, 0)
    rows = list(csv.DictReader(io.StringIO(run(home, "export", *RANGE).stdout)))
    assert [row["cost_microusd"] for row in rows] == ["1100", "2000", "2200", "0"]
    assert {row["price_version"] for row in rows[:3]} == {"settings"}
    assert json.loads(rows[1]["attempts"])[1]["cost_microusd"] == 2000
    assert told(home, "reprice", *RANGE)["changed"] == 0
