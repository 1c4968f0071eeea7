"""A server whose data folder takes no files (a full or read-only disk) goes on taking readings in."""

from __future__ import annotations

from pathlib import Path

from tests.support.broker import mosquitto
from tests.support.ingest import home, ingest, provisioned, reading, rows, wait_until


def test_readings_are_stored_and_receipted_although_the_health_file_cannot_be_written(
    database: str, tmp_path: Path
) -> None:
    [gateway] = provisioned(database)
    one = reading(gateway.devices[0].id)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be", encoding="utf-8")
    log = tmp_path / "ingest.log"
    with (
        mosquitto(tmp_path) as broker,
        ingest(database, broker, tmp_path, VITALWIRE_DATA=str(blocked / "data")) as process,
        home(broker, gateway.gateway) as client,
    ):
        wait_until(lambda: "health file cannot be written" in log.read_text(encoding="utf-8"), "the warning")
        client.publish(one)
        client.wait_for([one["message_id"]])
        assert process.process is not None
        assert process.process.poll() is None

    assert client.stored == [one["message_id"]]
    assert rows(database, "SELECT count(*) FROM observation") == [(1,)]
