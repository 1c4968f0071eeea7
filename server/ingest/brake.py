"""Stop taking readings in when most of them are refused by everybody: then the fault is ours, not a gateway's.

Input: how many readings of each batch were refused, and by how many gateways they were sent. Output: a file in the
data folder while ingest is paused; an operator removes it with `vitalwire server ingest resume`. Nothing is lost
meanwhile: the broker and the gateways keep what is not acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from server.config import ServerSettings

# Fewer readings than this say nothing about a ratio.
_WINDOW_READINGS: Final = 1_000
_LEAST_REJECTED: Final = 100
# One broken home must never stop everybody else's readings; its own end in the dead-letter table.
_LEAST_GATEWAYS: Final = 3
_LOOK_SECONDS: Final = 0.5


@dataclass(slots=True)
class RejectWindow:
    """The last thousand readings or so: how many were refused, and whose."""

    ratio: float
    _batches: deque[tuple[int, int, frozenset[str | None]]] = field(default_factory=deque)
    _total: int = 0
    _rejected: int = 0

    def record(self, total: int, rejected: int, gateways: frozenset[str | None]) -> bool:
        """Whether the ratio is exceeded now."""
        self._batches.append((total, rejected, gateways))
        self._total += total
        self._rejected += rejected
        while self._total - self._batches[0][0] >= _WINDOW_READINGS:
            oldest = self._batches.popleft()
            self._total -= oldest[0]
            self._rejected -= oldest[1]
        return (
            self._rejected >= _LEAST_REJECTED
            and self._rejected > self.ratio * self._total
            and len(frozenset().union(*(batch[2] for batch in self._batches)) - {None}) >= _LEAST_GATEWAYS
        )

    def clear(self) -> None:
        self._batches.clear()
        self._total = self._rejected = 0


def pause_file(settings: ServerSettings) -> Path:
    return settings.data / "ingest-paused"


def resume(settings: ServerSettings) -> bool:
    """Let ingest go on. False when it was not paused."""
    path = pause_file(settings)
    if not path.exists():
        return False
    path.unlink()
    return True


class Brake:
    """The window and the file it writes."""

    def __init__(self, settings: ServerSettings) -> None:
        self._window = RejectWindow(settings.ingest_reject_ratio)
        self._file = pause_file(settings)

    @property
    def engaged(self) -> bool:
        return self._file.exists()

    def record(self, total: int, rejected: int, gateways: frozenset[str | None]) -> bool:
        """Engages when the ratio is exceeded; True at that moment."""
        if not self._window.record(total, rejected, gateways):
            return False
        self._window.clear()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("most readings of several gateways are refused; see the dead letters\n", encoding="utf-8")
        return True

    async def wait_released(self) -> None:
        """Returns at once when the brake is off."""
        while self.engaged:  # noqa: ASYNC110 - another process removes the file
            await asyncio.sleep(_LOOK_SECONDS)
