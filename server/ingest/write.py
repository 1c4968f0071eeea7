"""Store what was accepted: gate row, observation, alert work and dead letters of one batch, in one transaction.

Input: a connection of the role `vw_ingest`, accepted and rejected readings. Output: how many were new, by verdict.
One statement and one round trip a batch: the readings travel as one JSON document, so that the cost of a batch hardly
depends on its size. A reading that is already there changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg

from gateway.contract import Status, WireComponent
from server.db.pool import AsyncConnection
from server.ingest.accept import Accepted, Rejected, Verdict

# Placing a reading: the device must be known in the gateway's practice, its patient is whoever the device (and user
# slot, an assignment without a slot takes any) was assigned to at the moment of measurement, and the calendar day is
# the one of the zone in which that patient then lived (the practice's zone when none is recorded). A batch holds many
# readings of few devices: assignments and zones are looked up once a device, not once a reading.
PLACE_SQL: Final = """
owner AS (
    SELECT
        d.id AS device_id,
        d.practice_id,
        p.time_zone,
        da.patient_id,
        da.user_slot,
        da.valid,
        z.zone,
        z.from_on
    FROM (SELECT DISTINCT device_id, practice_id FROM r) seen
    JOIN device d ON d.id = seen.device_id AND d.practice_id = seen.practice_id
    JOIN practice p ON p.id = d.practice_id
    LEFT JOIN device_assignment da ON da.device_id = d.id AND da.practice_id = d.practice_id
    LEFT JOIN patient_zone z ON z.patient_id = da.patient_id
), placed AS (
    SELECT DISTINCT ON (r.n)
        r.*,
        o.device_id IS NOT NULL AS known,
        a.patient_id,
        CASE WHEN a.patient_id IS NOT NULL THEN
            (r.measured_at AT TIME ZONE CASE WHEN a.lives_there THEN o.zone ELSE o.time_zone END)::date
        END AS local_date
    FROM fresh
    JOIN r USING (message_id)
    LEFT JOIN owner o ON o.device_id = r.device_id AND o.practice_id = r.practice_id
    LEFT JOIN LATERAL (
        SELECT
            o.patient_id,
            o.from_on <= (r.measured_at AT TIME ZONE o.zone)::date AS lives_there
        WHERE o.valid @> r.measured_at
          AND (o.user_slot IS NULL OR o.user_slot = r.user_id)
    ) a ON true
    ORDER BY r.n, a.patient_id IS NULL, o.user_slot NULLS LAST, a.lives_there DESC NULLS LAST, o.from_on DESC
)"""

STORE_SQL: Final = f"""
WITH r AS (
    SELECT
        n,
        m AS message_id,
        p AS practice_id,
        g AS gateway_id,
        d AS device_id,
        k AS kind,
        t AS measured_at,
        u AS received_at,
        coalesce(e, 'automatic') AS entry,
        coalesce(y, 'live') AS memory,
        q AS time_quality,
        w AS device_time,
        o AS clock_offset_seconds,
        s AS sequence_number,
        i AS user_id,
        c AS components,
        coalesce(f, '{{}}') AS flags,
        coalesce(x, '{{}}') AS context,
        coalesce(b, '{{}}') AS raw,
        coalesce(v, 'accepted') AS word
    FROM jsonb_to_recordset(%s::jsonb) AS j (
        n integer, m uuid, p text, g text, d text, k text, t timestamptz, u timestamptz, e text, y text, q text,
        w text, o numeric, s integer, i integer, c jsonb, f text[], x jsonb, b jsonb, v text
    )
), fresh AS (
    INSERT INTO message_gate (message_id, gateway_id)
    SELECT message_id, gateway_id
    FROM r
    ORDER BY message_id  -- one order in all processes: two that store the same readings wait, they do not deadlock
    ON CONFLICT DO NOTHING
    RETURNING message_id
), {PLACE_SQL.lstrip()}, judged AS (
    SELECT
        *,
        CASE
            WHEN word <> 'accepted' THEN word
            WHEN NOT known THEN 'held-unknown-device'
            WHEN patient_id IS NULL THEN 'held-unassigned'
            ELSE word
        END AS verdict
    FROM placed
), stored AS (
    INSERT INTO observation (message_id, practice_id, patient_id, gateway_id, device_id, kind, measured_at, received_at,
        local_date, entry, memory, time_quality, device_time, clock_offset_seconds, sequence_number, user_id,
        components, flags, context, raw, verdict)
    SELECT message_id, practice_id, patient_id, gateway_id, device_id, kind, measured_at, received_at,
        local_date, entry, memory, time_quality, device_time, clock_offset_seconds, sequence_number, user_id,
        components, flags, context, raw, verdict
    FROM judged
), work AS (
    INSERT INTO alert_work (practice_id, patient_id, message_id, measured_at)
    SELECT practice_id, patient_id, message_id, measured_at
    FROM judged
    WHERE verdict = 'accepted'
    ORDER BY n
)
SELECT
    verdict,
    count(*),
    CASE
        WHEN verdict = 'accepted' THEN pg_notify('vw_alert_work', '')::text
        WHEN verdict LIKE 'held-%%' THEN emit_ui_event(practice_id, 'held', min(gateway_id))::text
    END
