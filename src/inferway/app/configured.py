"""The limits that a server was started with, for people to read."""

from collections.abc import Iterator
from typing import get_type_hints

from msgspec import Meta, Struct
from msgspec.structs import asdict

from inferway.app.limits import terms_of
from inferway.http.dashboard.view import Configured
from inferway.settings import Settings

_ELSEWHERE = (
    ("server", ("calls_max", "body_max_mb")),
    ("calls", ("timeout_s", "attempts", "prompts_max", "texts_max", "answer_max_mb")),
    ("access", ("bad_keys_per_minute",)),
    ("dashboard", ("session_hours", "link_minutes", "passwords_per_minute")),
)


def configured_limits(settings: Settings) -> tuple[Configured, ...]:
    """Every limit with its name, its value and what it means; those of the tier where nothing else was set."""
    return tuple(_all(settings))


def _all(settings: Settings) -> Iterator[Configured]:
    told = _abouts(settings.limits)
    yield Configured(name="limits.tier", value=settings.limits.tier, about=told.get("tier", ""))
    for name, value in asdict(terms_of(settings.limits)).items():
        yield Configured(name=f"limits.{name}", value=_shown(value), about=told.get(name, ""))
    for section, names in _ELSEWHERE:
        chosen = getattr(settings, section)
        abouts = _abouts(chosen)
        for name in names:
            value = _shown(getattr(chosen, name))
            yield Configured(name=f"{section}.{name}", value=value, about=abouts.get(name, ""))


def _abouts(section: Struct) -> dict[str, str]:
    """What the fields of a section mean, by name."""
    hints = get_type_hints(type(section), include_extras=True)
    return {
        name: next((each.description or "" for each in hint.__metadata__ if isinstance(each, Meta)), "")
        for name, hint in hints.items()
        if hasattr(hint, "__metadata__")
    }


def _shown(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,g}" if isinstance(value, float) else f"{value:,}"
    return str(value)
