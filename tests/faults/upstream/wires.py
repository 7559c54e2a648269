"""What the three providers say when they are well and when they refuse, written from their API references."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY = "sk-canary-0123456789abcdefghijklmnop"
"""The credential of every provider here; it may come back in no answer and no log."""


@dataclass(frozen=True)
class Wire:
    """One provider's way of speaking."""

    kind: str

    def ok(self, text: str = "hello", **usage: Any) -> bytes:
        """A whole answer; `usage` takes the place of the counts."""
        return json.dumps(_answer(self.kind, text, usage)).encode()

    def stream(self, text: str = "hello") -> list[bytes]:
        """The same as events; the last of them is the one that says that the answer is complete."""
        return _events(self.kind, text)

    def error(self, status: int, words: str = "") -> bytes:
        """An error's body. `words` is the provider's own word for it, by default the usual one of the status."""
        return json.dumps(_error(self.kind, status, words)).encode()

    def error_event(self) -> bytes:
        """An error in the middle of a stream."""
        if self.kind == "anthropic":
            return b"event: error\ndata: " + self.error(529) + b"\n\n"
        return b"data: " + self.error(500) + b"\n\n"

    def base_url(self, scheme: str, host: str, port: int) -> str:
        """What the settings call this provider's address."""
        return f"{scheme}://{host}:{port}" + ("/v1" if self.kind == "openai" else "")


OPENAI, ANTHROPIC, GOOGLE = Wire("openai"), Wire("anthropic"), Wire("google")
WIRES = (OPENAI, ANTHROPIC, GOOGLE)

_ANTHROPIC_WORDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GOOGLE_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_OPENAI_WORDS = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    404: "model_not_found",
    429: "rate_limit_exceeded",
}
_COUNTS: Mapping[str, Mapping[str, Any]] = {
    "openai": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "anthropic": {"input_tokens": 3, "output_tokens": 2},
    "google": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
}
_PLACES = {"openai": "usage", "anthropic": "usage", "google": "usageMetadata"}


def _answer(kind: str, text: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: usage.get("each", count) for name, count in _COUNTS[kind].items()}
    if kind == "openai":
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer: dict[str, Any] = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
    elif kind == "anthropic":
        said = [{"type": "text", "text": text}]
        answer = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": said}
        answer |= {"stop_reason": "end_turn", "stop_sequence": None}
    else:
        content = {"role": "model", "parts": [{"text": text}]}
        answer = {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}
        answer |= {"modelVersion": "m"}
    return answer if usage.get("missing") else answer | {_PLACES[kind]: counts}


def _events(kind: str, text: str) -> list[bytes]:
    if kind == "openai":
        head = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
        deltas: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": {"content": word}}]} for word in (text, " ")
        ]
        ends: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
        ends += [{"choices": [], "usage": _COUNTS[kind]}]
        said = [b"data: %s\n\n" % json.dumps(head | each).encode() for each in deltas + ends]
        return [*said, b"data: [DONE]\n\n"]
    if kind == "google":
        parts = [_answer(kind, word, {}) for word in (text, " ")]
        del parts[0]["candidates"][0]["finishReason"]
        return [b"data: %s\r\n\r\n" % json.dumps(each).encode() for each in parts]
    start = _answer(kind, "", {}) | {"content": [], "stop_reason": None}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    said_events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        block,
        delta,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in said_events]


def _error(kind: str, status: int, words: str) -> dict[str, Any]:
    # Providers echo credentials and account numbers.
    message = f"no: {KEY} in project 123456789012"
    if kind == "openai":
        word = words or _OPENAI_WORDS.get(status, "server_error")
        return {"error": {"message": message, "type": word, "param": None, "code": word}}
    if kind == "anthropic":
        word = words or _ANTHROPIC_WORDS.get(status, "api_error")
        return {"type": "error", "error": {"type": word, "message": message}, "request_id": "req_1"}
    error = {"code": status, "message": message, "status": _GOOGLE_WORDS.get(status, "UNKNOWN")}
    return {"error": error | {"details": [{"reason": words}] if words else []}}


def retry_info(delay: str) -> bytes:
    """Google's own way of asking for patience. Source: google.rpc.RetryInfo."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    error = {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": [info]}
    return json.dumps({"error": error}).encode()


def used_up(wire: Wire) -> tuple[int, bytes]:
    """Status and body of an account that has nothing left."""
    if wire is OPENAI:
        return 429, wire.error(429, "insufficient_quota")
    if wire is ANTHROPIC:
        return 402, wire.error(402)
    violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
    error = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [failure]}
    return 429, json.dumps({"error": error}).encode()
