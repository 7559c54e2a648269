"""What a query may ask: each parameter says how its text is read and how it is described."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from inferway.errors import BadRequest, InvalidShape

T_co = TypeVar("T_co", covariant=True)
_DIGITS_MAX = 12
_SWITCH = {"true": True, "1": True, "false": False, "0": False}


class Parameter(Protocol[T_co]):
    """A parameter of the query."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str:
        """What it is for, as a sentence."""
        ...

    def read(self, text: str) -> T_co:
        """The value; raises `InvalidShape`."""
        ...

    def otherwise(self) -> T_co:
        """The value when it is not given."""
        ...

    def schema(self) -> dict[str, Any]:
        """JSON Schema of what may be given."""
        ...


class Number(Struct, frozen=True, kw_only=True):
    """A whole number within bounds."""

    name: str
    about: str
    default: int
    least: int
    most: int

    def read(self, text: str) -> int:
        """See `Parameter`."""
        return _whole(self, text)

    def otherwise(self) -> int:
        """See `Parameter`."""
        return self.default

    def schema(self) -> dict[str, Any]:
        """See `Parameter`."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}


class OptionalNumber(Struct, frozen=True, kw_only=True):
    """A whole number within bounds, or none."""

    name: str
    about: str
    least: int
    most: int

    def read(self, text: str) -> int | None:
        """See `Parameter`."""
        return _whole(self, text)

    def otherwise(self) -> int | None:
        """See `Parameter`."""
        return None

    def schema(self) -> dict[str, Any]:
        """See `Parameter`."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


class Switch(Struct, frozen=True, kw_only=True):
    """A yes or no; no when it is not given."""

    name: str
    about: str

    def read(self, text: str) -> bool:
        """See `Parameter`."""
        if text.lower() not in _SWITCH:
            raise _unlike(self.name, f"{self.name} is true or false")
        return _SWITCH[text.lower()]

    def otherwise(self) -> bool:
        """See `Parameter`."""
        return False

    def schema(self) -> dict[str, Any]:
        """See `Parameter`."""
        return {"type": "boolean", "default": False}


class Moment(Struct, frozen=True, kw_only=True):
    """A moment in ISO 8601; without a zone it is UTC."""

    name: str
    about: str

    def read(self, text: str) -> datetime | None:
        """See `Parameter`."""
        try:
            # A plus sign of the zone arrives as a space when the caller did not escape it.
            moment = datetime.fromisoformat(text.strip().replace(" +", "+").replace(" ", "T", 1))
        except ValueError:
            raise _unlike(self.name, f"{self.name} is a moment such as 2030-01-31T12:00:00Z") from None
        return aware(moment)

    def otherwise(self) -> datetime | None:
        """See `Parameter`."""
        return None

    def schema(self) -> dict[str, Any]:
        """See `Parameter`."""
        return {"type": "string", "format": "date-time"}


class Text(Struct, frozen=True, kw_only=True):
    """Any text."""

    name: str
    about: str

    def read(self, text: str) -> str | None:
        """See `Parameter`."""
        return text

    def otherwise(self) -> str | None:
        """See `Parameter`."""
        return None

    def schema(self) -> dict[str, Any]:
        """See `Parameter`."""
        return {"type": "string"}


class Choice(Struct, frozen=True, kw_only=True):
    """One of several words."""

    name: str
    about: str
    choices: tuple[str, ...]
    may_be_empty: bool = False

    def read(self, text: str) -> str | None:
        """See `Parameter`."""
        if not text and self.may_be_empty:
            return None
        if text not in self.choices:
            raise _unlike(self.name, f"{self.name} is one of {', '.join(self.choices)}")
        return text

    def otherwise(self) -> str | None:
        """See `Parameter`."""
        return None

    def schema(self) -> dict[str, Any]:
        """See `Parameter`."""
        return {"type": "string", "enum": [*self.choices, *([""] if self.may_be_empty else [])]}


class Words(Struct, frozen=True, kw_only=True):
    """Several words, with commas between them or in several parameters of the name; any words when there are no `choices`."""

    name: str
    about: str
    choices: tuple[str, ...] = ()
    most: int = 100

    def read(self, text: str) -> tuple[str, ...]:
        """See `Parameter`."""
        words = tuple(word for word in text.split(",") if word.strip())
        if len(words) > self.most or (self.choices and not set(words) <= set(self.choices)):
            known = f" of {', '.join(self.choices)}" if self.choices else " words"
            raise _unlike(self.name, f"{self.name} is {self.most} at most{known}, with commas between them")
        return words

    def otherwise(self) -> tuple[str, ...]:
        """See `Parameter`."""
        return ()

    def schema(self) -> dict[str, Any]:
        """See `Parameter`."""
        items = {"type": "string", "enum": list(self.choices)} if self.choices else {"type": "string"}
        return {"type": "array", "items": items, "maxItems": self.most}


def read_query(declared: Sequence[Parameter[Any]], given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The value of each declared parameter; others are not looked at. Raises `InvalidShape`, for one that stands twice too."""
    found: dict[str, Any] = {}
    for parameter in declared:
        texts = [text for name, text in given if name == parameter.name]
        if isinstance(parameter, Words):
            texts = [",".join(texts)]
        elif len(texts) > 1:
            raise _unlike(parameter.name, f"{parameter.name} stands in the query {len(texts)} times")
        found[parameter.name] = parameter.read(texts[0]) if texts else parameter.otherwise()
    return found


def aware(moment: datetime) -> datetime:
    """A moment with a zone: UTC when it names none. Raises `BadRequest` for one that no calendar here can hold."""
    made = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return made.astimezone(UTC)
    except (OverflowError, ValueError):
        raise BadRequest("That moment lies too far away.", code="moment_invalid") from None


def _whole(parameter: Number | OptionalNumber, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX:
        number = int(text)
        if parameter.least <= number <= parameter.most:
            return number
    message = f"{parameter.name} is a whole number from {parameter.least} to {parameter.most}"
    raise _unlike(parameter.name, message)


def _unlike(name: str, message: str) -> InvalidShape:
    return InvalidShape.at(["query", name], "value_error", message)
