"""The ingest process: arrivals in batches → decide → one transaction → receipts and acknowledgements.

Input: MQTT messages of all gateways. Output: rows, receipts after COMMIT, retained configurations of gateways.
One thread. While the database stores a batch, the next one is read and decided. Nothing is acknowledged or
receipted before its transaction has committed; what was not acknowledged comes again, and is known by then.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, LiteralString

import psycopg
import structlog

from gateway.contract import (
    ContractError,
    Receipt,
    Rejection,
    decode_status,
    encode,
    gateway_of,
    receipts_topic,
)
from server.config import ServerSettings
from server.db.pool import AsyncConnection, async_connect, require_durable_async
from server.ingest.accept import Accepted, Rejected, accept
from server.ingest.brake import Brake
from server.ingest.configuration import publish_configurations
from server.ingest.health import Health
from server.ingest.link import Arrival, Link
from server.ingest.release import release_held
from server.ingest.write import Outcome, store, store_status

_log = structlog.get_logger("vitalwire.ingest")

READINGS: Final = "vw/1/gw/+/up/readings"
STATUS: Final = "vw/1/gw/+/up/status"
SHARED_GROUP: Final = "ingest"
# So many rejections with the longest ids still fit into the 64 KiB of a message.
_RECEIPT_NAMES: Final = 250
_RETRY_FIRST_SECONDS: Final = 0.1
_RETRY_LAST_SECONDS: Final = 5.0
# Notifications reach us at once; this only heals what was missed while we were away.
_POLL_SECONDS: Final = 60
_CHANNELS: Final[tuple[LiteralString, ...]] = ("vw_gateway_config", "vw_assignment")


@dataclass(slots=True)
class Batch:
    """Arrivals and what was decided about them."""

    arrivals: Sequence[Arrival]
    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    statuses: list[Arrival] = field(default_factory=list)
    unknown_gateways: set[str] = field(default_factory=set)


def receipts(accepted: Sequence[Accepted], rejected: Sequence[Rejected]) -> Iterator[tuple[str, Receipt]]:
    """One receipt for each gateway of a batch; more where its names would not fit into one message. Pure."""
    refused = {name for item in rejected for name in item.message_ids}
    named: defaultdict[str, list[str | Rejection]] = defaultdict(list)
    for item in accepted:
        name = str(item.reading.message_id)
        if name not in refused:
            named[item.gateway_id].append(name)
    for bad in rejected:
        if bad.gateway_id is not None:
            named[bad.gateway_id] += [Rejection(message_id=name, reason=bad.reason) for name in bad.message_ids]
    for gateway_id, names in named.items():
        for at in range(0, len(names), _RECEIPT_NAMES):
            part = names[at : at + _RECEIPT_NAMES]
            yield (
                gateway_id,
                Receipt(
                    stored=tuple(name for name in part if isinstance(name, str)),
                    rejected=tuple(name for name in part if isinstance(name, Rejection)),
                ),
            )


class Consumer:
    """Owns the link to the broker, the database connections that write and the one that listens."""

    def __init__(self, settings: ServerSettings, dsn: str) -> None:
        self._settings = settings
        self._dsn = dsn
        self._practices: dict[str, str] = {}
        self._health = Health(settings)
        self._brake = Brake(settings)
        self._tidy_now = asyncio.Event()
        self._decided: list[asyncio.Queue[Batch]] = [asyncio.Queue(maxsize=1) for _ in range(settings.ingest_writers)]
        shared = f"$share/{SHARED_GROUP}/" if settings.ingest_shared else ""
        self._link = Link(settings, (f"{shared}{READINGS}", STATUS))
        self._link.on_connected = self._tidy_now.set
        self._database_ready = asyncio.Event()

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Until told to stop. Loses nothing whenever it ends, however it ends."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._announce(on_ready), name="ready"),
                group.create_task(self._link.run(), name="link"),
                group.create_task(self._gather(), name="gather"),
                *(group.create_task(self._consume(queue), name="consume") for queue in self._decided),
                group.create_task(self._keep_house(), name="housekeeping"),
                group.create_task(self._health.run(self._link), name="health"),
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        await asyncio.gather(self._link.first_connected.wait(), self._database_ready.wait())
        on_ready()

    # --- readings -----------------------------------------------------------------------------------------------

    async def _gather(self) -> None:
        """Take arrivals in batches and decide about them, one batch ahead of the database."""
        while True:
            shares: defaultdict[int, list[Arrival]] = defaultdict(list)
            for arrival in await self._next_batch():
                shares[hash(gateway_of(arrival.topic)) % len(self._decided)].append(arrival)
            for writer, arrivals in shares.items():
                await self._decided[writer].put(self._decide(arrivals))

    async def _next_batch(self) -> list[Arrival]:
        """What has arrived, once there is something; a running stream is gathered for a few milliseconds."""
        link, most = self._link, self._settings.ingest_batch_messages
        await link.arrived.wait()
        await self._brake.wait_released()
        if self._settings.ingest_batch_seconds and 1 < len(link) < most:
            await asyncio.sleep(self._settings.ingest_batch_seconds)
        return link.take(most)

    async def _consume(self, decided: asyncio.Queue[Batch]) -> None:
        """Store batch after batch on one connection; a new one when it is lost, with the batch in hand kept."""
        delay = _RETRY_FIRST_SECONDS
        batch: Batch | None = None
        while True:
            try:
                async with await async_connect(self._dsn, "vw_ingest", application_name="vitalwire-ingest") as conn:
                    await require_durable_async(conn)
                    self._health.database_up()
                    self._database_ready.set()
                    while True:
                        batch = batch or await decided.get()
                        await self._store(conn, batch)
                        batch = None
                        delay = _RETRY_FIRST_SECONDS
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self._health.database_down(error)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, hides nothing
                delay = min(delay * 2, _RETRY_LAST_SECONDS)

    async def _store(self, conn: AsyncConnection, batch: Batch) -> None:
        """Everything here may be done twice: a lost connection does not tell whether its COMMIT arrived."""
        if batch.unknown_gateways:
            await self._learn_gateways(conn, batch.unknown_gateways)
            batch = self._decide(batch.arrivals)
        outcome = await store(conn, batch.accepted, batch.rejected)
        for arrival in batch.statuses:
            await self._handle_status(conn, arrival)
        self._send_receipts(batch.accepted, outcome.rejected)
        self._link.acknowledge(batch.arrivals)
        self._account(len(batch.arrivals), outcome)

    def _decide(self, arrivals: Sequence[Arrival]) -> Batch:
        batch = Batch(arrivals)
        for arrival in arrivals:
            gateway_id = gateway_of(arrival.topic)
            if gateway_id is not None and gateway_id not in self._practices:
                batch.unknown_gateways.add(gateway_id)
            if arrival.topic.endswith("/up/status"):
                batch.statuses.append(arrival)
                continue
            for item in accept(arrival.topic, arrival.payload, self._practices):
                if isinstance(item, Accepted):
                    batch.accepted.append(item)
                else:
                    batch.rejected.append(item)
        return batch

    def _send_receipts(self, accepted: Sequence[Accepted], rejected: Sequence[Rejected]) -> None:
        """After COMMIT: what is stored (also when it was there already) and what was refused, for each gateway."""
        for gateway_id, receipt in receipts(accepted, rejected):
            self._link.publish(receipts_topic(gateway_id), encode(receipt))

    def _account(self, messages: int, outcome: Outcome) -> None:
        self._health.count(messages, outcome)
        gateways = frozenset(item.gateway_id for item in outcome.rejected)
        total = sum(outcome.new.values()) + outcome.already + len(outcome.rejected)
        if self._brake.record(total, len(outcome.rejected), gateways):
            self._health.braked()

    # --- status and reference data ------------------------------------------------------------------------------

    async def _handle_status(self, conn: AsyncConnection, arrival: Arrival) -> None:
        gateway_id = gateway_of(arrival.topic)
        practice_id = self._practices.get(gateway_id or "")
        if gateway_id is None or practice_id is None:
            return
        try:
            status = decode_status(arrival.payload)
            await store_status(conn, gateway_id, practice_id, status, repeated=arrival.repeated)
        except (ContractError, psycopg.DataError, psycopg.IntegrityError) as error:
            # A status is repeated by the next one: it is not worth a dead letter.
            _log.warning("status not understood", gateway_id=gateway_id, error=type(error).__name__)

    async def _learn_gateways(self, conn: AsyncConnection, gateway_ids: set[str]) -> None:
        """Look up gateways that were never heard of, so that one enrolled a second ago is served at once."""
        cursor = await conn.execute(
            "SELECT id, practice_id FROM gateway WHERE id = ANY(%s) AND revoked_at IS NULL", (list(gateway_ids),)
        )
        self._practices.update(await cursor.fetchall())

    async def _keep_house(self) -> None:
        """Publish configurations and release held readings: at start, when told to, and now and then."""
        delay = _RETRY_FIRST_SECONDS
        while True:
            try:
                async with await async_connect(self._dsn, "vw_ingest", application_name="vitalwire-tidy") as conn:
                    for channel in _CHANNELS:
                        await conn.execute(f"LISTEN {channel}")
                    while True:
                        await self._tidy(conn)
                        delay = _RETRY_FIRST_SECONDS
                        await self._wait_for_work(conn)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RETRY_LAST_SECONDS)

    async def _wait_for_work(self, conn: AsyncConnection) -> None:
        """Returns at a notification, within a second of a new connection to the broker, or when the poll is due."""
        for _ in range(_POLL_SECONDS):
            if self._tidy_now.is_set():
                return
            async for _notification in conn.notifies(timeout=1.0, stop_after=1):
                return

    async def _tidy(self, conn: AsyncConnection) -> None:
        self._tidy_now.clear()
        revoked = await conn.execute("SELECT id FROM gateway WHERE revoked_at IS NOT NULL")
        for (gateway_id,) in await revoked.fetchall():
            self._practices.pop(gateway_id, None)
        if self._link.connected:
            await publish_configurations(conn, self._link)
        released = await release_held(conn)
        if released:
            _log.info("held readings released", count=released)
