"""Slowing down password guessing, per account and per address, without a lock an attacker could use against a nurse.

Input: times of recent failures and `now`. Output: how long this attempt must wait. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

WINDOW: Final = timedelta(minutes=15)
_FREE_PER_ACCOUNT: Final = 5
_FREE_PER_ADDRESS: Final = 20  # one address may be a whole clinic behind a router
_FIRST_WAIT: Final = timedelta(seconds=2)
_LONGEST_WAIT: Final = timedelta(minutes=15)


def wait_before_login(
    *, account_failures: Sequence[datetime], address_failures: Sequence[datetime], now: datetime
) -> timedelta:
    """Zero, or what is left of a delay that doubles with every failure past the free ones. Never longer than 15
    minutes after the last failure, so the rightful owner always gets in again (OWASP ASVS 5.0, 6.3.1)."""
    return max(
        _remaining(account_failures, _FREE_PER_ACCOUNT, now), _remaining(address_failures, _FREE_PER_ADDRESS, now)
    )


def _remaining(failures: Sequence[datetime], free: int, now: datetime) -> timedelta:
    excess = len(failures) - free
    if excess < 0 or not failures:
        return timedelta(0)
    doublings = 1 << min(excess, 20)
    delay = min(_FIRST_WAIT * doublings, _LONGEST_WAIT)
    return max(max(failures) + delay - now, timedelta(0))
