"""The verbs of the command line, as click has them."""

from collections.abc import Iterator

import click

from docs.generator.markdown import table
from inferway.cli.root import command

_SHARED = frozenset({"data_dir", "config", "as_json", "help"})
"""What every verb takes; said once, above the list."""


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Every verb with its words, groups before their members."""
    yield from _below("inferway", command)


def _below(words: str, group: click.Group | click.Command) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=words)
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None  # noqa: S101 - the group lists what it has
        yield f"{words} {name}", found
        yield from _below(f"{words} {name}", found)


def verbs_list() -> str:
    """A section for each verb: how it is used, what it does, its arguments and options."""
    return "\n\n".join(_section(words, verb) for words, verb in verbs())


def _section(words: str, verb: click.Command) -> str:
    level = "##" if words.count(" ") == 1 else "###"
    usage = " ".join([words, *verb.collect_usage_pieces(click.Context(verb))])
    parts = [f"{level} `{words}`", f"`{usage}`", _about(verb)]
    options = [
        _row(option) for option in verb.params if isinstance(option, click.Option) and _is_told(option)
    ]
    if options:
        parts.append(table(("Option", ""), options))
    return "\n\n".join(parts)


def _about(verb: click.Command) -> str:
    text = (verb.help or verb.short_help or "").replace("\b\n", "")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _is_told(option: click.Option) -> bool:
    return not option.hidden and option.name not in _SHARED


def _row(option: click.Option) -> tuple[str, str]:
    """The spelling of an option, and what it says of itself."""
    record = option.get_help_record(click.Context(click.Command("verb")))
    assert record is not None  # noqa: S101 - hidden ones were left out
    spelling, about = record
    return f"`{spelling}`", " ".join(about.split()).replace("<", "&lt;")
