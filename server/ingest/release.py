"""Give held readings to their patient once the device is known and assigned; their times stay what they were.

Input: observations without a patient. Output: the same rows with patient, local date and verdict, and alert work for
those that belong to a patient now. Idempotent; two processes may do it at once.
"""

from __future__ import annotations

from typing import Final

from server.db.pool import AsyncConnection
from server.ingest.write import PLACE_SQL

_MOST: Final = 5_000

RELEASE_SQL: Final = f"""
WITH r AS (
    SELECT
        row_number() OVER () AS n,
        o.message_id,
        o.practice_id,
        o.device_id,
        o.measured_at,
        o.user_id,
        o.verdict AS word
    FROM observation o
    JOIN device d ON d.id = o.device_id AND d.practice_id = o.practice_id
    WHERE o.patient_id IS NULL
      AND (
          o.verdict = 'held-unknown-device'
          OR EXISTS (
              SELECT FROM device_assignment da
              WHERE da.device_id = o.device_id
                AND da.valid @> o.measured_at
                AND (da.user_slot IS NULL OR da.user_slot = o.user_id)
          )
      )
    ORDER BY o.measured_at, o.message_id
    LIMIT {_MOST}
), fresh AS (
    SELECT message_id FROM r
), {PLACE_SQL.lstrip()}, released AS (
    UPDATE observation o
    SET patient_id = p.patient_id,
        local_date = p.local_date,
        verdict = CASE
            WHEN o.verdict NOT LIKE 'held-%' THEN o.verdict
            WHEN p.patient_id IS NULL THEN 'held-unassigned'
            ELSE 'accepted'
        END
    FROM placed p
    WHERE o.message_id = p.message_id
      AND o.measured_at = p.measured_at
      AND o.patient_id IS NULL
    RETURNING o.practice_id, o.patient_id, o.message_id, o.measured_at, o.verdict
), work AS (
    INSERT INTO alert_work (practice_id, patient_id, message_id, measured_at)
    SELECT practice_id, patient_id, message_id, measured_at
    FROM released
    WHERE verdict = 'accepted'
    ORDER BY measured_at, message_id
)
SELECT
    count(patient_id),
    count(*),
    CASE WHEN bool_or(verdict = 'accepted') THEN pg_notify('vw_alert_work', '')::text END
FROM released
"""  # noqa: S608 - put together from our own constants


async def release_held(conn: AsyncConnection) -> int:
    """Release everything that can be; returns how many readings found their patient. Needs an autocommit connection."""
    released = 0
    while True:
        cursor = await conn.execute(RELEASE_SQL)
        row = await cursor.fetchone()
        assert row is not None
        released += int(row[0])
        if row[1] < _MOST:
            return released
