"""What a shell may complete: names that are known without a network, a server or a database."""

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from inferway.errors import OperatorError
from inferway.settings import Settings, load


def choose_provider(ctx: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
    """The providers of the settings, and the embedded models."""
    settings = _find_settings(ctx)
    return [] if settings is None else _matching({"local", *settings.providers}, start)


def choose_model(ctx: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
    """The models of the provider that is named already: those whose files are here, or those with a known price."""
    settings = _find_settings(ctx)
    if settings is None:
        return []
    provider = ctx.params.get("provider") or "local"
    if provider == "local":
        folder = settings.models_dir
        here = [each.name for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
        return _matching({"default", *here}, start)
    from inferway.usage.prices import Prices  # noqa: PLC0415 - only for this question

    return _matching(Prices().models("google" if provider == "gemini" else provider), start)


def choose_namespace(ctx: click.Context, _: click.Parameter, start: str) -> list[CompletionItem]:
    """The namespaces that files name; the database is not asked."""
    from inferway.access.credentials import FILE_NAME, find_credentials  # noqa: PLC0415 - only for this question

    settings = _find_settings(ctx)
    if settings is None:
        return []
    try:
        credentials = find_credentials(settings.data_dir / FILE_NAME)
    except OperatorError:
        credentials = None
    named = {settings.client.namespace, credentials.namespace if credentials else None}
    return _matching([name for name in named if name], start)


def _find_settings(ctx: click.Context) -> Settings | None:
    """The settings of the command line so far; None when they cannot be read, which is no time to say why."""
    outer = ctx.find_root().params
    file = ctx.params.get("config") or outer.get("config")
    try:
        return load(
            config=Path(file) if file else None,
            overrides={"data_dir": ctx.params.get("data_dir") or outer.get("data_dir")},
        )
    except OperatorError:
        return None


def _matching(names: Iterable[str], start: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(names) if name.startswith(start)]
