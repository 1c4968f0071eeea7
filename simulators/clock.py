"""Time in the simulated world: the true time (real or simulated) and the wrong clocks of devices.

Input: nothing but the machine's clock, read here alone. Output: true instants in UTC; device times as naive datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

MAX_OFFSET_MINUTES: Final = 32766  # s16 of 2A18; 0x7FFF means overrun


class TrueClock(Protocol):
    """Where a device learns what time it really is."""

    def now(self) -> datetime:
        """The true instant, UTC."""


class SystemClock:
    """The true time of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SimulatedClock:
    """A true time that moves only when it is told to; never backwards."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("simulated time needs a zone; give an instant in UTC")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance_to(self, instant: datetime) -> None:
        """Go on to `instant`. An earlier instant is refused: devices would see time run backwards."""
        if instant < self._now:
            raise ValueError(f"simulated time is {self._now.isoformat()}; it cannot go back to {instant.isoformat()}")
        self._now = instant.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClock:
    """A device's own clock: what it shows for a true instant. A plain value; changing it gives a new one.

    `offset` is shown time minus true UTC at `anchor`; from there the clock gains `drift_ppm` microseconds a second.
    """

    anchor: datetime
    offset: timedelta = timedelta()
    drift_ppm: float = 0.0

    def read(self, now: datetime) -> datetime:
        """The shown local time (naive) at the true instant `now`."""
        elapsed = now - self.anchor
        gained = timedelta(seconds=elapsed.total_seconds() * self.drift_ppm / 1_000_000)
        return (now + self.offset + gained).astimezone(UTC).replace(tzinfo=None)

    def set(self, shown: datetime, now: datetime) -> DeviceClock:
        """The clock after somebody set it to `shown` at the true instant `now`. It drifts on as before."""
        return DeviceClock(anchor=now, offset=shown.replace(tzinfo=UTC) - now, drift_ppm=self.drift_ppm)

    def jump(self, by: timedelta, now: datetime) -> DeviceClock:
        return self.set(self.read(now) + by, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseClock:
    """A glucose meter's two clocks: the base time, which users never see change, and the user's offset to it.

    Glucose Service: user-facing time = base time + time offset; a record keeps both as they were when it was made.
    """

    base: DeviceClock
    offset_minutes: int = 0

    def read(self, now: datetime) -> datetime:
        """The user-facing local time."""
        return self.base.read(now) + timedelta(minutes=self.offset_minutes)

    def set(self, shown: datetime, now: datetime) -> GlucoseClock:
        """After the user set the clock: later records carry a new offset, the base clock only takes the odd seconds.

        A change too large for the 16-bit offset starts a new base time, as meters do after a lost battery.
        """
        difference = shown - self.base.read(now)
        minutes = round(difference.total_seconds() / 60)
        if abs(minutes) > MAX_OFFSET_MINUTES:
            return GlucoseClock(base=self.base.set(shown, now), offset_minutes=0)
        return GlucoseClock(base=self.base.set(shown - timedelta(minutes=minutes), now), offset_minutes=minutes)

    def jump(self, by: timedelta, now: datetime) -> GlucoseClock:
        return self.set(self.read(now) + by, now)
