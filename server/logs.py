"""Logs of the server's processes: one JSON line an event on standard error, with fields from a closed list only.

Input: structlog events. Output: lines that hold identifiers, counts and error classes; any other field is dropped, so
that a patient's name or value cannot slip into a log by accident.
"""

from __future__ import annotations

import sys
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

ALLOWED_FIELDS: Final = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "logger",
        "error",
        "reason",
        "count",
        "session",
        "seconds",
        "role",
        "path",
        "status",
        "method",
        "practice_id",
        "patient_id",
        "gateway_id",
        "device_id",
        "alert_id",
        "user_id",
        "message_id",
    }
)


def keep_allowed_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop every field that is not on the list."""
    return {name: value for name, value in event.items() if name in ALLOWED_FIELDS}


def configure() -> None:
    """Call once at the start of a process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            keep_allowed_fields,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
