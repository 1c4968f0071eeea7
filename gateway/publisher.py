"""Outbox → MQTT, in order, until the server's receipt.

Input: unsettled entries of the journal; receipts and configuration from the server. Output: messages as in
`gateway.contract`; settled entries. A PUBACK settles nothing. Without a receipt a reading is sent again, later and
later (5 to 300 s), and at once after every reconnection; two copies of one reading are one reading to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway import contract
from gateway.config import Settings
from gateway.errors import JournalError
from gateway.journal_rows import OutboxEntry
from gateway.outbox import Outbox
from gateway.publisher_connection import BrokerConnection, backoff_seconds

log = structlog.get_logger(__name__)

FIRST_RESEND_SECONDS: Final = 5.0
"""Shorter only doubles the load of a server that is slow; longer delays what a broker lost without a disconnection."""
LONGEST_RESEND_SECONDS: Final = 300.0
IDLE_LOOK_SECONDS: Final = 30.0  # how soon readings are noticed that another process put into the journal
MAX_UNRECEIPTED: Final = 2000  # readings in flight; beyond that we wait for receipts
SINGLES_UP_TO: Final = 3  # so few are a live measurement: each goes out alone, at once
_MAX_DOWN_MESSAGES: Final = 1000  # waiting to be applied; beyond that receipts are dropped and come again on resending
_JOURNAL_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A reading that was published and has no receipt. `due_at` is in seconds of the event loop's clock."""

    entry: OutboxEntry
    attempts: int
    due_at: float


def pack(entries: Sequence[OutboxEntry]) -> list[list[OutboxEntry]]:
    """Cut entries, in order, into messages: few ones alone, many in batches within the contract's bounds."""
    if len(entries) <= SINGLES_UP_TO:
        return [[entry] for entry in entries]
    messages: list[list[OutboxEntry]] = []
    size = contract.MAX_PAYLOAD_BYTES
    for entry in entries:
        length = len(entry.envelope) + 1
        if not messages or len(messages[-1]) >= contract.MAX_BATCH_READINGS or size + length > _BATCH_ROOM:
            messages.append([])
            size = 0
        messages[-1].append(entry)
        size += length
    return messages


_BATCH_ROOM: Final = contract.MAX_PAYLOAD_BYTES - 128  # the frame of `encode_batch` takes the rest


def payload_of(message: Sequence[OutboxEntry]) -> bytes:
    """The octets of one message: the reading itself, or a batch."""
    if len(message) == 1:
        return message[0].envelope
    return contract.encode_batch([entry.envelope for entry in message])


