"""`inferway settings`: the table of settings, for people, programs and the documentation."""

from collections.abc import Iterator

import click
import msgspec

from inferway.cli.verb import Voice, examples
from inferway.settings import Description, describe


@click.command("settings", epilog=examples("inferway settings | grep -A1 timeout"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--markdown", is_flag=True, help="Print the tables of the documentation.")
def settings_table(*, as_json: bool, markdown: bool) -> None:
    """Print every setting with its type, default, environment variable and meaning."""
    rows = tuple(describe())
    if markdown:
        click.echo(markdown_tables(rows), nl=False)
        return
    lines = (f"{row.name} = {row.default or 'not set'}\n    {row.type}. {row.description}" for row in rows)
    Voice(as_json=as_json).tell([msgspec.structs.asdict(row) for row in rows], lines)


def markdown_tables(rows: tuple[Description, ...]) -> str:
    """One table a section, in the order of the settings; ends with a newline."""
    sections: dict[str, list[Description]] = {}
    for row in rows:
        section = row.name.rpartition(".")[0]
        sections.setdefault(section, []).append(row)
    return "\n".join(line for section, found in sections.items() for line in _table(section, found))


def _table(section: str, rows: list[Description]) -> Iterator[str]:
    yield f"### {f'`[{section}]`' if section else 'Top level'}\n"
    yield "| Setting | Type | Default | Variable | Meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows:
        cells = (_code(row.name), row.type, _code(row.default), _code(row.env or ""), row.description)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
