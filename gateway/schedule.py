"""Whom to connect to, and when. Pure.

Input: what was heard and what happened before. Output: the next device, or none. Cuffs before meters, because a cuff
is on the air for seconds; a few attempts in one advertising window, then the next window must come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from device_drivers.driver import Urgency

FRESH_SECONDS: Final = 8.0
"""A device heard longer ago is likely off the air; connecting to it would cost others their window."""

WINDOW_GAP_SECONDS: Final = 5.0
"""Silence that ends an advertising window. Advertising intervals are at most 2.5 s, one packet may be missed."""

REST_SECONDS: Final = 20.0
"""After a session a device that goes on advertising is left alone that long: some meters never stop, and a battery is
small. Longer delays a second measurement taken while the first window is still open."""

CUFF_REST_SECONDS: Final = 2.0
"""A cuff that handed over something and is still heard has measured again: its window is short."""

ATTEMPTS: Final = 3
"""Failed attempts in one window; then the device has to go silent, or rest, before it is tried again."""

_ORDER: Final = {Urgency.CUFF: 0, Urgency.METER: 1, Urgency.BACKGROUND: 2}


class Remedy(StrEnum):
    """What to do after a session did not work."""

    RETRY_NOW = "retry-now"
    NEXT_ADVERTISEMENT = "next-advertisement"
    REFRESH_CACHE = "refresh-cache"
    PAIR_AGAIN = "pair-again"
    GIVE_UP = "give-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One device on the air. Times in seconds of the gateway's monotonic clock."""

    device_id: str
    urgency: Urgency
    opened_at: float
    heard_at: float
    attempts: int = 0
    not_before: float = 0.0
    must_be_heard_after: float = float("-inf")


def heard(window: Window | None, *, device_id: str, urgency: Urgency, at: float) -> Window:
    """The window after one more advertisement; a new one after a silence."""
    if window is None or at - window.heard_at >= WINDOW_GAP_SECONDS:
        return Window(device_id=device_id, urgency=urgency, opened_at=at, heard_at=at)
    return replace(window, heard_at=at, urgency=urgency)


def is_ready(window: Window, at: float) -> bool:
    """Whether a connection may be tried now."""
    return (
        at - window.heard_at <= FRESH_SECONDS
        and window.attempts < ATTEMPTS
        and at >= window.not_before
        and window.heard_at > window.must_be_heard_after
    )


def choose(windows: Iterable[Window], at: float) -> Window | None:
    """The most urgent ready device; among equals the one whose window opened first."""
    ready = [window for window in windows if is_ready(window, at)]
    return min(ready, key=lambda window: (_ORDER[window.urgency], window.attempts, window.opened_at), default=None)


def after_success(window: Window, at: float, *, readings: int) -> Window:
    """Left alone until it went silent and came back, or has rested."""
    rest = CUFF_REST_SECONDS if window.urgency is Urgency.CUFF and readings else REST_SECONDS
    return replace(window, attempts=0, not_before=at + rest, heard_at=max(window.heard_at, at))


def after_failure(window: Window, at: float, remedy: Remedy) -> Window:
    """One attempt less; all but retry-now want a fresh advertisement first."""
    if remedy is Remedy.GIVE_UP:
        return replace(window, attempts=0, not_before=at + REST_SECONDS, heard_at=max(window.heard_at, at))
    attempts = window.attempts + 1
    if attempts >= ATTEMPTS:
        return replace(window, attempts=0, not_before=at + REST_SECONDS, heard_at=max(window.heard_at, at))
    if remedy is Remedy.RETRY_NOW:
        return replace(window, attempts=attempts, heard_at=max(window.heard_at, at))
    return replace(window, attempts=attempts, must_be_heard_after=at)  # what was forgotten must be heard anew
