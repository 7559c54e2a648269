"""Made-up values: texts, JSON that follows a simple schema, and unit vectors, each a function of its input alone."""

import hashlib
import math
import struct
from typing import Any

_MAX_DEPTH = 16
_MAX_ITEMS = 100
_MAX_VALUES = 10_000
"""How many values an array may come to hold in all, where one of each kind is not more already."""
_SHOWN_WORDS = 12


def made_up_text(prompt: str, media: int) -> str:
    """An answer that says that it is fake, how it came about, and what the prompt began with."""
    words = prompt.split()
    mark = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    begun = " ".join(words[:_SHOWN_WORDS])
    with_media = f" and {media} media" if media else ""
    return f"This is a fake answer ({mark}) to {len(words)} words{with_media}, which begin: {begun}"


def made_up_vector(content: bytes, dimensions: int) -> list[float]:
    """A vector of length one. Equal contents have equal vectors; nothing else about it means anything."""
    digest = hashlib.shake_256(content).digest(4 * dimensions)
    values = [value / 2**31 - 1.0 for value in struct.unpack(f"<{dimensions}I", digest)]
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / norm for value in values]


def made_up_value(schema: Any, depth: int = 0) -> Any:
    """A value for the everyday part of JSON Schema: types, enums, constants, required properties, lengths and limits.

    Other keywords are not followed, nor are those whose value makes no sense: the answer may then be invalid, as a weak model's would be.
    """
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for choice in _list(schema.get("enum")):
        return choice
    for keyword in ("anyOf", "oneOf", "allOf"):
        for branch in _list(schema.get(keyword)):
            return made_up_value(branch, depth + 1)
    return _of_type(schema, depth)


def _of_type(schema: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties")
            properties = properties if isinstance(properties, dict) else {}
            required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
            names = dict.fromkeys((*properties, *required))
            return {name: made_up_value(properties.get(name), depth + 1) for name in names}
        case "array":
            item = made_up_value(schema.get("items"), depth + 1)
            # Arrays in arrays: a hundred of each would soon be more than there is memory.
            count = max(1, min(_MAX_ITEMS, _MAX_VALUES // _size(item)))
            return [item] * int(min(max(1, _number(schema, "minItems", 0)), count))
        case "string":
            text = "fake".ljust(int(min(_number(schema, "minLength", 0), 10_000)), "e")
            return text[: int(max(0, min(_number(schema, "maxLength", len(text)), len(text))))]
        case "integer" | "number" as number:
            least = _number(schema, "minimum", _number(schema, "exclusiveMinimum", -1) + 1)
            most = _number(schema, "maximum", _number(schema, "exclusiveMaximum", least + 2) - 1)
            value = min(max(1, least), most)
            return math.ceil(value) if number == "integer" else value
        case "boolean":
            return True
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(schema: dict[str, Any], keyword: str, otherwise: float) -> float:
    value = schema.get(keyword, otherwise)
    return value if isinstance(value, int | float) else otherwise


def _size(value: Any) -> int:
    """How many values there are in one, itself included."""
    inner = value.values() if isinstance(value, dict) else _list(value)
    return 1 + sum(map(_size, inner))
