"""What a device remembers of the days before it came near a gateway: records of the past in a new memory.

Input: a device with an empty memory, the days. Output: stored records and ledger lines with their own times. Nothing is
inserted anywhere else: a gateway reads them over Bluetooth like any stored record.
"""

from __future__ import annotations

import random
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from simulators.clock import SystemClock
from simulators.control import DeviceControl

# A person's habit: hours of the day, how punctual, how faithful.
_HABITS: Final[dict[str, tuple[tuple[time, dict[str, Any]], ...]]] = {
    "blood-pressure": ((time(7, 40), {}), (time(19, 10), {})),
    "glucose": ((time(7, 20), {"meal": "fasting"}), (time(20, 15), {"meal": "postprandial"})),
}
_JITTER_MINUTES: Final = 25.0
_FAITHFUL_DAYS: Final = 0.8
_SECOND_OF_THE_DAY: Final = 0.5


class BackdatedClock(SystemClock):
    """The true time, unless somebody remembers another one."""

    def __init__(self) -> None:
        self.remembered: datetime | None = None

    def now(self) -> datetime:
        return self.remembered or super().now()


async def recall(control: DeviceControl, clock: BackdatedClock, *, kind: str, days: int, zone: str, seed: int) -> int:
    """Fill the memory with the last `days` days up to yesterday; returns how many records. The same seed, the same."""
    chance = random.Random(seed)  # noqa: S311 - a habit, not a secret
    here = ZoneInfo(zone)
    today = clock.now().astimezone(here).date()
    made = 0
    for back in range(days, 0, -1):
        if chance.random() > _FAITHFUL_DAYS:
            continue
        for number, (hour, words) in enumerate(_HABITS[kind]):
            late = timedelta(minutes=chance.uniform(-_JITTER_MINUTES, _JITTER_MINUTES))
            if number > 0 and chance.random() > _SECOND_OF_THE_DAY:
                continue
            clock.remembered = datetime.combine(today - timedelta(days=back), hour, here) + late
            await control.measure(words)
            made += 1
    clock.remembered = None
    return made
