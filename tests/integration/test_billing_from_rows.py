"""Billing from rows: facts written to a real PostgreSQL come back as facts that decide the same month."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from server.billing import run
from server.billing.changed_months import ChangedMonth, changed_months
from server.billing.cli import app
from server.billing.determine import adjudicate
from server.db.pool import connect

CASES = Path(__file__).parents[1] / "billing_cases" / "public.jsonl"


def case(case_id: str) -> dict[str, Any]:
    for line in CASES.read_text(encoding="utf-8").splitlines():
        found: dict[str, Any] = json.loads(line)
        if found["id"] == case_id:
            return found
    raise LookupError(case_id)


def put(conn: psycopg.Connection[Any], table: str, **values: Any) -> None:
    """One row; jsonb and arrays go through psycopg's own adapters."""
    columns = sql.SQL(", ").join(map(sql.Identifier, values))
    places = sql.SQL(", ").join(sql.Placeholder() * len(values))
    row = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), columns, places)
    conn.execute(row, list(values.values()))


def insert(conn: psycopg.Connection[Any], facts: dict[str, Any], *, simulated: bool = False) -> None:
    """The facts of one patient as the rows that the web and ingest processes would have written."""
    practice, patient, payer = facts["practice"], facts["patient"], facts["payer"]
    put(conn, "practice", name="Test practice", is_simulated=simulated, **practice)
    locality = Jsonb(payer["locality"]) if payer["locality"] else None
    put(conn, "payer_profile", practice_id=practice["id"], **{**payer, "locality": locality})
    for one in facts.get("practitioners", ()):
        if one["group"] == practice["id"]:
            put(
                conn,
                "practitioner",
                id=one["id"],
                practice_id=practice["id"],
                name="Test",
                credential=one["credential"],
            )
    for one in facts.get("staff", ()):
        put(conn, "staff", practice_id=practice["id"], name="Test", **one)
    put(
        conn,
        "patient",
        id=patient["id"],
        practice_id=practice["id"],
        name="Test",
        established_on=patient["established_on"],
        qualified_medicare_beneficiary=patient["qualified_medicare_beneficiary"],
    )
    here = {"practice_id": practice["id"], "patient_id": patient["id"]}
    known = {**here, "recorded_at": "2015-01-01T00:00:00Z"}
    for one in patient["time_zones"]:
        put(conn, "patient_zone", **here, from_on=one["from"], zone=one["zone"])
    for one in patient["conditions"]:
        put(conn, "patient_condition", **known, **one)
    for one in facts.get("visits", ()):
        put(conn, "visit", **known, **renamed(one))
    for one in facts.get("enrollments", ()):
        put(conn, "enrollment", **known, **renamed(one))
    for one in facts.get("consents", ()):
        put(conn, "consent", **known, **renamed(one))
    for one in facts.get("care_plans", ()):
        put(conn, "care_plan", **known, **one)
    for one in facts.get("devices", ()):
        put(conn, "device", practice_id=practice["id"], **one)
    for one in facts.get("readings", ()):
        put(
            conn,
            "observation",
            **here,
            message_id=uuid.uuid5(uuid.NAMESPACE_OID, one["id"]),
            gateway_id="gw-0000000001",
            device_id=one["device"],
            kind="blood-pressure",
            measured_at=one["measured_at"],
            received_at=one["received_at"],
            stored_at=one["received_at"],
            local_date=one["measured_at"][:10],
            entry=one["entry"],
            memory="live",
            time_quality="synchronised",
            components=Jsonb([]),
            verdict="accepted",
        )
    for one in facts.get("time_entries", ()):
        put(conn, "time_entry", **here, note="test", **renamed(one))
    for one in facts.get("services", ()):
        put(conn, "known_service", **known, **renamed(one))


COLUMNS = {
    "practitioner": "practitioner_id",
    "from": "from_on",
    "to": "to_on",
    "performer": "performer_id",
    "start": "started_at",
    "end": "ended_at",
    "with": "with_whom",
}


def renamed(one: dict[str, Any]) -> dict[str, Any]:
    return {COLUMNS.get(name, name): value for name, value in one.items()}


def lines(answer: dict[str, Any]) -> list[tuple[str, int, str]]:
    return sorted((line["code"], line["units"], line["service_to"]) for line in answer["billable"])