FROM judged
GROUP BY practice_id, verdict
"""  # noqa: S608 - put together from our own constant

DEAD_LETTER_SQL: Final = """
WITH kept AS (
    INSERT INTO dead_letter (practice_id, gateway_id, topic, message_id, reason, detail, payload, payload_sha256)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
    RETURNING practice_id, id
)
SELECT emit_ui_event(practice_id, 'dead-letter', id::text) FROM kept WHERE practice_id IS NOT NULL
"""

_MOST_TOPIC: Final = 200
_encoder: Final = msgspec.json.Encoder(decimal_format="string")


class _Row(
    msgspec.Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    rename={
        "message_id": "m",
        "practice_id": "p",
        "gateway_id": "g",
        "device_id": "d",
        "kind": "k",
        "measured_at": "t",
        "received_at": "u",
        "time_quality": "q",
        "components": "c",
        "entry": "e",
        "memory": "y",
        "device_time": "w",
        "clock_offset_seconds": "o",
        "sequence_number": "s",
        "user_id": "i",
        "flags": "f",
        "context": "x",
        "raw": "b",
        "verdict": "v",
    },
):
    """One reading as the statement takes it. Short keys and unwritten defaults save a third of its parsing."""

    n: int
    message_id: UUID
    practice_id: str
    gateway_id: str
    device_id: str
    kind: str
    measured_at: datetime
    received_at: datetime
    time_quality: str
    components: tuple[WireComponent, ...]
    entry: str = "automatic"
    memory: str = "live"
    device_time: str | None = None
    clock_offset_seconds: Decimal | None = None
    sequence_number: int | None = None
    user_id: int | None = None
    flags: tuple[str, ...] = ()
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    raw: dict[str, str] = msgspec.field(default_factory=dict)
    verdict: Verdict = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a batch did: new rows by verdict, readings that were there already, and what was refused."""

    new: dict[str, int]
    already: int
    rejected: tuple[Rejected, ...]


def document(accepted: Sequence[Accepted]) -> bytes:
    """The JSON document of the statement. Within it an identity occurs once: the first one counts."""
    rows: dict[UUID, _Row] = {}
    for item in accepted:
        reading = item.reading
        if reading.message_id in rows:
            continue
        rows[reading.message_id] = _Row(
            len(rows),
            reading.message_id,
            item.practice_id,
            item.gateway_id,
            reading.device.id,
            reading.kind,
            reading.measured_at,
            reading.received_at,
            reading.time_quality,
            reading.components,
            reading.entry,
            reading.memory,
            reading.device_time,
            reading.clock_offset_seconds,
            reading.sequence_number,
            reading.user_id,
            reading.flags,
            reading.context,
            reading.raw,
            item.verdict,
        )
    return _encoder.encode(list(rows.values()))


async def store(conn: AsyncConnection, accepted: Sequence[Accepted], rejected: Sequence[Rejected]) -> Outcome:
    """Store one batch. When it returns, everything in it is committed.

    The connection is in autocommit: a batch without rejections is one statement and one round trip. A reading the
    database refuses for its content is found by halving and joins the rejected; every other error is raised.
    """
    try:
        return await _store_once(conn, accepted, rejected)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(accepted) > 1:
            middle = len(accepted) // 2
            first = await store(conn, accepted[:middle], rejected)
            second = await store(conn, accepted[middle:], ())
            return _sum(first, second)
        if not accepted:
            raise
        return await _store_once(conn, (), (*rejected, _not_storable(accepted[0], error)))


