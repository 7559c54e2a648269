"""Binds loose values to the fields they belong to, and describes the fields."""

import difflib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct

from inferway.settings.kinds import Secret, SettingsError
from inferway.settings.values import Settings

ENV_PREFIX = "INFERWAY_"

FieldPath = tuple[str, ...]
Found = dict[FieldPath, tuple[Any, str]]
"""Values by their path, each with where it was found, in the words of an error message."""

_SWITCH_WORDS = {"yes": True, "on": True, "no": False, "off": False}
_TYPE_WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true | false",
    Secret: "secret",
    Path: "path",
    dict: "table",
}


class EnvText(str):
    """A value from the environment: text that may stand for a number, a list or a table."""

    __slots__ = ()


class Description(Struct, frozen=True, kw_only=True):
    """One row of the settings table; `env` is None where only the file can set it."""

    name: str
    type: str
    default: str
    env: str | None
    description: str


def describe() -> Iterator[Description]:
    """One row per setting, in the order of the sections, for help texts and the documentation."""
    yield from _describe(Settings, ())


def take_apart(table: dict[str, Any], origin: str) -> Found:
    """Turns a nested table into values by path; raises `SettingsError` for unknown names and misplaced values."""
    return _take_apart(Settings, table, (), origin)


def bind(struct: type[Struct], found: Found, path: FieldPath = (), **ready: Any) -> Any:
    """Makes one section out of what was found under its path; what was not found keeps its default.

    `ready` are fields already in their type. Raises `SettingsError` for a value that its field cannot take.
    """
    values: dict[str, Any] = dict(ready)
    for name, hint in _fields(struct).items():
        below = (*path, name)
        if section := _section(hint):
            values[name] = bind(section, found, below)
        elif section := _named_sections(hint):
            names = dict.fromkeys(key[len(below)] for key in found if key[: len(below)] == below)
            values[name] = {each: bind(section, found, (*below, each)) for each in names}
        elif below in found:
            values[name] = _convert(hint, *found[below], ".".join(below))
    try:
        return struct(**values)
    except ValueError as error:
        origin = next((where for key, (_, where) in found.items() if key[: len(path)] == path), "settings")
        raise SettingsError(f"{origin}: {'.'.join(path)}: {error}.") from None


@cache
def _fields(struct: type[Struct]) -> dict[str, Any]:
    hints = get_type_hints(struct, include_extras=True)
    return {name: hints[name] for name in struct.__struct_fields__ if name != "config_file"}


def _section(hint: Any) -> type[Struct] | None:
    return hint if isinstance(hint, type) and issubclass(hint, Struct) else None


def _named_sections(hint: Any) -> type[Struct] | None:
    return _section(get_args(hint)[1]) if get_origin(hint) is dict else None


def _meta(hint: Any) -> Meta:
    return next((each for each in get_args(hint)[1:] if isinstance(each, Meta)), Meta())


def _take_apart(struct: type[Struct], table: Any, path: FieldPath, origin: str) -> Found:
    if not isinstance(table, dict):
        raise SettingsError(
            f"{origin}: {'.'.join(path)} is a section. Set the values in it by their own names."
        )
    found: Found = {}
    for key, value in table.items():
        below = (*path, key)
        hint = _fields(struct).get(key)
        if hint is None:
            raise SettingsError(
                f"{origin}: there is no setting {'.'.join(below)}. {_advise(struct, key, path, origin)}"
            )
        if section := _section(hint):
            found |= _take_apart(section, value, below, origin)
        elif section := _named_sections(hint):
            found |= _take_apart_named(section, value, below, origin)
        else:
            found[below] = (value, origin)
    return found


def _take_apart_named(section: type[Struct], table: Any, path: FieldPath, origin: str) -> Found:
    if not isinstance(table, dict):
        raise SettingsError(f"{origin}: {path[0]} holds named tables. Write [{path[0]}.NAME].")
    found: Found = {}
    for name, entry in table.items():
        # An empty table still names a thing; this entry keeps its name.
        found[(*path, name, "")] = (UNSET, origin)
        found |= _take_apart(section, entry, (*path, name), origin)
    return found


