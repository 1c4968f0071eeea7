"""From a gateway's publish to a committed row and its receipt, through a real Mosquitto and a real PostgreSQL."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.contract import MAX_PAYLOAD_BYTES
from server.provision import ProvisionedGateway
from tests.support.broker import Broker, mosquitto
from tests.support.ingest import (
    Home,
    batch,
    component,
    home,
    ingest,
    provisioned,
    reading,
    rows,
    wait_until,
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def gateway(database: str) -> ProvisionedGateway:
    """One gateway with a cuff and a meter of one patient."""
    return provisioned(database, devices=2)[0]


@pytest.fixture
def client(database: str, broker: Broker, gateway: ProvisionedGateway, tmp_path: Path) -> Iterator[Home]:
    """The gateway's connection, with ingest running."""
    with ingest(database, broker, tmp_path), home(broker, gateway.gateway) as connected:
        yield connected


def verdicts(dsn: str) -> dict[str, str]:
    return dict(rows(dsn, "SELECT message_id::text, verdict FROM reading_v1"))


def test_reading_is_stored_for_its_patient_and_receipted(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    cuff = gateway.devices[0]
    one = reading(cuff.id)

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
            cuff.id,
            cuff.patient,
            "blood-pressure",
            "2026-03-02 12:00:07+00",
            "2026-03-02",
            "automatic",
            "accepted",
        )
    ]
    assert rows(database, "SELECT patient_id, message_id::text FROM alert_work") == [(cuff.patient, one["message_id"])]


def test_everything_of_the_payload_is_kept(database: str, gateway: ProvisionedGateway, client: Home) -> None:
    one = reading(
        gateway.devices[0].id,
        memory="stored",
        entry="manual",
        flags=["body-movement", "irregular-pulse"],
        context={"meal": "fasting", "note": 'quote " and ü'},
        components=[component("systolic", "128.50", reported_value="17.13", reported_unit="kPa")],
        clock_offset_seconds="-3600.5",
    )

    client.publish(one)
    client.wait_for([one["message_id"]])

    [stored] = rows(
        database,
        "SELECT memory, entry, flags, context, components, raw, clock_offset_seconds::text, device_time,"
        " sequence_number, user_id, time_quality, received_at::text FROM observation",
    )
    assert stored == (
        "stored",
        "manual",
        ["body-movement", "irregular-pulse"],
        one["context"],
        one["components"],
        one["raw"],
        "-3600.5",
        "2026-03-02T07:00:00",
        12,
        1,
        "corrected",
        "2026-03-02 12:00:09+00",
    )


