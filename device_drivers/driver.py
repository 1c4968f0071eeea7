"""What a driver session and the owner of the radio and the disk promise each other. Interfaces and values only.

Input of a session: a `Link` (one open connection) and a `Context` (journal, resume point, notes). Output: packets that
the context has committed. Interpretation is separate: `Driver.decode` turns committed packets into readings, may run
again on history after a driver was mended, and never touches a link.

Characteristics are named by upper-case four-digit hex ("2A35") when the Bluetooth SIG assigned them and by the full
lower-case UUID otherwise. The same rule holds for services.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Final, Protocol

from device_drivers.errors import DecodeError
from device_drivers.measurement import Kind, Measurement

DRIVER_API: Final = 1
"""Version of this module's promises. A third-party driver names the version it was written for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One notification or indication, exactly as heard.

    `received_at` is aware UTC wall time, `monotonic` the gateway's monotonic seconds of the same moment (for intervals
    that must survive a step of the wall clock).
    """

    characteristic: str
    payload: bytes
    received_at: datetime
    monotonic: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """What a device says before anybody connects. Keys of `service_data` follow the naming rule of this module."""

    address: str
    name: str | None = None
    service_uuids: tuple[str, ...] = ()
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    rssi: int | None = None


class Pairing(StrEnum):
    """What a device needs before it hands over data."""

    NONE = "none"
    JUST_WORKS = "just-works"
    PASSKEY = "passkey"


class ClockPolicy(StrEnum):
    """When a session may set the device's clock. The old clock is always read and noted first."""

    NEVER = "never"
    IF_OFF = "if-off"  # only when it differs by at least `SessionPolicy.clock_threshold_seconds`
    ALWAYS = "always"


class Urgency(StrEnum):
    """Whose advertising window closes first when several devices are on the air."""

    CUFF = "cuff"  # advertises 10-60 s after a measurement, then it is gone
    METER = "meter"  # advertises for minutes and keeps its records
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicy:
    """How a session with one kind of device runs. A gateway may override single fields for one device.

    `idle_timeout_seconds`: silence that ends a session that has no "done" marker. Too short loses the rest of a dump
    and costs another advertising window; too long keeps other devices waiting and drains the cuff.
    `connect_timeout_seconds`: too short gives up on a weak link, too long misses other devices' windows, because BlueZ
    does not scan while it connects.
    `session_limit_seconds`: the owner of the radio ends a session that takes longer.
    """

    pairing: Pairing = Pairing.JUST_WORKS
    idle_timeout_seconds: float = 5.0
    connect_timeout_seconds: float = 10.0
    session_limit_seconds: float = 180.0
    clock: ClockPolicy = ClockPolicy.IF_OFF
    clock_threshold_seconds: int = 60
    urgency: Urgency = Urgency.METER


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverInfo:
    """Who a driver is. `id` is stable ("std.blood_pressure"): it is stored with every packet."""

    id: str
    version: str
    kinds: tuple[Kind, ...]
    services: tuple[str, ...]
    title: str
    documentation: str = ""
    api: int = DRIVER_API


class StreamEnd(Enum):
    """Why `Subscription.receive` has no packet."""

    IDLE = "idle"  # nothing arrived in the time given; the link may still be up
    DISCONNECTED = "disconnected"  # the link is down and every packet heard before has been handed out


class Subscription(Protocol):
    """Packets of all subscribed characteristics, merged in the order they were heard. Nothing is dropped."""

    async def receive(self, *, timeout_seconds: float) -> Packet | StreamEnd:
        """The next packet, or why there is none. Packets heard before a disconnection come before DISCONNECTED."""
        ...


class Link(Protocol):
    """One open connection to one device. Every method may raise `LinkClosedError` or `AttError`, nothing else."""

    @property
    def address(self) -> str: ...

    @property
    def bonded(self) -> bool: ...

    def has(self, characteristic: str) -> bool:
        """Whether the device offers the characteristic (cached service table; no traffic)."""
        ...

    async def read(self, characteristic: str) -> bytes: ...

    async def write(self, characteristic: str, payload: bytes, *, response: bool = True) -> None: ...

    def subscribe(self, *characteristics: str) -> AbstractAsyncContextManager[Subscription]:
        """Enable notifications or indications of all characteristics, in the order given.

        Packets that arrive while later ones are still being enabled are kept (early indications). Leaving the context
        disables them where the link still stands; it does not disconnect.
        """
        ...

    async def wait_disconnected(self) -> None:
        """Return once the link is down, by whoever's wish."""
        ...


