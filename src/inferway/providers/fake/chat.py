"""Fake chat and vision: words that repeat the prompt, JSON for a schema, a tool call when there must be one."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import msgspec

from inferway.errors import BadRequest
from inferway.providers.base import Context, Prepared, Target, WireRequest
from inferway.providers.fake.switches import Switches, begin, read_switches, wait
from inferway.providers.fake.values import made_up_text, made_up_value
from inferway.providers.parameters import Rule, Rules, carry
from inferway.types import (
    ChatCall,
    ChatEvent,
    ChatResult,
    Completion,
    FinishReason,
    MediaPart,
    NamedTool,
    Reasoning,
    ReasoningDelta,
    Structured,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_RULES: Rules = {
    name: Rule(note="fake")
    for name in ("max_tokens", "stop", "schema", "tools", "tool_choice", "reasoning_effort")
}
_MEDIA_TOKENS = 100


class FakeChat:
    """Answers a conversation from its last user message. A token is a word."""

    max_batch = 1
    keeps_deadline = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    def prepare(self, call: ChatCall, target: Target) -> Prepared:
        """Raises `BadRequest` for unusable switches and for a tool that is to be called and is not there."""
        parameters = call.parameters
        read_switches(target, parameters.extra, self._options)
        _find_tool(call)
        carried = carry(parameters, _RULES, target.facts, "the fake chat")
        sent = {
            "model": target.model,
            "messages": [{"role": message.role, "content": message.text()} for message in call.messages],
            **{
                name: value
                for name, value in carried.left.items()
                if name in ("max_tokens", "stop", "schema")
            },
        }
        request = WireRequest(path="/fake/chat", body=msgspec.json.encode(sent))
        return Prepared(call=call, target=target, payload=request, adaptations=carried.adaptations)

    async def execute(self, prepared: Prepared, context: Context) -> ChatResult:
        """The whole answer, or the error that was asked for."""
        switches = self._switches(prepared)
        await begin(switches, context)
        if switches.cut_after is not None and (switches.error is None or switches.strikes(context)):
            raise switches.failure()
        return _answer(_call(prepared), prepared.target, switches)

    async def stream(
        self, prepared: Prepared, context: Context
    ) -> AsyncGenerator[ChatEvent | ChatResult, None]:
        """The answer word by word, then the result."""
        switches = self._switches(prepared)
        await begin(switches, context)
        result = _answer(_call(prepared), prepared.target, switches)
        is_cut = switches.cut_after is not None and (switches.error is None or switches.strikes(context))
        for sent, event in enumerate(_events(result.completion)):
            if is_cut and sent == switches.cut_after:
                raise switches.failure()
            await wait(switches.chunk_ms, context)
            yield event
        if is_cut:
            raise switches.failure()
        yield result

    def _switches(self, prepared: Prepared) -> Switches:
        return read_switches(prepared.target, prepared.call.parameters.extra, self._options)


def _call(prepared: Prepared) -> ChatCall:
    return cast("ChatCall", prepared.call)


def _answer(call: ChatCall, target: Target, switches: Switches) -> ChatResult:
    asked = next((message for message in reversed(call.messages) if message.role == "user"), None)
    prompt = asked.text() if asked else ""
    media = sum(isinstance(part, MediaPart) for message in call.messages for part in message.content)
    tool = _find_tool(call)
    reasoning = (Reasoning(text="This is fake reasoning."),) if call.parameters.reasoning_effort else ()
    text, finish = _text(call, prompt, media, switches)
    if tool:
        text, finish = "", "tool_calls"
    calls = (_tool_call(tool),) if tool else ()
    completion = Completion(
        text=text,
        finish_reason=switches.finish or finish,
        tool_calls=calls,
        reasoning=reasoning,
        structured=_structured(call),
    )
    said = sum(len(message.text().split()) for message in call.messages)
    usage = Usage(
        input=said + media * _MEDIA_TOKENS,
        output=len(text.split()) + len(calls),
        reasoning=4 * len(reasoning),
        images=media,
        source="provider",
        raw=msgspec.json.encode({"input": said, "output": len(text.split())}),
    )
    return ChatResult(
        completion=completion, usage=switches.report(usage), model=target.model.partition("?")[0]
    )


def _text(call: ChatCall, prompt: str, media: int, switches: Switches) -> tuple[str, FinishReason]:
    parameters = call.parameters
    if switches.text is not None:
        text = switches.text
    elif parameters.schema is not None:
        text = msgspec.json.encode(made_up_value(parameters.schema)).decode()
    else:
        text = made_up_text(prompt, media)
    for stop in parameters.stop or ():
        text = text.partition(stop)[0] if stop else text
    words = text.split(" ")
    if parameters.max_tokens is not None and len(words) > parameters.max_tokens:
        return " ".join(words[: parameters.max_tokens]), "length"
    return text, "stop"


def _structured(call: ChatCall) -> Structured | None:
    return None if call.parameters.schema is None else Structured(method="native", valid=False)


def _find_tool(call: ChatCall) -> Tool | None:
    """The tool that must be called: the one that is named, or the first when one is required and none has answered yet."""
    parameters = call.parameters
    tools, choice = parameters.tools or (), parameters.tool_choice
    if isinstance(choice, NamedTool):
        found = next((tool for tool in tools if tool.name == choice.name), None)
        if found is None:
            raise BadRequest(f"tool_choice names {choice.name!r}, which is not among the tools")
        return found
    if choice != "required" or any(message.role == "tool" for message in call.messages):
        return None
    return tools[0] if tools else None


def _tool_call(tool: Tool) -> ToolCall:
    arguments = made_up_value(tool.parameters or {"type": "object"})
    return ToolCall(
        id=f"call_fake_{tool.name}",
        name=tool.name,
        arguments=arguments if isinstance(arguments, dict) else {},
    )


def _events(completion: Completion) -> list[ChatEvent]:
    events: list[ChatEvent] = [ReasoningDelta(text=step.text) for step in completion.reasoning if step.text]
    words = completion.text.split(" ") if completion.text else []
    events += [TextDelta(text=word if at == 0 else f" {word}") for at, word in enumerate(words)]
    for index, call in enumerate(completion.tool_calls):
        arguments = msgspec.json.encode(call.arguments).decode()
        half = len(arguments) // 2
        events.append(ToolCallDelta(call=index, id=call.id, name=call.name, arguments=arguments[:half]))
        events.append(ToolCallDelta(call=index, arguments=arguments[half:]))
    return events
