"""A receipt says "stored" only after COMMIT: caught between two moments by a lock the test holds on the table.

Real Mosquitto, real PostgreSQL, the production ingest process, a plain MQTT client as the gateway.
"""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from gateway.contract import MAX_PAYLOAD_BYTES, receipts_topic
from tests.support.broker import mosquitto
from tests.support.ingest import Home, home, ingest, provisioned, reading, rows, wait_until


@contextmanager
def table_locked(dsn: str) -> Iterator[psycopg.Connection]:
    """Nobody stores an observation until the connection rolls back."""
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE observation IN ACCESS EXCLUSIVE MODE")
        yield holder
        holder.rollback()


def wait_for_the_writer_to_wait(dsn: str) -> int:
    """Until ingest's statement stands before the lock; the backend's process id."""

    def waiting() -> list[tuple[int]]:
        with psycopg.connect(dsn, autocommit=True) as conn:
            return conn.execute(
                "SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE NOT l.granted"
                " AND l.relation = 'observation'::regclass AND a.application_name = 'vitalwire-ingest'"
            ).fetchall()

    wait_until(waiting, "ingest's statement in front of the lock")
    return waiting()[0][0]


def receipts_so_far(client: Home) -> set[str]:
    """What the broker has delivered up to now; a message sent behind everything else shows the end."""
    last = f"asked-{uuid.uuid4()}"
    client.publish({"stored": [last], "rejected": []}, topic=receipts_topic(client.gateway_id))
    client.wait_for([last])
    return {name for name in (*client.stored, *client.rejected) if not name.startswith("asked-")}


@pytest.mark.parametrize("victim", ["ingest", "database connection"])
def test_no_receipt_before_commit_and_one_after_it_whoever_dies_in_between(
    database: str, tmp_path: Path, victim: str
) -> None:
    [gateway] = provisioned(database)
    one = reading(gateway.devices[0].id)
    with (
        mosquitto(tmp_path) as broker,
        ingest(database, broker, tmp_path) as process,
        home(broker, gateway.gateway) as client,
    ):
        with table_locked(database):
            client.publish(one)
            backend = wait_for_the_writer_to_wait(database)
            assert receipts_so_far(client) == set()
            if victim == "ingest":
                process.kill()
            else:
                with psycopg.connect(database, autocommit=True) as owner:
                    owner.execute("SELECT pg_terminate_backend(%s)", (backend,))
                wait_for_the_writer_to_wait(database)  # it tries again by itself
            assert receipts_so_far(client) == set()
        if victim == "ingest":
            process.start()
        client.wait_for([one["message_id"]])

        assert one["message_id"] in client.stored
        assert rows(database, "SELECT message_id::text FROM observation") == [(one["message_id"],)]
        assert rows(database, "SELECT count(*) FROM alert_work") == [(1,)]


def test_receipt_lost_between_commit_and_gateway_is_given_again_and_nothing_is_stored_twice(
    database: str, tmp_path: Path
) -> None:
    """The broker stands still while ingest commits, and dies with the receipt in its hand."""
    [gateway] = provisioned(database)
    one = reading(gateway.devices[0].id)
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path):
        with home(broker, gateway.gateway) as client:
            with table_locked(database):
                client.publish(one)
                wait_for_the_writer_to_wait(database)
                assert broker.process is not None
                broker.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: rows(database, "SELECT 1 FROM observation"), "the commit")
            broker.restart()
            assert one["message_id"] not in client.stored
        with home(broker, gateway.gateway) as again:
            again.publish(one)
            again.wait_for([one["message_id"]])

        assert again.stored == [one["message_id"]]
        assert rows(database, "SELECT count(*) FROM observation") == [(1,)]
        assert rows(database, "SELECT count(*) FROM alert_work") == [(1,)]
        assert rows(database, "SELECT count(*) FROM dead_letter") == [(0,)]


@pytest.mark.parametrize(("size", "taken"), [(MAX_PAYLOAD_BYTES, True), (MAX_PAYLOAD_BYTES + 1, False)])
def test_a_payload_of_64_kib_is_taken_and_one_octet_more_is_not(
    database: str, tmp_path: Path, size: int, taken: bool
) -> None:
    """The same reading, padded by blanks that JSON allows; the next message flows either way."""
    assert MAX_PAYLOAD_BYTES == 64 * 1024
    [gateway] = provisioned(database)
    large, after = reading(gateway.devices[0].id), reading(gateway.devices[0].id)
    with (
        mosquitto(tmp_path) as broker,
        ingest(database, broker, tmp_path),
        home(broker, gateway.gateway) as client,
    ):
        client.publish(_padded(large, size))
        client.publish(after)
        client.wait_for([large["message_id"], after["message_id"]])

    assert (large["message_id"] in client.stored) is taken
    assert client.rejected == ({} if taken else {large["message_id"]: "too-large"})
    assert after["message_id"] in client.stored


def _padded(body: object, size: int) -> bytes:
    text = json.dumps(body).encode()
    return text + b" " * (size - len(text))