def read(database: str, facts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    with psycopg.connect(database) as owner:
        insert(owner, facts)
    found: dict[str, Any] = run.read_facts(
        database,
        patient_id=facts["patient"]["id"],
        month=facts["month"],
        as_of=datetime.fromisoformat(facts["as_of"]),
        **changes,
    )
    return found


def test_hand_computed_month_of_monitoring_and_care_management(database: str) -> None:
    """22 days, 41:00 RPM with a call, 44:00 CCM: 52.11 + 51.77 + 41.42 + 66.13 + 50.44 = 261.87 (RVU26C x 33.4009)."""
    found = read(database, case("P14")["facts"])

    answer: dict[str, Any] = adjudicate(found)

    assert lines(answer) == [
        ("99439", 1, "2026-04-30"),
        ("99454", 1, "2026-04-30"),
        ("99457", 1, "2026-04-30"),
        ("99458", 1, "2026-04-30"),
        ("99490", 1, "2026-04-30"),
    ]
    assert answer["total"] == "261.87"
    assert answer["held"] == []


@pytest.mark.parametrize(
    "case_id", ["P06", "P07c", "P10", "P11b", "P19b", "P25", "P27a", "P29", "P30a", "P31a", "P35", "P58"]
)
def test_rows_decide_as_the_facts_they_came_from(database: str, case_id: str) -> None:
    wanted = case(case_id)

    answer: dict[str, Any] = adjudicate(read(database, wanted["facts"]))
    direct: dict[str, Any] = adjudicate(wanted["facts"])

    assert lines(answer) == lines(direct)
    assert [line["code"] for line in answer["held"]] == [line["code"] for line in direct["held"]]
    assert answer["total"] == direct["total"]


def test_period_anchored_months_ago_is_found_again(database: str) -> None:
    """First reading 2026-01-10: periods end 02-08, 03-10, 04-09. Eighteen days in the third make 99454 on 04-09."""
    facts = case("P14")["facts"]
    facts["enrollments"][0] |= {"from": "2026-01-09", "ordered_on": "2026-01-09", "setup_on": "2026-01-09"}
    facts["consents"][0]["granted_at"] = "2026-01-09T09:00:00-05:00"
    days = ["2026-01-10", "2026-01-11", *(f"2026-03-{day:02d}" for day in range(11, 29))]
    facts["readings"] = [
        {
            "id": f"x{day}",
            "device": "d1",
            "measured_at": f"{day}T17:00:00Z",
            "received_at": f"{day}T17:00:05Z",
            "entry": "automatic",
        }
        for day in days
    ]

    answer: dict[str, Any] = adjudicate(read(database, facts))

    assert ("99454", 1, "2026-04-09") in lines(answer)


def test_corrected_entry_counts_once(database: str) -> None:
    facts = case("P02")["facts"]
    with psycopg.connect(database) as owner:
        insert(owner, facts)
        owner.execute("UPDATE time_entry SET superseded_at = '2026-06-10T00:00:00Z' WHERE id = 't1'")

    found = run.read_facts(
        database, patient_id="p1", month="2026-06", as_of=datetime(2026, 7, 2, 12, tzinfo=UTC), practice_id="pr1"
    )

    answer: dict[str, Any] = adjudicate(found)
    assert [entry["entry"] for entry in answer["time"]] == ["t2"]
    assert lines(answer) == []


def test_month_run_appends_once_and_supersedes_on_change(database: str) -> None:
    facts = case("P14")["facts"]
    with psycopg.connect(database) as owner:
        insert(owner, facts)
    as_of = datetime.fromisoformat(facts["as_of"])

    with connect(database, "vw_billing") as conn:
        first = run.adjudicate_month(conn, "pr1", "2026-04", as_of, as_of)
        again = run.adjudicate_month(conn, "pr1", "2026-04", as_of, as_of)
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE time_entry SET voided_at = '2026-05-01T00:00:00Z' WHERE id = 't4'")
    with connect(database, "vw_billing") as conn:
        changed = run.adjudicate_month(conn, "pr1", "2026-04", as_of, datetime(2026, 5, 3, tzinfo=UTC))
        rows = conn.execute(
            "SELECT result->>'total', supersedes IS NOT NULL FROM adjudication ORDER BY created_at"
        ).fetchall()

    assert (first.adjudicated, first.stored) == (1, 1)
    assert (again.stored, again.unchanged) == (0, 1)
    assert changed.stored == 1
    # Without the last minute 40:00 of RPM remain: the same codes, another proof.
    assert rows == [("261.87", False), ("261.87", True)]


def test_simulated_practice_never_bills(database: str) -> None:
    facts = case("P14")["facts"]
    with psycopg.connect(database) as owner:
        insert(owner, facts, simulated=True)
    as_of = datetime.fromisoformat(facts["as_of"])

    with connect(database, "vw_billing") as conn:
        with pytest.raises(run.SimulatedPracticeError):
            run.adjudicate_month(conn, "pr1", "2026-04", as_of, as_of)
        run.adjudicate_month(conn, "pr1", "2026-04", as_of, as_of, demo=True)
        marked = conn.execute("SELECT result->>'watermark' FROM adjudication").fetchone()

    assert marked == (run.WATERMARK,)


def test_unknown_patient_is_said(database: str) -> None:
    with pytest.raises(run.UnknownPatientError, match="pt-nobody"):
        run.read_facts(database, patient_id="pt-nobody", month="2026-04", as_of=datetime(2026, 5, 2, tzinfo=UTC))


def test_facts_command_prints_what_adjudicate_reads(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = case("P14")["facts"]
    with psycopg.connect(database) as owner:
        insert(owner, facts)
    monkeypatch.setenv("DATABASE_URL", database)
    runner = CliRunner()

    printed = runner.invoke(app, ["facts", "--patient", "p1", "--month", "2026-04", "--as-of", facts["as_of"]])
    answer = runner.invoke(app, ["adjudicate", "-"], input=printed.stdout)
    nobody = runner.invoke(app, ["facts", "--patient", "pt-nobody", "--month", "2026-04"])

    assert json.loads(answer.stdout)["total"] == "261.87"
    assert nobody.exit_code == 2
    assert json.loads(nobody.stderr)["error"]["where"] == "patient"


def test_pages_read_facts_in_the_web_role(database: str) -> None:
    facts = case("P14")["facts"]
    with psycopg.connect(database) as owner:
        insert(owner, facts)

    with connect(database, "vw_web") as conn:
        conn.execute("SELECT set_config('app.practice_id', 'pr1', true)")
        found = run.facts_for(conn, patient_id="p1", month="2026-04", as_of=datetime.fromisoformat(facts["as_of"]))
        conn.execute("SELECT set_config('app.practice_id', 'pr-other', true)")
        with pytest.raises(run.UnknownPatientError):
            run.facts_for(conn, patient_id="p1", month="2026-04", as_of=datetime.fromisoformat(facts["as_of"]))

    answer: dict[str, Any] = adjudicate(found)
    assert answer["total"] == "261.87"


def test_a_frozen_month_shows_what_late_facts_change(database: str) -> None:
    """P14: 41:00 of monitoring are 99457 and a further block of 41.42; without the third entry it is lost."""
    facts = case("P14")["facts"]
    with psycopg.connect(database) as owner:
        insert(owner, facts)
    as_of, later = datetime.fromisoformat(facts["as_of"]), datetime(2026, 5, 9, tzinfo=UTC)
    with connect(database, "vw_billing") as conn:
        run.adjudicate_month(conn, "pr1", "2026-04", as_of, as_of)
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE adjudication SET frozen_at = created_at")

    def reached() -> list[ChangedMonth]:
        with connect(database, "vw_billing") as conn:
            conn.execute("SELECT set_config('app.practice_id', 'pr1', true)")
            return list(changed_months(conn, "2026-04", later))

    untouched = reached()
    with psycopg.connect(database) as owner:
        owner.execute("UPDATE time_entry SET voided_at = '2026-05-05T00:00:00Z' WHERE id = 't3'")
    (found,) = reached()

    assert untouched == []
    assert found.changes_claim
    assert found.patient_id == "p1"
    assert [(line["code"], line["amount"]) for line in found.difference["removed"]] == [("99458", "-41.42")]
    assert found.difference["removed"][0]["caused_by"] == ["t3"]
    assert found.difference["total"] == "-41.42"
    with psycopg.connect(database) as owner:
        assert owner.execute("SELECT count(*) FROM adjudication").fetchone() == (1,)


def test_run_command_commits_batches_by_several_processes_and_repeats_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = case("P14")["facts"]
    with psycopg.connect(database) as owner:
        insert(owner, facts)
        for number in range(2, 6):
            put(owner, "patient", id=f"p{number}", practice_id="pr1", name="Test")
            here = {"practice_id": "pr1", "patient_id": f"p{number}", "practitioner_id": "dr-a"}
            put(owner, "enrollment", **here, program="ccm", from_on="2026-01-01", recorded_at="2026-01-01T00:00:00Z")
        put(owner, "practice", **{**facts["practice"], "id": "pr-demo", "name": "Demo", "is_simulated": True})
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setattr(run, "BATCH", 2)
    words = ["run", "--month", "2026-04", "--as-of", facts["as_of"]]

    first = CliRunner().invoke(app, [*words, "--jobs", "2"])
    again = CliRunner().invoke(app, [*words, "--jobs", "1"])
    demo = CliRunner().invoke(app, [*words, "--practice", "pr-demo"])
    nobody = CliRunner().invoke(app, [*words, "--practice", "pr-none"])
    never = CliRunner().invoke(app, ["run", "--month", "2026-13"])

    # One line a practice; the simulated one is left out.
    assert json.loads(first.stdout) == {
        "practice": "pr1",
        "month": "2026-04",
        "adjudicated": 5,
        "stored": 5,
        "unchanged": 0,
    }
    assert first.stderr.splitlines() == [f"pr1: {done} of 5 patients" for done in (2, 4, 5)]
    assert json.loads(again.stdout)["stored"] == 0
    for refused, where in ((demo, "practice"), (nobody, "practice"), (never, "month")):
        assert (refused.exit_code, json.loads(refused.stderr)["error"]["where"]) == (2, where)
    with connect(database, "vw_billing") as conn:
        conn.execute("SELECT set_config('app.practice_id', 'pr1', false)")
        kept = conn.execute("SELECT facts, result FROM adjudication WHERE patient_id = 'p1'").fetchall()
    assert [result for _, result in kept] == [adjudicate(known) for known, _ in kept]
    assert kept[0][1]["total"] == "261.87"


def test_entry_voided_later_still_met_another_patient_then(database: str) -> None:
    """At as_of rn-1 was booked on p1 and p2 at once; only because one entry is voided since can the rows stand."""
    facts = case("P02")["facts"]
    one = facts["time_entries"][0]
    span = {"started_at": one["start"], "ended_at": one["end"], "activity": one["activity"], "note": "test"}
    with psycopg.connect(database) as owner:
        insert(owner, facts)
        owner.execute("UPDATE time_entry SET voided_at = '2026-08-01T00:00:00Z' WHERE id = %s", (one["id"],))
        put(owner, "patient", id="p2", practice_id="pr1", name="Test")
        here = {"practice_id": "pr1", "patient_id": "p2", "performer_id": one["performer"], "program": "ccm"}
        put(owner, "time_entry", id="t-other", recorded_at=one["recorded_at"], **here, **span)

    def met(patient: str, as_of: datetime) -> list[str]:
        found: Any = run.read_facts(database, patient_id=patient, month="2026-06", as_of=as_of)
        return [booking["patient"] for booking in found["elsewhere"]]

    before, after = datetime(2026, 7, 2, 12, tzinfo=UTC), datetime(2026, 8, 2, 12, tzinfo=UTC)
    assert (met("p1", before), met("p2", before)) == (["p2"], ["p1"])
    assert (met("p1", after), met("p2", after)) == ([], [])


def test_payers_authorisation_is_a_fact_of_the_patient(database: str) -> None:
    facts = case("P07d")["facts"]
    granted = {"code": "99454", "from": "2026-04-01", "to": "2026-04-30", "granted_at": "2026-03-30T12:00:00+00:00"}
    with psycopg.connect(database) as conn:
        insert(conn, facts)
        before = run.facts_for(
            conn, patient_id=facts["patient"]["id"], month="2026-04", as_of=datetime(2026, 5, 2, 12, tzinfo=UTC)
        )
        put(
            conn,
            "care_fact",
            practice_id=facts["practice"]["id"],
            patient_id=facts["patient"]["id"],
            kind="authorization",
            fact=Jsonb(granted),
            recorded_at=datetime(2026, 4, 1, tzinfo=UTC),
        )
        after = run.facts_for(
            conn, patient_id=facts["patient"]["id"], month="2026-04", as_of=datetime(2026, 5, 2, 12, tzinfo=UTC)
        )

    assert "authorizations" not in before
    assert after["authorizations"] == [granted]
