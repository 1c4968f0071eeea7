"""Frozen months that late or corrected facts reach. Reads rows, writes nothing.

Input: a connection that sees one practice, a month, an instant. Output: each frozen month whose facts are no longer
those that were frozen, with its signed difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.billing.determine import adjudicate
from server.billing.difference import difference, is_empty, same_facts
from server.billing.run import batches, facts_for_many
from server.db.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedMonth:
    """A frozen month whose facts are no longer those that were frozen."""

    adjudication_id: str
    patient_id: str
    difference: dict[str, Any]

    @property
    def changes_claim(self) -> bool:
        """Whether a line or a question moves; else only facts that decide nothing."""
        return not is_empty(self.difference)


def changed_months(conn: Connection, month: str, as_of: datetime) -> Iterator[ChangedMonth]:
    """Frozen months of the practice that late or corrected facts reach, each with its signed difference.

    Facts come for many patients at once; only a month whose facts differ is decided again. Nothing is written.
    """
    frozen = conn.execute(
        "SELECT DISTINCT ON (patient_id) patient_id, id, facts, result FROM adjudication"
        " WHERE month = %s AND frozen_at IS NOT NULL ORDER BY patient_id, frozen_at DESC, id",
        (month,),
    ).fetchall()
    rows = {row[0]: row for row in frozen}
    for batch in batches(rows):
        for patient, known in facts_for_many(conn, patient_ids=batch, month=month, as_of=as_of).items():
            _, row_id, facts, result = rows[patient]
            if not same_facts(facts, known):
                found = difference(result, facts, adjudicate(known), known)
                yield ChangedMonth(adjudication_id=row_id, patient_id=patient, difference=found)
