"""Values to words and back: times in the viewer's zone, durations, units. The only display conversion.

Input: UTC instants, seconds, decimals, a zone. Output: text. Pure; `now` is a parameter.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton, format_time


def local_time(instant: datetime, zone: ZoneInfo) -> str:
    """Hours and minutes: `14:07`."""
    return instant.astimezone(zone).strftime("%H:%M")


def local_time_seconds(instant: datetime, zone: ZoneInfo) -> str:
    """With seconds: `14:07:31`."""
    return instant.astimezone(zone).strftime("%H:%M:%S")


def local_date(instant: datetime, zone: ZoneInfo) -> str:
    """The calendar day: `22 Nov 2026`."""
    return day(instant.astimezone(zone).date())


def day(value: date) -> str:
    return f"{value.day} {value:%b %Y}"


def local_when(instant: datetime, zone: ZoneInfo, now: datetime) -> str:
    """`14:07` today, `Yesterday 14:07`, else `18 Nov 14:07` (with the year when it is another one)."""
    local, today = instant.astimezone(zone), now.astimezone(zone).date()
    clock = local.strftime("%H:%M")
    if local.date() == today:
        return clock
    if local.date() == today - timedelta(days=1):
        return f"Yesterday {clock}"
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local.day} {local:%b}{year} {clock}"


def iso(instant: datetime) -> str:
    """For `<time datetime>`: UTC, to the second."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: int) -> str:
    """A length in words a person scans: `45 s`, `12 min`, `3 h 05`, `2 d 4 h`. Rounded down."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d}"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def stopwatch(seconds: int) -> str:
    """A length to the second, never rounded: `4:05`, `1:02:09`."""
    hours, rest = divmod(seconds, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def exact(seconds: int) -> str:
    """A length in words to the second, never rounded: `4 min 05 s`, `1 h 02 min 09 s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, second = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min {second:02d} s"
    return f"{minutes} min {second:02d} s" if minutes else f"{second} s"


def plain(value: Decimal) -> str:
    """A number without an exponent, with the digits it carries: `98.6`, `120`."""
    return format(value, "f")


_UNITS = {"mm[Hg]": "mmHg", "/min": "/min", "mg/dL": "mg/dL", "mmol/L": "mmol/L", "%": "%", "kg": "kg", "Cel": "°C"}


def unit(ucum: str) -> str:
    """A UCUM unit as clinicians write it."""
    return _UNITS.get(ucum, ucum)


def spoken_day(value: date, language: str) -> str:
    """A date in the reader's language: `Nov 22` or `22 nov`."""
    return format_skeleton("MMMd", value, locale=language)


def spoken_when(instant: datetime, zone: ZoneInfo, language: str, *, now: datetime, today: str, yesterday: str) -> str:
    """A moment in the reader's language; `today` and `yesterday` are that language's words."""
    local, this_day = instant.astimezone(zone), now.astimezone(zone).date()
    clock = format_time(local.time(), format="short", locale=_CLOCK_LOCALES.get(language, language))
    days = {this_day: today, this_day - timedelta(days=1): yesterday}
    return f"{days.get(local.date()) or spoken_day(local.date(), language)}, {clock}"


# In the United States the clock has twelve hours in either language.
_CLOCK_LOCALES = {"en": "en_US", "es": "es_US"}