def test_duplicates_shuffled_are_stored_once_and_receipted_each_time(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    distinct = [reading(gateway.devices[0].id, sequence_number=number) for number in range(20)]
    sent = distinct * 50
    random.Random(7).shuffle(sent)

    for one in sent:
        client.publish(one)
    wait_until(lambda: len(client.stored) >= 300, "repeated receipts")
    client.wait_for(one["message_id"] for one in distinct)

    names = sorted(one["message_id"] for one in distinct)
    assert [name for (name,) in rows(database, "SELECT message_id::text FROM observation ORDER BY 1")] == names
    assert [name for (name,) in rows(database, "SELECT message_id::text FROM alert_work ORDER BY 1")] == names


def test_out_of_order_and_twenty_days_late_keep_their_own_times(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    days = ["2026-03-22", "2026-03-02", "2026-03-11"]
    sent = [
        reading(gateway.devices[0].id, measured_at=f"{day}T12:00:00Z", received_at="2026-03-22T12:05:00Z")
        for day in days
    ]

    for one in sent:
        client.publish(one)
    client.wait_for(one["message_id"] for one in sent)

    assert rows(database, "SELECT measured_at::date::text, local_date::text FROM observation ORDER BY measured_at") == [
        (day, day) for day in sorted(days)
    ]


def test_gateway_of_the_topic_counts(database: str, gateway: ProvisionedGateway, client: Home) -> None:
    one = reading(gateway.devices[0].id, gateway="gw-9999999999", gateway_id="gw-9999999999")

    client.publish(one)
    client.wait_for([one["message_id"]])

    assert rows(database, "SELECT gateway_id FROM observation") == [(gateway.gateway,)]


def test_bad_payloads_become_dead_letters_and_the_next_message_flows(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    cuff = gateway.devices[0].id
    out_of_range = reading(cuff, components=[component("systolic", "999")])
    unstorable = reading(cuff, context={"text": "\x00"})
    too_large = b"x" * (MAX_PAYLOAD_BYTES + 1)
    good = reading(cuff)

    client.publish(b'{"schema": ')
    client.publish(reading(cuff, schema="vitalwire.reading/9"))
    client.publish(too_large)
    client.publish(out_of_range)
    client.publish(unstorable)
    client.publish(good)
    client.wait_for([out_of_range["message_id"], unstorable["message_id"], good["message_id"]])

    assert client.stored == [good["message_id"]]
    assert client.rejected[out_of_range["message_id"]] == "value-out-of-range"
    assert client.rejected[unstorable["message_id"]] == "not-storable"
    letters = rows(database, "SELECT reason, gateway_id, length(payload) FROM dead_letter ORDER BY id")
    assert [(kind, name) for kind, name, _ in letters] == [
        (kind, gateway.gateway)
        for kind in ("invalid-json", "unknown-schema", "too-large", "value-out-of-range", "not-storable")
    ]
    assert letters[2][2] == MAX_PAYLOAD_BYTES + 1
    assert [name for (name,) in rows(database, "SELECT message_id::text FROM observation")] == [good["message_id"]]


def test_one_bad_reading_in_a_batch_costs_only_itself(database: str, gateway: ProvisionedGateway, client: Home) -> None:
    cuff = gateway.devices[0].id
    readings = [reading(cuff, sequence_number=number) for number in range(10)]
    readings[3]["kind"] = "steps"
    readings[6]["context"] = {"text": "\x00"}

    client.publish(batch(readings))
    client.wait_for(one["message_id"] for one in readings)

    assert client.rejected == {readings[3]["message_id"]: "unknown-kind", readings[6]["message_id"]: "not-storable"}
    assert len(rows(database, "SELECT 1 FROM observation")) == 8


def test_control_solution_and_no_value_are_stored_and_never_judged(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    cuff, meter = gateway.devices
    control = reading(
        meter.id,
        kind="glucose",
        components=[component("glucose", "104", "mg/dL")],
        context={"sample_type": "control-solution"},
    )
    failed = reading(cuff.id, components=[component("systolic", None, absent_reason="not-a-number")])

    client.publish(control)
    client.publish(failed)
    client.wait_for([control["message_id"], failed["message_id"]])

    assert verdicts(database) == {control["message_id"]: "control-solution", failed["message_id"]: "no-value"}
    assert rows(database, "SELECT 1 FROM alert_work") == []


def test_device_of_nobody_and_of_another_practice_is_held_and_shown(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO practice (id, name, time_zone) VALUES ('pr-other', 'Other', 'UTC')")
        conn.execute("INSERT INTO device (id, practice_id, kind) VALUES ('bp-other', 'pr-other', 'blood-pressure')")
        conn.execute("INSERT INTO device (id, practice_id, kind) VALUES ('bp-new', 'pr-provisioned', 'blood-pressure')")
    unknown, foreign, unassigned = reading("bp-unknown"), reading("bp-other"), reading("bp-new")

    for one in (unknown, foreign, unassigned):
        client.publish(one)
    client.wait_for(one["message_id"] for one in (unknown, foreign, unassigned))

    assert verdicts(database) == {
        unknown["message_id"]: "held-unknown-device",
        foreign["message_id"]: "held-unknown-device",
        unassigned["message_id"]: "held-unassigned",
    }
    assert rows(database, "SELECT DISTINCT patient_id, local_date, practice_id FROM observation") == [
        (None, None, "pr-provisioned")
    ]
    assert rows(database, "SELECT DISTINCT kind, ref FROM ui_event WHERE kind = 'held'") == [("held", gateway.gateway)]
    assert rows(database, "SELECT 1 FROM alert_work") == []


def test_held_readings_find_their_patient_when_the_device_is_assigned(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    patient = gateway.devices[0].patient
    before = reading("bp-new", measured_at="2026-02-28T23:59:59Z")
    after = reading("bp-new", measured_at="2026-03-01T00:00:00Z")
    client.publish(before)
    client.publish(after)
    client.wait_for([before["message_id"], after["message_id"]])

    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO device (id, practice_id, kind) VALUES ('bp-new', 'pr-provisioned', 'blood-pressure')")
        conn.execute(
            "INSERT INTO device_assignment (practice_id, device_id, patient_id, valid)"
            " VALUES ('pr-provisioned', 'bp-new', %s, '[2026-03-01T00:00:00Z,)')",
            (patient,),
        )
    wait_until(lambda: rows(database, "SELECT 1 FROM alert_work"), "the held reading's release")

    assert rows(
        database,
        "SELECT message_id::text, patient_id, measured_at::text, local_date::text, verdict FROM observation"
        " ORDER BY measured_at",
    ) == [
        (before["message_id"], None, "2026-02-28 23:59:59+00", None, "held-unassigned"),
        # midnight UTC is still the evening before in New York
        (after["message_id"], patient, "2026-03-01 00:00:00+00", "2026-02-28", "accepted"),
    ]
    assert rows(database, "SELECT message_id::text FROM alert_work") == [(after["message_id"],)]


def test_assignment_at_the_moment_of_measurement_decides(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO device (id, practice_id, kind) VALUES ('bp-x', 'pr-provisioned', 'blood-pressure')")
        for patient in ("pt-one", "pt-two", "pt-slot"):
            conn.execute("INSERT INTO patient (id, practice_id, name) VALUES (%s, 'pr-provisioned', 'x')", (patient,))
        for patient, slot, valid in (
            ("pt-one", None, "[2026-01-01,2026-03-01)"),
            ("pt-two", None, "[2026-03-01,)"),
            ("pt-slot", 2, "[2026-01-01,)"),
        ):
            conn.execute(
                "INSERT INTO device_assignment (practice_id, device_id, patient_id, user_slot, valid)"
                " VALUES ('pr-provisioned', 'bp-x', %s, %s, %s)",
                (patient, slot, valid),
            )
    sent = {
        name: reading("bp-x", measured_at=when, user_id=slot)
        for name, when, slot in (
            ("last second of one", "2026-02-28T23:59:59Z", 1),
            ("first second of two", "2026-03-01T00:00:00Z", 1),
            ("no slot", "2026-03-01T00:00:00Z", None),
            ("own slot", "2026-02-28T23:59:59Z", 2),
            ("before all", "2025-12-31T23:59:59Z", 2),
        )
    }

    for one in sent.values():
        client.publish(one)
    client.wait_for(one["message_id"] for one in sent.values())

    placed = dict(rows(database, "SELECT message_id::text, patient_id FROM observation"))
    assert {name: placed[one["message_id"]] for name, one in sent.items()} == {
        "last second of one": "pt-one",
        "first second of two": "pt-two",
        "no slot": "pt-two",
        "own slot": "pt-slot",
        "before all": None,
    }


def test_local_date_follows_the_zone_the_patient_then_lived_in(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    cuff = gateway.devices[0]
    with psycopg.connect(database) as conn:
        # New York until 9 March, Honolulu (UTC-10, no summer time) from 10 March on.
        conn.execute(
            "INSERT INTO patient_zone VALUES (%s, 'pr-provisioned', '2026-03-10', 'Pacific/Honolulu')", (cuff.patient,)
        )
    expected = {
        "2026-03-08T04:59:59Z": "2026-03-07",  # 23:59:59 EST
        "2026-03-08T05:00:00Z": "2026-03-08",  # midnight EST
        "2026-03-09T03:59:59Z": "2026-03-08",  # 23:59:59 EDT: summer time began that morning
        "2026-03-09T04:00:00Z": "2026-03-09",
        "2026-03-10T09:59:59Z": "2026-03-10",  # still the 9th in Honolulu, so New York counts: 05:59 on the 10th
        "2026-03-10T10:00:00Z": "2026-03-10",  # midnight in Honolulu
        "2026-03-11T09:59:59Z": "2026-03-10",
        "2026-03-11T10:00:00Z": "2026-03-11",
    }
    sent = {when: reading(cuff.id, measured_at=when) for when in expected}

    for one in sent.values():
        client.publish(one)
    client.wait_for(one["message_id"] for one in sent.values())

    dates = dict(rows(database, "SELECT message_id::text, local_date::text FROM observation"))
    assert {when: dates[one["message_id"]] for when, one in sent.items()} == expected


def test_status_is_kept_and_a_change_of_state_reaches_the_pages(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    def state() -> list[tuple[object, ...]]:
        return rows(database, "SELECT state, outbox_depth, software, warnings FROM gateway_status")

    client.publish_status(outbox_depth=3, warnings=["disk-nearly-full"])
    wait_until(lambda: state() == [("online", 3, "0.1.0", ["disk-nearly-full"])], "the status")
    client.publish_status(outbox_depth=0)
    wait_until(lambda: state() == [("online", 0, "0.1.0", [])], "the next status")
    client.publish_status(state="offline", at="2026-03-02T11:00:00Z")  # a last will carries an older time
    wait_until(lambda: state()[0][0] == "offline", "the last will")

    assert rows(database, "SELECT kind, ref FROM ui_event ORDER BY id") == [("gateway", gateway.gateway)] * 2


def test_configuration_is_published_retained_and_again_when_changed(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    wait_until(lambda: client.configs, "the retained configuration")
    assert {device["id"] for device in client.configs[-1]["devices"]} == {device.id for device in gateway.devices}

    with psycopg.connect(database) as conn:
        conn.execute("UPDATE device SET passkey = 123456 WHERE id = %s", (gateway.devices[0].id,))
        conn.execute("UPDATE gateway_config SET version = version + 1")
        conn.execute("SELECT pg_notify('vw_gateway_config', '')")
    wait_until(lambda: client.configs[-1]["version"] == 2, "the next version")

    keys = {device["id"]: device["passkey"] for device in client.configs[-1]["devices"]}
    assert keys[gateway.devices[0].id] == 123456
    assert rows(database, "SELECT published_at IS NOT NULL FROM gateway_config") == [(True,)]


def test_gateway_enrolled_a_moment_ago_is_served_at_once(database: str, broker: Broker, client: Home) -> None:
    [fresh] = provisioned(database)
    one = reading(fresh.devices[0].id)

    with home(broker, fresh.gateway) as other:
        other.publish(one)
        other.wait_for([one["message_id"]])

    assert other.stored == [one["message_id"]]


def test_revoked_gateway_is_refused(database: str, gateway: ProvisionedGateway, broker: Broker, tmp_path: Path) -> None:
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE gateway SET revoked_at = now()")
    one = reading(gateway.devices[0].id)

    with ingest(database, broker, tmp_path), home(broker, gateway.gateway) as client:
        client.publish(one)
        client.wait_for([one["message_id"]])

    assert client.rejected == {one["message_id"]: "unknown-gateway"}


@pytest.mark.parametrize("options", [{"VITALWIRE_MQTT_VERSION": "3.1.1"}, {"VITALWIRE_INGEST_SHARED": "true"}])
def test_both_protocol_versions_and_shared_subscriptions_take_readings_in(
    database: str, gateway: ProvisionedGateway, broker: Broker, tmp_path: Path, options: dict[str, str]
) -> None:
    sent = [reading(gateway.devices[0].id, sequence_number=number) for number in range(600)]

    with (
        ingest(database, broker, tmp_path, VITALWIRE_INGEST_CLIENT_ID="one", **options),
        ingest(database, broker, tmp_path, VITALWIRE_INGEST_CLIENT_ID="two", **options),
        home(broker, gateway.gateway) as client,
    ):
        for one in sent:
            client.publish(one)
        client.wait_for(one["message_id"] for one in sent)

    assert rows(database, "SELECT count(*), count(DISTINCT message_id) FROM observation") == [(600, 600)]


def test_large_batches_in_a_row_are_receipted_completely(
    database: str, gateway: ProvisionedGateway, client: Home
) -> None:
    small = {"components": [{"metric": "systolic", "value": "128", "unit": "mm[Hg]"}], "raw": {}}
    sent = [
        [reading(gateway.devices[0].id, sequence_number=number, **small) for number in range(100)] for _ in range(40)
    ]

    for readings in sent:
        client.publish(batch(readings))
    client.wait_for(one["message_id"] for readings in sent for one in readings)

    assert client.rejected == {}
    assert rows(database, "SELECT count(*) FROM observation") == [(4_000,)]


def test_raw_bytes_of_the_payload_survive_as_sent(database: str, gateway: ProvisionedGateway, client: Home) -> None:
    bad = json.dumps(reading(gateway.devices[0].id, message_id="x" * 20)).encode()

    client.publish(bad)
    wait_until(lambda: rows(database, "SELECT 1 FROM dead_letter"), "the dead letter")

    assert rows(database, "SELECT payload FROM dead_letter") == [(bad,)]
    assert client.rejected == {"x" * 20: "invalid-schema"}
    assert uuid.UUID(int=0) not in {name for (name,) in rows(database, "SELECT message_id FROM observation")}
