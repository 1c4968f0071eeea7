"""A cuff: advertises after a measurement, indicates unsent records oldest first, erases what was confirmed, hangs up.

Input: measurements. Output: Blood Pressure Service 1810 on the air, and the ledger of what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from bumble.device import Connection
from bumble.gatt import Characteristic, Service
from bumble.gatt_server import Server

from simulators.clock import DeviceClock
from simulators.common_services import clock_characteristic
from simulators.encoding import (
    BloodPressureFeature,
    BloodPressurePacket,
    BloodPressureStatus,
    Number,
    PressureUnit,
    Special,
    blood_pressure_feature,
    blood_pressure_measurement,
)
from simulators.gatt_table import INDICATE, NEEDS_ENCRYPTION, READ, characteristic
from simulators.ledger import LedgerEntry
from simulators.memory import StoredRecord
from simulators.peripheral import Peripheral


@dataclass(frozen=True, slots=True, kw_only=True)
class BloodPressureReading:
    """What one inflation gave. Pressures in `unit`, pulse in /min. A failed measurement has all pressures NaN."""

    systolic: Number
    diastolic: Number
    mean: Number = Special.NAN
    pulse: Number | None = None
    unit: PressureUnit = PressureUnit.MMHG
    user: int | None = None
    status: BloodPressureStatus | None = None
    with_timestamp: bool = True


FAILED_READING = BloodPressureReading(systolic=Special.NAN, diastolic=Special.NAN, status=BloodPressureStatus.NONE)


class BloodPressureMonitor(Peripheral):
    """See the module. Bonding is Just Works; the measurement and the clock need an encrypted link."""

    kind: ClassVar[str] = "blood-pressure"
    service_uuid: ClassVar[int] = 0x1810

    _measurement: Characteristic[bytes]
    _subscribed = False
    _delivering = False

    def services(self, server: Server) -> list[Service]:
        self._measurement = characteristic(
            server, 0x2A35, INDICATE, security=NEEDS_ENCRYPTION, on_subscription=self._on_subscription
        )
        feature = characteristic(
            server,
            0x2A49,
            READ,
            value=blood_pressure_feature(
                BloodPressureFeature.BODY_MOVEMENT
                | BloodPressureFeature.CUFF_FIT
                | BloodPressureFeature.IRREGULAR_PULSE
                | BloodPressureFeature.POSITION
            ),
        )
        return [
            Service("1810", [self._measurement, feature, clock_characteristic(self, server, security=NEEDS_ENCRYPTION)])
        ]

    def _new_clock(self, shown: datetime) -> DeviceClock:
        now = self.true_now()
        return DeviceClock(anchor=now, drift_ppm=self.settings.drift_ppm).set(shown, now)

    @property
    def undelivered(self) -> int:
        return len(self.memory.records)

    def finished(self) -> bool:
        return self._subscribed and not self._delivering and not self.memory.records

    async def measure(self, reading: BloodPressureReading) -> LedgerEntry:
        """Take a measurement now: remember it, write the ledger, show up on the air for the advertising window."""
        shown = self.shown_time().replace(microsecond=0)
        packet = BloodPressurePacket(
            systolic=reading.systolic,
            diastolic=reading.diastolic,
            mean=reading.mean,
            unit=reading.unit,
            timestamp=shown if reading.with_timestamp else None,
            pulse=reading.pulse,
            user_id=reading.user,
            status=reading.status,
        )
        payload = blood_pressure_measurement(packet)
        sequence = self.memory.next_sequence
        entry = LedgerEntry(
            device_id=self.settings.device_id,
            kind="blood_pressure",
            sequence=sequence,
            true_time=self.true_now(),
            device_time=packet.timestamp,
            values={
                "systolic": _text(reading.systolic),
                "diastolic": _text(reading.diastolic),
                "mean": _text(reading.mean),
                "pulse": _text(reading.pulse),
            },
            unit=reading.unit.value,
            user=reading.user,
            flags=_flag_names(reading.status),
            payload=payload.hex(),
        )
        self.ledger.append(entry)
        self.memory.add(StoredRecord(sequence=sequence, user_time=shown, payload=payload))
        if self._connection is not None and self._subscribed:
            self._begin_delivery(self._connection)
        await self.go_on_air()
        return entry

    def on_encrypted(self, connection: Connection) -> None:
        self._subscribed = False
        if self.faults.early_indication and self.memory.remembered_subscription:
            self._on_subscription(connection, enabled=True)

    def _on_subscription(self, connection: Connection, enabled: bool) -> None:
        self._subscribed = enabled
        self.memory.remembered_subscription = enabled
        self.memory.save()
        if enabled:
            self._begin_delivery(connection)

    def _begin_delivery(self, connection: Connection) -> None:
        if not self._delivering:
            self._start(self._deliver(connection), self._session_tasks)

    async def _deliver(self, connection: Connection) -> None:
        self._delivering = True
        try:
            while self.memory.records:
                record = self.memory.records[0]
                await self.send(connection, self._measurement, record.payload)
                self.memory.erase({record.sequence})  # confirmed by the peer's stack: no longer ours
            await self._notify_change()
        finally:
            self._delivering = False
            self._wake.set()


def _text(value: Number | None) -> str | None:
    return str(value) if isinstance(value, Decimal) else None if value is None else value.value


def _flag_names(status: BloodPressureStatus | None) -> tuple[str, ...]:
    return () if status is None else tuple(flag.name.lower() for flag in status if flag.name)
