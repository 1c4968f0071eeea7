"""The single reader of wall time in the alert processes. Everything else takes `now` as a value."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant in UTC."""
    return datetime.now(UTC)
