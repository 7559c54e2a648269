"""Recorded requests to OpenAI as calls. Source: OpenAI API reference."""

import json
from typing import Any

from tests.recordings.book import Recording
from tests.recordings.calls import Call, Parameters, Taken, Unsayable, chat_inputs

_CHOICES = ("auto", "none", "required")


def to_call(recording: Recording) -> Call:
    """The call; raises `Unsayable`."""
    body = recording.request.body
    match recording.method:
        case "chat/completions":
            return _chat(Taken(body))
        case "embeddings":
            return _embedding(Taken(body))
        case "audio/transcriptions":
            return _transcription(body["multipart"])
    raise Unsayable(f"{recording.method} is not called")


def _chat(body: Taken) -> Call:
    parameters = Parameters()
    body.take("model", "stream_options")
    stream = body.take("stream") is True
    messages = [_message(Taken(message)) for message in body.take("messages")]
    parameters.add("max_tokens", body.take("max_completion_tokens", "max_tokens"))
    parameters.number("temperature", body.take("temperature"), 2, ("temperature",))
    parameters.number("top_p", body.take("top_p"), 1, ("top_p",))
    for name in ("stop", "seed", "reasoning_effort"):
        parameters.add(name, body.take(name))
    _tools(body, parameters)
    _response_format(body.take("response_format"), parameters)
    parameters.extra |= body.rest()
    return Call(inputs=chat_inputs(messages), parameters=parameters.all(), stream=stream)


def _message(message: Taken) -> dict[str, Any]:
    role = {"developer": "system"}.get(role := message.take("role"), role)
    content = message.take("content")
    made: dict[str, Any] = {"role": role}
    calls = message.take("tool_calls")
    if calls:
        made["tool_calls"] = [_tool_call(Taken(call)) for call in calls]
    if role == "tool":
        made["tool_call_id"] = message.take("tool_call_id")
    if role == "assistant":
        message.take("refusal")
    message.nothing_left(f"a message of {role}")
    if content is not None or not calls:
        made["content"] = [_part(Taken(part)) for part in content] if isinstance(content, list) else content
    return made


def _tool_call(call: Taken) -> dict[str, Any]:
    function = Taken(call.take("function"))
    call.take("type")
    made = {
        "id": call.take("id"),
        "name": function.take("name"),
        "arguments": json.loads(function.take("arguments") or "{}"),
    }
    function.nothing_left("a tool call's function")
    call.nothing_left("a tool call")
    return made


def _part(part: Taken) -> dict[str, Any]:
    kind = part.take("type")
    made: dict[str, Any]
    if kind == "text":
        made = {"type": "text", "text": part.take("text")}
    elif kind == "image_url":
        made = _image(part.take("image_url"))
    elif kind == "input_audio":
        audio = Taken(part.take("input_audio"))
        audio.take("format")
        made = {"type": "audio", "audio_base64": audio.take("data")}
        audio.nothing_left("input_audio")
    elif kind == "file":
        file = Taken(part.take("file"))
        file.take("filename")
        made = {"type": "document", "document_base64": file.take("file_data")}
        file.nothing_left("file")
    else:
        raise Unsayable(f"a part of type {kind}")
    part.nothing_left(f"a part of type {kind}")
    return made


def _image(given: Any) -> dict[str, Any]:
    # The vision previews took the URL itself.
    image = Taken({"url": given} if isinstance(given, str) else given)
    url = image.take("url")
    if image.take("detail") not in (None, "auto"):
        raise Unsayable("the detail of an image")
    image.nothing_left("image_url")
    key = "image_base64" if url.startswith("data:") else "image_url"
    return {"type": "image", key: url}


def _tools(body: Taken, parameters: Parameters) -> None:
    tools, choice = body.take("tools"), body.take("tool_choice")
    if tools is not None:
        common = all(
            set(tool) == {"type", "function"}
            and set(tool["function"]) <= {"name", "description", "parameters"}
            for tool in tools
        )
        if common:
            parameters.add("tools", [tool["function"] for tool in tools])
        else:
            parameters.native(tools, "tools")
            parameters.native(choice, "tool_choice")
            return
    if choice is None or choice in _CHOICES:
        parameters.add("tool_choice", choice)
    elif isinstance(choice, dict) and choice.get("type") == "function":
        parameters.add("tool_choice", {"name": choice["function"]["name"]})
    else:
        parameters.native(choice, "tool_choice")


def _response_format(wanted: Any, parameters: Parameters) -> None:
    """A schema is common; the name it is given to the provider by, its description and the mode are native and merged into ours."""
    if not wanted or wanted.get("type") != "json_schema":
        parameters.native(wanted, "response_format")
        return
    named = Taken(wanted["json_schema"])
    parameters.add("schema", named.take("schema"))
    # The answer that was recorded is judged as it is.
    parameters.add("repair", value=False)
    for name, value in named.rest().items():
        parameters.native(value, "response_format", "json_schema", name)


def _embedding(body: Taken) -> Call:
    parameters = Parameters()
    body.take("model")
    items = body.take("input")
    if not isinstance(items, str) and not all(isinstance(item, str) for item in items):
        raise Unsayable("an input of token numbers")
    parameters.add("dimensions", body.take("dimensions"))
    parameters.extra |= body.rest()
    return Call(inputs={"text" if isinstance(items, str) else "texts": items}, parameters=parameters.all())


def _transcription(parts: list[dict[str, Any]]) -> Call:
    parameters = Parameters()
    inputs: dict[str, Any] = {}
    for part in parts:
        name = part["name"]
        if name == "file":
            inputs["audio_base64"] = part["base64"]
        elif name in ("language", "prompt"):
            parameters.add(name, part["value"])
        elif name == "temperature":
            parameters.number(name, float(part["value"]), 1, (name,))
        elif name.endswith("[]"):
            parameters.extra.setdefault(name.removesuffix("[]"), []).append(part["value"])
        elif name != "model":
            parameters.native(part["value"], name)
    return Call(inputs=inputs, parameters=parameters.all())