class Context(Protocol):
    """The disk and the books, as one session may use them."""

    @property
    def resume(self) -> Mapping[str, object]:
        """What this driver stored with `set_resume` at the last contact with this device; empty at the first."""
        ...

    @property
    def policy(self) -> SessionPolicy:
        """The driver's policy with this device's own settings applied."""
        ...

    async def emit(self, packet: Packet) -> None:
        """Append the packet to the journal. Returns only after the commit: whoever continues may forget the packet."""
        ...

    async def set_resume(self, resume: Mapping[str, object]) -> None:
        """Move the resume point (JSON-able values), durably. Only after the `emit`s it covers have returned."""
        ...

    def note_clock(self, device_time: datetime | None, *, raw: bytes, characteristic: str) -> None:
        """Record a coincident pair: the device's naive clock, and the gateway's time of this call.

        Call it at once after the answer arrived. `device_time` is None when the device does not know its time; `raw`
        are the octets as read.
        """
        ...

    def note_clock_set(self, device_time: datetime, *, characteristic: str) -> None:
        """Record that this session wrote this naive time to the device's clock (audited)."""
        ...

    def note_battery(self, percent: int) -> None: ...

    def note_information(self, **strings: str) -> None:
        """Record device information: manufacturer, model, serial, firmware, hardware, software."""
        ...

    def basis_known(self) -> None:
        """Say that what readings are judged by besides their packets (clock, model, firmware) has been noted, as far
        as this device tells: from now on a complete reading may be sent while the session still runs. Nothing of it
        may be noted after. A driver that never says so has its readings sent when the session has ended.
        """
        ...

    def note_warning(self, word: str) -> None:
        """Record something an operator should see, as one of the words of `SessionWarning`."""
        ...

    def desired_clock(self) -> datetime | None:
        """The naive local time the device should show now; None when the gateway does not trust its own clock."""
        ...


class SessionWarning(StrEnum):
    """What an operator should see about a session (`Context.note_warning`)."""

    MEMORY_RESET = "memory-reset"  # the meter's sequence numbers went backwards: battery change or wiped memory
    RECORDS_MISSING = "records-missing"  # fewer records arrived than the device counted
    TRANSFER_INCOMPLETE = "transfer-incomplete"  # the link dropped, or the device stopped, before the procedure ended
    CLOCK_REFUSED = "clock-refused"  # the device refused the time written to it
    PAIRING_NEEDED = "pairing-needed"  # the device asks for encryption that this link does not have


class Held(StrEnum):
    """Why a decoded reading is kept but is nobody's reading."""

    IMPLAUSIBLE = "implausible"
    CONTROL_SOLUTION = "control-solution"
    NOT_GLUCOSE = "not-glucose"  # a ketone value in the glucose field
    DEVICE_MARK = "device-mark"  # a record a device makes up, for example "memory full"
    NOT_FROM_WEARER = "not-from-wearer"  # demonstration, test or calibration mode
    INVALID = "invalid"  # the device itself calls the measurement invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingDraft:
    """One reading of one device: everything a message needs but identity, clock correction and patient.

    `raws` are the octets that were read, by characteristic (a glucose measurement with its context has two).
    The identity of a reading is made of the measurement's own octets, without its context: a record that is read again
    because the link dropped before its context must keep its identity.
    `packets` are the indexes, in the sequence given to `decode`, of every packet this reading came from: both of a
    packet that was sent twice. `received_at` is when the first of them arrived.
    `user_facing_time` is the device's naive wall clock at the measurement (base time plus time offset).
    `held` is None for a reading that may stand for the wearer, else the reason it must not.
    """

    measurement: Measurement
    raws: Mapping[str, bytes]
    packets: tuple[int, ...]
    received_at: datetime
    user_facing_time: datetime | None = None
    held: Held | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEntry:
    """A packet that could not be read. Kept with its octets, so that a mended driver can read it later."""

    packet: int
    error: DecodeError


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReadings:
    """What the packets of one session say. Every packet index is in exactly one of the four, or in several readings
    when one packet carries several records.

    `pending`: may still be completed by a packet to come (only while the session runs). `transport`: carries no
    reading (record-access answers, live cuff pressure).
    """

    readings: tuple[ReadingDraft, ...] = ()
    quarantine: tuple[QuarantineEntry, ...] = ()
    pending: tuple[int, ...] = ()
    transport: tuple[int, ...] = ()


class Driver(Protocol):
    """One kind of device. Holds no state between sessions: all state is in the context."""

    @property
    def info(self) -> DriverInfo: ...

    @property
    def policy(self) -> SessionPolicy: ...

    def match(self, advertisement: Advertisement) -> int | None:
        """How well this driver fits, 0-100, or None. Pure. A vendor driver scores above the generic one."""
        ...

    async def collect(self, link: Link, ctx: Context) -> None:
        """Transport what the device has to the journal. Never interprets a measurement.

        Returns when the device is done or gone; a link that drops in the middle is a normal end, because everything
        emitted so far is committed and the resume point says where to go on. May raise `LinkError` (nothing was
        transported), `UnsupportedFeature` and `ProtocolError`.
        """
        ...

    def decode(self, packets: Sequence[Packet], *, model: str | None = None, ended: bool = True) -> SessionReadings:
        """Interpret committed packets of one session, in the order heard. Pure; never raises; may be run again.

        `model` selects the quirks of that model (`vendors/`). With `ended=False` a measurement whose context has not
        arrived yet is reported as pending instead of going out without it.
        """
        ...
