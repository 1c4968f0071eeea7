"""Clocks that tests hold in their hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(slots=True)
class HeldClock:
    """A clock that moves only when told; wall and monotonic time move together."""

    at: datetime = field(default_factory=lambda: datetime(2026, 3, 2, 12, 0, 9, tzinfo=UTC))
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, by: timedelta) -> None:
        self.at += by
        self.seconds += by.total_seconds()
