"""Frozen months: facts, pack and verdict together, appended, never changed. SQL beside the function that runs it.

Input: a connection with the practice of its transaction set: the billing role freezes, the web role reads. Output:
frozen rows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from server.db.pool import AsyncConnection, Connection, transaction
from server.db.rows import many, one, returned


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """One frozen month of one patient."""

    id: str
    as_of: datetime
    facts: dict[str, Any]
    facts_digest: str
    pack_digest: str
    result: dict[str, Any]
    result_digest: str
    frozen_at: datetime
    frozen_by_name: str | None
    supersedes: str | None


_FROZEN = """
    SELECT a.id, a.as_of, a.facts, a.facts_digest, a.pack_digest, a.result, a.result_digest, a.frozen_at,
           u.display_name AS frozen_by_name, a.supersedes
    FROM adjudication a
    LEFT JOIN app_user u ON u.id = a.frozen_by
    WHERE a.practice_id = current_practice() AND a.frozen_at IS NOT NULL
"""


async def freeze(
    pool: ConnectionPool[Connection],
    *,
    practice_id: str,
    patient_id: str,
    month: str,
    as_of: datetime,
    facts: dict[str, Any],
    facts_digest: str,
    pack_digest: str,
    result: dict[str, Any],
    result_digest: str,
    frozen_at: datetime,
    frozen_by: str,
) -> str:
    """A frozen month and its audit row, in one transaction of the billing role; a second one names the one it
    supersedes. Returns its id."""
    values = {
        "practice": practice_id,
        "patient": patient_id,
        "month": month,
        "as_of": as_of,
        "facts": Jsonb(facts),
        "facts_digest": facts_digest,
        "pack_digest": pack_digest,
        "result": Jsonb(result),
        "result_digest": result_digest,
        "frozen_at": frozen_at,
        "frozen_by": frozen_by,
    }
    return await asyncio.to_thread(_freeze, pool, practice_id, values)


def _freeze(pool: ConnectionPool[Connection], practice_id: str, values: dict[str, Any]) -> str:
    with transaction(pool, practice_id) as conn:
        new_id = str(
            returned(
                conn.execute(
                    """
                    INSERT INTO adjudication
                        (practice_id, patient_id, month, as_of, facts, facts_digest, pack_digest, result,
                         result_digest, frozen_at, frozen_by, supersedes)
                    VALUES (%(practice)s, %(patient)s, %(month)s, %(as_of)s, %(facts)s, %(facts_digest)s,
                            %(pack_digest)s, %(result)s, %(result_digest)s, %(frozen_at)s, %(frozen_by)s,
                            (SELECT id FROM adjudication
                             WHERE patient_id = %(patient)s AND month = %(month)s AND practice_id = %(practice)s
                               AND frozen_at IS NOT NULL
                             ORDER BY frozen_at DESC, id LIMIT 1))
                    RETURNING id
                    """,
                    values,
                )
            )
        )
        conn.execute(
            """
            INSERT INTO audit (practice_id, actor, action, entity, entity_id, detail)
            VALUES (%s, %s, 'freeze-month', 'adjudication', %s, %s)
            """,
            (
                practice_id,
                values["frozen_by"],
                new_id,
                Jsonb({"month": values["month"], "patient": values["patient"]}),
            ),
        )
        return new_id


async def latest_frozen(conn: AsyncConnection, patient_id: str, month: str) -> Frozen | None:
    return await one(
        conn,
        Frozen,
        _FROZEN + " AND a.patient_id = %s AND a.month = %s ORDER BY a.frozen_at DESC LIMIT 1",
        (patient_id, month),
    )


async def frozen_patients(conn: AsyncConnection, month: str) -> list[FrozenPatient]:
    """Who has a frozen month, and with which result it was frozen last."""
    return await many(
        conn,
        FrozenPatient,
        """
        SELECT DISTINCT ON (patient_id) patient_id, result_digest, frozen_at FROM adjudication
        WHERE practice_id = current_practice() AND month = %s AND frozen_at IS NOT NULL
        ORDER BY patient_id, frozen_at DESC
        """,
        (month,),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPatient:
    """The newest frozen result of one patient's month."""

    patient_id: str
    result_digest: str
    frozen_at: datetime
