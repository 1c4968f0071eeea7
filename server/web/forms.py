"""Form text to values, with messages that name the field. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from server.web.problems import Malformed


def choice(text: str, allowed: Collection[str], field: str) -> str:
    """One of a closed list."""
    if text not in allowed:
        raise Malformed(f"{field}: choose one of the listed values.")
    return text


def whole_number(text: str, *, low: int, high: int, field: str) -> int:
    if not text.strip().isdecimal() or not low <= int(text) <= high:
        raise Malformed(f"{field}: write a whole number from {low} to {high}.")
    return int(text)


def instant(text: str, field: str) -> datetime:
    """An instant our own page wrote into the form (UTC, ISO 8601)."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"{field}: this time cannot be read.") from None
    if value.tzinfo is None:
        raise Malformed(f"{field}: this time has no zone.")
    return value


def note(text: str, *, field: str = "Note", required: bool = False, limit: int = 4000) -> str:
    cleaned = text.replace("\r\n", "\n").strip()
    if required and not cleaned:
        raise Malformed(f"{field}: write what was done and why.")
    if len(cleaned) > limit:
        raise Malformed(f"{field}: at most {limit} characters, this has {len(cleaned)}.")
    return cleaned
