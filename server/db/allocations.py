"""Accept a proposed allocation: a named person gives untagged time to a program, with a reason.

Input: the practice's connection, entries and the programs chosen for them, who and why. Output: new versions of the
entries; the old ones stay, superseded. An entry that has a program already is never moved here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from server.db.audit import append_audit
from server.db.pool import AsyncConnection


class AllocationRefusedError(ValueError):
    """The allocation cannot be recorded; the message says what to do."""


async def accept_allocation(
    conn: AsyncConnection,
    *,
    practice_id: str,
    patient_id: str,
    programs: Mapping[str, str],
    reason: str,
    accepted_by: str,
    now: datetime,
) -> dict[str, str]:
    """Old entry id → id of its new version. All entries or none, in the caller's transaction."""
    said = reason.strip()
    if not said:
        raise AllocationRefusedError("Say why these minutes belong to the program: a reason is needed.")
    if not programs:
        raise AllocationRefusedError("Choose at least one entry and its program.")
    cursor = await conn.execute(
        "SELECT id, program, candidates FROM time_entry WHERE id = ANY(%s) AND patient_id = %s"
        " AND superseded_at IS NULL AND voided_at IS NULL ORDER BY id FOR UPDATE",
        (sorted(programs), patient_id),
    )
    live = {str(row[0]): (row[1], tuple(row[2])) for row in await cursor.fetchall()}
    for entry in sorted(programs):
        if entry not in live:
            raise AllocationRefusedError(f"{entry}: no such entry now; load the month again.")
        tag, candidates = live[entry]
        if tag is not None:
            raise AllocationRefusedError(f"{entry}: is tagged {tag} already; a tagged minute is not moved.")
        if programs[entry] not in candidates:
            raise AllocationRefusedError(f"{entry}: {programs[entry]} is none of its candidates.")
    return {
        entry: await _supersede(conn, practice_id, patient_id, entry, programs[entry], said, accepted_by, now)
        for entry in sorted(programs)
    }


async def _supersede(
    conn: AsyncConnection,
    practice_id: str,
    patient_id: str,
    entry: str,
    program: str,
    reason: str,
    accepted_by: str,
    now: datetime,
) -> str:
    # The old version first: two live entries of one person never share a moment.
    await conn.execute("UPDATE time_entry SET superseded_at = %s WHERE id = %s", (now, entry))
    cursor = await conn.execute(
        """
        INSERT INTO time_entry (practice_id, patient_id, program, candidates, performer_id, started_at, ended_at,
                                activity, live, with_whom, part_of_visit, in_person, automated, note, alert_id,
                                message_ids, recorded_by, recorded_at, supersedes, reason)
        SELECT practice_id, patient_id, %(program)s, '{}', performer_id, started_at, ended_at, activity, live,
               with_whom, part_of_visit, in_person, automated, note, alert_id, message_ids, %(by)s, %(now)s, id,
               %(reason)s
        FROM time_entry WHERE id = %(entry)s
        RETURNING id
        """,
        {"program": program, "by": accepted_by, "now": now, "reason": reason, "entry": entry},
    )
    row = await cursor.fetchone()
    if row is None:
        raise AllocationRefusedError(f"{entry}: no such entry now; load the month again.")
    new = str(row[0])
    await append_audit(
        conn,
        practice_id=practice_id,
        actor=accepted_by,
        action="time.allocate",
        entity="time_entry",
        entity_id=new,
        detail={"supersedes": entry, "patient": patient_id, "program": program},
    )
    return new
