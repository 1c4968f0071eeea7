"""What a session's committed packets mean: readings to send, and what became of every packet. Pure.

Input: a stored session and its driver. Output: entries for the outbox and a state for each packet. Running it again
gives the same message ids, so history can be read again after a driver was mended.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from device_drivers.driver import Driver, Held, ReadingDraft, SessionReadings
from device_drivers.measurement import Component, Kind, Measurement, TimeQuality
from gateway import contract
from gateway.clock import EffectiveTime, resolve_effective_time
from gateway.journal_rows import NewEntry, PacketState, StoredSession

_LONGEST_REASON: Final = 200
_SERVER_JUDGES: Final = frozenset({Held.CONTROL_SOLUTION, Held.IMPLAUSIBLE})
"""Sent although they are nobody's reading: the server sees it from the payload alone (it marks the one and keeps the
other as a dead letter), and there somebody looks. What only the driver can know is held here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """The meaning of one session."""

    entries: tuple[NewEntry, ...]
    packets: tuple[PacketState, ...]

    @property
    def held(self) -> tuple[str, ...]:
        """Why decoded readings were kept back, each reason once."""
        return tuple(dict.fromkeys(p.reason or "" for p in self.packets if p.state == "held"))

    @property
    def quarantined(self) -> int:
        return sum(packet.state == "quarantined" for packet in self.packets)


def derive(session: StoredSession, driver: Driver) -> Derived:
    """Read a session. Never raises for what a device sent: a driver that fails quarantines the session's packets."""
    try:
        readings = driver.decode(session.packets, model=session.model, ended=True)
    except Exception as error:  # noqa: BLE001 -- a third party's driver must not stop the gateway
        return Derived(entries=(), packets=_all_quarantined(session, f"driver failed: {type(error).__name__}"))
    entries = tuple(
        _entry(session, draft, time=_time_of(session, draft, newest=_is_newest(draft, readings)))
        for draft in readings.readings
        if _is_sent(draft)
    )
    return Derived(entries=entries, packets=_packet_states(session, readings))


def derive_early(
    session: StoredSession, driver: Driver, *, known: AbstractSet[str] = frozenset()
) -> tuple[NewEntry, ...]:
    """What may be sent while the session runs: from the oldest reading on, those that no later packet can change.

    They are the entries that `derive` makes at the end, to the octet, provided that the driver has noted the session's
    clock, model and firmware (`Context.basis_known`). The first reading that may still change holds up those behind
    it, so that a device's readings keep their order. A reading may still change when
    - its driver calls it pending: it announced a context, or a context came before its measurement;
    - it is a glucose record and the last that was heard: some meters send a context they did not announce, right
      behind the record; the next packet (the next record, or the answer that ends the transfer) shows there is none;
    - only its arrival says when it was measured, and it is the last so far: whether it is live or stored then depends
      on what follows.
    Entries with a message id in `known` are left out. Never raises for what a device sent.
    """
    try:
        readings = driver.decode(session.packets, model=session.model, ended=False)
    except Exception:  # noqa: BLE001 -- told when the session is derived at its end
        return ()
    entries: list[NewEntry] = []
    waiting = min(readings.pending, default=len(session.packets))
    for draft in readings.readings:
        if min(draft.packets, default=waiting) >= waiting or _may_get_context(draft, heard=len(session.packets)):
            break
        if not _is_sent(draft):
            continue
        newest = draft is readings.readings[-1]
        time = _time_of(session, draft, newest=newest)
        if newest and time.quality is TimeQuality.RECEIVED_AT:
            break
        if str(_identity_of(session, draft)) not in known:
            entries.append(_entry(session, draft, time=time))
    return tuple(entries)


def _may_get_context(draft: ReadingDraft, *, heard: int) -> bool:
    if draft.measurement.kind is not Kind.GLUCOSE or len(draft.raws) > 1:
        return False
    return max(draft.packets) == heard - 1


def _is_newest(draft: ReadingDraft, readings: SessionReadings) -> bool:
    newest = max(other.received_at for other in readings.readings)
    return draft.received_at == newest and draft is readings.readings[-1]


