"""Raw sessions as JSON lines: evidence for a bug report, and fixtures that decoders read again. Pure.

Input: stored sessions, or the lines of a trace. Output: lines, or sessions whose packets are those that were heard.
A trace names no person, device, address or home: devices are numbered, the journal holds no serial numbers. Octets are
evidence and stay as they are, with the values and the device's own time stamps in them: treat a trace as health data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from device_drivers.driver import Packet
from gateway.clock import ClockReading
from gateway.errors import TraceError
from gateway.journal_rows import StoredSession

SCHEMA: Final = "vitalwire.trace/1"


class _Line(msgspec.Struct, tag_field="line", frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class SessionLine(_Line, tag="session", frozen=True, kw_only=True):
    """Begins a session; the lines up to the next one belong to it. `driver` says who reads it."""

    schema: str
    device: str
    driver: str
    home_zone: str
    model: str | None = None
    firmware: str | None = None
    ended: bool = True


class ClockLine(_Line, tag="clock", frozen=True, kw_only=True):
    """Gateway's and device's clock, seen together. The device's is naive, null when it did not know its time."""

    at: datetime
    device_time: datetime | None
    characteristic: str


class PacketLine(_Line, tag="packet", frozen=True, kw_only=True):
    """One notification. `at` in UTC; `monotonic` in seconds since the first packet of the session."""

    at: datetime
    monotonic: float
    characteristic: str
    hex: str


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final[msgspec.json.Decoder[SessionLine | ClockLine | PacketLine]] = msgspec.json.Decoder(
    SessionLine | ClockLine | PacketLine
)


def record(sessions: Iterable[StoredSession]) -> Iterator[str]:
    """The lines of a trace, without line ends. The same device has the same number in all its sessions."""
    numbers: dict[str, str] = {}
    for session in sessions:
        device = numbers.setdefault(session.device_id, f"device-{len(numbers) + 1}")
        for line in _lines(session, device):
            yield _encode(line).decode()


def _lines(session: StoredSession, device: str) -> Iterator[_Line]:
    yield SessionLine(
        schema=SCHEMA,
        device=device,
        driver=session.driver,
        home_zone=session.home_zone,
        model=session.model,
        firmware=session.firmware,
        ended=session.ended,
    )
    for seen in session.clock_readings:
        yield ClockLine(at=seen.gateway_at, device_time=seen.device_time, characteristic=seen.characteristic)
    for packet in session.packets:
        yield PacketLine(
            at=packet.received_at,
            monotonic=round(packet.monotonic - session.packets[0].monotonic, 6),
            characteristic=packet.characteristic,
            hex=packet.payload.hex(),
        )


def replay(lines: Iterable[str | bytes]) -> tuple[StoredSession, ...]:
    """The sessions of a trace, numbered from 1; `packets` of each, in the order heard, are what a decoder gets.

    Empty lines are passed over. Raises `TraceError` with the number of the line that is none.
    """
    opened: list[_Open] = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            line = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TraceError(number, f"is not a line of a trace: {error}") from error
        if isinstance(line, SessionLine):
            if line.schema != SCHEMA:
                raise TraceError(number, f"has schema {line.schema!r}, this version reads {SCHEMA!r}")
            opened.append(_Open(line))
        elif not opened:
            raise TraceError(number, "comes before any session line")
        elif line.at.tzinfo is None:
            raise TraceError(number, "has a time without a zone in 'at'; write UTC, for example 2026-03-02T12:00:09Z")
        elif isinstance(line, PacketLine):
            opened[-1].packets.append(_packet(line, number))
        else:
            opened[-1].clocks.append(_clock(line, number))
    return tuple(_session(number, session) for number, session in enumerate(opened, start=1))


@dataclass(slots=True)
class _Open:
    head: SessionLine
    clocks: list[ClockReading] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)


def _clock(line: ClockLine, number: int) -> ClockReading:
    if line.device_time is not None and line.device_time.tzinfo is not None:
        raise TraceError(number, "has a zone in 'device_time'; a device does not know its zone, leave it out")
    return ClockReading(gateway_at=line.at, device_time=line.device_time, characteristic=line.characteristic)


def _packet(line: PacketLine, number: int) -> Packet:
    try:
        payload = bytes.fromhex(line.hex)
    except ValueError as error:
        raise TraceError(number, "has something else than pairs of hexadecimal digits in 'hex'") from error
    return Packet(characteristic=line.characteristic, payload=payload, received_at=line.at, monotonic=line.monotonic)


def _session(number: int, session: _Open) -> StoredSession:
    head = session.head
    return StoredSession(
        id=number,
        device_id=head.device,
        driver=head.driver,
        home_zone=head.home_zone,
        model=head.model,
        firmware=head.firmware,
        ended=head.ended,
        packet_ids=tuple(range(1, len(session.packets) + 1)),
        packets=tuple(session.packets),
        clock_readings=tuple(session.clocks),
    )
