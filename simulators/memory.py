"""What a device keeps without power: stored records, its clock, its identity key and its bonds.

Input: changes as they happen. Output: `state.json` and `bonds.json` in the device's folder, or memory only (no folder).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bumble.keys import JsonKeyStore, KeyStore, MemoryKeyStore

from simulators.clock import DeviceClock, GlucoseClock

STATE_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """One record as the device will send it. `user_time` is what its display showed; filters compare it."""

    sequence: int
    user_time: datetime
    payload: bytes
    context: bytes | None = None


class DeviceMemory:
    """Mutable device state with one owner, the device. Every change is written before the call returns."""

    def __init__(self, folder: Path | None = None, *, capacity: int = 1000) -> None:
        """`capacity`: when the memory is full the oldest record is overwritten, as devices do."""
        self._folder = folder
        self._capacity = capacity
        self.records: list[StoredRecord] = []
        self.next_sequence = 1
        self.battery_percent = 100
        self.clock: DeviceClock | GlucoseClock | None = None
        self.irk = secrets.token_bytes(16)
        self.remembered_subscription = False
        self.bonds: KeyStore = MemoryKeyStore()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self.bonds = JsonKeyStore("device", str(folder / "bonds.json"))
            self._load(folder / "state.json")

    def add(self, record: StoredRecord) -> None:
        self.records.append(record)
        del self.records[: -self._capacity]
        self.next_sequence = record.sequence % 0xFFFF + 1
        self.save()

    def erase(self, sequences: set[int]) -> None:
        self.records = [record for record in self.records if record.sequence not in sequences]
        self.save()

    def save(self) -> None:
        if self._folder is None:
            return
        path = self._folder / "state.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._to_json()), encoding="utf-8")
        temporary.replace(path)

    def _to_json(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "next_sequence": self.next_sequence,
            "battery_percent": self.battery_percent,
            "irk": self.irk.hex(),
            "remembered_subscription": self.remembered_subscription,
            "clock": _clock_to_json(self.clock),
            "records": [
                {
                    "sequence": record.sequence,
                    "user_time": record.user_time.isoformat(),
                    "payload": record.payload.hex(),
                    "context": None if record.context is None else record.context.hex(),
                }
                for record in self.records
            ],
        }

    def _load(self, path: Path) -> None:
        if not path.exists():
            self.save()
            return
        state = json.loads(path.read_text(encoding="utf-8"))
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"{path}: state version {state.get('version')} is not {STATE_VERSION}; remove the folder")
        self.next_sequence = state["next_sequence"]
        self.battery_percent = state["battery_percent"]
        self.irk = bytes.fromhex(state["irk"])
        self.remembered_subscription = state["remembered_subscription"]
        self.clock = _clock_from_json(state["clock"])
        self.records = [
            StoredRecord(
                sequence=record["sequence"],
                user_time=datetime.fromisoformat(record["user_time"]),
                payload=bytes.fromhex(record["payload"]),
                context=None if record["context"] is None else bytes.fromhex(record["context"]),
            )
            for record in state["records"]
        ]


def _clock_to_json(clock: DeviceClock | GlucoseClock | None) -> dict[str, Any] | None:
    if clock is None:
        return None
    if isinstance(clock, GlucoseClock):
        return {"offset_minutes": clock.offset_minutes, "base": _clock_to_json(clock.base)}
    return {
        "anchor": clock.anchor.isoformat(),
        "offset_seconds": clock.offset.total_seconds(),
        "drift_ppm": clock.drift_ppm,
    }


def _clock_from_json(state: dict[str, Any] | None) -> DeviceClock | GlucoseClock | None:
    if state is None:
        return None
    if "base" in state:
        base = _clock_from_json(state["base"])
        if not isinstance(base, DeviceClock):
            raise ValueError("state.json: the base clock of a glucose meter is missing")
        return GlucoseClock(base=base, offset_minutes=state["offset_minutes"])
    return DeviceClock(
        anchor=datetime.fromisoformat(state["anchor"]),
        offset=timedelta(seconds=state["offset_seconds"]),
        drift_ppm=state["drift_ppm"],
    )
