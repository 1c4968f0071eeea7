"""Fixtures every kind of test may use. Real parts start once a run and are handed out fresh."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.database import fresh_database, make_template, server_dsn


@pytest.fixture(scope="session")
def database_server() -> Iterator[tuple[str, str]]:
    """(DSN of the test server, name of a migrated template database). One server a worker process."""
    from server.db.embedded import stop_embedded

    folder = Path(tempfile.mkdtemp(prefix="vw-test-pg-"))
    dsn = server_dsn(folder)
    template = f"vw_template_{os.getpid()}"
    make_template(dsn, template)
    yield dsn, template
    if "TEST_DATABASE_URL" not in os.environ:
        stop_embedded(folder / "pgdata")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(database_server: tuple[str, str]) -> Iterator[str]:
    """DSN of a freshly migrated database of this test's own (as its owner: take a role with server.db.pool)."""
    dsn, template = database_server
    with fresh_database(dsn, template, f"vw_test_{os.getpid()}") as url:
        yield url


@pytest.fixture(autouse=True)
def logging_of_its_own() -> Iterator[None]:
    """A command configures logging for its whole process: what one test did must not reach the next."""
    yield
    structlog.reset_defaults()
