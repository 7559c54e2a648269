"""A process of its own that compiles schemas and checks answers: whatever a schema does to it, no call but its own suffers."""

import resource
import signal
import sys
from typing import Any, Literal

import msgspec
from msgspec import Struct

from inferway.errors import BadRequest
from inferway.pipeline.structured import Checker

PROCESSOR_S = 0.25
"""The processor time that one question may take; the kernel ends the process that takes more."""

_MEMORY_BYTES = 1024**3


class Question(Struct, frozen=True, kw_only=True):
    """`take` compiles the schema and looks for a contradiction, `compile` does the first only; `check` checks the value, too."""

    act: Literal["take", "compile", "check"]
    schema: dict[str, Any] | bool
    value: Any = None


class Verdict(Struct, frozen=True, kw_only=True):
    """Why the schema is refused, with the error's details; else what is wrong with the value."""

    refusal: str | None = None
    details: dict[str, Any] | None = None
    findings: tuple[str, ...] = ()


def judge(question: Question) -> Verdict:
    """The answer to a question."""
    try:
        checker = Checker(question.schema, is_searched=question.act == "take")
    except BadRequest as refusal:
        return Verdict(refusal=refusal.message, details=dict(refusal.details or {}))
    if question.act != "check":
        return Verdict()
    return Verdict(findings=tuple(checker.findings(question.value)))


def main() -> None:
    """Answer the questions of standard input, each a line of JSON, until it ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        # The signal of this timer ends the process in the midst of foreign code, too.
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_S)
        verdict = judge(msgspec.json.decode(line, type=Question))
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
