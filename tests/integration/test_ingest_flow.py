"""From a gateway's publish to a committed row and its receipt, through a real Mosquitto and a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.broker import Broker, mosquitto
from tests.support.ingest import batch, home, ingest, provisioned, reading, rows, wait_until


@pytest.fixture
def broker(tmp_path: Path):
    with mosquitto(tmp_path) as running:
        yield running


def test_reading_is_stored_for_its_patient_and_receipted(database: str, broker: Broker, tmp_path: Path) -> None:
    [gateway] = provisioned(database)
    one = reading(gateway.devices[0].id)

    with ingest(database, broker, tmp_path), home(broker, gateway.gateway) as client:
        client.publish(one)
        client.wait_for([one["message_id"]])

    assert client.stored == [one["message_id"]]
    assert rows(
        database,
        "SELECT message_id::text, gateway_id, device_id, patient_id, kind, measured_at::text, local_date::text, entry,"
        " verdict FROM reading_v1",
    ) == [
        (
            one["message_id"],
            gateway.gateway,
            gateway.devices[0].id,
            gateway.devices[0].patient,
            "blood-pressure",
            "2026-03-02 12:00:07+00",
            "2026-03-02",
            "automatic",
            "accepted",
        )
    ]
    assert rows(database, "SELECT patient_id, message_id::text FROM alert_work") == [
        (gateway.devices[0].patient, one["message_id"])
    ]
