"""What a recorded answer says, read from the provider's reference by a reader of the tests' own."""

import base64
import json
import struct
from typing import Any

from msgspec import Struct

from tests.recordings.book import Recording


class Said(Struct, kw_only=True):
    """One choice: its text, why it ended in the contract's words, and the rest."""

    text: str = ""
    finish: str | None = None
    refusal: str | None = None
    calls: list[dict[str, Any]] = []
    thoughts: str = ""
    signatures: list[str] = []


class Expected(Struct, kw_only=True):
    """What the caller has to get. `counted` says whether the provider counted tokens; `tokens` is None where there are none to tell."""

    choices: list[Said] = []
    vectors: list[list[float]] | None = None
    transcript: dict[str, Any] | None = None
    tokens: dict[str, int] | None = None
    counted: bool = True


def sse_data(text: str) -> list[Any]:
    """The JSON of every event's data, without end markers."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.removeprefix("data:").strip() for line in block.split("\n") if line.startswith("data:")]
        if lines and lines != ["[DONE]"]:
            found.append(json.loads("\n".join(lines)))
    return found


def tokens(prompt: int, completion: int, **extra: int) -> dict[str, int]:
    """The contract's `tokens_used`."""
    counts = {"prompt": prompt, "completion": completion, "total": prompt + completion}
    return counts | {name: count for name, count in extra.items() if count}


def expect(recording: Recording) -> Expected:
    """What the recording's answer means."""
    read = {"openai": _openai, "anthropic": _anthropic, "google": _google}[recording.provider]
    return read(recording)


_OPENAI_FINISH = {"function_call": "tool_calls", "max_tokens": "length"}


def _openai(recording: Recording) -> Expected:
    body, kind = recording.response.body, recording.response.body_type
    if recording.method == "embeddings":
        vectors = [
            _vector(item["embedding"]) for item in sorted(body["data"], key=lambda item: item["index"])
        ]
        return Expected(vectors=vectors, tokens=tokens(body["usage"]["prompt_tokens"], 0))
    if recording.method == "audio/transcriptions":
        return _openai_transcript(recording)
    if kind == "sse":
        return _openai_stream(sse_data(body))
    choices = []
    for choice in sorted(body["choices"], key=lambda choice: choice.get("index", 0)):
        message = choice["message"]
        finish = choice.get("finish_reason") or choice["finish_details"]["type"]
        calls = [_openai_call(call["id"], call["function"]) for call in message.get("tool_calls") or []]
        choices.append(_openai_said(message.get("content"), message.get("refusal"), finish, calls))
    return Expected(
        choices=choices, tokens=_openai_tokens(body.get("usage")), counted=bool(body.get("usage"))
    )


def _openai_stream(chunks: list[Any]) -> Expected:
    collected: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            so_far = collected.setdefault(
                choice["index"], {"text": "", "refusal": "", "finish": None, "calls": {}}
            )
            delta = choice["delta"]
            so_far["text"] += delta.get("content") or ""
            so_far["refusal"] += delta.get("refusal") or ""
            so_far["finish"] = choice.get("finish_reason") or so_far["finish"]
            for piece in delta.get("tool_calls") or []:
                call = so_far["calls"].setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
                call["id"] = piece.get("id") or call["id"]
                call["name"] += piece["function"].get("name") or ""
                call["arguments"] += piece["function"].get("arguments") or ""
    choices = [
        _openai_said(
            each["text"],
            each["refusal"],
            each["finish"],
            [_openai_call(call["id"], call) for call in each["calls"].values()],
        )
        for _, each in sorted(collected.items())
    ]
    return Expected(choices=choices, tokens=_openai_tokens(usage), counted=usage is not None)


def _openai_said(text: str | None, refusal: str | None, finish: str, calls: list[dict[str, Any]]) -> Said:
    reason = _OPENAI_FINISH.get(finish, finish)
    if calls and reason == "stop":
        reason = "tool_calls"
    return Said(
        text=text or "", refusal=refusal or None, finish="content_filter" if refusal else reason, calls=calls
    )


