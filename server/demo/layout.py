"""Where the demo keeps its things, and what it remembers between two starts. Paths and values only.

Input: the data folder. Output: paths below it; a small JSON file with the ports and secrets of the last start.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

WEB_PORT: Final = 8080
BROKER_PORT: Final = 1883


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of one demo."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def memory(self) -> Path:
        return self.root / "demo.json"

    @property
    def device_control(self) -> Path:
        """Device id → control address of the running simulators, for the tester's page."""
        return self.root / "device-control.json"

    def gateway(self, gateway_id: str) -> Path:
        return self.root / "homes" / gateway_id / "gateway"

    def radio(self, gateway_id: str) -> Path:
        return self.root / "homes" / gateway_id / "radio"

    def device(self, device_id: str) -> Path:
        return self.root / "devices" / device_id

    def ledger(self, device_id: str) -> Path:
        return self.root / "devices" / f"{device_id}.ledger.jsonl"

    def secret_file(self, name: str) -> Path:
        return self.secrets / name


@dataclass(slots=True)
class Memory:
    """Ports and broker passwords of the last start, so that a second start keeps sessions and bookmarks."""

    web_port: int = WEB_PORT
    broker_port: int = BROKER_PORT
    passwords: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, layout: Layout) -> Memory:
        """An unreadable file is no reason to refuse a start: everything in it can be chosen again."""
        try:
            return cls(**json.loads(layout.memory.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, layout: Layout) -> None:
        write_secret(layout.memory, json.dumps(asdict(self), indent=2))

    def password(self, user: str) -> str:
        return self.passwords.setdefault(user, secrets.token_urlsafe(24))


def write_secret(path: Path, text: str) -> Path:
    """A file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
    return path


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_port(wanted: int) -> int:
    """The wanted port, else the next free one of the following fifty, else any."""
    for port in range(wanted, wanted + 50):
        if port_is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
