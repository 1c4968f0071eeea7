"""A link whose device side is a script, and a context that remembers the order of everything it was asked to do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from device_drivers.driver import Packet, SessionPolicy, StreamEnd
from device_drivers.errors import AttError, LinkClosedError

T0: Final = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
HANG_UP: Final = "hang up"
SILENCE: Final = "silence"
Sent = tuple[str, bytes] | str
shown = datetime.fromisoformat
"""The wall clock of a device, naive: its zone is unknown."""


class ScriptedLink:
    """`values` answer reads; `sends` is heard after subscribing; `answers(payload)` reacts to a write of 2A52."""

    def __init__(
        self,
        *,
        values: Mapping[str, bytes | AttError] | None = None,
        offers: Iterable[str] = (),
        sends: Iterable[Sent] = (),
        answers: Callable[[bytes], Iterable[Sent]] | None = None,
        refuses: Mapping[str, AttError] | None = None,
    ) -> None:
        self.address = "AA:BB:CC:DD:EE:FF"
        self.bonded = True
        self.values = dict(values or {})
        self.offers = {*offers, *self.values}
        self.on_air: deque[Sent] = deque(sends)
        self.answers = answers
        self.refuses = dict(refuses or {})
        self._down = asyncio.Event()
        self.log: list[tuple[str, ...]] = []
        self._number = 0

    @property
    def up(self) -> bool:
        return not self._down.is_set()

    def has(self, characteristic: str) -> bool:
        return characteristic in self.offers

    async def read(self, characteristic: str) -> bytes:
        self.log.append(("read", characteristic))
        await asyncio.sleep(0)
        self._must_be_up()
        value = self.values[characteristic]
        if isinstance(value, AttError):
            raise value
        return value

    async def write(self, characteristic: str, payload: bytes, *, response: bool = True) -> None:
        self.log.append(("write", characteristic, payload.hex()))
        await asyncio.sleep(0)
        self._must_be_up()
        if characteristic in self.refuses:
            raise self.refuses[characteristic]
        if characteristic == "2A52" and self.answers is not None:
            self.on_air.extend(self.answers(payload))

    @asynccontextmanager
    async def subscribe(self, *characteristics: str) -> AsyncIterator[ScriptedLink]:
        self.log.append(("subscribe", *characteristics))
        for characteristic in characteristics:
            if (error := self.refuses.get(f"subscribe {characteristic}")) is not None:
                raise error
        yield self
        self.log.append(("unsubscribe",))

    async def receive(self, *, timeout_seconds: float) -> Packet | StreamEnd:
        await asyncio.sleep(0)
        if not self.up:
            return StreamEnd.DISCONNECTED
        if not self.on_air:
            return StreamEnd.IDLE
        match self.on_air.popleft():
            case "hang up":
                self._down.set()
                return StreamEnd.DISCONNECTED
            case (characteristic, payload):
                return self._packet(characteristic, payload)
            case _:
                return StreamEnd.IDLE

    async def wait_disconnected(self) -> None:
        await self._down.wait()

    def writes(self, characteristic: str) -> list[str]:
        return [entry[2] for entry in self.log if entry[:2] == ("write", characteristic)]

    def _must_be_up(self) -> None:
        if not self.up:
            raise LinkClosedError("the device hung up")

    def _packet(self, characteristic: str, payload: bytes) -> Packet:
        self._number += 1
        return packet(characteristic, payload, number=self._number)


def packet(characteristic: str, payload: bytes, *, number: int = 0) -> Packet:
    return Packet(
        characteristic=characteristic,
        payload=payload,
        received_at=T0 + timedelta(seconds=number),
        monotonic=1000.0 + number,
    )


class RecordingContext:
    """Keeps what a session emitted, its resume points and notes, and one log of their order."""

    def __init__(
        self,
        *,
        resume: Mapping[str, object] | None = None,
        policy: SessionPolicy | None = None,
        clock: datetime | None = None,
    ) -> None:
        self.resume: Mapping[str, object] = dict(resume or {})
        self.policy = policy or SessionPolicy()
        self.clock = clock
        self.emitted: list[Packet] = []
        self.events: list[tuple[str, object]] = []
        self.warnings: list[str] = []
        self.battery: int | None = None
        self.information: dict[str, str] = {}
        self.clocks: list[datetime | None] = []
        self.clocks_set: list[datetime] = []
        self.basis: tuple[tuple[datetime | None, ...], dict[str, str]] | None = None

    async def emit(self, packet: Packet) -> None:
        await asyncio.sleep(0)
        self.emitted.append(packet)
        self.events.append(("commit", packet.payload))

    async def set_resume(self, resume: Mapping[str, object]) -> None:
        await asyncio.sleep(0)
        self.resume = dict(resume)
        self.events.append(("resume", resume.get("sequence_number")))

    def note_clock(self, device_time: datetime | None, *, raw: bytes, characteristic: str) -> None:
        self.clocks.append(device_time)
        self.events.append(("clock", characteristic))

    def note_clock_set(self, device_time: datetime, *, characteristic: str) -> None:
        self.clocks_set.append(device_time)
        self.events.append(("clock set", characteristic))

    def note_battery(self, percent: int) -> None:
        self.battery = percent

    def note_information(self, **strings: str) -> None:
        self.information.update(strings)

    def basis_known(self) -> None:
        self.basis = (tuple(self.clocks), dict(self.information))

    def note_warning(self, word: str) -> None:
        self.warnings.append(word)

    def desired_clock(self) -> datetime | None:
        return self.clock

    @property
    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.emitted]
