"""A real Mosquitto for tests, on a free loopback port, in a folder of the test.

`with mosquitto(tmp_path) as broker:` gives `broker.host`, `broker.port`, `broker.url`, `kill()`, `restart()`, `stop()`.
Without `passwords` everybody may do everything; with them the product's own access rules hold (or those of `acl`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from server.broker import MosquittoChild


class Broker(MosquittoChild):
    """A broker that a test may kill and start again on the same port."""

    def restart(self) -> None:
        """Start again after `kill()` or `stop()`; a running one is killed first."""
        self.kill()
        self.start()


@contextmanager
def mosquitto(
    tmp_path: Path, *, persistence: bool = False, acl: str | None = None, passwords: Mapping[str, str] | None = None
) -> Iterator[Broker]:
    """Start the broker; it is killed at the end."""
    broker = Broker(tmp_path / "broker", passwords=passwords, access=acl, persistent=persistence)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
