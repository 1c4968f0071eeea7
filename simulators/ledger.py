"""The ground truth: every measurement a simulated device made, whatever becomes of it on the way.

Input: entries as they are made. Output: JSON lines in a file (if one is named) and the same entries in memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One measurement. `values` are decimal strings in `unit` (pulse in /min); `payload` is what goes on the air."""

    device_id: str
    kind: str
    sequence: int
    true_time: datetime
    device_time: datetime | None
    values: Mapping[str, str | None]
    unit: str
    user: int | None = None
    flags: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    payload: str = ""

    def to_json(self) -> dict[str, Any]:
        entry = asdict(self)
        entry["true_time"] = self.true_time.isoformat()
        entry["device_time"] = None if self.device_time is None else self.device_time.isoformat()
        return entry


class Ledger:
    """Append-only; a line is on its way to the disk before `append` returns, so a killed device loses none."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[LedgerEntry] = []
        self._file: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def append(self, entry: LedgerEntry) -> None:
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry.to_json()) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