def _openai_call(identity: str, function: dict[str, Any]) -> dict[str, Any]:
    return {"id": identity, "name": function["name"], "arguments": json.loads(function["arguments"] or "{}")}


def _openai_tokens(usage: dict[str, Any] | None) -> dict[str, int] | None:
    if not usage:
        return None
    asked, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return tokens(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        reasoning=made.get("reasoning_tokens") or 0,
        cached_prompt=asked.get("cached_tokens") or 0,
        audio_prompt=asked.get("audio_tokens") or 0,
    )


def _vector(value: Any) -> list[float]:
    if isinstance(value, list):
        return value
    content = base64.b64decode(value)
    return list(struct.unpack(f"<{len(content) // 4}f", content))


def _openai_transcript(recording: Recording) -> Expected:
    body = recording.response.body
    if recording.response.body_type == "text":
        return Expected(transcript={"text": body.removesuffix("\n")}, counted=False)
    if recording.response.body_type == "sse":
        events = sse_data(body)
        done = next(event for event in events if event["type"] == "transcript.text.done")
        body = {
            **done,
            "segments": [event for event in events if event["type"] == "transcript.text.segment"] or None,
        }
    transcript: dict[str, Any] = {"text": body["text"]}
    if body.get("language"):
        transcript["language"] = body["language"]
    if body.get("duration") is not None:
        transcript["duration_s"] = float(body["duration"])
    if body.get("segments") is not None:
        transcript["segments"] = [_segment(segment) for segment in body["segments"]]
    if body.get("words") is not None:
        transcript["words"] = [
            {"start_s": word["start"], "end_s": word["end"], "word": word["word"]} for word in body["words"]
        ]
    usage = body.get("usage") or {}
    if usage.get("type") != "tokens":
        return Expected(transcript=transcript)
    audio = (usage.get("input_token_details") or {}).get("audio_tokens") or 0
    return Expected(
        transcript=transcript,
        tokens=tokens(usage["input_tokens"], usage["output_tokens"], audio_prompt=audio),
    )


def _segment(segment: dict[str, Any]) -> dict[str, Any]:
    made = {"start_s": segment["start"], "end_s": segment["end"], "text": segment["text"]}
    return made | ({"speaker": segment["speaker"]} if segment.get("speaker") else {})


_ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def _anthropic(recording: Recording) -> Expected:
    message = recording.response.body
    if recording.response.body_type == "sse":
        message = _anthropic_message(sse_data(message))
    said = Said(finish=_ANTHROPIC_FINISH.get(message["stop_reason"]))
    for block in message["content"]:
        if block["type"] == "text":
            said.text += block["text"]
        elif block["type"] == "tool_use":
            said.calls = [
                *said.calls,
                {"id": block["id"], "name": block["name"], "arguments": block["input"]},
            ]
        elif block["type"] == "thinking":
            said.thoughts += block["thinking"]
            said.signatures = [*said.signatures, block["signature"]]
    usage = message["usage"]
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    counts = tokens(
        usage["input_tokens"] + cached + written,
        usage["output_tokens"],
        reasoning=thought,
        cached_prompt=cached,
        cache_write=written,
    )
    return Expected(choices=[said], tokens=counts)


def _anthropic_message(events: list[Any]) -> dict[str, Any]:
    """The message that a stream amounts to."""
    message: dict[str, Any] = {}
    pieces: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                _anthropic_delta(message["content"][event["index"]], event["delta"], pieces, event["index"])
            case "message_delta":
                message["stop_reason"] = event["delta"]["stop_reason"]
                message["usage"] |= {
                    name: count for name, count in event["usage"].items() if count is not None
                }
    for index, text in pieces.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message


