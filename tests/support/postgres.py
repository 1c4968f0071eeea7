"""An embedded PostgreSQL of one test's own, that may be killed like in a power cut and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from server.db.migrate import migrate

_START = """
import sys, pathlib
from server.db.embedded import start_embedded
print(start_embedded(pathlib.Path(sys.argv[1])))
"""


class Postgres:
    """Keeps its folder, socket and data over `kill()` and `start()`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = ""

    @property
    def dsn(self) -> str:
        return make_conninfo(self._server, dbname="vitalwire")

    def start(self, timeout: float = 60.0) -> None:
        """In a process of its own: the wheel's handle would remember the server that was killed."""
        deadline = time.monotonic() + timeout
        while True:
            done = subprocess.run([sys.executable, "-c", _START, str(self.folder)], capture_output=True, check=False)
            if done.returncode == 0:
                break
            # The children of a killed server need a moment to let go of its shared memory.
            if time.monotonic() > deadline:
                raise AssertionError(done.stderr.decode()[-2000:])
        found = done.stdout.decode().strip().splitlines()[-1]
        assert self._server in ("", found), "the restarted server answers elsewhere"
        self._server = found

    def create(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as conn:
            conn.execute("CREATE DATABASE vitalwire")
        migrate(self.dsn)

    def _pid(self) -> int:
        return int((self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])

    def kill(self) -> None:
        """Returns when it is gone: starting at once would take the dying server for a running one."""
        server = psutil.Process(self._pid())
        parts = [server, *server.children()]
        server.kill()
        psutil.wait_procs(parts, timeout=20)

    def stop(self) -> None:
        try:
            os.kill(self._pid(), signal.SIGINT)
        except (OSError, ValueError):
            return


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A migrated database `vitalwire` on a server of its own."""
    server = Postgres(folder)
    server.start()
    server.create()
    try:
        yield server
    finally:
        server.stop()
