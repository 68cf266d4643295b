"""Kinds of columns that databases keep in different ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Dialect, Integer, TypeDecorator
from sqlalchemy.types import TIMESTAMP, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """A time with zone; integer microseconds since 1970 where the database has no such type."""

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return value.astimezone(UTC) if value is not None else None
        return _EPOCH + timedelta(microseconds=int(value))


# SQLite makes a rowid alias, and so fills it by itself, only for the exact word INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


def one_of(column: str, words: type[Any]) -> CheckConstraint:
    """The column holds one of these words and nothing else."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=f"ck_{column}")
