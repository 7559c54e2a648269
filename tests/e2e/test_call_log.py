"""Log lines of a running server, as a collector of logs reads them."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.process import Served, fake_call, serving, until

CANARY = "canary-7c1f"


def lines(served: Served) -> list[dict[str, Any]]:
    return [json.loads(line) for line in served.stderr.splitlines()]


def test_each_call_is_one_json_line_that_holds_no_prompt_and_no_key(tmp_path: Path) -> None:
    with serving(tmp_path, INFERWAY_LOG__FORMAT="json") as served:
        assert served.call(fake_call(prompt=CANARY))[0] == 200
        assert served.call(fake_call())[0] == 200
        assert served.call({"provider": "nobody", "model": "m", "inputs": {"prompts": [CANARY]}})[0] == 400
        until(
            lambda: len([1 for each in lines(served) if each["logger"] == "inferway.calls"]) == 2, "two lines"
        )
        assert served.stop() == 0
        calls = [each for each in lines(served) if each["logger"] == "inferway.calls"]
        text = served.stderr
    first = calls[0]
    assert first["request_id"].startswith("req_")
    assert first["key_id"].startswith("key_")
    assert first["namespace_id"].startswith("ns_")
    assert (first["operation"], first["provider"], first["model"]) == ("chat", "fake", "fake-chat")
    assert (first["status"], first["error"], first["cost_usd"]) == ("ok", None, 0.0)
    assert first["tokens"]["total"] > 0
    assert 0 <= first["upstream_ms"] <= first["latency_ms"]
    assert first["latency_ms"] > 0
    assert CANARY not in text
    assert served.ready["api_key"] not in text


def test_levels_and_the_switch_leave_the_lines_out(tmp_path: Path) -> None:
    for number, env in enumerate(({"INFERWAY_LOG__LEVEL": "warning"}, {"INFERWAY_LOG__CALLS": "false"})):
        with serving(tmp_path / str(number), **{"INFERWAY_LOG__FORMAT": "json", **env}) as served:
            assert served.call(fake_call())[0] == 200
            assert served.stop() == 0
            assert "inferway.calls" not in served.stderr
