"""Structured output: the caller's schema is checked before anything is sent, and every answer is checked against it."""

from typing import Any, Protocol

import jsonschema_rs
import msgspec
from msgspec.structs import replace

from inferway.errors import BadRequest
from inferway.pipeline.satisfiable import find_contradiction
from inferway.types import ChatCall, ChatResult, Completion, Message, Structured, TextPart

_MAX_SCHEMA_BYTES = 64 * 1024
_MAX_PATTERNS = 256
_PATTERN_BYTES = 200_000
"""The most memory that one compiled pattern may take: it also bounds the time that compiling takes."""

_SHOWN_ERRORS = 5

Schema = dict[str, Any] | bool


class Checker:
    """A compiled JSON Schema, in which a contradiction is searched for unless told otherwise. Raises `BadRequest`."""

    def __init__(self, schema: Schema, *, is_searched: bool = True) -> None:
        self._validator = _compile(schema)
        contradiction = find_contradiction(schema) if is_searched else None
        if contradiction is not None:
            raise impossible(contradiction.reason[:300], contradiction.path)

    def findings(self, value: object) -> list[str]:
        """What is wrong with a value, as short sentences with their places; empty when it is valid."""
        found = []
        try:
            for error in self._validator.iter_errors(value):
                place = "/".join(str(step) for step in error.instance_path)
                found.append(f"at /{place}: {error.message[:300]}")
                if len(found) == _SHOWN_ERRORS:
                    break
        except (ValueError, RecursionError):
            found.append("the answer is nested too deeply to be checked")
        return found


class Taken(Protocol):
    """A schema that answers are checked against."""

    async def findings(self, value: object, length: int) -> tuple[str, ...] | None:
        """What is wrong with a value whose JSON has `length` characters; None when it takes too much to say."""


def require_small(schema: Schema) -> None:
    """Raise `BadRequest` for a schema that is too large to be looked at."""
    if len(msgspec.json.encode(schema)) > _MAX_SCHEMA_BYTES:
        raise impossible("the schema is larger than 64 KiB", ())


def _compile(schema: Schema) -> Any:
    require_small(schema)
    if _count_patterns(schema) > _MAX_PATTERNS:
        raise impossible(f"the schema has more than {_MAX_PATTERNS} patterns", ())
    try:
        return jsonschema_rs.validator_for(
            schema,
            retriever=_refuse,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES),
        )
    except jsonschema_rs.ValidationError as error:
        raise impossible(error.message[:300], tuple(error.instance_path)) from None
    except (ValueError, RecursionError) as error:
        raise impossible(str(error)[:300], ()) from None


def _count_patterns(schema: object) -> int:
    if isinstance(schema, list):
        return sum(map(_count_patterns, schema))
    if not isinstance(schema, dict):
        return 0
    keyed = schema.get("patternProperties")
    own = isinstance(schema.get("pattern"), str) + (len(keyed) if isinstance(keyed, dict) else 0)
    return own + sum(map(_count_patterns, schema.values()))


def _refuse(uri: str) -> Any:
    """References leave the schema for nowhere: neither files nor the network are read."""
    raise ValueError(f"references outside the schema are not followed: {uri[:100]}")


def impossible(reason: str, path: tuple[str | int, ...]) -> BadRequest:
    """The error for a schema that cannot be used, with the path of the part at fault."""
    place = "/".join(str(step) for step in ("parameters", "schema", *path))
    return BadRequest(
        f"{place}: {reason}",
        code="impossible_schema",
        details={"location": ["body", "parameters", "schema", *path]},
    )


async def checked(result: ChatResult, schema: Taken, repairs: int) -> tuple[ChatResult, list[str]]:
    """The result with `parsed` and `structured` filled in, also in its alternatives, and what is wrong with its completion.

    An answer that was cut, filtered or refused is not parsed: it is reported invalid with nothing to repair. So is one that takes
    too much time to check: nobody could tell the model what to do better.
    """
    completion, findings = await _checked(result.completion, schema, repairs)
    if completion.alternatives:
        others = [(await _checked(other, schema, repairs))[0] for other in completion.alternatives]
        completion = replace(completion, alternatives=tuple(others))
    return replace(result, completion=completion), findings


async def _checked(completion: Completion, schema: Taken, repairs: int) -> tuple[Completion, list[str]]:
    method = completion.structured.method if completion.structured else "prompt"
    invalid = replace(completion, structured=Structured(method=method, valid=False, repairs=repairs))
    if completion.refusal is not None or completion.finish_reason not in ("stop", None):
        return invalid, []
    try:
        value = msgspec.json.decode(_bare(completion.text))
    except (msgspec.DecodeError, RecursionError):
        return invalid, ["the answer is not JSON"]
    found = await schema.findings(value, len(completion.text))
    structured = Structured(method=method, valid=found == (), repairs=repairs)
    return replace(completion, parsed=value, structured=structured), list(found or ())


def _bare(text: str) -> str:
    """The JSON inside a Markdown code fence, which models like to put around it."""
    text = text.strip()
    if not (text.startswith("```") and text.endswith("```") and "\n" in text):
        return text
    return text[text.index("\n") + 1 : -3].strip()


def repair_call(call: ChatCall, answer: Completion, findings: list[str]) -> ChatCall:
    """The same conversation, with the invalid answer and what is wrong with it; not streamed."""
    said = "\n".join(findings)
    return replace(
        call,
        stream=False,
        messages=(
            *call.messages,
            Message(role="assistant", content=(TextPart(text=answer.text or "(empty)"),)),
            Message(
                role="user",
                content=(
                    TextPart(
                        text="That answer does not satisfy the required JSON schema:\n"
                        f"{said}\nAnswer again with corrected JSON only."
                    ),
                ),
            ),
        ),
    )
