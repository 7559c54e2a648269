"""What is known of model families and of compatible servers, from the tables that ship with the providers."""

import ast
import inspect
import re
import tomllib
from importlib.resources import files
from itertools import pairwise
from typing import Any

import msgspec

from docs.generator.markdown import table
from inferway.providers.openai import quirks
from inferway.providers.openai.quirks import Quirks, load_servers

_LEGEND = re.compile(r"# [a-z_]+(?:, [a-z_]+)*  +\S")
PROVIDERS = ("openai", "anthropic", "google")


def families(provider: str) -> list[dict[str, Any]]:
    """The rows of a provider's `models.toml`."""
    text = files(f"inferway.providers.{provider}").joinpath("models.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text)["family"]
    return rows


def legend(provider: str) -> list[str]:
    """What the facts mean, from the comment above the rows."""
    text = files(f"inferway.providers.{provider}").joinpath("models.toml").read_text("utf-8")
    return [line[2:] for line in text.splitlines() if _LEGEND.match(line)]


def model_facts() -> str:
    """The facts of the three providers' families, in the order in which later rows override earlier ones."""
    parts = []
    for provider in PROVIDERS:
        meanings = "\n".join(map(_meaning, legend(provider)))
        rows = [(_models(row), _facts(_without_models(row))) for row in families(provider)]
        parts.append(f"### {provider}\n\n{meanings}\n\n{table(('Models', 'Facts'), rows)}")
    return "\n\n".join(parts)


def _meaning(line: str) -> str:
    names, _, meaning = line.partition("  ")
    return f"- {', '.join(f'`{name}`' for name in names.split(', '))}: {meaning.strip()}"


def _models(row: dict[str, Any]) -> str:
    return " ".join(f"`{name}`" for name in row["models"])


def _without_models(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "models"}


def quirks_table() -> str:
    """What a server can do otherwise than OpenAI: each quirk, what holds for OpenAI, and what it says, from the text below its field."""
    module = ast.parse(inspect.getsource(quirks))
    (body,) = (node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Quirks")
    openai = msgspec.structs.asdict(Quirks())
    rows = []
    for field, about in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(about, ast.Expr):
            name, text = ast.unparse(field.target), ast.literal_eval(about.value)
            rows.append((f"`{name}`", _value(openai[name]), " ".join(text.split())))
    return table(("Quirk", "OpenAI", ""), rows)


def known_servers() -> str:
    """The compatible servers that need no more than a name (and a key)."""
    rows = []
    for server in load_servers():
        told = [_facts(server.quirks)] if server.quirks else []
        told += [f"{_models(row)}: {_facts(_without_models(row))}" for row in server.facts]
        operations = ", ".join(operation.value.replace("_", " ") for operation in server.operations)
        rows.append(
            (
                f"`{server.name}`",
                server.title,
                f"`{server.base_url}`",
                server.key,
                operations,
                "; ".join(told),
            )
        )
    return table(("Name", "Server", "Base URL", "Key", "Operations", "Differs by"), rows)


def _facts(values: dict[str, Any]) -> str:
    return ", ".join(f"`{name}` = {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else f"`{msgspec.json.encode(value).decode()}`"
