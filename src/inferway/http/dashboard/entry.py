"""What somebody enters in a form: to fill it again, with what is wrong beside each field; and the pages of a list."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from inferway.http.dashboard.api import Refused
from inferway.http.dashboard.form import Form

_DIGITS_MAX = 15


class Entry:
    """The fields of a form. `errors` say what is wrong, by the field's name, and `message` what is wrong with the whole.

    Methods that read a field return None when it is empty, and also when it cannot be read: that is then among the errors.
    """

    def __init__(self, values: Mapping[str, str | Sequence[str]] | None = None) -> None:
        given = values or {}
        self._values = {
            name: [value] if isinstance(value, str) else list(value) for name, value in given.items()
        }
        self.errors: dict[str, str] = {}
        self.message = ""
        self.status = 200

    @classmethod
    def of(cls, form: Form) -> "Entry":
        """What was sent."""
        return cls({name: form.all(name) for name in form.values()})

    @property
    def is_wrong(self) -> bool:
        """Whether something cannot be taken as it is."""
        return bool(self.errors or self.message)

    def value(self, name: str) -> str:
        """A field's text, as it was typed."""
        return next(iter(self._values.get(name, ())), "")

    def all(self, name: str) -> list[str]:
        """Every text of a name."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """A text without the blanks around it."""
        return self.value(name).strip() or None

    def require(self, name: str, what: str) -> str:
        """A text that must be there: `what` says so where it is not."""
        found = self.text(name)
        if found is None:
            self.refuse(name, what)
        return found or ""

    def lines(self, name: str) -> list[str] | None:
        """One text on each line, or between commas."""
        found = [each.strip() for each in self.value(name).replace(",", "\n").splitlines()]
        return [each for each in found if each] or None

    def named(self, prefix: str) -> dict[str, str]:
        """The filled fields whose names begin so, by the rest of their names."""
        found = {name: self.text(name) for name in self._values if name.startswith(prefix)}
        return {name.removeprefix(prefix): text for name, text in found.items() if text}

    def continue_with(self, other: "Entry", *names: str) -> None:
        """Takes over these fields of another form on the same page, and all that is wrong there."""
        self._values |= {name: other.all(name) for name in names}
        self.errors, self.message, self.status = other.errors, other.message, other.status

    def whole(self, name: str) -> int | None:
        """A whole number."""
        text = self.text(name)
        if text is None:
            return None
        if not text.isdecimal() or not text.isascii() or len(text) > _DIGITS_MAX:
            self.refuse(name, "Write a whole number, such as 60.")
            return None
        return int(text)

    def usd(self, name: str) -> float | None:
        """An amount in US dollars."""
        text = (self.text(name) or "").removeprefix("$")
        if not text:
            return None
        try:
            amount = float(text)
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount) or amount < 0:
            self.refuse(name, "Write an amount in US dollars, such as 12.50.")
            return None
        return amount

    def end_of_day(self, name: str) -> datetime | None:
        """The end of a day that is written as 2030-01-31, in UTC."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        except (ValueError, OverflowError):
            self.refuse(name, "Write a day such as 2030-01-31.")
            return None

    def refuse(self, name: str, why: str, status: int = 422) -> None:
        """Says what is wrong with a field."""
        self.errors.setdefault(name, why)
        self.status = status

    def take(self, refused: Refused, fields: Mapping[str, str] | None = None) -> None:
        """What the API said no to, beside the field: `fields` name one by an error's code, or by the API's own name for it.

        Raises the refusal again when signing in, or waiting, is what helps.
        """
        if refused.status in (401, 503):
            raise refused
        known, self.status = fields or {}, refused.status
        for name, why in refused.fields.items():
            self.errors.setdefault(known.get(name, name), _sentence(why))
        place = known.get(refused.code or "")
        if place is not None:
            self.errors.setdefault(place, refused.message)
        if not self.errors:
            self.message = _sentence(refused.message)


class Pages(Struct, frozen=True, kw_only=True):
    """Where a page stands in a list: `first` and `last` count from 1; `previous` and `next` are addresses."""

    total: int
    limit: int
    first: int
    last: int
    previous: str | None
    next: str | None


def pages_of(path: str, query: Mapping[str, Any], *, total: int, skip: int, limit: int) -> Pages:
    """The pages of a list at `path`, which is asked for with `query` and `skip`."""

    def at(place: int) -> str:
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        return f"{path}?{urlencode(asked | {'skip': place}, doseq=True)}"

    return Pages(
        total=total,
        limit=limit,
        first=min(skip + 1, total),
        last=min(skip + limit, total),
        previous=at(max(0, skip - limit)) if skip > 0 else None,
        next=at(skip + limit) if skip + limit < total else None,
    )


def skip_of(text: str) -> int:
    """How many to leave out first, as an address says it; 0 for what is no number."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 6 else 0


def shown_number(number: float | None) -> str:
    """A number as it would be typed."""
    return "" if number is None else f"{number:.6f}".rstrip("0").rstrip(".")


def _sentence(text: str) -> str:
    """A message of the API as a sentence."""
    return (text[:1].upper() + text[1:]).rstrip(".") + "." if text else text
