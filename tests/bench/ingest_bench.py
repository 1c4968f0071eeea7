"""Ingest figures: MQTT QoS 1 → committed row and receipt, beside a naive consumer in the same run.

Run: `python -m tests.bench.ingest_bench [--quick]`. Prints one JSON object. Broker, PostgreSQL, ingest process and
load generator share the machine; compare ratios, since absolute figures move with it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from gateway.contract import MAX_PAYLOAD_BYTES
from server.broker import MosquittoChild
from server.db.embedded import start_embedded, stop_embedded
from server.db.migrate import migrate
from server.provision import ProvisionedGateway
from tests.bench.mqtt_load import run
from tests.support.ingest import IngestProcess, provisioned

_GATEWAYS = 10
_DEVICES = 5


def payload(device: str, number: int) -> dict[str, Any]:
    minute, second = divmod(number % 3600, 60)
    stamp = f"2026-03-{number // 86_400 % 27 + 1:02d}T{number // 3600 % 24:02d}:{minute:02d}:{second:02d}"
    return {
        "schema": "vitalwire.reading/1",
        "message_id": str(uuid.uuid4()),
        "device": {"id": device},
        "kind": "blood-pressure",
        "measured_at": f"{stamp}Z",
        "received_at": f"{stamp}Z",
        "device_time": stamp,
        "clock_offset_seconds": "0",
        "time_quality": "synchronised",
        "sequence_number": number,
        "user_id": 1,
        "components": [number_of("systolic", 110 + number % 40), number_of("diastolic", 65 + number % 20)],
        "raw": {"2A35": "FoAATgBdAOgHBhcOIwo="},
    }


def number_of(metric: str, value: int) -> dict[str, str]:
    """Fields that say nothing new are left out, so that a hundred readings fit into 64 KiB."""
    return {"metric": metric, "value": str(value), "unit": "mm[Hg]"}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def messages(homes: list[ProvisionedGateway], count: int, batch: int) -> dict[str, list[bytes]]:
    """`count` readings, spread over gateways and devices, in messages of `batch` readings."""
    made: dict[str, list[bytes]] = {home.gateway: [] for home in homes}
    for number in range(count // batch):
        home = homes[number % len(homes)]
        devices = home.devices
        readings = [payload(devices[item % len(devices)].id, number * batch + item) for item in range(batch)]
        message = compact(readings[0] if batch == 1 else {"schema": "vitalwire.batch/1", "readings": readings})
        assert len(message) <= MAX_PAYLOAD_BYTES
        made[home.gateway].append(message)
    return made


class Bench:
    """Broker, database and ingest process of one run."""

    def __init__(self, folder: Path, version: str) -> None:
        server = start_embedded(folder / "postgres")
        with psycopg.connect(server, autocommit=True) as conn:
            conn.execute("CREATE DATABASE bench")
        self.folder = folder
        self.dsn = make_conninfo(server, dbname="bench")
        migrate(self.dsn)
        self.homes = provisioned(self.dsn, _GATEWAYS, _DEVICES)
        self.only_pressure()
        self.broker = MosquittoChild(folder / "broker")
        self.broker.start()
        self.ingest = IngestProcess(self.dsn, self.broker, folder, VITALWIRE_MQTT_VERSION=version)

    def only_pressure(self) -> None:
        with psycopg.connect(self.dsn) as conn:
            conn.execute("UPDATE device SET kind = 'blood-pressure'")

    def count(self, table: str) -> int:
        with psycopg.connect(self.dsn) as conn:
            row = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        return int(row[0]) if row else 0

    @property
    def address(self) -> tuple[str, int]:
        return self.broker.host, self.broker.port

    def memory_mebibytes(self) -> float:
        assert self.ingest.process is not None
        return psutil.Process(self.ingest.process.pid).memory_info().rss / 2**20

    def naive(self, count: int) -> float:
        """Messages a second of a consumer that inserts and commits each message in its callback."""
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.naive_consumer", self.dsn, self.broker.host, str(self.broker.port)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        start = time.monotonic()
        run(self.address, messages(self.homes, count, 1), receipts=False)
        while self.count("naive_reading") < count:
            time.sleep(0.05)
        elapsed = time.monotonic() - start
        child.kill()
        child.wait()
        child.stdout.close()
        return count / elapsed

    def close(self) -> None:
        self.ingest.kill()
        self.broker.kill()
        stop_embedded(self.folder / "postgres")


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(bench: Bench, *, singles: int, batched: int, naive: int, steady_seconds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"naive_messages_per_second": round(bench.naive(naive))}
    bench.ingest.start()
    run(bench.address, messages(bench.homes, 2_000, 1))  # warms caches and the prepared statement
    first = run(bench.address, messages(bench.homes, singles // 5, 1))
    result["memory_mib_after_first_fifth"] = round(bench.memory_mebibytes(), 1)
    rest = run(bench.address, messages(bench.homes, singles - singles // 5, 1))
    result["memory_mib_after_all"] = round(bench.memory_mebibytes(), 1)
    result["single_readings_per_second"] = round(singles / (first.receipted_seconds + rest.receipted_seconds))
    result["times_naive"] = round(result["single_readings_per_second"] / result["naive_messages_per_second"], 1)
    batches = run(bench.address, messages(bench.homes, batched, 100), readings_each=100)
    result["batched_readings_per_second"] = round(batched / batches.receipted_seconds)
    result["memory_mib_after_batches"] = round(bench.memory_mebibytes(), 1)
    steady = run(bench.address, messages(bench.homes, 200 * steady_seconds, 1), per_second=200)
    result["receipt_ms_at_200_per_second"] = {
        "p50": round(1000 * statistics.median(steady.delays), 1),
        "p99": round(1000 * percentile(steady.delays, 0.99), 1),
    }
    expected = 2_000 + singles + batched + 200 * steady_seconds
    result["lost"] = expected - bench.count("observation")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the readings")
    parser.add_argument("--mqtt-version", choices=("3.1.1", "5"), default="5")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="vw-bench-"))
    bench = Bench(folder, options.mqtt_version)
    try:
        scale = 10 if options.quick else 1
        result = measure(
            bench, singles=100_000 // scale, batched=200_000 // scale, naive=5_000 // scale, steady_seconds=20 // scale
        )
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"mqtt_version": options.mqtt_version, **result}, indent=1))


if __name__ == "__main__":
    main()
