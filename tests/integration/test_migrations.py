"""Migrations on a real PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest

from server.db.migrate import MigrationError, migrate
from server.db.pool import connect


def test_migrating_twice_applies_nothing_new(database: str) -> None:
    assert migrate(database) == ()


def test_changed_migration_is_refused(database: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE schema_migration SET checksum = 'x' WHERE number = 1")

    with pytest.raises(MigrationError, match=r"0001_pre_identity\.sql was changed"):
        migrate(database)


def test_tenant_role_sees_only_its_practice(database: str) -> None:
    with psycopg.connect(database) as owner:
        owner.execute("INSERT INTO practice (id, name, time_zone) VALUES ('pr-a', 'A', 'UTC'), ('pr-b', 'B', 'UTC')")
        owner.execute("INSERT INTO patient (id, practice_id, name) VALUES ('pt-a', 'pr-a', 'x'), ('pt-b', 'pr-b', 'y')")

    with connect(database, "vw_web") as web:
        without = web.execute("SELECT count(*) FROM patient").fetchone()
        web.execute("SELECT set_config('app.practice_id', 'pr-a', true)")
        with_a = web.execute("SELECT array_agg(id) FROM patient").fetchone()

    assert without == (0,)
    assert with_a == (["pt-a"],)
