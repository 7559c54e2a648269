"""The quick way through a plain body: one typed decode for the calls that are nearly all calls.

Whatever is not plain (media, messages, unknown keys, anything wrong) is None here, and read again by the general reader, which also
says what is wrong. Both give the same value for a plain body; a test holds them to that.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from inferway.pipeline.inputs import Inputs, NonEmpty, NonEmptyList
from inferway.pipeline.parameters import Positive, Whole
from inferway.types import NO_PARAMETERS, Operation, Parameters

MAX_NAME_BYTES = 2_048
"""Of a model's name in UTF-8. Names are remembered and stored, and an index of PostgreSQL has room for 2,704 bytes in a row."""


class _PlainInputs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    prompts: NonEmptyList | None = None
    system: str | None = None
    text: NonEmpty | None = None
    texts: NonEmptyList | None = None


class _PlainParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    temperature: Annotated[float, Meta(ge=0)] | None = None
    max_tokens: Positive | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Whole | None = None
    dimensions: Positive | None = None
    reasoning_effort: str | None = None
    timeout_s: Annotated[float, Meta(gt=0)] | None = None


class PlainBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body with nothing but prompts or texts, and numbers for parameters."""

    provider: str
    model: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_BYTES // 4)]
    inputs: _PlainInputs
    parameters: _PlainParameters | None = None
    stream: bool = False


_decoder = msgspec.json.Decoder(PlainBody)
_LONGEST_TRIED = 64 * 1024
_CHAT = Operation.CHAT
"""Members of an enumeration are looked up by Python code."""


def find_plain(body: bytes) -> tuple[PlainBody, Inputs, Parameters] | None:
    """What a plain body says, or None; a large one is not tried, as it would be read twice if it is not plain."""
    if len(body) > _LONGEST_TRIED:
        return None
    try:
        plain = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    inputs = _inputs(plain.inputs)
    if inputs is None:
        return None
    return plain, inputs, NO_PARAMETERS if plain.parameters is None else _parameters(plain.parameters)


def _inputs(given: _PlainInputs) -> Inputs | None:
    prompts, text, texts = given.prompts, given.text, given.texts
    if prompts is not None:
        if text is not None or texts is not None:
            return None
        return Inputs(operation=_CHAT, prompts=prompts, system=given.system)
    if given.system is not None or (text is None) == (texts is None):
        return None
    if text is not None:
        return Inputs(operation=Operation.TEXT_EMBEDDING, texts=(text,), singular=True)
    return Inputs(operation=Operation.TEXT_EMBEDDING, texts=texts or ())


def _parameters(given: _PlainParameters) -> Parameters:
    return Parameters(
        temperature=given.temperature,
        max_tokens=given.max_tokens,
        top_p=given.top_p,
        seed=given.seed,
        dimensions=given.dimensions,
        reasoning_effort=given.reasoning_effort,
        timeout_s=given.timeout_s,
    )