async def _store_once(conn: AsyncConnection, accepted: Sequence[Accepted], rejected: Sequence[Rejected]) -> Outcome:
    if not rejected:
        return await _store_accepted(conn, accepted)
    async with conn.transaction():
        outcome = await _store_accepted(conn, accepted)
        async with conn.pipeline():
            for item in rejected:
                await conn.execute(DEAD_LETTER_SQL, _dead_letter(item))
    return Outcome(new=outcome.new, already=outcome.already, rejected=tuple(rejected))


async def _store_accepted(conn: AsyncConnection, accepted: Sequence[Accepted]) -> Outcome:
    if not accepted:
        return Outcome(new={}, already=0, rejected=())
    cursor = await conn.execute(STORE_SQL, (document(accepted).decode(),), prepare=True)
    new: dict[str, int] = {}
    for verdict, count, _ in await cursor.fetchall():
        new[verdict] = new.get(verdict, 0) + count
    return Outcome(new=new, already=len(accepted) - sum(new.values()), rejected=())


def _sum(first: Outcome, second: Outcome) -> Outcome:
    verdicts = first.new.keys() | second.new.keys()
    return Outcome(
        new={verdict: first.new.get(verdict, 0) + second.new.get(verdict, 0) for verdict in verdicts},
        already=first.already + second.already,
        rejected=first.rejected + second.rejected,
    )


def _not_storable(item: Accepted, error: psycopg.Error) -> Rejected:
    """Only the error's class goes into the detail: its text quotes the row."""
    return Rejected(
        topic=f"vw/1/gw/{item.gateway_id}/up/readings",
        payload=item.raw,
        reason="not-storable",
        detail=f"SQLSTATE {error.sqlstate}",
        gateway_id=item.gateway_id,
        practice_id=item.practice_id,
        message_ids=(str(item.reading.message_id),),
    )


def _dead_letter(item: Rejected) -> tuple[object, ...]:
    identity = item.message_ids[0].replace("\x00", "") if len(item.message_ids) == 1 else None
    digest = sha256(item.payload).digest()
    return (
        item.practice_id,
        item.gateway_id,
        item.topic[:_MOST_TOPIC].replace("\x00", ""),
        identity,
        item.reason,
        item.detail.replace("\x00", ""),
        item.payload,
        digest,
    )


# --- gateway status -----------------------------------------------------------------------------------------------

# The last one to arrive counts, whatever its own `at` says: a last will carries the time of its connection. A retained
# one that the broker merely repeats tells nothing new of when the gateway was heard.
STATUS_SQL: Final = """
WITH before AS (
    SELECT state FROM gateway_status WHERE gateway_id = %(gateway_id)s
), written AS (
    INSERT INTO gateway_status AS s (gateway_id, practice_id, state, at, outbox_depth, oldest_pending_at, software,
        config_version, warnings, devices, heard_at)
    VALUES (%(gateway_id)s, %(practice_id)s, %(state)s, %(at)s, %(outbox_depth)s, %(oldest_pending_at)s, %(software)s,
        %(config_version)s, %(warnings)s, %(devices)s::jsonb, clock_timestamp())
    ON CONFLICT (gateway_id) DO UPDATE SET
        state = EXCLUDED.state,
        at = EXCLUDED.at,
        outbox_depth = EXCLUDED.outbox_depth,
        oldest_pending_at = EXCLUDED.oldest_pending_at,
        software = EXCLUDED.software,
        config_version = EXCLUDED.config_version,
        warnings = EXCLUDED.warnings,
        devices = EXCLUDED.devices,
        heard_at = EXCLUDED.heard_at
    WHERE NOT (%(repeated)s AND s.at = EXCLUDED.at AND s.state = EXCLUDED.state)
    RETURNING state
)
SELECT emit_ui_event(%(practice_id)s, 'gateway', %(gateway_id)s)
FROM written
WHERE state IS DISTINCT FROM (SELECT state FROM before)
"""


async def store_status(
    conn: AsyncConnection, gateway_id: str, practice_id: str, status: Status, *, repeated: bool
) -> None:
    """Remember what a gateway last said of itself; pages learn of it when its state changed."""
    await conn.execute(
        STATUS_SQL,
        {
            "gateway_id": gateway_id,
            "practice_id": practice_id,
            "state": status.state,
            "at": status.at,
            "outbox_depth": status.outbox_depth,
            "oldest_pending_at": status.oldest_pending_at,
            "software": status.software,
            "config_version": status.config_version,
            "warnings": list(status.warnings),
            "devices": _encoder.encode(status.devices).decode(),
            "repeated": repeated,
        },
    )
