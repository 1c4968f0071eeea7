"""A glucose meter: keeps its records behind the Record Access Control Point, shows a passkey, never erases by itself.

Input: measurements. Output: Glucose Service 1808 on the air, and the ledger of what was measured.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Final

from bumble import att
from bumble.device import Connection
from bumble.gatt import Characteristic, Service
from bumble.gatt_server import Server

from simulators.clock import DeviceClock, GlucoseClock
from simulators.common_services import clock_characteristic
from simulators.encoding import (
    GlucoseContextPacket,
    GlucoseFeature,
    GlucosePacket,
    GlucoseStatus,
    GlucoseUnit,
    Meal,
    Number,
    SampleLocation,
    SampleType,
    Special,
    glucose_context,
    glucose_feature,
    glucose_measurement,
    racp_response,
)
from simulators.gatt_table import INDICATE, NEEDS_AUTHENTICATION, NOTIFY, READ, WRITE, characteristic
from simulators.ledger import LedgerEntry
from simulators.memory import StoredRecord
from simulators.peripheral import Peripheral
from simulators.record_access import Decision, OpCode, ResponseValue, decide

MG_PER_DL: Final = "mg/dL"
MMOL_PER_L: Final = "mmol/L"
# Meters show "HI" and "LO" beyond their range; 20 to 600 mg/dL is common.
LOWEST_MG_PER_DL: Final = Decimal(20)
HIGHEST_MG_PER_DL: Final = Decimal(600)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseReading:
    """What one strip gave. `glucose` in `unit`; None = no concentration (a failed strip, with its status)."""

    glucose: Number | None
    unit: str = MG_PER_DL
    meal: Meal | None = None
    sample_type: SampleType = SampleType.CAPILLARY_PLASMA
    location: SampleLocation = SampleLocation.FINGER
    status: GlucoseStatus | None = None
    with_offset: bool = True


def to_wire(reading: GlucoseReading) -> tuple[Number | None, GlucoseUnit]:
    """The concentration in the unit of the wire: mg/dL -> kg/L (x 10^-5), mmol/L -> mol/L (x 10^-3)."""
    unit, exponent = (GlucoseUnit.MOL_PER_L, -3) if reading.unit == MMOL_PER_L else (GlucoseUnit.KG_PER_L, -5)
    value = reading.glucose
    return (value.scaleb(exponent) if isinstance(value, Decimal) else value), unit


def out_of_range(reading: GlucoseReading) -> GlucoseReading:
    """HI or LO in place of a value the meter cannot measure."""
    value = reading.glucose
    if not isinstance(value, Decimal):
        return reading
    limit = Decimal("18.0182") if reading.unit == MMOL_PER_L else Decimal(1)
    status = reading.status or GlucoseStatus.NONE
    if value * limit > HIGHEST_MG_PER_DL:
        return _replaced(reading, Special.POSITIVE_INFINITY, status | GlucoseStatus.ABOVE_RANGE)
    if value * limit < LOWEST_MG_PER_DL:
        return _replaced(reading, Special.NEGATIVE_INFINITY, status | GlucoseStatus.BELOW_RANGE)
    return reading


def _replaced(reading: GlucoseReading, value: Special, status: GlucoseStatus) -> GlucoseReading:
    return GlucoseReading(
        glucose=value,
        unit=reading.unit,
        meal=reading.meal,
        sample_type=reading.sample_type,
        location=reading.location,
        status=status,
        with_offset=reading.with_offset,
    )


class GlucoseMeter(Peripheral):
    """See the module. Everything worth stealing needs a link authenticated by the passkey on the display."""

    kind: ClassVar[str] = "glucose"
    service_uuid: ClassVar[int] = 0x1808
    shows_passkey: ClassVar[bool] = True

    _server: Server
    _measurement: Characteristic[bytes]
    _context: Characteristic[bytes]
    _access: Characteristic[bytes]
    _procedure: asyncio.Task[None] | None = None
    _fetched_up_to = 0

    def services(self, server: Server) -> list[Service]:
        self._server = server
        self._measurement = characteristic(server, 0x2A18, NOTIFY, security=NEEDS_AUTHENTICATION)
        self._context = characteristic(server, 0x2A34, NOTIFY, security=NEEDS_AUTHENTICATION)
        self._access = characteristic(
            server, 0x2A52, WRITE | INDICATE, security=NEEDS_AUTHENTICATION, write=self._on_request
        )
        feature = characteristic(
            server,
            0x2A51,
            READ,
            value=glucose_feature(
                GlucoseFeature.LOW_BATTERY
                | GlucoseFeature.SAMPLE_SIZE
                | GlucoseFeature.STRIP_INSERTION
                | GlucoseFeature.STRIP_TYPE
                | GlucoseFeature.HIGH_LOW
                | GlucoseFeature.READ_INTERRUPT
            ),
        )
        clock = clock_characteristic(self, server, security=NEEDS_AUTHENTICATION)
        return [Service("1808", [self._measurement, self._context, feature, self._access, clock])]

    def _new_clock(self, shown: datetime) -> GlucoseClock:
        now = self.true_now()
        return GlucoseClock(base=DeviceClock(anchor=now, drift_ppm=self.settings.drift_ppm).set(shown, now))

    @property
    def undelivered(self) -> int:
        return sum(record.sequence > self._fetched_up_to for record in self.memory.records)

    def finished(self) -> bool:
        """Meters never hang up by themselves while a collector may still ask; patience ends it."""
        return False

    def on_encrypted(self, connection: Connection) -> None:
        del connection
        self._procedure = None

    async def measure(self, reading: GlucoseReading) -> LedgerEntry:
        """Use a strip now: store the record, write the ledger, show up on the air for the advertising window."""
        entry = self.store(reading)
        await self.go_on_air()
        return entry

    def store(self, reading: GlucoseReading) -> LedgerEntry:
        """Store a record without going on the air."""
        reading = out_of_range(reading)
        clock = self.clock
        if not isinstance(clock, GlucoseClock):
            raise TypeError(f"{self.settings.device_id}: its memory holds the clock of another kind of device")
        now = self.true_now()
        concentration, unit = to_wire(reading)
        packet = GlucosePacket(
            sequence=self.memory.next_sequence,
            base_time=clock.base.read(now).replace(microsecond=0),
            time_offset_minutes=clock.offset_minutes if reading.with_offset else None,
            concentration=concentration,
            unit=unit,
            sample_type=reading.sample_type,
            location=reading.location,
            status=reading.status,
            context_follows=reading.meal is not None,
        )
        shown = clock.read(now).replace(microsecond=0)
        payload = glucose_measurement(packet)
        context = None
        if reading.meal is not None:
            context = glucose_context(GlucoseContextPacket(sequence=packet.sequence, meal=reading.meal))
        entry = LedgerEntry(
            device_id=self.settings.device_id,
            kind="glucose",
            sequence=packet.sequence,
            true_time=now,
            device_time=shown,
            values={"glucose": _text(reading.glucose)},
            unit=reading.unit,
            flags=() if reading.status is None else tuple(flag.name.lower() for flag in reading.status if flag.name),
            context={} if reading.meal is None else {"meal": reading.meal.name.lower()},
            payload=payload.hex(),
        )
        self.ledger.append(entry)
        self.memory.add(StoredRecord(sequence=packet.sequence, user_time=shown, payload=payload, context=context))
        return entry

    def _on_request(self, connection: Connection, request: bytes) -> None:
        if not self._is_configured(connection):
            raise att.ATT_Error(att.ErrorCode.CCCD_IMPROPERLY_CONFIGURED)
        running = self._procedure is not None and not self._procedure.done()
        decision = decide(request, self.memory.records)
        if running and not decision.abort:
            raise att.ATT_Error(att.ErrorCode.PROCEDURE_ALREADY_IN_PROGRESS)
        if decision.abort:
            if running and self._procedure is not None:
                self._procedure.cancel()
            else:
                decision = Decision(answer=racp_response(OpCode.ABORT, ResponseValue.ABORT_UNSUCCESSFUL))
        self._start(self._carry_out(connection, decision), self._session_tasks)

    def _is_configured(self, connection: Connection) -> bool:
        """The collector must have switched on the indications of 2A52 first (0xFD otherwise)."""
        return bool(self._server.read_cccd(connection, self._access)[0] & 0x02)

    async def _carry_out(self, connection: Connection, decision: Decision) -> None:
        if not decision.abort:
            self._procedure = asyncio.current_task()
        for position, record in enumerate(decision.report, start=1):
            await self.send(connection, self._measurement, record.payload)
            if record.context is not None:
                await self.send(connection, self._context, record.context)
            if position % 8 == 0:
                await connection.drain()  # no faster than the radio: what is not sent can still be aborted or lost
        if decision.delete:
            self.memory.erase(set(decision.delete))
        self._procedure = None  # over with its answer: the collector may ask again before we see its confirmation
        await self.send(connection, self._access, decision.answer)
        if decision.report:
            self._fetched_up_to = max(self._fetched_up_to, decision.report[-1].sequence)
            await self._notify_change()


def _text(value: Number | None) -> str | None:
    return str(value) if isinstance(value, Decimal) else None if value is None else value.value
