"""The words in which the two databases differ, for the text of a revision."""

from alembic import op
from msgspec import Struct


class Words(Struct, frozen=True, kw_only=True):
    """`integer` has 64 bits; `folded` compares without regard to case where the database can; `table` ends CREATE TABLE.

    `keyed_table` ends it for a table whose rows are best kept in the order of their key.
    """

    integer: str
    real: str
    blob: str
    folded: str
    table: str
    keyed_table: str


_SQLITE = Words(
    integer="INTEGER",
    real="REAL",
    blob="BLOB",
    folded="TEXT COLLATE NOCASE",
    table=" STRICT",
    keyed_table=" STRICT, WITHOUT ROWID",
)
_POSTGRESQL = Words(
    integer="BIGINT", real="DOUBLE PRECISION", blob="BYTEA", folded="TEXT", table="", keyed_table=""
)


def words() -> Words:
    """Those of the database that the statements are written for."""
    return _SQLITE if op.get_context().dialect.name == "sqlite" else _POSTGRESQL
