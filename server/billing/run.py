"""The shell of billing: adjudicate the enrolled patients of a practice's month and append what changed.

Input: a connection that sees one practice (role vw_billing, or vw_web for pages), a month, an instant. Output: facts
objects of the billing contract, loaded for many patients at once, and rows of `adjudication`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from psycopg.types.json import Jsonb

from server.billing.calendar import month_period
from server.billing.determine import adjudicate
from server.billing.fact_loading import LOOK_BACK, FactLoader
from server.billing.facts import canonical, digest_of
from server.db.pool import Connection, connect

# How many patients one round of queries loads: enough to amortise the round trips, little enough to stay flat.
BATCH: Final = 500
WATERMARK: Final = "DEMONSTRATION: simulated patients, not a claim"


class UnknownPatientError(LookupError):
    """No patient of that id is visible."""


class UnknownPracticeError(LookupError):
    """No practice of that id is visible."""


class SimulatedPracticeError(PermissionError):
    """Simulated data never become claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthRun:
    """What one run over a practice's month did."""

    adjudicated: int
    stored: int
    unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """The enrolled patients of one practice's month; `watermark` marks what may never be claimed."""

    practice_id: str
    month: str
    watermark: bool
    patients: tuple[str, ...]


def facts_for(conn: Connection, *, patient_id: str, month: str, as_of: datetime) -> dict[str, object]:
    """The facts of one patient-month as they stood at `as_of`."""
    found = facts_for_many(conn, patient_ids=(patient_id,), month=month, as_of=as_of)
    if patient_id not in found:
        raise UnknownPatientError(f"no patient {patient_id!r} in this practice")
    return found[patient_id]


def facts_for_many(
    conn: Connection, *, patient_ids: Sequence[str], month: str, as_of: datetime
) -> dict[str, dict[str, object]]:
    """Facts by patient id, by a fixed number of queries however many patients are asked for."""
    return FactLoader(conn, tuple(patient_ids), month, as_of).load()


def read_facts(
    dsn: str, *, patient_id: str, month: str, as_of: datetime, practice_id: str | None = None
) -> dict[str, object]:
    """As `facts_for`, from a DSN; without a practice, the patient's own is looked up."""
    month_period(month)
    with connect(dsn, "vw_billing", application_name="vitalwire-billing") as conn:
        practices = (
            [practice_id] if practice_id else [row[0] for row in conn.execute("SELECT id FROM practice ORDER BY id")]
        )
        for practice in practices:
            conn.execute("SELECT set_config('app.practice_id', %s, true)", (practice,))
            if conn.execute("SELECT 1 FROM patient WHERE id = %s", (patient_id,)).fetchone():
                return facts_for(conn, patient_id=patient_id, month=month, as_of=as_of)
    raise UnknownPatientError(f"no patient {patient_id!r}")


def adjudicate_month(
    conn: Connection, practice_id: str, month: str, as_of: datetime, now: datetime, *, demo: bool = False
) -> MonthRun:
    """Adjudicate every enrolled patient of the practice and append what changed. Runs in the caller's transaction.

    A simulated practice is refused unless a demonstration is asked for; its results carry a watermark. The same facts
    and pack append nothing: a run may be repeated.
    """
    scope = scope_of(conn, practice_id, month, demo=demo)
    stored = 0
    for batch in batches(scope.patients):
        stored += adjudicate_batch(conn, scope, batch, as_of, now)
    return MonthRun(adjudicated=len(scope.patients), stored=stored, unchanged=len(scope.patients) - stored)


def scope_of(conn: Connection, practice_id: str, month: str, *, demo: bool = False) -> RunScope:
    """Who is to be adjudicated; refuses a simulated practice unless a demonstration is asked for."""
    period = month_period(month)
    conn.execute("SELECT set_config('app.practice_id', %s, true)", (practice_id,))
    simulated = conn.execute("SELECT is_simulated FROM practice WHERE id = %s", (practice_id,)).fetchone()
    if simulated is None:
        raise UnknownPracticeError(f"no practice {practice_id!r}")
    if simulated[0] and not demo:
        raise SimulatedPracticeError(f"{practice_id} holds simulated patients: nothing of it is ever claimed")
    enrolled = conn.execute(
        "SELECT DISTINCT patient_id FROM enrollment"
        " WHERE practice_id = %s AND from_on <= %s AND (to_on IS NULL OR to_on >= %s) ORDER BY patient_id",
        (practice_id, period.last, period.first - LOOK_BACK),
    ).fetchall()
    return RunScope(
        practice_id=practice_id,
        month=month,
        watermark=bool(simulated[0]),
        patients=tuple(row[0] for row in enrolled),
    )


def adjudicate_batch(conn: Connection, scope: RunScope, patients: Sequence[str], as_of: datetime, now: datetime) -> int:
    """Adjudicate some patients of the run and append what changed; how many rows that were."""
    conn.execute("SELECT set_config('app.practice_id', %s, true)", (scope.practice_id,))
    found = facts_for_many(conn, patient_ids=patients, month=scope.month, as_of=as_of)
    return _store(conn, scope.practice_id, scope.month, as_of, now, found, watermark=scope.watermark)


def practices(conn: Connection) -> tuple[tuple[str, bool], ...]:
    """(id, whether it is simulated) of every practice the role may see."""
    rows = conn.execute("SELECT id, is_simulated FROM practice ORDER BY id").fetchall()
    return tuple((row[0], bool(row[1])) for row in rows)


def batches(patients: Iterable[str]) -> Iterator[tuple[str, ...]]:
    waiting = iter(patients)
    while batch := tuple(islice(waiting, BATCH)):
        yield batch


def _store(
    conn: Connection,
    practice_id: str,
    month: str,
    as_of: datetime,
    now: datetime,
    facts: Mapping[str, dict[str, object]],
    *,
    watermark: bool,
) -> int:
    latest = {
        row[0]: (row[1], row[2])
        for row in conn.execute(
            "SELECT DISTINCT ON (patient_id) patient_id, id, result_digest FROM adjudication"
            " WHERE patient_id = ANY(%s) AND month = %s ORDER BY patient_id, created_at DESC, id",
            (list(facts), month),
        )
    }
    rows = []
    for patient, known in facts.items():
        result = adjudicate(known)
        if watermark:
            result = {**result, "watermark": WATERMARK}
        before = latest.get(patient)
        # The digest of the facts names `as_of` too: a run an hour later that decides the same appends nothing.
        digest = digest_of({key: value for key, value in result.items() if key != "facts_digest"})
        if before is not None and before[1] == digest:
            continue
        pack: Any = result["pack"]
        rows.append(
            (
                practice_id,
                patient,
                month,
                as_of,
                Jsonb(known, dumps=canonical),
                result["facts_digest"],
                pack["digest"],
                Jsonb(result, dumps=canonical),
                digest,
                before[0] if before else None,
                now,
            )
        )
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO adjudication (practice_id, patient_id, month, as_of, facts, facts_digest, pack_digest, result,"
            " result_digest, supersedes, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )
    return len(rows)
