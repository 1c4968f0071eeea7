"""What the ingest process says of itself: a small JSON file, counters for Prometheus, one log line at each change.

Input: events of the consumer. Output: `ingest-<client>.json` in the data folder, and `/metrics` where a port is set.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from server.clock import now
from server.config import ServerSettings
from server.ingest.write import Outcome

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_log = structlog.get_logger("vitalwire.ingest")

_EVERY_SECONDS: Final = 2.0
# Three missed writes: the process is stuck or gone.
STALE_SECONDS: Final = 10.0


class LinkState(Protocol):
    """What is asked of the link."""

    connected: bool

    def __len__(self) -> int: ...


def health_file(settings: ServerSettings) -> Path:
    return settings.data / f"ingest-{settings.ingest_client_id}.json"


class Health:
    """Counters since start and the present state."""

    def __init__(self, settings: ServerSettings) -> None:
        self._file = health_file(settings)
        self._port = settings.metrics_port
        self._paused_by = settings.data / "ingest-paused"
        self.messages = 0
        self.already = 0
        self.new: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.database = False

    def count(self, messages: int, outcome: Outcome) -> None:
        self.messages += messages
        self.already += outcome.already
        self.new.update(outcome.new)
        self.rejected.update(item.reason for item in outcome.rejected)

    def database_up(self) -> None:
        if not self.database:
            self.database = True
            _log.info("database connected")

    def database_down(self, error: Exception) -> None:
        if self.database:
            self.database = False
            _log.warning("database lost, readings wait at the broker", error=type(error).__name__)

    def braked(self) -> None:
        _log.error(
            "ingest paused: most readings of several gateways are refused; look at "
            "`vitalwire server ingest dead-letters list`, then `vitalwire server ingest resume`"
        )

    def snapshot(self, link: LinkState) -> dict[str, Any]:
        """The state as shown to operators and health checks."""
        paused = self._paused_by.exists()
        return {
            "at": now().isoformat(),
            "healthy": self.database and link.connected and not paused,
            "database": self.database,
            "broker": link.connected,
            "paused": paused,
            "waiting": len(link),
            "messages": self.messages,
            "new": dict(self.new),
            "already": self.already,
            "rejected": dict(self.rejected),
        }

    async def run(self, link: LinkState) -> None:
        """Write the file every two seconds; serve metrics where a port is set."""
        if self._port is not None:
            _serve_metrics(self._port, self, link)
        written = True
        while True:
            written = self._write(link, tell=written)
            await asyncio.sleep(_EVERY_SECONDS)

    def _write(self, link: LinkState, *, tell: bool) -> bool:
        """A full disk must not stop readings: the file grows stale then, which the health check shows."""
        draft = self._file.with_suffix(".tmp")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(self.snapshot(link)) + "\n", encoding="utf-8")
            draft.replace(self._file)
        except OSError as error:
            if tell:
                _log.error("health file cannot be written", file=str(self._file), error=type(error).__name__)
            return False
        return True


def _serve_metrics(port: int, health: Health, link: LinkState) -> None:
    from prometheus_client import REGISTRY, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    class _Collector:
        def collect(self) -> Iterable[Metric]:
            yield CounterMetricFamily("vitalwire_ingest_messages", "MQTT messages stored", value=health.messages)
            yield CounterMetricFamily("vitalwire_ingest_already", "Readings that were there", value=health.already)
            new = CounterMetricFamily("vitalwire_ingest_new", "Readings stored", labels=["verdict"])
            for verdict, count in health.new.items():
                new.add_metric([verdict], count)
            yield new
            rejected = CounterMetricFamily("vitalwire_ingest_rejected", "Readings refused", labels=["reason"])
            for reason, count in health.rejected.items():
                rejected.add_metric([reason], count)
            yield rejected
            yield GaugeMetricFamily("vitalwire_ingest_waiting", "Messages read, not yet stored", value=len(link))
            yield GaugeMetricFamily("vitalwire_ingest_broker", "1 when connected", value=int(link.connected))
            yield GaugeMetricFamily("vitalwire_ingest_database", "1 when connected", value=int(health.database))

    REGISTRY.register(_Collector())
    start_http_server(port)