class Publisher:
    """Sends what the journal holds."""

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        *,
        will: Callable[[], bytes],
        on_config: Callable[[bytes], None],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._gateway_id = settings.gateway_id
        self._outbox = outbox
        self._on_config = on_config
        self._on_change = on_change
        self._receipts_topic = contract.receipts_topic(settings.gateway_id)
        self._config_topic = contract.config_topic(settings.gateway_id)
        self._status_topic = contract.status_topic(settings.gateway_id)
        self._readings_topic = contract.readings_topic(settings.gateway_id)
        self._broker = BrokerConnection(
            settings,
            topics=(self._receipts_topic, self._config_topic),
            will_topic=self._status_topic,
            will=will,
            events=self,
        )
        self._flights: dict[str, Flight] = {}
        self._cursor = 0
        self._connection_number = 0
        self._wake = asyncio.Event()
        self._receipts: asyncio.Queue[bytes] = asyncio.Queue(_MAX_DOWN_MESSAGES)
        self._unheard: str | None = None

    @property
    def warning(self) -> str | None:
        """Why readings do not get through although there is a broker, or None."""
        return self._unheard or ("connection-keeps-breaking" if self._broker.keeps_breaking else None)

    @property
    def is_connected(self) -> bool:
        return self._broker.is_up

    @property
    def trouble(self) -> str | None:
        """Why the broker is not there, or None."""
        return self._broker.trouble

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()

        def wake_from_writer() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closing; the next start sends what is left
                loop.call_soon_threadsafe(self._wake.set)

        self._outbox.on_new_entry(wake_from_writer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._broker.run(), name="broker-connection")
            tasks.create_task(self._apply_receipts(), name="receipts")
            tasks.create_task(self._send_forever(), name="sender")

    def publish_status(self, payload: bytes) -> bool:
        """Retained. False when the broker is away."""
        return self._broker.publish(self._status_topic, payload, retain=True)

    async def farewell(self, payload: bytes) -> None:
        await self._broker.farewell(payload)

    # --- events of the connection -----------------------------------------------------------------------------------

    def connected(self) -> None:
        """Whatever has no receipt goes out again, in order, from the oldest."""
        self._flights.clear()
        self._cursor = 0
        self._connection_number += 1
        self._wake.set()
        self._on_change()

    def disconnected(self) -> None:
        self._on_change()

    def message(self, topic: str, payload: bytes) -> None:
        if topic == self._config_topic:
            self._on_config(payload)
        elif topic == self._receipts_topic:
            with contextlib.suppress(asyncio.QueueFull):
                self._receipts.put_nowait(payload)

    def unheard(self, reason: str) -> None:
        if self._unheard != reason:
            log.warning("readings_not_taken", reason=reason)
            self._unheard = reason
            self._on_change()

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _send_forever(self) -> None:
        while True:
            pause = self._seconds_to_next_resend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()
            try:
                while self._broker.is_up and await self._send_some():
                    pass
            except JournalError:
                await asyncio.sleep(_JOURNAL_PAUSE_SECONDS)
                self._wake.set()

    async def _send_some(self) -> bool:
        """Publish what is overdue and what is new, as far as the window allows. False when there is nothing to do."""
        now = asyncio.get_running_loop().time()
        overdue = [flight.entry for flight in self._flights.values() if flight.due_at <= now]
        room = MAX_UNRECEIPTED - len(self._flights)
        connection = self._connection_number
        fresh = await self._fresh(room) if room > 0 else []
        if connection != self._connection_number:
            return True  # everything starts again from the oldest; what was just looked up would skip it
        sent: list[int] = []
        for message in [*pack(overdue), *pack(fresh)]:
            if not self._publish(message):
                break
            sent.extend(entry.position for entry in message)
        if sent:
            with contextlib.suppress(JournalError):  # only the counter of attempts is lost
                await self._outbox.mark_sent(sent)
        return bool(fresh)

    async def _fresh(self, room: int) -> list[OutboxEntry]:
        entries = await self._outbox.unsettled(after=self._cursor, limit=min(room, 5 * contract.MAX_BATCH_READINGS))
        too_long = [entry for entry in entries if len(entry.envelope) > contract.MAX_PAYLOAD_BYTES]
        if too_long:
            await self._outbox.settle((), [(entry.message_id, "too-large") for entry in too_long])
            log.error("reading_too_large", count=len(too_long))
        return [entry for entry in entries if len(entry.envelope) <= contract.MAX_PAYLOAD_BYTES]

    def _publish(self, message: list[OutboxEntry]) -> bool:
        if not self._broker.publish(self._readings_topic, payload_of(message)):
            return False
        now = asyncio.get_running_loop().time()
        for entry in message:
            earlier = self._flights.get(entry.message_id)
            attempts = 1 if earlier is None else earlier.attempts + 1
            self._flights[entry.message_id] = Flight(entry=entry, attempts=attempts, due_at=now + _patience(attempts))
            self._cursor = max(self._cursor, entry.position)
        return True

    def _seconds_to_next_resend(self) -> float:
        if not self._flights:
            return IDLE_LOOK_SECONDS
        now = asyncio.get_running_loop().time()
        return max(0.05, min(flight.due_at for flight in self._flights.values()) - now)

    # --- receipts ---------------------------------------------------------------------------------------------------

    async def _apply_receipts(self) -> None:
        while True:
            payload = await self._receipts.get()
            try:
                receipt = contract.decode_receipt(payload)
            except contract.ContractError as error:
                log.error("receipt_unreadable", reason=error.reason)
                continue
            try:
                await self._outbox.settle(
                    receipt.stored, [(rejection.message_id, rejection.reason) for rejection in receipt.rejected]
                )
            except JournalError:
                continue  # the reading is sent again later, and the server answers again
            self._forget([*receipt.stored, *(rejection.message_id for rejection in receipt.rejected)])
            if receipt.rejected:
                log.warning("readings_rejected", count=len(receipt.rejected))

    def _forget(self, message_ids: Sequence[str]) -> None:
        for message_id in message_ids:
            self._flights.pop(message_id, None)
        self._unheard = None
        self._hurry()
        self._wake.set()
        self._on_change()

    def _hurry(self) -> None:
        """The server answers (again): what had to wait long for it need not wait any longer."""
        now = asyncio.get_running_loop().time()
        soon = now + 1.5 * FIRST_RESEND_SECONDS
        for message_id, flight in self._flights.items():
            if flight.due_at > soon:
                due_at = now + random.uniform(0.2, 1.0) * FIRST_RESEND_SECONDS  # noqa: S311
                self._flights[message_id] = replace(flight, due_at=due_at)


def _patience(attempts: int) -> float:
    """Seconds to wait for a receipt before sending again, 1 to 300."""
    seconds = backoff_seconds(
        attempts - 1,
        first=FIRST_RESEND_SECONDS,
        longest=LONGEST_RESEND_SECONDS,
        jitter=random.random(),  # noqa: S311
    )
    return min(LONGEST_RESEND_SECONDS, seconds)
