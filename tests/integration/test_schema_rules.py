"""Rules of the schema that no single migration can promise: snapshot, one writer a table, tenancy, the audit chain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from server.db import snapshot as snapshot_module
from server.db.migrate import timescaledb_available
from server.db.pool import UnsafeDatabaseError, connect, require_durable
from server.db.snapshot import snapshot

ROLES = ("vw_ingest", "vw_alerts", "vw_web", "vw_billing")

# Tables that several roles write, and why.
SHARED = {
    "alert_work": {"vw_ingest": {"INSERT"}, "vw_alerts": {"UPDATE", "DELETE"}},  # a queue: one fills, one empties
    "audit": {role: {"INSERT"} for role in ROLES},  # append-only, chained by a trigger
    "gateway_config": {"vw_web": {"INSERT", "UPDATE"}, "vw_ingest": {"UPDATE(published_at)"}},
}
# Tables without row-level security, and why no tenant can see another through them.
WITHOUT_POLICY = {
    "app_user",  # log-in happens before a practice is known
    "web_session",  # likewise
    "login_attempt",  # holds hashes of log-ins only
    "audit_head",  # no role has a right on it
    "message_gate",  # identities of messages; ingest only
    "observation",  # TimescaleDB refuses it; roles read through observation_of_practice
    "practice",  # the tenants themselves
    "schema_migration",
}

_OBSERVATION = (
    "INSERT INTO observation (message_id, practice_id, gateway_id, device_id, kind, measured_at, received_at, entry,"
    " memory, time_quality, components, verdict)"
    " VALUES (gen_random_uuid(), %s, 'g', 'd', 'blood-pressure', %s, %s, 'automatic', 'live', 'unknown', '[]',"
    " 'held-unassigned')"
)


def test_migrated_database_equals_the_snapshot(database: str) -> None:
    committed = Path(snapshot_module.__file__).with_name("schema.sql").read_text(encoding="utf-8")

    with connect(database) as conn:
        assert snapshot(conn) == committed, "run: python -m server.db.snapshot > server/db/schema.sql"


def writers(dsn: str) -> dict[str, dict[str, set[str]]]:
    """Table → role → what it may change; a right on some columns only is written with them."""
    found: dict[str, dict[str, set[str]]] = {}
    with connect(dsn) as conn:
        tables = conn.execute(
            "SELECT c.relname, x.grantee::regrole::text, x.privilege_type FROM pg_class c, aclexplode(c.relacl) x"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND x.grantee <> c.relowner"
        ).fetchall()
        columns = conn.execute(
            "SELECT c.relname, x.grantee::regrole::text, format('%s(%s)', x.privilege_type, a.attname)"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) x"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND x.grantee <> c.relowner"
        ).fetchall()
    for table, role, privilege in [*tables, *columns]:
        if not privilege.startswith(("SELECT", "REFERENCES", "TRIGGER")):
            found.setdefault(table, {}).setdefault(role, set()).add(privilege)
    return found


def test_each_table_has_one_writing_role(database: str) -> None:
    several = {table: roles for table, roles in writers(database).items() if len(roles) > 1}

    assert several == SHARED


def test_nobody_may_truncate_and_only_queues_and_drafts_are_deleted_from(database: str) -> None:
    found = writers(database)

    assert {table for table, roles in found.items() for rights in roles.values() if "TRUNCATE" in rights} == set()
    assert {table for table, roles in found.items() for rights in roles.values() if "DELETE" in rights} == {
        "alert_work",
        "work_timer",
    }


def test_every_tenant_table_has_a_forced_policy(database: str) -> None:
    with connect(database) as conn:
        rows = conn.execute(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (SELECT FROM pg_policy p"
            " WHERE p.polrelid = c.oid) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
            " AND c.relkind = 'r'"
        ).fetchall()

    assert {name for name, protected in rows if not protected} == WITHOUT_POLICY


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("vw_web", "INSERT INTO observation (message_id) VALUES (gen_random_uuid())"),
        ("vw_web", "SELECT 1 FROM observation"),
        ("vw_alerts", "SELECT 1 FROM observation"),
        ("vw_billing", "SELECT 1 FROM observation"),
        ("vw_alerts", "UPDATE patient SET name = 'x'"),
        ("vw_billing", "UPDATE time_entry SET note = 'x'"),
        ("vw_ingest", "UPDATE alert SET state = 'closed'"),
        ("vw_ingest", "DELETE FROM observation"),
        ("vw_ingest", "UPDATE observation SET components = '[]'"),
        ("vw_ingest", "DELETE FROM message_gate"),
        ("vw_ingest", "UPDATE gateway_config SET version = 9"),
        ("vw_web", "UPDATE gateway_status SET state = 'offline'"),
        ("vw_web", "INSERT INTO dead_letter (topic, reason, payload, payload_sha256) VALUES ('', '', '', '')"),
        ("vw_web", "SELECT 1 FROM audit_head"),
        ("vw_alerts", "SELECT password_hash FROM app_user"),
    ],
)
def test_roles_cannot_reach_into_what_is_not_theirs(database: str, role: str, statement: str) -> None:
    with connect(database, role) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):  # type: ignore[arg-type]
        conn.execute(statement.encode())


def test_tenant_cannot_read_another_practice_through_the_view(database: str) -> None:
    with connect(database) as owner:
        owner.execute("INSERT INTO practice (id, name, time_zone) VALUES ('pr-a', 'A', 'UTC'), ('pr-b', 'B', 'UTC')")
        for practice in ("pr-a", "pr-b"):
            owner.execute(_OBSERVATION, (practice, "2026-03-01", "2026-03-01"))

    with connect(database, "vw_web") as web:
        before = web.execute("SELECT count(*) FROM reading_v1").fetchone()
        web.execute("SELECT set_config('app.practice_id', 'pr-a', true)")
        seen = web.execute("SELECT practice_id FROM observation_of_practice").fetchall()

    assert before == (0,)
    assert seen == [("pr-a",)]


def test_unknown_zone_is_refused_where_it_is_written(database: str) -> None:
    with connect(database) as conn, pytest.raises(psycopg.DataError, match="Mars/Base"):
        conn.execute("INSERT INTO practice (id, name, time_zone) VALUES ('pr-a', 'A', 'Mars/Base')")


def test_database_that_may_forget_is_refused(database: str) -> None:
    with connect(database) as conn:
        require_durable(conn)
        conn.execute("SET synchronous_commit = off")

        with pytest.raises(UnsafeDatabaseError, match="synchronous_commit"):
            require_durable(conn)


class TestAuditChain:
    """Append, refuse, verify."""

    @pytest.fixture
    def audited(self, database: str) -> str:
        with connect(database) as conn:
            conn.execute("INSERT INTO practice (id, name, time_zone) VALUES ('pr-a', 'A', 'UTC')")
        with connect(database, "vw_web") as web:
            web.execute("SELECT set_config('app.practice_id', 'pr-a', true)")
            for number in range(5):
                web.execute(
                    "INSERT INTO audit (practice_id, actor, action, entity, entity_id)"
                    " VALUES ('pr-a', 'us-1', 'open', 'patient', %s)",
                    (f"pt-{number}",),
                )
        return database

    def test_rows_are_numbered_chained_and_verified(self, audited: str) -> None:
        with connect(audited) as conn:
            chain = conn.execute("SELECT seq, prev, hash FROM audit ORDER BY seq").fetchall()
            problems = conn.execute("SELECT * FROM audit_verify('pr-a')").fetchall()

        assert [seq for seq, _, _ in chain] == [1, 2, 3, 4, 5]
        assert [prev for _, prev, _ in chain] == [b"", *(digest for _, _, digest in chain[:-1])]
        assert problems == []

    @pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
    def test_even_the_owner_cannot_change_a_row(self, audited: str, statement: str) -> None:
        with connect(audited) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())

    @pytest.mark.parametrize(
        ("tampering", "expected"),
        [
            ("UPDATE audit SET entity_id = 'pt-9' WHERE seq = 3", [(3, "hash")]),
            ("DELETE FROM audit WHERE seq = 3", [(4, "hash")]),
            ("DELETE FROM audit WHERE seq = 5", [(5, "head")]),
        ],
    )
    def test_verification_finds_what_was_changed_with_the_triggers_off(
        self, audited: str, tampering: str, expected: list[tuple[int, str]]
    ) -> None:
        with connect(audited) as conn:
            conn.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
            conn.execute(tampering.encode())

            assert conn.execute("SELECT * FROM audit_verify('pr-a')").fetchall() == expected


def test_readings_are_a_hypertable_exactly_where_timescaledb_is_loaded(database: str) -> None:
    """Without it the table is an ordinary one; with it an old, columnar chunk still takes a late reading."""
    old = datetime(2026, 1, 5, 12, tzinfo=UTC)
    with connect(database) as conn:
        loaded = timescaledb_available(conn)
        applied = conn.execute("SELECT count(*) FROM schema_migration WHERE number = 9").fetchone()
        assert applied == (int(loaded),)
        for day in range(40):
            at = old + timedelta(days=day)
            conn.execute(_OBSERVATION, ("pr-a", at, at))
        if loaded:
            chunks = conn.execute("SELECT c FROM show_chunks('observation') c ORDER BY c").fetchall()
            assert len(chunks) == 7  # 5 January to 13 February, in weeks that start on a Thursday
            conn.execute("SELECT compress_chunk(%s)", chunks[0])
            jobs = conn.execute(
                "SELECT proc_name FROM timescaledb_information.jobs WHERE hypertable_name = 'observation' ORDER BY 1"
            ).fetchall()
            assert jobs == [("policy_compression",), ("policy_retention",)]
        conn.execute(_OBSERVATION, ("pr-a", old, old))
        conn.execute("UPDATE observation SET verdict = 'no-value' WHERE measured_at = %s", (old,))

        counted = conn.execute(
            "SELECT count(*), count(*) FILTER (WHERE verdict = 'no-value') FROM observation"
        ).fetchone()

    assert counted == (41, 2)