def _is_sent(draft: ReadingDraft) -> bool:
    return draft.held is None or draft.held in _SERVER_JUDGES


def _time_of(session: StoredSession, draft: ReadingDraft, *, newest: bool) -> EffectiveTime:
    return resolve_effective_time(
        draft.user_facing_time,
        received_at=draft.received_at,
        home=ZoneInfo(session.home_zone),
        clock_readings=session.clock_readings,
        newest=newest,
    )


def _identity_of(session: StoredSession, draft: ReadingDraft) -> uuid.UUID:
    return identity(session.device_id, draft.measurement, draft.raws, received_at=draft.received_at)


def _entry(session: StoredSession, draft: ReadingDraft, *, time: EffectiveTime) -> NewEntry:
    message_id = _identity_of(session, draft)
    reading = _reading(session, draft, message_id=message_id, time=time)
    return NewEntry(
        message_id=str(message_id),
        device_id=session.device_id,
        memory=time.memory,
        envelope=contract.encode(reading),
    )


def identity(
    device_id: str, measurement: Measurement, raws: Mapping[str, bytes], *, received_at: datetime
) -> uuid.UUID:
    """The same record gives the same id in every session and gateway, with or without the context that follows it.

    A record with neither a time nor a number of the device's own is told apart by its arrival: else the same weight
    tomorrow would be taken for today's, sent twice, and be lost.
    """
    moment = measurement.device_time
    if moment is None and measurement.sequence_number is None:
        moment = received_at
    own = {characteristic: raw for characteristic, raw in raws.items() if characteristic == measurement.characteristic}
    return contract.message_id(
        device_identity=device_id,
        kind=measurement.kind.value,
        device_time=None if moment is None else moment.isoformat(),
        sequence_number=measurement.sequence_number,
        raw=own or raws,
    )


def _reading(
    session: StoredSession, draft: ReadingDraft, *, message_id: uuid.UUID, time: EffectiveTime
) -> contract.Reading:
    measurement, device_time = draft.measurement, draft.user_facing_time
    return contract.Reading(
        message_id=message_id,
        device=contract.DeviceRef(id=session.device_id, model=session.model, firmware=session.firmware),
        kind=measurement.kind.value,
        entry="automatic",
        memory=time.memory,
        measured_at=time.measured_at,
        received_at=draft.received_at,
        device_time=None if device_time is None else device_time.isoformat(),
        clock_offset_seconds=time.clock_offset_seconds,
        time_quality=time.quality.value,
        sequence_number=measurement.sequence_number,
        user_id=measurement.user_id,
        components=tuple(_component(component) for component in measurement.components),
        flags=measurement.flags,
        context=dict(measurement.context),
        raw=contract.raw_to_wire(draft.raws),
    )


def _component(component: Component) -> contract.WireComponent:
    return contract.WireComponent(
        metric=component.metric.value,
        value=component.value,
        unit=component.unit,
        reported_value=component.reported_value,
        reported_unit=component.reported_unit,
        absent_reason=None if component.absent_reason is None else component.absent_reason.value,
    )


def _packet_states(session: StoredSession, readings: SessionReadings) -> tuple[PacketState, ...]:
    """Every packet gets a state; one that a driver forgot to mention is quarantined rather than lost from sight."""
    states: dict[int, tuple[str, str | None]] = {}
    for index in readings.transport:
        states[index] = ("transport", None)
    for draft in readings.readings:
        for index in draft.packets:
            if draft.held is None or draft.held in _SERVER_JUDGES:
                states[index] = ("read", None)
            else:
                states.setdefault(index, ("held", draft.held.value))
    for entry in readings.quarantine:
        states[entry.packet] = ("quarantined", entry.error.message[:_LONGEST_REASON])
    return tuple(
        PacketState(packet_id=packet_id, state=state, reason=reason)
        for packet_id, (state, reason) in (
            (packet_id, states.get(index, ("quarantined", "not read by its driver")))
            for index, packet_id in enumerate(session.packet_ids)
        )
    )


def _all_quarantined(session: StoredSession, reason: str) -> tuple[PacketState, ...]:
    return tuple(PacketState(packet_id=number, state="quarantined", reason=reason) for number in session.packet_ids)
