"""Keys that look like nothing in particular, echoed by an upstream in every way, reach neither a caller nor the log."""

import json
import logging
from functools import partial
from pathlib import Path

import pytest

from tests.http.kit import EVENT_STREAM, Gateway, Reply, Seen, Upstream, chunks, completion, running

KEYS = {
    "openai": "plain-canary-one",
    "anthropic": "canary_two_two",
    "google": "CanaryThree",
    "own": "canary.four",
}
HEADER = "canary-in-a-header"
MODELS = {"openai": "gpt-5.4-mini", "anthropic": "claude-haiku-4-5", "google": "gemini-3-flash", "own": "m"}


def echoes(key: str) -> dict[str, Reply]:
    """Everything an upstream may do with a key that it was shown."""
    said = f"what is {key}, please?"
    failed = {"error": {"message": said, "type": said, "code": said, "status": said, "param": said}}
    return {
        "a refusal": Reply(json.dumps(failed).encode(), status=400),
        "a refused key": Reply(json.dumps(failed).encode(), status=401),
        "a page": Reply(f"<html>{said}</html>".encode(), status=500),
        "an error that is no error": Reply(json.dumps(failed).encode()),
        "nonsense": Reply(json.dumps({"id": said}).encode()),
        "text": Reply(said.encode()),
        "an answer": Reply(completion(said)),
        "a stream": Reply(chunks(said), headers=EVENT_STREAM),
        "a broken stream": Reply(
            [b"data: " + json.dumps(failed).encode() + b"\n\n", b"data: {" + said.encode() + b"\n\n"],
            headers=EVENT_STREAM,
        ),
    }


@pytest.mark.parametrize("kind", echoes("").keys())
def test_a_key_that_is_echoed_is_masked(
    tmp_path: Path, session_upstream: Upstream, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    base = session_upstream.url
    environ = {
        "OPENAI_API_KEY": KEYS["openai"],
        "OPENAI_BASE_URL": f"{base}/v1",
        "ANTHROPIC_API_KEY": KEYS["anthropic"],
        "ANTHROPIC_BASE_URL": base,
        "GEMINI_API_KEY": KEYS["google"],
        "GOOGLE_GEMINI_BASE_URL": base,
        "INFERWAY_CALLS__ATTEMPTS": "1",
        "INFERWAY_CONFIG": str(settings_file(tmp_path, base)),
    }
    with caplog.at_level(logging.DEBUG), running(tmp_path, **environ) as gateway:
        for provider, key in KEYS.items():
            reply = echoes(key)[kind]
            session_upstream.answer = partial(answered, reply)
            for stream in (False, True):
                answer = call(gateway, provider, stream=stream)
                assert key.encode() not in answer, provider
                assert HEADER.encode() not in answer, provider
                assert answer
    for secret in (*KEYS.values(), HEADER):
        assert secret not in caplog.text


def answered(reply: Reply, _: Seen) -> Reply:
    return reply


def settings_file(folder: Path, base: str) -> Path:
    """A provider of one's own, with a key and a header that is a secret too."""
    path = folder / "inferway.toml"
    path.write_text(
        f'[providers.own]\nbase_url = "{base}/v1"\napi_key = "{KEYS["own"]}"\n'
        f'headers = {{"x-gate" = "{HEADER}"}}\n'
    )
    return path


def call(gateway: Gateway, provider: str, *, stream: bool) -> bytes:
    answer = gateway.infer(provider=provider, model=MODELS[provider], stream=stream)
    if answer.status != 200:
        assert answer.json()["error"]["message"]
    return answer.body + repr(answer.headers).encode()
