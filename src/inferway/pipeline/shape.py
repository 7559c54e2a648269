"""What is wrong with a body, and where: the contract's 422 or 400 from a decoding error."""

import difflib
import re
from collections.abc import Iterable

import msgspec

from inferway.errors import BadRequest, InvalidShape

_UNKNOWN_FIELD = re.compile(r"unknown field `(.*?)`", re.DOTALL)
_MISSING_FIELD = re.compile(r"missing required field `(.*?)`", re.DOTALL)
_PATH = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]|\[\.\.\.\]")
_MALFORMED = "JSON is malformed: "
_BYTE = re.compile(r" \(byte \d+\)$")


def shape_error(
    error: msgspec.ValidationError, prefix: tuple[str | int, ...], accepted: str = ""
) -> InvalidShape:
    """Turn a msgspec validation error into the contract's 422, with its place in the body."""
    text = str(error)
    path = _PATH.search(text)
    location = [*prefix, *(_steps(path.group(1)) if path else ())]
    said = _PATH.sub("", text)[:200]
    unknown = _UNKNOWN_FIELD.search(text)
    if unknown:
        name = unknown.group(1)[:64]
        hint = f"; accepted: {accepted}" if accepted else ""
        return InvalidShape.at([*location, name], "extra_forbidden", f"unknown field {name!r}{hint}")
    missing = _MISSING_FIELD.search(text)
    if missing:
        return InvalidShape.at([*location, missing.group(1)], "missing", f"{missing.group(1)} is required")
    kind = "type_error" if "got" in said else "value_error"
    place = ".".join(str(step) for step in location[1:])
    return InvalidShape.at(location, kind, f"{place}: {said}" if place else said)


def json_error(error: msgspec.DecodeError | UnicodeDecodeError, place: str = "") -> BadRequest:
    """Turn a decoding error into the 400 for bytes that are not JSON; `place` names a value that was read by itself.

    What is said holds nothing of the bytes.
    """
    said = str(error).removeprefix(_MALFORMED)
    if isinstance(error, UnicodeDecodeError):
        said = "text in it is not UTF-8"
    elif said == "Input data was truncated":
        said = "it is empty, or it or an escape in it ends too early"
    if place:
        # Bytes were counted from the beginning of the value.
        said = f"{_BYTE.sub('', said)}, in {place}"
    return BadRequest(f"the body is not valid JSON: {said}", code="malformed_json")


def _steps(path: str) -> list[str | int]:
    return [name or (int(index) if index else "…") for name, index in _STEP.findall(path)]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, or None."""
    close = difflib.get_close_matches(name[:64], list(known), n=1, cutoff=0.6)
    return close[0] if close else None
