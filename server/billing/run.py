"""The shell of billing: facts out of the database, adjudications into it. The only module here that speaks SQL.

Input: a connection that sees one practice (role vw_billing, or vw_web for pages), a month, an instant. Output: facts
objects of the billing contract, read for many patients at once, and rows of `adjudication`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from server.billing.calendar import MICROSECONDS, bounds, month_period
from server.billing.determine import adjudicate
from server.billing.difference import difference, is_empty, same_facts
from server.billing.fact_rows import Row, facts_of
from server.billing.facts import canonical, digest_of
from server.db.pool import connect

Connection: TypeAlias = psycopg.Connection[Any]

# How many patients one round of queries loads: enough to amortise the round trips, little enough to stay flat.
BATCH: Final = 500
# Readings and stays this long before the month can belong to a device period that is decided in it.
_LOOK_BACK: Final = timedelta(days=31)
# Verdicts of ingest and of the alert engine's quality gate that make a row no reading of this patient.
_NO_READING: Final = (
    "held-unknown-device",
    "held-unassigned",
    "control-solution",
    "no-value",
    "quarantined",
    "unassigned",
    "duplicate",
)
_ONCE_CODES: Final = ("99453", "98975", "G0506")
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
    return _Loader(conn, tuple(patient_ids), month, as_of).load()


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
        (practice_id, period.last, period.first - _LOOK_BACK),
    ).fetchall()
    return RunScope(
        practice_id=practice_id,
        month=month,
        watermark=bool(simulated[0]),
        patients=tuple(row[0] for row in enrolled),
    )


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


# --- loading ---


class _Loader:
    """One round of queries for a set of patients; every list comes back grouped by patient."""

    def __init__(self, conn: Connection, patient_ids: tuple[str, ...], month: str, as_of: datetime) -> None:
        self._cursor = conn.cursor(row_factory=dict_row)
        self._ids = list(patient_ids)
        self._month = month
        self._period = month_period(month)
        self._as_of = as_of

    def load(self) -> dict[str, dict[str, object]]:
        patients = self._rows("SELECT * FROM patient WHERE id = ANY(%(ids)s) ORDER BY id")
        if not patients:
            return {}
        practices = {
            row["id"]: row
            for row in self._rows(
                "SELECT p.*, f.pack, f.qualifying_apm, f.locality, f.date_of_service FROM practice p"
                " LEFT JOIN payer_profile f ON f.practice_id = p.id WHERE p.id = ANY(%(practices)s)",
                practices=sorted({row["practice_id"] for row in patients}),
            )
        }
        lists = self._lists({row["id"]: practices[row["practice_id"]]["time_zone"] for row in patients})
        people = self._people(lists)
        return {
            row["id"]: facts_of(
                row,
                practices[row["practice_id"]],
                {name: rows[row["id"]] for name, rows in lists.items()},
                people,
                month=self._month,
                as_of=self._as_of,
            )
            for row in patients
        }

    def _rows(self, query: str, **values: object) -> list[Row]:
        return list(
            self._cursor.execute(
                query,
                {
                    "ids": self._ids,
                    "as_of": self._as_of,
                    "first": self._period.first,
                    "last": self._period.last,
                    "since": self._period.first - _LOOK_BACK,
                    **values,
                },
            ).fetchall()
        )

    def _lists(self, zones: Mapping[str, str]) -> dict[str, dict[str, list[Row]]]:
        found: dict[str, dict[str, list[Row]]] = {}
        for name, rows in self._queries(zones):
            grouped: dict[str, list[Row]] = {patient: [] for patient in self._ids}
            for row in rows:
                grouped[row["patient_id"]].append(row)
            found[name] = grouped
        return found

    def _queries(self, zones: Mapping[str, str]) -> Iterator[tuple[str, list[Row]]]:
        known = "patient_id = ANY(%(ids)s) AND recorded_at <= %(as_of)s"
        yield (
            "zones",
            self._rows("SELECT * FROM patient_zone WHERE patient_id = ANY(%(ids)s) ORDER BY patient_id, from_on"),
        )
        yield "conditions", self._rows(f"SELECT * FROM patient_condition WHERE {known} ORDER BY recorded_at, id")  # noqa: S608
        yield "visits", self._rows(f"SELECT * FROM visit WHERE {known} ORDER BY at, id")  # noqa: S608
        yield (
            "enrollments",
            self._rows(
                f"SELECT * FROM enrollment WHERE {known} AND from_on <= %(last)s ORDER BY from_on, id"  # noqa: S608
            ),
        )
        yield "consents", self._rows(f"SELECT * FROM consent WHERE {known} ORDER BY granted_at, id")  # noqa: S608
        yield "care_plans", self._rows(f"SELECT * FROM care_plan WHERE {known} ORDER BY program, version")  # noqa: S608
        yield "attestations", self._rows(f"SELECT * FROM attestation WHERE {known} ORDER BY on_date, id")  # noqa: S608
        yield (
            "designations",
            self._rows(
                "SELECT DISTINCT ON (patient_id, program, practitioner_id) * FROM designation"  # noqa: S608
                f" WHERE {known} AND from_on <= %(last)s ORDER BY patient_id, program,"
                " practitioner_id, from_on DESC, id"
            ),
        )
        yield (
            "stays",
            self._rows(
                f"SELECT * FROM stay WHERE {known} AND from_on <= %(last)s"  # noqa: S608
                " AND (to_on IS NULL OR to_on >= %(since)s) ORDER BY from_on, id"
            ),
        )
        yield (
            "services",
            self._rows(
                f"SELECT * FROM known_service WHERE {known} AND from_on <= %(last)s"  # noqa: S608
                " AND (to_on >= %(since)s OR code = ANY(%(once)s)) ORDER BY from_on, code, id",
                once=list(_ONCE_CODES),
            ),
        )
        yield "care_facts", self._rows(f"SELECT * FROM care_fact WHERE {known} ORDER BY recorded_at, id")  # noqa: S608
        yield from self._time(zones)
        yield "readings", self._readings()

    def _time(self, zones: Mapping[str, str]) -> Iterator[tuple[str, list[Row]]]:
        """Entries that touch the practice's month, and what the same people did for others at those moments."""
        spans = [bounds(self._period, zone) for zone in zones.values()]
        low = datetime.fromtimestamp(min(span[0] for span in spans) / MICROSECONDS, tz=UTC)
        high = datetime.fromtimestamp(max(span[1] for span in spans) / MICROSECONDS, tz=UTC)
        live = (
            "recorded_at <= %(as_of)s AND (superseded_at IS NULL OR superseded_at > %(as_of)s)"
            " AND (voided_at IS NULL OR voided_at > %(as_of)s)"
        )
        yield (
            "time_entries",
            self._rows(
                f"SELECT * FROM time_entry WHERE patient_id = ANY(%(ids)s) AND {live}"  # noqa: S608
                # A practitioner's review of device data is summed over a device period that may begin earlier.
                " AND started_at < %(high)s"
                " AND ended_at > CASE program WHEN 'data-review' THEN %(early)s ELSE %(low)s END"
                " ORDER BY started_at, id",
                low=low,
                high=high,
                early=low - _LOOK_BACK,
            ),
        )
        yield "elsewhere", self._elsewhere(low, high, live)

    def _elsewhere(self, low: datetime, high: datetime, live: str) -> list[Row]:
        """What the same people did for others at the moments of these patients' entries.

        Two entries that stand now never overlap (the database keeps them apart): one of the two was ended after
        `as_of`. The few ended ones are looked up; all pairs of a nurse's month would be quadratic in her patients.
        """
        mine, theirs = (
            live.replace("recorded_at", f"{t}.recorded_at")
            .replace("superseded_at", f"{t}.superseded_at")
            .replace("voided_at", f"{t}.voided_at")
            for t in ("e", "o")
        )
        found = (
            "SELECT e.patient_id, o.performer_id, o.patient_id AS other, o.started_at, o.ended_at, o.id"  # noqa: S608
            " FROM time_entry e"
            " JOIN time_entry o ON o.performer_id = e.performer_id AND o.patient_id <> e.patient_id"
            " AND tstzrange(o.started_at, o.ended_at) && tstzrange(e.started_at, e.ended_at)"
            f" WHERE e.patient_id = ANY(%(ids)s) AND {mine} AND {theirs}"
            " AND e.started_at < %(high)s AND e.ended_at > %(low)s"
        )
        return self._rows(
            f"SELECT patient_id, performer_id, other, started_at, ended_at FROM ("  # noqa: S608
            f"{found} AND (e.superseded_at IS NOT NULL OR e.voided_at IS NOT NULL)"
            f" UNION ALL {found} AND e.superseded_at IS NULL AND e.voided_at IS NULL"
            " AND (o.superseded_at IS NOT NULL OR o.voided_at IS NOT NULL)"
            ") met ORDER BY started_at, id",
            low=low,
            high=high,
        )

    def _readings(self) -> list[Row]:
        """Readings of the month and the look-back; of earlier dates the last automatic one, which fixes the anchor."""
        return self._rows(
            """
            WITH monitored AS (
                SELECT patient_id, min(from_on) AS from_on FROM enrollment
                WHERE patient_id = ANY(%(ids)s) AND program IN ('rpm', 'rtm', 'data-review') AND from_on <= %(last)s
                  AND recorded_at <= %(as_of)s
                GROUP BY patient_id
            ), reading AS (
                SELECT o.patient_id, o.message_id, o.device_id, o.measured_at, o.stored_at, o.local_date, o.entry,
                       d.kind, d.fda_defined
                FROM monitored m
                JOIN observation_of_practice o ON o.patient_id = m.patient_id
                JOIN device d ON d.id = o.device_id
                WHERE o.measured_at >= (m.from_on - 1)::timestamptz
                  AND o.measured_at < (%(last)s::date + 2)::timestamptz
                  AND o.stored_at <= %(as_of)s
                  AND o.judged_verdict <> ALL(%(no_reading)s)
            )
            SELECT * FROM reading WHERE measured_at >= %(since)s::date
            UNION ALL
            SELECT * FROM (
                SELECT DISTINCT ON (patient_id, local_date) * FROM reading
                WHERE measured_at < %(since)s::date AND entry = 'automatic' AND fda_defined
                ORDER BY patient_id, local_date, measured_at DESC
            ) anchor
            ORDER BY measured_at, message_id
            """,
            no_reading=list(_NO_READING),
        )

    def _people(self, lists: Mapping[str, Mapping[str, list[Row]]]) -> dict[str, Row]:
        wanted = {row["practitioner_id"] for rows in lists["enrollments"].values() for row in rows}
        wanted |= {row["performer_id"] for rows in lists["time_entries"].values() for row in rows}
        wanted |= {row["practitioner_id"] for rows in lists["services"].values() for row in rows}
        found: dict[str, Row] = {}
        for table in ("staff", "practitioner"):
            columns = "employer, qualified" if table == "staff" else "NULL AS employer, NULL AS qualified"
            rows = self._rows(
                f"SELECT id, practice_id, credential, {columns}, '{table}' AS role FROM {table}"  # noqa: S608
                " WHERE id = ANY(%(people)s) ORDER BY id",
                people=sorted(wanted),
            )
            found.update({row["id"]: row for row in rows})
        return found
