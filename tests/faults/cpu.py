"""What hostile bodies of up to 1 MB cost a worker's processor: each is sent often, and the process's own time is divided by the calls.

Schemas that are not plain are judged in processes apart: tests/unit/pipeline/test_judging.py holds those to their bound.
"""

import base64
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.e2e.process import Served, serving
from tests.faults.client import Line, request_bytes
from tests.faults.figures import Asked, note, run, tell

_MOST_MS = 50.0
_MIB = 1024 * 1024


def _call(model: str = "fake-chat", **more: Any) -> bytes:
    body = {"provider": "fake", "model": model, "inputs": {"prompts": ["hello"]}} | more
    return json.dumps(body).encode()


def _schema(schema: Any) -> bytes:
    return _call(parameters={"schema": schema})


def _filled(start: bytes, piece: bytes, end: bytes) -> bytes:
    return start + piece * ((_MIB - len(start) - len(end)) // len(piece)) + end


def bodies(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Names and bodies: well formed, broken and absurd."""
    start = b'{"provider": "fake", "model": "fake-chat", "inputs": {"prompts": ["'
    yield "one long prompt", _filled(start, b"x", b'"]}}')
    yield "a prompt of escapes", _filled(start, b"\\u00e9", b'"]}}')
    yield "a prompt of surrogate pairs", _filled(start, b"\\ud83d\\ude00", b'"]}}')
    yield "a prompt of quotes", _filled(start, b'\\"', b'"]}}')
    yield "many prompts", _filled(start, b'","a', b'"]}}')
    yield "blanks", _filled(b"", b" ", _call())
    yield "zeros", bytes(_MIB)
    yield "arrays in arrays", b"[" * _MIB
    yield "objects in objects", _filled(b"", b'{"a":', b"")
    yield "commas", b"," * _MIB
    yield "quotes", b'"' * _MIB
    yield "backslashes", _filled(b'"', b"\\", b'"')
    yield "many numbers", _filled(b"[", b"1,", b"1]")
    yield "one long number", b"1" * _MIB
    yield "one long fraction", _filled(b"0.", b"1", b"")
    yield "the same key again and again", _filled(b"{", b'"a":1,', b'"a":1}')
    names = (b'"%d":1' % chance.getrandbits(60) for _ in range(48_000))
    yield "many keys", b"{" + b",".join(names) + b"}"
    yield "random bytes", chance.randbytes(_MIB)
    texts = [f"text {n} " + "x" * 90 for n in range(9_900)]
    yield (
        "many texts",
        json.dumps(
            # Not answered: what a provider makes of them is not what is measured.
            {"provider": "fake", "model": "fake-embed", "inputs": {"texts": texts}, "dry_run": True}
        ).encode(),
    )
    media = base64.b64encode(b"\x89PNG\r\n\x1a\n" + chance.randbytes(700_000)).decode()
    yield "an image that is none", _call(inputs={"prompts": ["a"], "image_base64": media})
    yield (
        "a schema of many properties",
        _schema({"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(2_000)}}),
    )
    yield "a schema of patterns", _schema({"allOf": [{"pattern": "(a{1,50}){1,50}$"}] * 256})
    yield "a schema of words", _schema({"allOf": [{"pattern": "\\w{1,8}$" + "x" * n} for n in range(200)]})
    yield "a schema of nested repeats", _schema({"pattern": "(" * 40 + "a" + "+)" * 40})
    yield "a schema of alternatives", _schema({"pattern": "|".join(f"{n:x}" * 3 for n in range(4_000))})
    yield "a schema in a schema", _schema(_nested(30))
    yield "a schema of combinations", _schema({"anyOf": [{"enum": [n, str(n)]} for n in range(2_500)]})
    yield (
        "a schema of pairs",
        _schema(
            {"allOf": [{"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(40)]}
        ),
    )
    yield (
        "a schema that doubles",
        _schema(
            {
                "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(36)}
                | {"d36": {"type": "string"}},
                "$ref": "#/$defs/d0",
            }
        ),
    )
    yield (
        "a schema of references",
        _schema(
            {"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(1_500)}, "$ref": "#/$defs/d0"}
        ),
    )


def _nested(depth: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"allOf": [schema, {"properties": {"a": {"type": "object"}}}]}
    return schema


async def measure(asked: Asked) -> None:
    """The worst body counts; the clock of a process has steps of 10 ms, so each is sent several times."""
    # A busy machine, as the short form must expect, makes caches cold and every step dearer.
    times, most_ms = (5, 2 * _MOST_MS) if asked.short else (20, _MOST_MS)
    limits = {f"INFERWAY_LIMITS__{each}": "0" for each in ("PER_MINUTE", "PER_SECOND", "CONCURRENT")}
    with TemporaryDirectory() as folder, serving(Path(folder), **limits) as served:
        found = {
            name: await _cost_ms(served, body, times) for name, body in bodies(random.Random(asked.seed))
        }
    for name, (cost_ms, told) in sorted(found.items(), key=lambda each: -each[1][0]):
        note(f"   {cost_ms:6.1f} ms  {name}: {told}")
    worst = max(found, key=lambda name: found[name][0])
    tell(
        asked,
        "processor time for a hostile body of up to 1 MB, the worst of them",
        f"{found[worst][0]:.0f} ms ({worst}; {len(found)} bodies)",
        f"{most_ms:.0f} ms or less",
        passed=found[worst][0] <= most_ms and all(status in (200, 400, 422) for _, status in found.values()),
        is_random=True,
    )


async def _cost_ms(served: Served, body: bytes, times: int) -> tuple[float, int]:
    """Milliseconds of processor time of a call, and its status."""
    line = Line(served.port)
    request = request_bytes("/v1/inference", served.headers(), body)
    status = (await line.call(request)).status
    before = _spent_s(served)
    for _ in range(times):
        await line.call(request)
    spent_s = _spent_s(served) - before
    line.close()
    return spent_s / times * 1000, status


def _spent_s(served: Served) -> float:
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    run("cpu", measure)