def _advise(struct: type[Struct], key: str, path: FieldPath, origin: str) -> str:
    """The nearest name in the same section, else the same last part elsewhere, else what there is."""
    from_env = origin.startswith(ENV_PREFIX)
    if close := difflib.get_close_matches(key, _fields(struct), 1):
        meant = (*path, close[0])
        name = env_name(meant) if from_env else ".".join(meant)
        is_leaf = not (_section(_fields(struct)[close[0]]) or _named_sections(_fields(struct)[close[0]]))
        return f"Did you mean {name if is_leaf else name + ('__…' if from_env else '.…')}?"
    # The first setting of a name is the one that most people mean.
    rows = {row.name.rpartition(".")[2]: row for row in reversed(tuple(describe()))}
    if close := difflib.get_close_matches(key.rpartition("_")[2] if key not in rows else key, rows, 1, 0.8):
        row = rows[close[0]]
        return f"Did you mean {(row.env if from_env else None) or row.name}?"
    return f"{'.'.join(path) or 'The top level'} has {', '.join(_fields(struct))}."


def env_name(path: FieldPath) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + "__".join(path).upper()


def _convert(hint: Any, value: Any, origin: str, dotted: str) -> Any:
    """Gives a value its field's type; text from the environment may stand for any of them."""
    is_text = isinstance(value, EnvText)
    try:
        ready = _from_text(hint, value) if is_text else value
        return msgspec.convert(ready, hint, strict=not is_text, dec_hook=_decode_secret)
    except ValueError as error:
        reason = str(error).partition(" - at `$")[0].replace("`", "")
        about = _meta(hint).description or ""
        raise SettingsError(
            f"{origin}: {dotted}: {reason[:1].lower()}{reason[1:]}. {about}".rstrip()
        ) from None


def _from_text(hint: Any, text: str) -> Any:
    """A variable's text as the list (`a, b`) or table (JSON) that its field wants; other text as it is."""
    base = get_args(hint)[0]
    if get_origin(base) is dict:
        return json.loads(text)
    if get_origin(base) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if base is bool:
        return _SWITCH_WORDS.get(text.strip().lower(), str(text).strip())
    return str(text).strip()


def _decode_secret(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("Expected text")


def _describe(struct: type[Struct], path: FieldPath) -> Iterator[Description]:
    defaults = {field.name: field.default for field in msgspec.structs.fields(struct)}
    for name, hint in _fields(struct).items():
        below = (*path, name)
        if section := _section(hint):
            yield from _describe(section, below)
        elif section := _named_sections(hint):
            yield from _describe(section, (*below, "NAME"))
        else:
            yield Description(
                name=".".join(below),
                type=_type_words(hint),
                default="~/.local/share/inferway" if name == "data_dir" else _default_words(defaults[name]),
                env=None if path[:1] == ("prices",) else env_name(below),
                description=_meta(hint).description or "",
            )


def _default_words(default: Any) -> str:
    if default in (None, (), msgspec.NODEFAULT):
        return ""
    if isinstance(default, tuple):
        return ", ".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def _type_words(hint: Any) -> str:
    """A field's type in words a reader of the table knows, with its bounds."""
    base, *metas = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(base) is Literal:
        return " | ".join(get_args(base))
    if get_origin(base) is tuple:
        return f"list of {_type_words(get_args(base)[0])}"
    if get_origin(base) in (Union, UnionType):
        return _type_words(next(each for each in get_args(base) if each is not type(None)))
    word = _TYPE_WORDS[get_origin(base) or base]
    bounds = next((each for each in metas if isinstance(each, Meta) and each.le is not None), None)
    if bounds is None or bounds.le is None:
        return word
    return (
        f"{word} above {bounds.gt}, up to {bounds.le}"
        if bounds.ge is None
        else f"{word} {bounds.ge} to {bounds.le}"
    )
