"""Recorded requests to Google as calls. Source: Gemini API and Vertex AI references."""

import json
import re
from typing import Any

from tests.recordings.book import Recording
from tests.recordings.calls import Call, Parameters, Taken, Unsayable, chat_inputs, data_url

_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
_LANGUAGE = re.compile(r"Respond in the (\S+) language\.")
_KINDS = ("image", "audio", "video")


def to_call(recording: Recording) -> Call:
    """The call; raises `Unsayable`."""
    body = Taken(canonical(recording.request.body))
    match recording.method:
        case "generateContent" if recording.kind.startswith("transcription"):
            return _transcription(body)
        case "generateContent" | "streamGenerateContent" as method:
            return _chat(body, stream=method.startswith("stream"))
        case "batchEmbedContents":
            return _batch(body)
        case "predict":
            return _predict(body)
        case "embedContent" if recording.row.vertex:
            return _embed_content(body)
    raise Unsayable(f"{recording.method} is not called")


_OPAQUE = frozenset(
    "args response responseSchema responseJsonSchema parameters parametersJsonSchema fileSearch".split()
)


def canonical(value: Any) -> Any:
    """The same request with camel-case field names: Google reads `inline_data` and `inlineData` alike."""
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): item for name, item in value.items()}
    return {name: item if name in _OPAQUE else canonical(item) for name, item in named.items()}


def _chat(body: Taken, *, stream: bool) -> Call:
    parameters = Parameters()
    messages = [*_system(body.take("systemInstruction"))]
    turns: dict[int, Any] = {}
    names: dict[str, str] = {}
    for content in body.take("contents"):
        if content.get("role") == "model" and any("functionCall" in part for part in content["parts"]):
            turns[len(messages)] = content
            messages.append({"role": "assistant"})
            names |= {
                part["functionCall"].get("id", ""): part["functionCall"]["name"]
                for part in content["parts"]
                if "functionCall" in part
            }
        else:
            messages += _turn(Taken(content))
    _config(Taken(body.take("generationConfig") or {}), parameters)
    _tools(body, parameters)
    parameters.extra |= body.rest()
    inputs = {"messages": messages} if turns else chat_inputs(messages)
    return Call(inputs=inputs, parameters=parameters.all(), stream=stream, model_turns=turns)


def _system(instruction: Any) -> list[dict[str, Any]]:
    if instruction is None:
        return []
    texts = [part["text"] for part in instruction["parts"]]
    return [{"role": "system", "content": text} for text in texts]


def _turn(content: Taken) -> list[dict[str, Any]]:
    role, parts = content.take("role"), content.take("parts")
    content.nothing_left("a content")
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    if results:
        if len(results) != len(parts):
            raise Unsayable("function results beside other parts")
        return [_result(Taken(result)) for result in results]
    if role == "model":
        if any(set(part) != {"text"} for part in parts):
            raise Unsayable("parts of a model's turn that are no text")
        return [{"role": "assistant", "content": "".join(part["text"] for part in parts)}]
    made = [_part(Taken(part)) for part in parts]
    text = made[0]["text"] if len(made) == 1 and made[0]["type"] == "text" else None
    return [{"role": "user", "content": made if text is None else text}]


def _result(result: Taken) -> dict[str, Any]:
    result.take("name")
    made = {"role": "tool", "tool_call_id": result.take("id"), "content": json.dumps(result.take("response"))}
    result.nothing_left("a function's result")
    if made["tool_call_id"] is None:
        raise Unsayable("a function's result without an id")
    return made


def _part(part: Taken) -> dict[str, Any]:
    text, inline, file = part.take("text"), part.take("inlineData"), part.take("fileData")
    part.nothing_left("a part")
    if inline is not None:
        kind = _kind(inline["mimeType"])
        return {"type": kind, f"{kind}_base64": data_url(inline["mimeType"], inline["data"])}
    if file is not None:
        kind = _kind(file["mimeType"])
        return {"type": kind, f"{kind}_url": file["fileUri"]}
    return {"type": "text", "text": text}


def _kind(mime: str) -> str:
    first = mime.partition("/")[0]
    return first if first in _KINDS else "document"


def _config(config: Taken, parameters: Parameters) -> None:
    parameters.number("temperature", config.take("temperature"), 2, ("generationConfig", "temperature"))
    parameters.number("top_p", config.take("topP"), 1, ("generationConfig", "topP"))
    parameters.add("max_tokens", config.take("maxOutputTokens"))
    parameters.add("stop", config.take("stopSequences"))
    parameters.add("seed", config.take("seed"))
    schema, mime = config.take("responseJsonSchema"), config.take("responseMimeType")
    if schema is not None and mime == "application/json":
        parameters.add("schema", schema)
        parameters.add("repair", value=False)
    else:
        parameters.native(schema, "generationConfig", "responseJsonSchema")
        parameters.native(mime, "generationConfig", "responseMimeType")
    for name, value in config.rest().items():
        parameters.native(value, "generationConfig", name)


