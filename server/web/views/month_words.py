"""The words of the month page: reasons, programs, quantities and arithmetic as a person reads them. Pure.

Input: values of an adjudication and of its facts. Output: short strings.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from server.web import formatting

TIMES: Final = "\u00d7"
_REASONS: Final = {
    "OVERLAP_SAME_PROGRAM": "two people at the same moment count once",
    "OVERLAP_CROSS_PROGRAM": "the same seconds are tagged to two programs",
    "STAFF_DOUBLE_BOOKED": "the same person is in two places",
    "MANUAL_DATA": "typed in by hand, not sent by the device",
    "DEVICE_NOT_QUALIFIED": "the device is not a defined medical device",
    "CONDITIONS_NOT_MET": "this kind of work does not count",
    "NO_CONSENT": "before consent",
    "CONSENT_REVOKED": "after consent was withdrawn",
    "INPATIENT_TIME": "during a stay",
    "WRONG_PERFORMER": "not by a person who may perform it, or not work that counts",
    "NO_INITIATING_VISIT": "before the initiating visit",
    "NO_CARE_PLAN": "before the care plan was approved",
    "NO_ORDER": "before the order",
}


def quantity(value: str | None, unit: str | None) -> str:
    """`1310` s is `21:50`; `16` days is `16 days`; other units stay as they are."""
    if value is None:
        return ""
    if unit in {"s", "seconds"}:
        return formatting.stopwatch(int(Decimal(value)))
    if unit in {"d", "day", "days"}:
        return f"{value} day" if value == "1" else f"{value} days"
    return f"{value} {unit}" if unit and unit not in {"1", "flag", "word"} else value


def arithmetic(have: str | None, need: str | None, unit: str | None) -> str:
    """What there is beside what is needed: `21:50 counted, 20:00 needed`."""
    if have is None and need is None:
        return ""
    if need is None:
        return f"{quantity(have, unit)} counted"
    return f"{quantity(have, unit) or 'none'} counted, {quantity(need, unit)} needed"


def reason_words(reason: str) -> str:
    """A reason of the fixed vocabulary in plain words."""
    return _REASONS.get(reason, reason.replace("_", " ").lower())


def program_name(program: str | None) -> str:
    """`rpm` is `RPM`; time without a program is not allocated."""
    return program.upper() if program else "not allocated"


def length_of(seconds: str) -> str:
    """A number of seconds as a stopwatch shows it."""
    return formatting.stopwatch(int(Decimal(str(seconds))))


def instant(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def short_digest(digest: str) -> str:
    """`sha256:0123456789abcdef…` as far as a person compares it."""
    kind, _, value = digest.partition(":")
    return f"{kind}:{value[:12]}"
