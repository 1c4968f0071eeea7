"""The four shapes in which a query answers: many rows, one or none, one value, changed or not.

Input: a connection, a literal query and its parameters. Output: frozen values of the row class, read by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString, TypeAlias, TypeVar

import psycopg
from psycopg.rows import class_row

from server.db.pool import AsyncConnection

_T = TypeVar("_T")
Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]


async def many(conn: AsyncConnection, row: type[_T], query: LiteralString, parameters: Parameters = ()) -> list[_T]:
    async with conn.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


async def one(conn: AsyncConnection, row: type[_T], query: LiteralString, parameters: Parameters = ()) -> _T | None:
    async with conn.cursor(row_factory=class_row(row)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchone()


async def value(conn: AsyncConnection, query: LiteralString, parameters: Parameters = ()) -> Any:
    """First column of the first row. Raises `LookupError` when there is none: the statement was not what it seemed."""
    row = await (await conn.execute(query, parameters)).fetchone()
    if row is None:
        raise LookupError("a statement that must return a row returned none")
    return row[0]


async def changed(conn: AsyncConnection, query: LiteralString, parameters: Parameters = ()) -> bool:
    """Whether the statement touched exactly one row."""
    return (await conn.execute(query, parameters)).rowcount == 1


def returned(cursor: psycopg.Cursor[Any]) -> Any:
    """As `value`, for blocking callers."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("a statement that must return a row returned none")
    return row[0]
