"""A broker for demonstrations where Mosquitto cannot be had: the NATS server of a PyPI wheel, with its MQTT listener.

Input: a folder, users with passwords. Output: a child process on loopback that speaks MQTT 3.1.1, with the same access
rules as our Mosquitto: a gateway writes below its own `up/` and reads below its own `down/`. It has no shared
subscriptions and no MQTT 5: production uses Mosquitto.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from server.broker import INGEST_USER, MAX_PACKET_BYTES, BrokerError, free_port, write_private

_START_SECONDS: Final = 15.0
_UP: Final = "vw.1.gw.*.up.>"
_DOWN: Final = "vw.1.gw.*.down.>"


def nats_server_path() -> str | None:
    """The wheel puts it beside the interpreter, which need not be in PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


def permissions_of(user: str, watchers: frozenset[str] = frozenset()) -> dict[str, Any]:
    """MQTT topics are NATS subjects with dots. Ingest reads all of `up` and writes all of `down`."""
    if user == INGEST_USER:
        return {"publish": [_DOWN], "subscribe": [_UP]}
    if user in watchers:
        return {"publish": {"deny": [">"]}, "subscribe": [_UP, "vw.1.gw.*.down.receipts"]}
    return {"publish": [f"vw.1.gw.{user}.up.>"], "subscribe": [f"vw.1.gw.{user}.down.>"]}


def configuration_text(
    folder: Path, port: int, passwords: Mapping[str, str], *, watchers: frozenset[str] = frozenset()
) -> str:
    """The server's configuration (it reads JSON). Passwords stand in it: the file is its owner's alone."""
    users = [
        {"user": user, "password": password, "permissions": permissions_of(user, watchers)}
        for user, password in sorted(passwords.items())
    ]
    settings = {
        "server_name": "vitalwire-demo",
        "listen": "127.0.0.1:-1",
        "pid_file": str(folder / "nats.pid"),
        "log_file": str(folder / "nats.log"),
        "max_payload": MAX_PACKET_BYTES,
        "jetstream": {"store_dir": str(folder / "store")},
        "mqtt": {"listen": f"127.0.0.1:{port}", "max_ack_pending": 1000},
        "authorization": {"users": users},
    }
    return json.dumps(settings, indent=2)


class NatsChild:
    """The NATS server as a child process. Same life as `server.broker.MosquittoChild`."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        passwords: Mapping[str, str],
        watchers: frozenset[str] = frozenset(),
    ) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._passwords = dict(passwords)
        self._watchers = watchers
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write()

    def _write(self) -> None:
        write_private(
            self.folder / "nats.json",
            configuration_text(self.folder, self.port, self._passwords, watchers=self._watchers),
        )

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def log(self) -> Path:
        return self.folder / "nats.log"

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def start(self) -> None:
        """Returns when the broker accepts connections. Raises `BrokerError` with the last line of its log."""
        program = nats_server_path()
        if program is None:
            raise BrokerError("neither mosquitto nor nats-server is here: sudo apt-get install -y mosquitto")
        self.process = subprocess.Popen(
            [program, "-c", str(self.folder / "nats.json")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BrokerError(f"nats-server did not start on port {self.port}; see {self.log}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def admit(self, passwords: Mapping[str, str]) -> None:
        """Let more users in, while it runs."""
        self._passwords.update(passwords)
        self._write()
        if self.pid is not None:
            os.kill(self.pid, signal.SIGHUP)

    def stop(self, timeout: float = 10.0) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
