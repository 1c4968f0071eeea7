"""The value of a statement that always returns exactly one row (`INSERT … RETURNING`)."""

from __future__ import annotations

from typing import Any

import psycopg


def returned(cursor: psycopg.Cursor[Any]) -> Any:
    """First column of the only row. Raises `LookupError` when there is none: the statement was not what it seemed."""
    row = cursor.fetchone()
    if row is None:
        raise LookupError("a statement that must return a row returned none")
    return row[0]
