"""The facts of many patients' month out of the database, by a fixed number of queries.

Input: a connection that sees one practice (role vw_billing, or vw_web for pages), patient ids, a month, an instant.
Output: facts objects of the billing contract, by patient id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg.rows import dict_row

from server.billing.calendar import MICROSECONDS, bounds, month_period
from server.billing.fact_rows import Row, facts_of
from server.db.pool import Connection

# Readings and stays this long before the month can belong to a device period that is decided in it.
LOOK_BACK: Final = timedelta(days=31)
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


class FactLoader:
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
                    "since": self._period.first - LOOK_BACK,
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
                early=low - LOOK_BACK,
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
