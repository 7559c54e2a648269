"""Tables of failures: our own codes as the source raises them, and what each provider's errors become."""

import ast
from collections.abc import Iterator
from pathlib import Path

from docs.generator.markdown import table
from inferway import errors
from inferway.errors import GatewayError
from inferway.media import refusals
from inferway.providers.anthropic.errors import ERROR_RULES as ANTHROPIC
from inferway.providers.errors import FALLBACK_RULES, ErrorRule, ErrorRules
from inferway.providers.google.errors import ERROR_RULES as GOOGLE
from inferway.providers.openai.errors import ERROR_RULES as OPENAI

SPELT: dict[str, tuple[str, ...]] = {
    "*_not_found": ("plugin_not_found", "feature_uri_not_found"),
    "key_*": ("key_revoked", "key_expired"),
    "too_many_*": tuple(f"too_many_{what}" for what in "inputs media messages prompts texts".split()),
}
"""The codes that the source puts together, in full; one that is not here cannot be documented and is a `KeyError`."""

PACKAGE = Path(errors.__file__).parent
PROVIDER_RULES: dict[str, ErrorRules] = {
    "openai and compatible servers": OPENAI,
    "anthropic": ANTHROPIC,
    "google": GOOGLE,
    "any provider, when nothing above fits": FALLBACK_RULES,
}


def provider_errors() -> str:
    """Each provider's table, in the order in which it is read."""
    head = ("Situation", "Provider's status", "Provider's words", "Status", "`type`", "`code`", "Tried again")
    parts = [f"### {name}\n\n{table(head, map(_rule_row, rules))}" for name, rules in PROVIDER_RULES.items()]
    return "\n\n".join(parts)


def _rule_row(rule: ErrorRule) -> tuple[str, ...]:
    words = ", ".join(f"`{word}`" for word in rule.words) or "any"
    error = rule.error
    again = "yes" if rule.is_retryable else "no"
    return (
        rule.situation,
        _statuses(rule),
        words,
        str(error.status),
        f"`{error.type}`",
        f"`{error.default_code}`",
        again,
    )


def _statuses(rule: ErrorRule) -> str:
    if isinstance(rule.statuses, range):
        return f"{rule.statuses.start} to {rule.statuses.stop - 1}"
    return ", ".join(map(str, rule.statuses))


def error_types() -> dict[str, type[GatewayError]]:
    """Every class of the error tree by its name."""
    found = {**vars(errors), **vars(refusals)}
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, type) and issubclass(each, GatewayError)
    }


def codes() -> dict[str, set[type[GatewayError] | None]]:
    """Every code that the source raises, with its error types (None: decided elsewhere)."""
    types = error_types()
    found: dict[str, set[type[GatewayError] | None]] = {}
    for kind in types.values():
        if kind.default_code is not None:
            found.setdefault(kind.default_code, set()).add(kind)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, code in _raised(ast.parse(path.read_text("utf-8"))):
            for spelt in SPELT[code] if "*" in code else (code,):
                found.setdefault(spelt, set()).add(types.get(name))
    return found


def _raised(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The callee and the literal of every `code=` in a module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield from ((name, code) for code in _literals(keyword.value))


def _literals(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _literals(value.body)
        yield from _literals(value.orelse)
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in value.values)


def codes_table() -> str:
    """Code, status and type, in the order of the alphabet."""
    rows: list[tuple[str, ...]] = []
    for code, kinds in sorted(codes().items()):
        known = sorted({(str(kind.status), kind.type, kind.retryable) for kind in kinds if kind is not None})
        rows.extend(
            (f"`{code}`", status, f"`{name}`", "yes" if again else "no") for status, name, again in known
        )
        if not known:
            rows.append((f"`{code}`", "400 or 500", "by the engine's answer", "no"))
    return table(("`code`", "Status", "`type`", "Tried again by us"), rows)
