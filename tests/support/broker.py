"""A real Mosquitto of a test's own: a child process on a free port, with a generated configuration.

    with mosquitto(tmp_path) as broker:
        client.connect(broker.host, broker.port)
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BINARY = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


@dataclass(slots=True)
class Broker:
    """One broker. It keeps its port over `kill` and `restart`."""

    host: str
    port: int
    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.folder / "mosquitto.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        _wait_until_listening(self)

    def kill(self) -> None:
        """End it as a power cut does; nothing is saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it politely; with persistence it saves."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()


@contextmanager
def mosquitto(
    tmp_path: Path,
    *,
    persistence: bool = False,
    acl: str | None = None,
    passwords: Mapping[str, str] | None = None,
    extra: str = "",
) -> Iterator[Broker]:
    """A running broker on loopback. `passwords` closes it to everybody else; `extra` is configuration as Mosquitto
    writes it."""
    folder = tmp_path / "mosquitto"
    folder.mkdir(exist_ok=True)
    broker = Broker(host="127.0.0.1", port=_free_port(), folder=folder)
    lines = [
        f"listener {broker.port} {broker.host}",
        f"allow_anonymous {'false' if passwords else 'true'}",
        f"persistence {'true' if persistence else 'false'}",
        f"persistence_location {folder}/",
        "max_queued_messages 0",
        "max_inflight_messages 1000",
        "user root",
    ]
    if passwords:
        file = folder / "passwords"
        file.write_text("".join(f"{name}:{password}\n" for name, password in passwords.items()), encoding="utf-8")
        subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, capture_output=True)
        lines.append(f"password_file {file}")
    if acl is not None:
        file = folder / "acl"
        file.write_text(acl, encoding="utf-8")
        lines.append(f"acl_file {file}")
    (folder / "mosquitto.conf").write_text("\n".join([*lines, extra]) + "\n", encoding="utf-8")
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(broker: Broker, timeout_seconds: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if broker.exit_code() is not None:
            break
        try:
            socket.create_connection((broker.host, broker.port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"Mosquitto did not start:\n{broker.log_path.read_text(encoding='utf-8', errors='replace')}")
