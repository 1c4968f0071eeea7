"""What an operator does with ingest: dead letters, the brake, health, test identities, the broker's access rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from server.broker import INGEST_USER, BrokerFiles, remove_user
from tests.support.broker import mosquitto
from tests.support.ingest import IngestProcess, component, home, ingest, provisioned, reading, rows, wait_until


def vitalwire(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server.cli", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_dead_letter_is_listed_shown_and_replayed_once(database: str, tmp_path: Path) -> None:
    [gateway] = provisioned(database)
    late = reading(gateway.devices[0].id)
    hopeless = reading(gateway.devices[0].id, components=[component("systolic", "999")])
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE gateway SET revoked_at = now()")
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path), home(broker, gateway.gateway) as client:
        client.publish(late)
        client.publish(hopeless)
        client.wait_for([late["message_id"], hopeless["message_id"]])
    with psycopg.connect(database) as conn:
        conn.execute("UPDATE gateway SET revoked_at = NULL")

    listed = lines(vitalwire("server", "ingest", "dead-letters", "list", DATABASE_URL=database))
    assert [(letter["message_id"], letter["reason"]) for letter in listed] == [
        (hopeless["message_id"], "unknown-gateway"),
        (late["message_id"], "unknown-gateway"),
    ]
    number = str(listed[1]["id"])
    [shown] = lines(vitalwire("server", "ingest", "dead-letters", "show", number, DATABASE_URL=database))
    assert json.loads(shown["payload"]) == late

    replay = ("server", "ingest", "dead-letters", "replay")
    results = lines(vitalwire(*replay, "--reason", "unknown-gateway", DATABASE_URL=database))
    again = lines(vitalwire(*replay, number, DATABASE_URL=database))

    assert [(one["new"], one["already"], one["reasons"]) for one in results] == [
        (0, 0, ["value-out-of-range"]),
        (1, 0, []),
    ]
    assert [(one["new"], one["already"]) for one in again] == [(0, 1)]
    assert rows(database, "SELECT message_id::text, verdict FROM observation") == [(late["message_id"], "accepted")]
    assert {
        letter["reason"]
        for letter in lines(vitalwire("server", "ingest", "dead-letters", "list", DATABASE_URL=database))
    } == {"unknown-gateway", "value-out-of-range"}


def test_unknown_dead_letter_is_an_error_with_its_number(database: str) -> None:
    done = vitalwire("server", "ingest", "dead-letters", "show", "77", DATABASE_URL=database)

    assert done.returncode == 2
    assert json.loads(done.stderr)["error"]["kind"] == "UnknownDeadLetter"


def test_ingest_pauses_when_everybody_is_refused_and_goes_on_when_told(database: str, tmp_path: Path) -> None:
    homes = provisioned(database, gateways=3)
    environment = {"VITALWIRE_DATA": str(tmp_path)}
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path):
        clients = [home(broker, one.gateway) for one in homes]
        connected = [client.__enter__() for client in clients]
        for client in connected:
            for number in range(60):
                client.publish({"schema": "vitalwire.reading/9", "message_id": f"bad-{number}"})
        wait_until((tmp_path / "ingest-paused").exists, "the brake")
        good = reading(homes[0].devices[0].id)
        connected[0].publish(good)
        wait_until(lambda: vitalwire("server", "ingest", "health", **environment).returncode == 1, "bad health")
        assert rows(database, "SELECT 1 FROM observation") == []

        resumed = lines(vitalwire("server", "ingest", "resume", **environment))
        connected[0].wait_for([good["message_id"]])
        for client in clients:
            client.__exit__(None, None, None)

    assert resumed == [{"resumed": True}]
    assert rows(database, "SELECT count(*) FROM observation") == [(1,)]


def test_ingest_refuses_a_database_that_may_forget(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f"ALTER DATABASE {name} SET synchronous_commit = off".encode())
    with mosquitto(tmp_path) as broker:
        done = vitalwire(
            "server", "ingest", DATABASE_URL=database, VITALWIRE_MQTT_URL=broker.url, VITALWIRE_DATA=str(tmp_path)
        )

    assert done.returncode == 1
    assert json.loads(done.stderr.splitlines()[-1])["error"]["kind"] == "UnsafeDatabase"
    assert "Traceback" not in done.stderr


def test_ingest_stops_cleanly_when_asked(database: str, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path) as process:
        assert process.stop() == 0


def test_wrong_settings_are_told_in_one_line(tmp_path: Path) -> None:
    done = vitalwire("server", "ingest", VITALWIRE_MQTT_URL="mqtt://broker.example", DATABASE_URL="postgres:///x")

    assert done.returncode == 2
    assert "VITALWIRE_MQTT_URL" in json.loads(done.stderr)["error"]["message"]


def test_provisioned_identities_work_against_a_running_broker(database: str, tmp_path: Path) -> None:
    password = tmp_path / "ingest-password"
    password.write_text("of-ingest", encoding="utf-8")
    with mosquitto(tmp_path, passwords={INGEST_USER: "of-ingest"}) as broker:
        output = tmp_path / "identities.json"
        done = vitalwire(
            *("simulate", "provision", "--gateways", "2", "--devices-per-gateway", "3", "--json", str(output)),
            DATABASE_URL=database,
            VITALWIRE_BROKER_FOLDER=str(broker.files.folder),
        )
        assert done.returncode == 0, done.stderr
        one, other = json.loads(output.read_text(encoding="utf-8"))
        assert output.stat().st_mode & 0o077 == 0
        assert [device["kind"] for device in one["devices"]] == ["blood-pressure", "glucose", "blood-pressure"]
        sent, foreign = reading(one["devices"][0]["id"]), reading(other["devices"][0]["id"])

        with (
            ingest(
                database,
                broker,
                tmp_path,
                VITALWIRE_MQTT_USERNAME=INGEST_USER,
                VITALWIRE_MQTT_PASSWORD_FILE=str(password),
            ),
            home(broker, other["gateway"], password=other["password"]) as neighbour,
            home(broker, one["gateway"], password=one["password"]) as client,
        ):
            # Neither may write below the other's name: the broker drops it, nothing arrives.
            neighbour.publish(foreign, topic=f"vw/1/gw/{one['gateway']}/up/readings")
            client.publish(sent)
            client.wait_for([sent["message_id"]])

    assert rows(database, "SELECT message_id::text FROM observation") == [(sent["message_id"],)]
    assert rows(database, "SELECT is_simulated FROM practice") == [(True,)]
    assert rows(database, "SELECT 1 FROM dead_letter") == []


def test_gateway_cannot_read_its_neighbours_receipts(database: str, tmp_path: Path) -> None:
    one, other = provisioned(database, gateways=2)
    passwords = {one.gateway: one.password, other.gateway: other.password, INGEST_USER: "x"}
    environment = {
        "VITALWIRE_MQTT_USERNAME": INGEST_USER,
        "VITALWIRE_MQTT_PASSWORD_FILE": str(_secret(tmp_path, "x")),
    }
    mine, theirs = reading(one.devices[0].id), reading(other.devices[0].id)
    with (
        mosquitto(tmp_path, passwords=passwords) as broker,
        ingest(database, broker, tmp_path, **environment),
        home(broker, one.gateway, password=one.password) as spy,
        home(broker, other.gateway, password=other.password) as neighbour,
    ):
        spy.client.subscribe("vw/1/gw/+/down/#", qos=1)
        spy.client.subscribe(f"vw/1/gw/{other.gateway}/#", qos=1)
        neighbour.publish(theirs)
        neighbour.wait_for([theirs["message_id"]])
        spy.publish(mine)
        spy.wait_for([mine["message_id"]])

    assert set(spy.stored) == {mine["message_id"]}


def _secret(folder: Path, text: str) -> Path:
    path = folder / "secret"
    path.write_text(text, encoding="utf-8")
    return path


def test_wrong_password_and_removed_user_are_not_let_in(tmp_path: Path) -> None:
    gateway = "gw-0123456789"
    with mosquitto(tmp_path, passwords={gateway: "right"}) as broker:
        with home(broker, gateway, password="right"):
            pass
        with pytest.raises((AssertionError, ConnectionError)), home(broker, gateway, password="wrong"):
            pass
        remove_user(BrokerFiles(broker.files.folder), gateway)
        with pytest.raises((AssertionError, ConnectionError)), home(broker, gateway, password="right"):
            pass


def test_ingest_with_a_wrong_password_says_so_and_keeps_trying(database: str, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong", encoding="utf-8")
    log = tmp_path / "ingest.log"
    with mosquitto(tmp_path, passwords={INGEST_USER: "right"}) as broker:
        process = IngestProcess(
            database, broker, tmp_path, VITALWIRE_MQTT_USERNAME=INGEST_USER, VITALWIRE_MQTT_PASSWORD_FILE=str(secret)
        )
        process.start(wait=False)
        wait_until(lambda: log.exists() and log.read_text().count("Not authorized") >= 3, "three refusals")

        assert process.stop() == 0

    assert "Traceback" not in log.read_text()
