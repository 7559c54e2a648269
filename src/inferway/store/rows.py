"""Records as table rows: a column for each field, named as the field."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from inferway.errors import Conflict
from inferway.store.moments import to_microseconds, to_moment
from inferway.store.work import Row, SqlDatabase, Work, ask

R = TypeVar("R", bound=Struct)


class Table(Generic[R]):
    """One kind of record in one table. Moments are stored as microseconds, texts and numbers as they are, all else as JSON.

    `unwritten` are fields that only other statements write; they do not count when two records are compared.
    """

    def __init__(self, kind: type[R], name: str, key: str, *, unwritten: tuple[str, ...] = ()) -> None:
        self._kind, self._name, self._key = kind, name, key
        self._forms = {field: _form(hint) for field, hint in get_type_hints(kind).items()}
        self._written = tuple(field for field in self._forms if field not in unwritten)
        self._unwritten = dict.fromkeys(unwritten)
        # Names of our own fields, and places for values.
        places = ", ".join(f"${number}" for number in range(1, len(self._written) + 1))
        changes = ", ".join(f"{field} = ${number}" for number, field in enumerate(self._written, 1))
        self._insert = f"INSERT INTO {name} ({', '.join(self._written)}) VALUES ({places})"  # noqa: S608
        self._update = f"UPDATE {name} SET {changes} WHERE {key} = ${len(self._written) + 1}"  # noqa: S608
        self._delete = f"DELETE FROM {name} WHERE {key} = $1"  # noqa: S608
        self._select = f"SELECT {', '.join(self._forms)} FROM {name} "  # noqa: S608

    def insert(self, record: R) -> Work[None]:
        """Adds a row."""
        yield ask(self._insert, *self._values(record))

    def replace(self, record: R, was: R) -> Work[None]:
        """Changes the row of a record that was made from `was`; raises `Conflict` when the row is another by now."""
        key = getattr(was, self._key)
        found = yield ask(self._select + f"WHERE {self._key} = $1", key)
        if not found or not self._same(self.record(found[0]), was):
            raise Conflict(
                "This was changed by somebody else meanwhile: look again.", code="changed_meanwhile"
            )
        yield ask(self._update, *self._values(record), key)

    def delete(self, record: R) -> Work[None]:
        """Removes the row of a record, if it is there."""
        yield ask(self._delete, getattr(record, self._key))

    async def select(self, database: SqlDatabase, where: str, *values: object) -> tuple[R, ...]:
        """The records of the rows that a clause picks; the clause is a constant, values are bound."""
        return tuple(map(self.record, await database.select(self._select + where, *values)))

    def record(self, row: Row) -> R:
        """The record of a row, its columns in the order of the fields."""
        values: Mapping[str, Any] = {
            field: _loaded(value, form) for (field, form), value in zip(self._forms.items(), row, strict=True)
        }
        return msgspec.convert(values, self._kind)

    def _same(self, one: R, other: R) -> bool:
        blank: Any = self._unwritten
        return msgspec.structs.replace(one, **blank) == msgspec.structs.replace(other, **blank)

    def _values(self, record: R) -> tuple[object, ...]:
        return tuple(_stored(getattr(record, field), self._forms[field]) for field in self._written)


def _form(hint: Any) -> str:
    """How a field is stored: `moment`, `plain` or `json`."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    if hint is datetime:
        return "moment"
    is_plain = isinstance(hint, type) and (hint in (str, int, bytes) or issubclass(hint, StrEnum))
    return "plain" if is_plain else "json"


def _stored(value: Any, form: str) -> object:
    if value is None:
        return None
    if form == "moment":
        return to_microseconds(value)
    if form == "json":
        return msgspec.json.encode(value).decode("utf-8")
    return str(value) if isinstance(value, StrEnum) else value


def _loaded(value: Any, form: str) -> object:
    if value is None:
        return None
    if form == "moment":
        return to_moment(value)
    return msgspec.json.decode(value) if form == "json" else value
