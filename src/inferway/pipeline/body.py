"""Reads a JSON body of strangers, and bounds what it may cost."""

import re
from itertools import accumulate
from typing import TypeVar

import msgspec

from inferway.errors import BadRequest, InvalidShape
from inferway.pipeline.shape import json_error, shape_error

MAX_DEPTH = 64
"""How deep arrays and objects may nest in a body."""

MAX_VALUES = 50_000
"""How many values a body may hold: what each costs must not add up to a stall for everybody else."""

T = TypeVar("T")


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes, accepted: str) -> T:
    """Bound a body and read it: `require_bounded` and `decode_json` in one."""
    require_bounded(body)
    try:
        return decode_json(decoder, body, accepted)
    except InvalidShape as error:
        if not _FRACTION.search(error.message):
            raise
        return decode_json(decoder, msgspec.json.encode(_whole(msgspec.json.decode(body))), accepted)


_FRACTION = re.compile(r"Expected `int(?: \| null)?`, got `float`$")


def _whole(value: object) -> object:
    """A value whose numbers are written without a fraction where they have none: to JSON 1.0 and 1 are one number."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def decode_json(decoder: msgspec.json.Decoder[T], body: bytes, accepted: str) -> T:
    """Read a body of bounded size into a decoder's type; `accepted` names the keys that there are.

    Raises `BadRequest` (400) when the bytes are not JSON, `InvalidShape` (422) when they have another shape.
    """
    try:
        decoded = decoder.decode(body)
        if not body.isascii():
            body.decode("utf-8")  # values that are read later, or never, must be text all the same
    except msgspec.ValidationError as error:
        _require_json(body)
        raise shape_error(error, ("body",), accepted) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise json_error(error) from None
    except RecursionError:
        raise _too_deep() from None
    return decoded


def _require_json(body: bytes) -> None:
    """A body of the wrong shape may also be broken further on; then it is no JSON, and that comes first."""
    try:
        msgspec.json.decode(body)
    except msgspec.ValidationError:
        return  # a number beyond all that can be held: JSON all the same
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise json_error(error) from None
    except RecursionError:
        raise _too_deep() from None


_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {0x5B: 1, 0x7B: 1, 0x5D: -1, 0x7D: -1}


def require_bounded(body: bytes) -> None:
    """Refuse deep nesting and very many values before anything is made of them.

    A body of few brackets and commas costs a count. Of broken JSON any verdict is right: all are the caller's 400.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH and body.count(b",") <= MAX_VALUES:
        return
    bare = _without_strings(body)
    brackets = bare.translate(None, _NOT_BRACKETS)[: 2 * MAX_VALUES]
    if max(accumulate(_STEPS[bracket] for bracket in brackets), default=0) > MAX_DEPTH:
        raise _too_deep()
    if sum(bare.count(character) for character in b"[{,") > MAX_VALUES:
        raise _too_many_values()


def _without_strings(body: bytes) -> bytes:
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A string is a value or a key, so that there are at most twice as many strings as values.
    if body.count(b'"') > 4 * MAX_VALUES:
        raise _too_many_values()
    return b"".join(body.split(b'"')[::2])


def _too_many_values() -> BadRequest:
    return BadRequest(f"the body holds more than {MAX_VALUES} values", code="too_many_values")


def _too_deep() -> BadRequest:
    return BadRequest(f"the body nests deeper than {MAX_DEPTH} levels", code="too_deep")
