"""Made-up values: texts, JSON that follows a simple schema, and unit vectors, each a function of its input alone."""

import hashlib
import math
import struct
from typing import Any

_MAX_DEPTH = 16
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

    Other keywords are not followed: the answer may then be invalid, as a weak model's would be.
    """
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return made_up_value(schema[keyword][0], depth + 1)
    return _of_type(schema, depth)


def _of_type(schema: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties") or {}
            names = dict.fromkeys((*properties, *(schema.get("required") or ())))
            return {name: made_up_value(properties.get(name), depth + 1) for name in names}
        case "array":
            count = max(1, int(schema.get("minItems") or 0))
            return [made_up_value(schema.get("items"), depth + 1)] * min(count, 100)
        case "string":
            text = "fake".ljust(min(int(schema.get("minLength") or 0), 10_000), "e")
            return text[: schema.get("maxLength", len(text))]
        case "integer" | "number" as number:
            least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            most = schema.get("maximum", schema.get("exclusiveMaximum", least + 2) - 1)
            value = min(max(1, least), most)
            return math.ceil(value) if number == "integer" else value
        case "boolean":
            return True
    return None
