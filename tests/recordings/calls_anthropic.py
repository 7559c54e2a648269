"""Recorded requests to Anthropic as calls. Source: Anthropic API reference, messages."""

import json
from typing import Any

from tests.recordings.book import Recording
from tests.recordings.calls import Call, Parameters, Taken, Unsayable, chat_inputs, data_url

_CHOICES = {"auto": "auto", "none": "none", "any": "required"}


def to_call(recording: Recording) -> Call:
    """The call; raises `Unsayable`."""
    if recording.method != "messages":
        raise Unsayable(f"{recording.method} is not called")
    body, parameters = Taken(recording.request.body), Parameters()
    body.take("model")
    stream = body.take("stream") is True
    messages = [*_system(body.take("system"), parameters)]
    for message in body.take("messages"):
        messages += _turn(Taken(message))
    parameters.add("max_tokens", body.take("max_tokens"))
    parameters.number("temperature", body.take("temperature"), 1, ("temperature",))
    parameters.number("top_p", body.take("top_p"), 1, ("top_p",))
    parameters.add("stop", body.take("stop_sequences"))
    _tools(body, parameters)
    _output(body.take("output_config"), parameters)
    parameters.extra |= body.rest()
    betas = recording.request.header("anthropic-beta")
    if betas:
        parameters.native(betas.split(","), "betas")
    return Call(inputs=chat_inputs(messages), parameters=parameters.all(), stream=stream)


def _system(system: Any, parameters: Parameters) -> list[dict[str, Any]]:
    if isinstance(system, list) and (len(system) != 1 or set(system[0]) != {"type", "text"}):
        parameters.native(system, "system")
        return []
    if system is None:
        return []
    return [{"role": "system", "content": system if isinstance(system, str) else system[0]["text"]}]


def _turn(turn: Taken) -> list[dict[str, Any]]:
    role, content = turn.take("role"), turn.take("content")
    turn.nothing_left("a turn")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if role == "assistant":
        return [_answer(blocks)]
    results = [block for block in blocks if block["type"] == "tool_result"]
    others = [block for block in blocks if block["type"] != "tool_result"]
    if blocks[: len(results)] != results:
        raise Unsayable("tool results behind other content")
    messages = [_result(Taken(block)) for block in results]
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    return (
        [*messages, {"role": role, "content": [_part(Taken(block)) for block in others]}]
        if others
        else messages
    )


def _answer(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant"}
    ranks = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}
    order = [ranks.get(block["type"], -1) for block in blocks]
    if -1 in order or order != sorted(order):
        raise Unsayable("blocks of an answer in an order of their own")
    for block in blocks:
        fields = Taken(block)
        match fields.take("type"):
            case "text":
                made.setdefault("content", []).append({"type": "text", "text": fields.take("text")})
            case "tool_use":
                call = {
                    "id": fields.take("id"),
                    "name": fields.take("name"),
                    "arguments": fields.take("input"),
                }
                made.setdefault("tool_calls", []).append(call)
            case "thinking":
                thought = {"text": fields.take("thinking"), "signature": fields.take("signature")}
                made.setdefault("reasoning", []).append(thought)
            case kind:
                raise Unsayable(f"a block of type {kind}")
        fields.nothing_left("a block of an answer")
    return made


def _result(block: Taken) -> dict[str, Any]:
    block.take("type")
    content = block.take("content")
    made = {
        "role": "tool",
        "tool_call_id": block.take("tool_use_id"),
        "content": content
        if isinstance(content, str)
        else [_part(Taken(part)) for part in content or []] or "",
    }
    if block.take("is_error"):
        raise Unsayable("a failed tool call")
    block.nothing_left("a tool result")
    return made


def _part(block: Taken) -> dict[str, Any]:
    kind = block.take("type")
    made: dict[str, Any]
    if kind == "text":
        made = {"type": "text", "text": block.take("text")}
    elif kind in ("image", "document"):
        made = {"type": kind, **_source(kind, Taken(block.take("source")))}
    else:
        raise Unsayable(f"a block of type {kind}")
    block.nothing_left(f"a block of type {kind}")
    return made


def _source(kind: str, source: Taken) -> dict[str, Any]:
    match source.take("type"):
        case "url":
            return {f"{kind}_url": source.take("url")}
        case "base64":
            return {f"{kind}_base64": data_url(source.take("media_type"), source.take("data"))}
        case other:
            raise Unsayable(f"a source of type {other}")


def _tools(body: Taken, parameters: Parameters) -> None:
    tools, choice = body.take("tools"), body.take("tool_choice")
    if tools is not None:
        if any(not set(tool) <= {"name", "description", "input_schema"} for tool in tools):
            parameters.native(tools, "tools")
            parameters.native(choice, "tool_choice")
            return
        parameters.add("tools", [_tool(tool) for tool in tools])
    if choice is None:
        return
    if set(choice) == {"type"} and choice["type"] in _CHOICES:
        parameters.add("tool_choice", _CHOICES[choice["type"]])
    elif set(choice) == {"type", "name"}:
        parameters.add("tool_choice", {"name": choice["name"]})
    else:
        parameters.native(choice, "tool_choice")


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {("parameters" if name == "input_schema" else name): value for name, value in tool.items()}


def _output(output: Any, parameters: Parameters) -> None:
    if output is None:
        return
    fields = Taken(output)
    wanted = fields.take("format")
    if wanted is not None and wanted.get("type") == "json_schema":
        parameters.add("schema", json.loads(json.dumps(wanted["schema"])))
        parameters.add("repair", value=False)
    else:
        parameters.native(wanted, "output_config", "format")
    for name, value in fields.rest().items():
        parameters.native(value, "output_config", name)
