"""Server-side sessions: what the cookie is, when a session ends.

Input: times and limits. Output: decisions and random ids. Pure apart from the random source; SQL is in
`server.db.users`.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_ID_BYTES: Final = 32  # 256 bits (OWASP ASVS 5.0, 7.2.3 asks for 128)
SECURE_COOKIE: Final = "__Host-vw_session"
LOOPBACK_COOKIE: Final = "vw_session"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Automatic log-off, 45 CFR 164.312(a)(2)(iii). Longer idle leaves a ward computer open to the next person who
    walks by; shorter makes a nurse type a password between two calls."""

    idle: timedelta = timedelta(minutes=15)
    absolute: timedelta = timedelta(hours=12)
    # A row written at every click would be a write a request; the idle limit is blurred by at most this much.
    touch_every: timedelta = timedelta(seconds=30)


def new_session_id() -> str:
    return secrets.token_urlsafe(_ID_BYTES)


def session_hash(session_id: str) -> bytes:
    """What the database keeps. The id is 256 random bits: a plain hash cannot be searched."""
    return hashlib.sha256(session_id.encode()).digest()


def cookie_name(*, secure: bool) -> str:
    """`__Host-` needs Secure, which a browser refuses to store from plain http."""
    return SECURE_COOKIE if secure else LOOPBACK_COOKIE


def ends_at(*, last_seen_at: datetime, expires_at: datetime, limits: SessionLimits) -> datetime:
    """When this session ends unless the person does something."""
    return min(last_seen_at + limits.idle, expires_at)


def is_live(
    *, now: datetime, last_seen_at: datetime, expires_at: datetime, revoked_at: datetime | None, limits: SessionLimits
) -> bool:
    return revoked_at is None and now < ends_at(last_seen_at=last_seen_at, expires_at=expires_at, limits=limits)


def needs_touch(*, now: datetime, last_seen_at: datetime, limits: SessionLimits) -> bool:
    return now - last_seen_at >= limits.touch_every