def _anthropic_delta(
    block: dict[str, Any], delta: dict[str, Any], pieces: dict[int, str], index: int
) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            pieces[index] = pieces.get(index, "") + delta["partial_json"]


_FILTERED = frozenset(
    (
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "MODEL_ARMOR",
    )
)
_BY_NUMBER = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}


def _google(recording: Recording) -> Expected:
    body = recording.response.body
    match recording.method:
        case "batchEmbedContents":
            return _google_vectors([item["values"] for item in body["embeddings"]], body.get("usageMetadata"))
        case "embedContent":
            return _google_vectors([body["embedding"]["values"]], body.get("usageMetadata"))
        case "predict":
            found = [item.get("embeddings") for item in body["predictions"]]
            if None in found:
                return Expected(vectors=[_multimodal(item) for item in body["predictions"]], counted=False)
            counted = sum(item["statistics"]["token_count"] for item in found)
            return Expected(vectors=[item["values"] for item in found], tokens=tokens(int(counted), 0))
    chunks = (
        sse_data(body)
        if recording.response.body_type == "sse"
        else body
        if isinstance(body, list)
        else [body]
    )
    said, counts = _google_said(chunks)
    if recording.kind.startswith("transcription"):
        return Expected(transcript={"text": said.text.strip()}, tokens=counts)
    return Expected(choices=[said], tokens=counts, counted=counts is not None)


def _multimodal(prediction: dict[str, Any]) -> list[float]:
    """The one vector of an item that multimodalembedding was given."""
    segments = prediction.get("videoEmbeddings") or [{}]
    found: list[float] = (
        prediction.get("textEmbedding") or prediction.get("imageEmbedding") or segments[0]["embedding"]
    )
    return found


def _google_vectors(vectors: list[list[float]], usage: dict[str, Any] | None) -> Expected:
    if not usage:
        return Expected(vectors=vectors, counted=False)
    return Expected(vectors=vectors, tokens=tokens(usage["promptTokenCount"], 0))


def _google_said(chunks: list[Any]) -> tuple[Said, dict[str, int] | None]:
    said, usage, finish, blocked = Said(), None, None, False
    for chunk in chunks:
        usage = chunk.get("usageMetadata") or usage
        blocked = blocked or "blockReason" in (chunk.get("promptFeedback") or {})
        for candidate in (chunk.get("candidates") or [])[:1]:
            reason = candidate.get("finishReason")
            finish = _BY_NUMBER.get(reason, reason) or finish
            for part in (candidate.get("content") or {}).get("parts") or []:
                _google_part(said, part)
    if (blocked and finish is None) or finish in _FILTERED:
        said.finish = "content_filter"
    else:
        said.finish = "length" if finish == "MAX_TOKENS" else "tool_calls" if said.calls else "stop"
    return said, _google_tokens(usage)


def _google_part(said: Said, part: dict[str, Any]) -> None:
    if part.get("thoughtSignature"):
        said.signatures = [*said.signatures, part["thoughtSignature"]]
    if "functionCall" in part:
        call = part["functionCall"]
        said.calls = [
            *said.calls,
            {"id": call.get("id"), "name": call["name"], "arguments": call.get("args") or {}},
        ]
    elif part.get("thought"):
        said.thoughts += part.get("text", "")
    else:
        said.text += part.get("text", "")


def _google_tokens(usage: dict[str, Any] | None) -> dict[str, int] | None:
    if not usage:
        return None
    thought = usage.get("thoughtsTokenCount") or 0
    cached = usage.get("cachedContentTokenCount") or 0
    modalities = usage.get("promptTokensDetails") or []
    audio = sum(each["tokenCount"] for each in modalities if each["modality"] == "AUDIO")
    return tokens(
        usage["promptTokenCount"] + (usage.get("toolUsePromptTokenCount") or 0),
        (usage.get("candidatesTokenCount") or 0) + thought,
        reasoning=thought,
        cached_prompt=cached,
        audio_prompt=audio,
    )
