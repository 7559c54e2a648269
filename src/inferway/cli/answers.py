"""An answer as lines for a person."""

import json
import re
from collections.abc import Iterator
from typing import Any

from inferway.client.errors import APIError

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SHOWN = 6


def plain(text: str) -> str:
    """Text without control characters: a model's answer must not steer the terminal."""
    return _CONTROL.sub("", text)


def lines_of(answer: dict[str, Any]) -> Iterator[str]:
    """What the models said: each completion, vector or transcript."""
    data = answer.get("data")
    if not isinstance(data, dict):
        yield json.dumps(data, ensure_ascii=False)
    elif "completions" in data:
        yield from map(_completion, data["completions"])
    elif "embedding" in data:
        yield _vector(data["embedding"])
    elif "embeddings" in data:
        yield from map(_vector, data["embeddings"])
    elif "text" in data:
        yield str(data["text"])
    else:
        yield json.dumps(data, ensure_ascii=False, indent=2)


def summary_of(answer: dict[str, Any]) -> str:
    """Who answered, how long it took, what it cost, and what was changed on the way."""
    tokens = (answer.get("tokens_used") or {}).get("total")
    cost = answer.get("cost_usd")
    parts = [
        f"{answer.get('provider')} {answer.get('model')}",
        f"{float(answer.get('latency_ms') or 0) / 1000:.2f} s",
        *([f"{tokens} tokens"] if tokens is not None else []),
        *([f"${cost:.6f}".rstrip("0").rstrip(".")] if cost is not None else []),
    ]
    remarks = [
        f"{each['field']} {each['action']}: {each['reason']}" for each in answer.get("adaptations") or ()
    ]
    lines = [f"[{', '.join(parts)}]", *remarks, *map(str, answer.get("warnings") or ())]
    return plain("\n".join(lines))


def explain(error: APIError) -> str:
    """The server's message, with where the trouble is and what to do."""
    findings = [
        each for each in error.details.get("validation_errors", ()) if each["message"] not in str(error)
    ]
    places = "; ".join(f"{'.'.join(map(str, each['location']))}: {each['message']}" for each in findings)
    hint = _HINTS.get(error.code or "") or _HINTS.get(str(error.status), "")
    code = f" [{error.status} {error.code}]" if error.code else f" [{error.status}]"
    return plain(f"{error}{': ' + places if places else ''}{code}{hint}")


_HINTS = {
    "401": " Use the key of the server's own data folder (--data-dir), or set INFERWAY_API_KEY.",
    "body_too_large": " Give a smaller file or a URL of it, or raise server.body_max_mb there.",
}


def _completion(item: dict[str, Any]) -> str:
    if error := item.get("error"):
        return f"(failed: {error.get('message')})"
    if "parsed" in item:
        return json.dumps(item["parsed"], ensure_ascii=False, indent=2)
    called = item.get("tool_calls")
    parts = [str(item.get("text") or ""), json.dumps(called, ensure_ascii=False, indent=2) if called else ""]
    return "\n".join(part for part in parts if part)


def _vector(vector: list[float]) -> str:
    shown = ", ".join(f"{number:.4f}" for number in vector[:_SHOWN])
    return f"[{shown}{', ...' if len(vector) > _SHOWN else ''}] ({len(vector)} numbers; --json prints all)"
