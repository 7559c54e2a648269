"""What is kept of a call whose namespace asks for it: the request and the answer as bounded JSON, without media, sealed."""

from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from inferway.access.envelope import Envelope, Kek, open_value, seal_value
from inferway.cache.contents import CallHead
from inferway.cache.kept import Sealed
from inferway.errors import GatewayError, InternalError
from inferway.media.decode import decode_base64
from inferway.media.sniff import find_type
from inferway.pipeline.answer import Answer, error_body
from inferway.pipeline.inputs import Inputs
from inferway.pipeline.request import InferenceRequest
from inferway.types import Media, MediaPart, Message, TextPart

CUT = "cut"
_TIERS = ((65_536, 2_048), (8_192, 512), (1_024, 64), (128, 16))
"""How long texts and lists may be, tier after tier, until the whole is within its bound."""
_SMALLEST = 64


class Content(Struct, frozen=True, kw_only=True):
    """A call's request and what came of it, each JSON; `answer` None: there was none, `error` None: it did not fail."""

    request: bytes
    answer: bytes | None = None
    error: bytes | None = None


def content_of(request: InferenceRequest, outcome: Answer | BaseException, max_bytes: int) -> Content:
    """What is kept of a call; request and answer have at most `max_bytes` each.

    Somebody who left is neither answered nor refused. A defect of ours is kept by its type alone.
    """
    asked = bounded(_request(request), max_bytes)
    if isinstance(outcome, Answer):
        return Content(request=asked, answer=bounded(outcome, max_bytes))
    if isinstance(outcome, GatewayError):
        return Content(request=asked, error=bounded(error_body(outcome), max_bytes))
    if isinstance(outcome, Exception):
        return Content(request=asked, error=bounded({"type": InternalError.type}, max_bytes))
    return Content(request=asked)


def weight_of(request: InferenceRequest, outcome: Answer | BaseException) -> int:
    """About how many bytes a call holds while it waits to be written."""
    inputs = request.inputs
    texts = [*inputs.prompts, *inputs.texts, inputs.system or ""]
    weight = 1024 + sum(map(len, texts)) + sum(map(_media_weight, inputs.media))
    for message in inputs.messages:
        for part in message.content:
            weight += len(part.text) if isinstance(part, TextPart) else _media_weight(part.media)
    weight += sum(len(bytes(value)) for value in (inputs.raw or {}).values())
    if isinstance(outcome, Answer):
        weight += _answer_weight(outcome.data)
    return weight


def bounded(value: object, max_bytes: int) -> bytes:
    """A value as JSON of at most so many bytes: long texts and lists are cut, with a mark that says how long they were."""
    whole = msgspec.json.encode(value)
    if len(whole) <= max_bytes:
        return whole
    plain = msgspec.json.decode(whole)
    for texts, items in _TIERS:
        shorter = msgspec.json.encode(_cut(plain, texts, items))
        if len(shorter) <= max(max_bytes, _SMALLEST):
            return shorter
    return msgspec.json.encode({CUT: f"{len(whole)} bytes in all"})


def seal_content(kek: Kek, head: CallHead, content: Content) -> Sealed:
    """The content under a data key of its own, bound to the call that it belongs to."""
    made = seal_value(kek, msgspec.msgpack.encode(content), about(head))
    return Sealed(kek_id=made.kek_id, wrapped_key=made.wrapped_key, ciphertext=made.ciphertext)


def open_content(kek: Kek, head: CallHead, sealed: Sealed) -> Content:
    """The content; raises `InvalidTag` or ValueError when it was not sealed so."""
    return msgspec.msgpack.decode(open_value(kek, envelope(sealed), about(head)), type=Content)


def about(head: CallHead) -> tuple[str, ...]:
    """What is bound in: what it is for, and whose it is."""
    return "kept-call", head.organization_id, head.namespace_id, head.record_id, head.request_id


def envelope(sealed: Sealed) -> Envelope:
    """A seal as encryption knows it."""
    return Envelope(kek_id=sealed.kek_id, wrapped_key=sealed.wrapped_key, ciphertext=sealed.ciphertext)


def _request(request: InferenceRequest) -> dict[str, Any]:
    """The request with the names that callers know, without what was not given."""
    told = {
        "provider": request.provider,
        "model": request.model,
        "inference_name": request.inference_name,
        "feature_uri": request.feature_uri,
        "inputs": _inputs(request.inputs),
        "parameters": _given(msgspec.to_builtins(request.parameters)),
        "stream": request.stream,
        "fallbacks": msgspec.to_builtins(request.fallbacks),
        "enable_semantic_cache": request.enable_semantic_cache,
        "cache_delta": request.cache_delta,
    }
    return _given(told)


def _inputs(inputs: Inputs) -> dict[str, Any]:
    if inputs.raw is not None:
        return {name: msgspec.json.decode(value) for name, value in inputs.raw.items()}
    told = {
        "prompts": inputs.prompts,
        "messages": [_message(message) for message in inputs.messages],
        "system": inputs.system,
        "texts": inputs.texts,
        "media": [_described(item) for item in inputs.media],
    }
    return _given(told)


def _message(message: Message) -> dict[str, Any]:
    told = {
        "role": message.role,
        "content": [
            _described(part.media) if isinstance(part, MediaPart) else {"type": "text", "text": part.text}
            for part in message.content
        ],
        "tool_calls": msgspec.to_builtins(message.tool_calls),
        "reasoning": msgspec.to_builtins(message.reasoning),
        "tool_call_id": message.tool_call_id,
    }
    return _given(told)


def _given(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None and value not in ((), [], {})}


def _described(item: Media) -> dict[str, Any]:
    """Media by its type, size and SHA-256, or by its URL; its bytes are never kept."""
    kind = {"type": str(item.kind)}
    if item.url is not None and item.url[:5].lower() != "data:":
        return {**kind, "url": item.url}
    text = item.url or item.base64 or ""
    try:
        data = item.data or decode_base64(text, max_bytes=len(text)).data
    except GatewayError:
        return {**kind, "characters": len(text)}
    return {**kind, "mime": find_type(data), "bytes": len(data), "sha256": sha256(data).hexdigest()}


def _cut(value: Any, texts: int, items: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= texts else f"{value[:texts]}… [{CUT}: {len(value)} characters in all]"
    if isinstance(value, list):
        kept = [_cut(each, texts, items) for each in value[:items]]
        return kept if len(value) <= items else [*kept, f"[{CUT}: {len(value)} items in all]"]
    if isinstance(value, dict):
        within = {name[:texts]: _cut(value[name], texts, items) for name in list(value)[:items]}
        return within if len(value) <= items else {**within, CUT: f"{len(value)} fields in all"}
    return value


def _media_weight(item: Media) -> int:
    return len(item.url or "") + len(item.base64 or "") + len(item.data or b"")


def _answer_weight(value: Any) -> int:
    """About how many bytes an answer's data holds."""
    if isinstance(value, str | bytes | msgspec.Raw):
        return len(value) if isinstance(value, str) else len(bytes(value))
    if isinstance(value, list) and value and isinstance(value[0], float):
        return 32 * len(value)
    if isinstance(value, Struct):
        return sum(_answer_weight(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, dict):
        return sum(map(_answer_weight, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_answer_weight, value))
    return 8
