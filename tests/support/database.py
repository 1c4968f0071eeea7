"""A real PostgreSQL for tests: `TEST_DATABASE_URL`, else the embedded one, migrated once into a template.

Every test gets a database of its own, copied from the template (tens of milliseconds).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from server.db.embedded import start_embedded
from server.db.migrate import migrate

_counter = itertools.count()


def server_dsn(shared_folder: Path) -> str:
    """The maintenance database of the test server."""
    return os.environ.get("TEST_DATABASE_URL") or start_embedded(shared_folder / "pgdata")


def make_template(dsn: str, name: str) -> None:
    """A migrated database that others are copied from."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(make_conninfo(dsn, dbname=name))
    with psycopg.connect(dsn, autocommit=True) as conn:
        # A template in use cannot be copied, and TimescaleDB's scheduler would be in it.
        conn.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


@contextmanager
def fresh_database(dsn: str, template: str, prefix: str) -> Iterator[str]:
    """A copy of the template; dropped at the end."""
    name = f"{prefix}_{next(_counter)}"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield make_conninfo(dsn, dbname=name)
    finally:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
