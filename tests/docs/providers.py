"""What the providers answer to the examples of the documentation, written from their API references."""

import json
from typing import Any

from tests.http.kit import Reply, Seen, chunks, completion

KEYS = {"openai": "sk-of-openai", "anthropic": "sk-of-anthropic", "google": "key-of-google"}
_HEADERS = {
    "openai": ("authorization", f"Bearer {KEYS['openai']}"),
    "anthropic": ("x-api-key", KEYS["anthropic"]),
    "google": ("x-goog-api-key", KEYS["google"]),
}


def environment(url: str) -> dict[str, str]:
    """The providers' own variables, with their addresses here."""
    return {
        "OPENAI_API_KEY": KEYS["openai"],
        "OPENAI_BASE_URL": f"{url}/v1",
        "ANTHROPIC_API_KEY": KEYS["anthropic"],
        "ANTHROPIC_BASE_URL": url,
        "GEMINI_API_KEY": KEYS["google"],
        "GOOGLE_GEMINI_BASE_URL": url,
    }


def provider_of(seen: Seen) -> str:
    """Whose key a request carries; empty for none of them."""
    return next((name for name, (header, value) in _HEADERS.items() if seen.headers.get(header) == value), "")


def answer(seen: Seen) -> Reply:
    """The answer of whichever provider is asked."""
    path = seen.path.partition("?")[0]
    if path.endswith("/audio/transcriptions"):
        return _json(_TRANSCRIPT)
    body = seen.json()
    if path.endswith("/chat/completions"):
        return _chat(body)
    if path.endswith("/embeddings"):
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [{"index": at, "embedding": _vector(body.get("dimensions"))} for at, _ in enumerate(texts)]
        return _json({"data": data, "model": body["model"], "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    if path.endswith("/v1/messages"):
        return _json(_MESSAGE)
    if path.endswith(":generateContent"):
        return _json(_CONTENT)
    assert path.endswith(":batchEmbedContents"), path
    asked = [each.get("outputDimensionality") for each in body["requests"]]
    return _json({"embeddings": [{"values": _vector(dimensions)} for dimensions in asked]})


def _vector(dimensions: int | None) -> list[float]:
    return [0.6, 0.8, *[0.0] * ((dimensions or 3) - 2)]


def _json(value: dict[str, Any]) -> Reply:
    return Reply(json.dumps(value).encode())


def _chat(body: dict[str, Any]) -> Reply:
    if body.get("stream"):
        return Reply(chunks("one ", "two ", "three"), headers={"content-type": "text/event-stream"})
    if "tools" in body and body["messages"][-1]["role"] == "user":
        found = json.loads(completion(""))
        function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city": "Rome"}'}
        found["choices"][0] |= {"finish_reason": "tool_calls"}
        found["choices"][0]["message"] |= {
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
        return _json(found)
    return Reply(completion('{"city": "Paris"}' if "response_format" in body else "A lake is still water."))


_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "A lake is still water."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 7},
}
_CONTENT = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "An island."}]}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
    "modelVersion": "gemini-3-flash-preview",
}
_TRANSCRIPT = {
    "task": "transcribe",
    "language": "english",
    "duration": 1.0,
    "text": "A lake.",
    "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": " A lake."}],
    "usage": {"type": "duration", "seconds": 1},
}
