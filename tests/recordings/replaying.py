"""Sends what a recording asks for through the running server, and says what left and what came back."""

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from msgspec import Struct

from tests.recordings import calls_anthropic, calls_google, calls_openai
from tests.recordings.book import Checks, Recording, Response
from tests.recordings.calls import Call, Unsayable, plain_call
from tests.recordings.gateway import PROVIDER_KEY, Gateway, Reply
from tests.recordings.upstream import Asked, ReplayUpstream

_TO_CALL = {
    "openai": calls_openai.to_call,
    "anthropic": calls_anthropic.to_call,
    "google": calls_google.to_call,
}
_CALLED = frozenset(
    "chat/completions embeddings audio/transcriptions messages generateContent streamGenerateContent batchEmbedContents predict".split()
)

ERROR_TIMEOUT_S = 3.0
"""The deadline of calls that fail: a provider that asks for more patience is not waited for."""


class Exchange(Struct, frozen=True, kw_only=True):
    """One replayed recording: what was called, every request that left for it, and what the caller got."""

    call: Call
    reply: Reply
    asked: list[Asked]


def to_call(recording: Recording) -> Call:
    """The recorded request as a call; raises `Unsayable`."""
    return _TO_CALL[recording.provider](recording)


def most_checks(recording: Recording) -> tuple[Checks, str]:
    """The most that can be checked of a recording, and why it is not everything (empty: it is)."""
    try:
        to_call(recording)
    except Unsayable as reason:
        if not recording.is_success:
            return "error", str(reason)
        is_called = recording.method in _CALLED or (
            recording.method == "embedContent" and recording.row.vertex is not None
        )
        return ("answer" if is_called else "tolerance"), str(reason)
    return ("request+answer" if recording.is_success else "request+error"), ""


def replay(recording: Recording, gateway: Gateway, upstream: ReplayUpstream) -> Exchange:
    """Replay one recording."""
    try:
        call = to_call(recording)
    except Unsayable:
        call = plain_call(recording)
    inputs = _with_model_turns(recording, call, gateway, upstream)
    parameters = (
        call.parameters if recording.is_success else {**call.parameters, "timeout_s": ERROR_TIMEOUT_S}
    )
    upstream.play(recording.response)
    reply = gateway.call(
        {**address(recording), "inputs": inputs, "parameters": parameters or None, "stream": call.stream}
    )
    return Exchange(call=call, reply=reply, asked=upstream.asked)


def address(recording: Recording) -> dict[str, str]:
    """The provider row and the model."""
    return {"provider": recording.row.name, "model": recording.model}


def _with_model_turns(
    recording: Recording, call: Call, gateway: Gateway, upstream: ReplayUpstream
) -> dict[str, Any]:
    """The inputs with the model's turns as the server gives them when it reads them from an answer."""
    inputs = dict(call.inputs)
    for index, content in call.model_turns.items():
        answer = {
            "candidates": [{"content": content, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1},
        }
        headers = {"content-type": "application/json"}
        upstream.play(Response(status=200, headers=headers, body_type="json", body=answer))
        reply = gateway.call({**address(recording), "inputs": {"prompts": ["Say it."]}})
        assert reply.status == 200, reply.body
        said = reply.body["data"]["completions"][0]
        turn = {"role": "assistant", "content": said["text"] or None}
        turn |= {name: said[name] for name in ("tool_calls", "reasoning") if said.get(name)}
        inputs["messages"] = [*inputs["messages"][:index], turn, *inputs["messages"][index + 1 :]]
    return inputs


def sent_body(asked: Asked) -> Any:
    """The body that left: JSON, or the fields of a form as in `form_fields`."""
    if not asked.headers["content-type"].startswith("multipart/"):
        return json.loads(asked.body)
    head = f"content-type: {asked.headers['content-type']}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + asked.body)
    fields: dict[str, Any] = {}
    for part in form.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename() is None:
            fields.setdefault(name, []).append(content.decode())
        else:
            fields[name] = {
                "filename": part.get_filename(),
                "content_type": part.get_content_type(),
                "content": content,
            }
    return fields


def check_headers(recording: Recording, asked: Asked, caller_key: str) -> list[str]:
    """What is wrong with the headers that left: credentials, content type and the API's version."""
    headers, wrong = asked.headers, []
    shown = {"anthropic": ("x-api-key", PROVIDER_KEY), "google": ("x-goog-api-key", PROVIDER_KEY)}
    bearer = ("authorization", f"Bearer {PROVIDER_KEY}")
    name, value = bearer if recording.row.vertex else shown.get(recording.provider, bearer)
    if headers.get(name) != value:
        wrong.append(f"the credential is not in {name}")
    if caller_key in str(headers) or caller_key.encode() in asked.body:
        wrong.append("the caller's own key left")
    for name in ("anthropic-version", "anthropic-beta"):
        recorded = recording.request.header(name)
        if recorded is not None and headers.get(name) != recorded:
            wrong.append(f"{name}: {recorded} was recorded, {headers.get(name)} left")
    wanted = "multipart/form-data" if "multipart" in recording.request.body else "application/json"
    if headers.get("content-type", "").partition(";")[0] != wanted:
        wrong.append(f"the content type is {headers.get('content-type')}")
    return wrong
