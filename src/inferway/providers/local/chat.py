"""Chat by local models."""

import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import msgspec

from inferway.errors import BadRequest, EngineFailed
from inferway.providers.base import Context, Prepared, Target
from inferway.providers.local.capability import Choice, Work, drop_extra, quality_warnings, run, stream
from inferway.providers.local.engine import ChatTask, Chatted, ChatTurn, Delta, Output
from inferway.providers.local.pool import EnginePool
from inferway.providers.parameters import Rule, carry
from inferway.types import (
    Adaptation,
    ChatCall,
    ChatEvent,
    ChatResult,
    Completion,
    Message,
    NamedTool,
    Operation,
    Structured,
    TextDelta,
    Usage,
)

_RULES = {
    "temperature": Rule(minimum=0, maximum=2),
    "max_tokens": Rule(minimum=1),
    "top_p": Rule(minimum=0, maximum=1),
    "stop": Rule(at_most=16),
    "seed": Rule(minimum=0, maximum=2**32 - 2),
    "schema": Rule(note="held by a grammar"),
}
_EXTRA = frozenset(
    {
        "top_k",
        "min_p",
        "typical_p",
        "repeat_penalty",
        "repeat_last_n",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
    }
)
"""Sampling fields of the llama.cpp server; others of it reach into the machine and stay closed."""


class LocalChat:
    """A `StreamingChat`."""

    max_batch = 1
    keeps_deadline = False

    def __init__(self, choice: Choice, pool: EnginePool) -> None:
        self._choice = choice
        self._pool = pool

    def prepare(self, call: ChatCall, target: Target) -> Prepared:
        """Raises `BadRequest` for media, for tools that must be called, and for a model that does not chat."""
        model = self._choice.require(target.model, Operation.CHAT)
        _refuse_tools(call, model.id)
        carried = carry(call.parameters, _RULES, target.facts, f"the local model {model.id}")
        extra, told = drop_extra(call.parameters, _EXTRA)
        task = ChatTask(turns=tuple(_turns(call, model.id)), extra=extra or None, **_arguments(carried.left))
        _require_countable(task, model.id)
        work = Work(model, task, capped=task.max_tokens is None)
        return Prepared(
            call=call, target=target, payload=work, adaptations=(*_reasons(carried.adaptations), *told)
        )

    async def execute(self, prepared: Prepared, context: Context) -> ChatResult:
        """See `EnginePool` for what it raises."""
        work: Work = prepared.payload
        return _result(work, await run(self._pool, work, context))

    async def stream(
        self, prepared: Prepared, context: Context
    ) -> AsyncGenerator[ChatEvent | ChatResult, None]:
        """Text as it comes and, last, the whole result; closing the iterator stops the engine's work."""
        work: Work = prepared.payload
        async with contextlib.aclosing(stream(self._pool, work, context)) as events:
            async for event in events:
                yield TextDelta(text=event.text) if isinstance(event, Delta) else _result(work, event)


def _arguments(left: Any) -> dict[str, Any]:
    arguments = {name: value for name, value in left.items() if name in ChatTask.__struct_fields__}
    schema = arguments.pop("schema", None)
    if schema is False:
        raise BadRequest(
            "parameters/schema: no answer can satisfy the schema false", code="impossible_schema"
        )
    if schema is not None:
        # The schema `true` allows any JSON.
        arguments["schema"] = {} if schema is True else schema
    return arguments


def _require_countable(task: ChatTask, model: str) -> None:
    """The engine's process is told in MessagePack, whose whole numbers have 64 bits, as the engine's have."""
    for name, value in (("schema", task.schema), ("extra", task.extra)):
        try:
            msgspec.msgpack.encode(value)
        except OverflowError:
            raise BadRequest(
                f"parameters.{name} holds a whole number of more than 64 bits; the local model {model} takes none",
                code="number_too_large",
            ) from None


def _turns(call: ChatCall, model: str) -> Iterator[ChatTurn]:
    if call.has_media():
        raise BadRequest(f"the local model {model} reads text only", code="operation_unsupported")
    for message in call.messages:
        yield ChatTurn(role=_role(message, model), content=message.text())


def _role(message: Message, model: str) -> Any:
    if message.role == "tool" or message.tool_calls:
        raise BadRequest(f"the local model {model} knows no tools, and the conversation holds tool calls")
    return message.role


def _refuse_tools(call: ChatCall, model: str) -> None:
    choice = call.parameters.tool_choice
    if call.parameters.tools and (choice == "required" or isinstance(choice, NamedTool)):
        raise BadRequest(
            f"the local model {model} cannot call tools; leave parameters.tools out or take another provider",
            code="tools_not_supported",
        )


def _reasons(adaptations: tuple[Adaptation, ...]) -> Iterator[Adaptation]:
    for each in adaptations:
        if each.field == "parameters.tools":
            yield Adaptation(
                field=each.field, action="dropped", reason="the small local models cannot call tools"
            )
        else:
            yield each


def _result(work: Work, output: Output) -> ChatResult:
    if not isinstance(output, Chatted) or not isinstance(work.task, ChatTask):
        raise EngineFailed("the local engine gave no answer", retryable=False)
    warnings = quality_warnings(work.model)
    if work.capped and output.finish_reason == "length":
        warnings += (f"the answer was cut after {output.completion_tokens} tokens; max_tokens asks for more",)
    # Whether the answer satisfies the schema is found out by who asked for it, whatever the grammar promises.
    structured = Structured(method="grammar", valid=False) if work.task.schema is not None else None
    return ChatResult(
        completion=Completion(text=output.text, finish_reason=output.finish_reason, structured=structured),
        usage=Usage(input=output.prompt_tokens, output=output.completion_tokens, source="measured"),
        model=work.model.id,
        warnings=warnings,
    )
