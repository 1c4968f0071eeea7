"""Glucose meters with the Bluetooth Glucose Service: read what is new through the Record Access Control Point.

Input: an open link and the resume point. Output: packets in the journal, a resume point that never runs ahead of them.
Never sends Delete: the meter is the patient's own record, and other programs read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device_drivers.driver import (
    Advertisement,
    Context,
    DriverInfo,
    Link,
    Packet,
    Pairing,
    SessionPolicy,
    SessionReadings,
    SessionWarning,
    StreamEnd,
    Subscription,
    Urgency,
)
from device_drivers.drivers import chores
from device_drivers.drivers.indicating import GENERIC_SCORE
from device_drivers.errors import AttError, DecodeError, LinkClosedError, UnsupportedFeature
from device_drivers.gatt import record_access
from device_drivers.gatt.glucose import announces_context, sequence_number_of
from device_drivers.gatt.stored_records import (
    LAST_SEQUENCE_NUMBER,
    Finished,
    Outcome,
    Request,
    ResumePoint,
    Step,
    StoredRecords,
    digest_of,
    resume_point_of,
)
from device_drivers.measurement import Kind
from device_drivers.readings import readings_of
from device_drivers.vendors import quirk_of

_MEASUREMENT: Final = "2A18"
_CONTEXT: Final = "2A34"
_SAVE_EVERY: Final = 25
"""Records between two saves of the resume point while records arrive. Only a crash of the gateway itself needs them (a
dropped link saves too): rarer saves read more records twice, more frequent ones cost a disk flush each."""
_HALF: Final = (LAST_SEQUENCE_NUMBER + 1) // 2


@dataclass(slots=True)
class Progress:
    """How far the journal covers the memory without a gap. Pure: the session asks `safe` and saves it.

    Sequence numbers compare as serial numbers, so that 65535 is followed by 0. A device that sends its records in any
    other than ascending order gets no resume point before the transfer is complete.
    """

    _newest: ResumePoint | None = None
    _open: ResumePoint | None = None
    _open_awaits_context: bool = False
    _ascending: bool = True
    _highest: ResumePoint | None = None
    _count: int = 0

    def on_measurement(self, sequence_number: int, payload: bytes) -> None:
        """A committed 2A18. The one before it is complete now: its context, if any, would have come first."""
        point = ResumePoint(sequence_number=sequence_number, digest=digest_of(payload))
        if self._open is not None:
            step = (sequence_number - self._open.sequence_number) % (LAST_SEQUENCE_NUMBER + 1)
            self._ascending = self._ascending and step < _HALF
            self._newest = self._open
        self._open = point
        self._open_awaits_context = announces_context(payload)
        self._count += 1
        if self._highest is None or sequence_number >= self._highest.sequence_number:
            self._highest = point

    def on_context(self, sequence_number: int | None) -> None:
        """A committed 2A34."""
        if self._open is not None and self._open.sequence_number == sequence_number:
            self._open_awaits_context = False

    def safe(self) -> ResumePoint | None:
        """The newest record known to be complete, with nothing missing before it. None: keep the old resume point.

        A single record does not show the order yet: after it, a device that sends the newest first has all the others
        still to send.
        """
        if not self._ascending or self._count < 2:
            return None
        return self._newest if self._open_awaits_context else self._open

    def final(self) -> ResumePoint | None:
        """The resume point after a complete transfer."""
        return self._open if self._ascending else self._highest


class GlucoseDriver:
    """Any meter with the Glucose Service."""

    info = DriverInfo(
        id="std.glucose",
        version="1",
        kinds=(Kind.GLUCOSE,),
        services=("1808",),
        title="Glucose meter with the Bluetooth Glucose Service",
    )
    # Glucose Service: a procedure has failed 30 s after the last sign of it. Meters show a passkey.
    policy = SessionPolicy(pairing=Pairing.PASSKEY, urgency=Urgency.METER, idle_timeout_seconds=30.0)

    def match(self, advertisement: Advertisement) -> int | None:
        return GENERIC_SCORE if "1808" in advertisement.service_uuids else None

    async def collect(self, link: Link, ctx: Context) -> None:
        """Enable everything, look at the clock, read the records, then set the clock and do the rest."""
        for characteristic in (_MEASUREMENT, record_access.RECORD_ACCESS):
            if not link.has(characteristic):
                raise UnsupportedFeature(f"{self.info.id}: the device does not offer {characteristic}")
        wanted = [_MEASUREMENT, *([_CONTEXT] if link.has(_CONTEXT) else []), record_access.RECORD_ACCESS]
        try:
            async with link.subscribe(*wanted) as subscription:
                await _session(link, ctx, subscription)
        except AttError as error:
            if error.code in chores.NEEDS_PAIRING:
                ctx.note_warning(SessionWarning.PAIRING_NEEDED)
            raise

    def decode(self, packets: Sequence[Packet], *, model: str | None = None, ended: bool = True) -> SessionReadings:
        return readings_of(packets, model=model, ended=ended)


async def _session(link: Link, ctx: Context, subscription: Subscription) -> None:
    seen = await chores.read_clock(link, ctx)
    quirk = quirk_of(await chores.read_identity(link, ctx))
    ctx.basis_known()
    transfer = _Transfer(link, ctx, subscription, whole_memory=quirk is not None and quirk.whole_memory)
    if not await transfer.run():
        return
    try:
        if chores.clock_is_due(ctx, seen):
            await chores.set_clock(link, ctx)
        await chores.read_battery(link, ctx)
        await chores.read_information(link, ctx)
    except LinkClosedError:
        return  # the records are in; a meter that hangs up at once is within its rights


class _Transfer:
    """Carries the steps of `StoredRecords` over a link, and the packets to the journal."""

    def __init__(self, link: Link, ctx: Context, subscription: Subscription, *, whole_memory: bool) -> None:
        self._link = link
        self._ctx = ctx
        self._subscription = subscription
        self._resume = resume_point_of(ctx.resume)
        self._records = StoredRecords(self._resume, whole_memory=whole_memory)
        self._progress = Progress()
        self._saved = self._resume
        self._since_save = 0
        self._known_record_shown = False

    async def run(self) -> bool:
        """Read the memory. Returns whether the link still stands."""
        outcome = await self._dialogue()
        await self._save(self._resume_point())
        self._note(outcome)
        if outcome is Outcome.UNSUPPORTED:
            raise UnsupportedFeature("std.glucose: the meter does not hand over stored records")
        return outcome is not None

    async def _dialogue(self) -> Outcome | None:
        """None: the link went down before the end."""
        step: Step | None = self._records.begin()
        while True:
            while isinstance(step, Request):
                step = await self._ask(step)
            if isinstance(step, Finished):
                return step.outcome
            heard = await self._subscription.receive(timeout_seconds=self._ctx.policy.idle_timeout_seconds)
            if heard is StreamEnd.DISCONNECTED:
                return None
            step = await self._on_packet(heard) if isinstance(heard, Packet) else self._records.on_silence()

    async def _ask(self, request: Request) -> Step | None:
        if request.starts_report:
            self._progress = Progress()
        try:
            await self._link.write(record_access.RECORD_ACCESS, request.payload)
        except AttError as error:
            if error.code in chores.NEEDS_PAIRING:
                raise
            return self._records.on_refused(error.code)
        except LinkClosedError:
            return None  # what was heard before still waits in the stream, and its end behind it
        return None

    async def _on_packet(self, packet: Packet) -> Step | None:
        if packet.characteristic == record_access.RECORD_ACCESS:
            try:
                return self._records.on_answer(record_access.decode(packet.payload))
            except DecodeError:
                return None  # an answer cut short is no answer: silence will end the procedure
        number = sequence_number_of(packet.payload)
        if self._records.verifying and number is not None and self._is_known(packet, number):
            return None
        await self._ctx.emit(packet)
        if number is not None:
            await self._advance(packet, number)
        return None

    def _is_known(self, packet: Packet, number: int) -> bool:
        """Judge the record of a check. The record we knew, and its context, were committed at an earlier contact."""
        if packet.characteristic == _MEASUREMENT:
            self._records.on_record(number, packet.payload)
            point = ResumePoint(sequence_number=number, digest=digest_of(packet.payload))
            self._known_record_shown = point == self._resume
            return self._known_record_shown
        return self._known_record_shown and self._resume is not None and number == self._resume.sequence_number

    async def _advance(self, packet: Packet, number: int) -> None:
        """Count a committed packet; now and then save how far the journal reaches."""
        if self._records.verifying:
            return
        if packet.characteristic == _CONTEXT:
            self._progress.on_context(number)
            return
        self._records.on_record(number, packet.payload)
        self._progress.on_measurement(number, packet.payload)
        self._since_save += 1
        if self._since_save >= _SAVE_EVERY:
            await self._save(self._progress.safe())

    def _resume_point(self) -> ResumePoint | None:
        if not self._records.reported:
            return self._progress.safe()
        # Which records are missing cannot be told: the next contact asks for all of them again.
        return None if self._records.missing else self._progress.final()

    async def _save(self, point: ResumePoint | None) -> None:
        """Move the resume point; without a safe one go back to where this session began."""
        self._since_save = 0
        target = point or self._resume
        if target != self._saved:
            await self._ctx.set_resume(target.as_mapping() if target else {})
            self._saved = target

    def _note(self, outcome: Outcome | None) -> None:
        records = self._records
        if records.memory_reset:
            self._ctx.note_warning(SessionWarning.MEMORY_RESET)
        if outcome is Outcome.UNSUPPORTED:
            return
        if not records.reported:
            self._ctx.note_warning(SessionWarning.TRANSFER_INCOMPLETE)
        elif records.missing:
            self._ctx.note_warning(SessionWarning.RECORDS_MISSING)


GLUCOSE: Final = GlucoseDriver()