def _tools(body: Taken, parameters: Parameters) -> None:
    """JSON Schema parameters are common; the older OpenAPI form, other tools and other choices are native."""
    tools, config = body.take("tools"), body.take("toolConfig")
    names = {"name", "description", "parametersJsonSchema"}
    common = tools is not None and all(
        set(tool) == {"functionDeclarations"}
        and all(set(each) <= names for each in tool["functionDeclarations"])
        for tool in tools
    )
    if not common or len(tools) > 1:
        parameters.native(tools, "tools")
        parameters.native(config, "toolConfig")
        return
    parameters.add("tools", [_tool(each) for each in tools[0]["functionDeclarations"]])
    calling = (config or {}).get("functionCallingConfig", {})
    allowed = calling.get("allowedFunctionNames")
    if config is None:
        return
    if calling.get("mode") == "ANY" and allowed and len(allowed) == 1:
        parameters.add("tool_choice", {"name": allowed[0]})
    elif set(calling) == {"mode"} and calling["mode"] in _MODES:
        parameters.add("tool_choice", _MODES[calling["mode"]])
    else:
        parameters.native(config, "toolConfig")


def _tool(declared: dict[str, Any]) -> dict[str, Any]:
    return {
        ("parameters" if name == "parametersJsonSchema" else name): value for name, value in declared.items()
    }


def _transcription(body: Taken) -> Call:
    parameters = Parameters()
    contents = body.take("contents")
    parts = contents[0]["parts"]
    audio = [part["inlineData"] for part in parts if "inlineData" in part]
    if len(contents) != 1 or len(audio) != 1:
        raise Unsayable("a transcription of several things")
    spoken = _LANGUAGE.search(" ".join(part.get("text", "") for part in parts))
    if spoken:
        parameters.add("language", spoken[1])
    config = Taken(body.take("generationConfig") or {})
    parameters.number("temperature", config.take("temperature"), 2, ("generationConfig", "temperature"))
    if config.take("responseMimeType") not in (None, "text/plain"):
        raise Unsayable("a transcription in another form")
    for name, value in config.rest().items():
        parameters.native(value, "generationConfig", name)
    parameters.extra |= body.rest()
    return Call(
        inputs={"audio_base64": data_url(audio[0]["mimeType"], audio[0]["data"])}, parameters=parameters.all()
    )


def _batch(body: Taken) -> Call:
    requests = body.take("requests")
    body.nothing_left("a batch")
    contents = [request["content"] for request in requests]
    if any(len(content["parts"]) != 1 for content in contents):
        raise Unsayable("one vector of several parts")
    shared = [
        {key: value for key, value in request.items() if key not in ("model", "content")}
        for request in requests
    ]
    if any(each != shared[0] for each in shared):
        raise Unsayable("items with parameters of their own")
    return _items([content["parts"][0] for content in contents], Taken(shared[0]))


def _items(parts: list[dict[str, Any]], fields: Taken) -> Call:
    parameters = Parameters()
    parameters.add("dimensions", fields.take("outputDimensionality"))
    parameters.add("task_type", fields.take("taskType"))
    parameters.extra |= fields.rest()
    texts = [part["text"] for part in parts if "text" in part]
    if len(texts) == len(parts):
        inputs = {"text": texts[0]} if len(texts) == 1 else {"texts": texts}
        return Call(inputs=inputs, parameters=parameters.all())
    if len(parts) > 1:
        raise Unsayable("texts and media to embed in one call")
    made = _part(Taken(parts[0]))
    return Call(
        inputs={key: value for key, value in made.items() if key != "type"}, parameters=parameters.all()
    )


def _predict(body: Taken) -> Call:
    instances, wanted = body.take("instances"), Taken(body.take("parameters") or {})
    body.nothing_left("a prediction")
    if not any("content" in instance for instance in instances):
        return _multimodal(instances, wanted)
    fields = [{key: value for key, value in instance.items() if key != "content"} for instance in instances]
    if any(each != fields[0] for each in fields) or any("content" not in instance for instance in instances):
        raise Unsayable("items with parameters of their own")
    shared = dict(fields[0])
    dimensions = wanted.take("outputDimensionality")
    if dimensions is not None:
        shared["outputDimensionality"] = dimensions
    if wanted.rest():
        shared["parameters"] = wanted.rest()
    return _items([{"text": instance["content"]} for instance in instances], Taken(shared))


def _multimodal(instances: list[dict[str, Any]], wanted: Taken) -> Call:
    """multimodalembedding: one text, image or video; how a video is cut is the gateway's own choice."""
    parameters = Parameters()
    if len(instances) != 1 or len(instances[0]) != 1:
        raise Unsayable("vectors of several things at once")
    ((kind, thing),) = instances[0].items()
    parameters.add("dimensions", wanted.take("dimension"))
    wanted.nothing_left("parameters")
    if kind == "text":
        return Call(inputs={"text": thing}, parameters=parameters.all())
    if "bytesBase64Encoded" not in thing or not set(thing) <= {"bytesBase64Encoded", "mimeType"}:
        raise Unsayable("media in a bucket, or with fields of their own")
    return Call(inputs={f"{kind}_base64": thing["bytesBase64Encoded"]}, parameters=parameters.all())


def _embed_content(body: Taken) -> Call:
    content, config = body.take("content"), body.take("embedContentConfig") or {}
    if len(content["parts"]) != 1:
        raise Unsayable("one vector of several parts")
    return _items(content["parts"], Taken({**body.rest(), **config}))
