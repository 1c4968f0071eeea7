"""The running demo as a stranger meets it: `ps`, the log files, provisioned identities and a plain MQTT client.

One start of the real demo. No secret may stand in an argument of any of its processes, none and nothing of a patient
in any log; what `simulate provision` prints must let any MQTT client play a gateway, and only that gateway.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import psutil
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.ingest import component, reading, wait_until
from tests.support.web import token_of

pytestmark = [pytest.mark.xdist_group("whole-system"), pytest.mark.timeout(240)]

VITALWIRE = (sys.executable, "-m", "server.cli")
# Values nobody else measures: whatever writes them down is found.
ODD_VALUES = ("187.0625", "112.4375")
CONTRACT_COLUMNS = (
    "message_id", "gateway_id", "device_id", "patient_id", "kind", "measured_at", "received_at", "stored_at",
    "local_date", "entry", "verdict",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo: its process, folder, address, and what it printed."""

    process: psutil.Process
    folder: Path
    url: str
    logins: dict[str, str]

    @property
    def memory(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "demo.json").read_text(encoding="utf-8"))
        return found

    @property
    def dsn(self) -> str:
        """Of the server process: what an operator would name."""
        ingest = next(
            one for one in self.process.children(recursive=True) if one.cmdline()[-2:] == ["server", "ingest"]
        )
        return ingest.environ()["DATABASE_URL"]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of another terminal in the same checkout, told nothing."""
        return subprocess.run(
            [*VITALWIRE, *words],
            env=_environment(),
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "VITALWIRE_DATA"}}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    checkout = tmp_path_factory.mktemp("checkout")  # by these two the demo knows one
    (checkout / "pyproject.toml").touch()
    (checkout / "simulators").mkdir()
    folder = checkout / ".demo"
    child = subprocess.Popen(
        [*VITALWIRE, "demo", "--measure-every", "5"],
        cwd=checkout,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    assert child.stdout is not None
    printed = ""
    for line in child.stdout:
        printed += line
        if "Ctrl-C" in line:
            break
    rest = threading.Thread(target=child.stdout.read)  # else a full pipe would stop the demo
    rest.start()
    url = re.search(r"http://\S+", printed)
    assert url, printed
    logins = dict(re.findall(r"^    (\w+) +(\S+) +(?:patient|nurse|practitioner|biller|admin|tester):", printed, re.M))
    try:
        yield Demo(psutil.Process(child.pid), folder, url[0], logins)
    finally:
        child.send_signal(signal.SIGINT)
        code = child.wait(60)
        rest.join()
        child.stdout.close()
        assert code in (0, 130)


@pytest.fixture(scope="module")
def identities(demo: Demo) -> list[dict[str, Any]]:
    done = demo.run("simulate", "provision", "--gateways", "2", "--devices-per-gateway", "2")
    assert done.returncode == 0, done.stderr
    printed: list[dict[str, Any]] = json.loads(done.stdout)
    return printed


def test_printed_identities_have_exactly_the_contracts_fields(identities: list[dict[str, Any]]) -> None:
    assert len(identities) == 2
    for one in identities:
        assert set(one) == {"gateway", "username", "password", "devices"}
        assert re.fullmatch(r"gw-[0-9a-z]{10,32}", one["gateway"])
        assert [set(device) for device in one["devices"]] == [{"id", "kind", "patient"}] * 2
        assert [device["kind"] for device in one["devices"]] == ["blood-pressure", "glucose"]


def test_any_mqtt_client_plays_a_provisioned_gateway_and_no_other(demo: Demo, identities: list[dict[str, Any]]) -> None:
    one, other = identities
    device = one["devices"][0]
    sent = reading(device["id"], components=[_odd("systolic", 0), _odd("diastolic", 1)])
    foreign = reading(other["devices"][0]["id"])
    answers: list[tuple[str, Any]] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(one["username"], one["password"])
    client.on_connect = lambda connected, *_: connected.subscribe("vw/1/gw/#", qos=1)
    client.on_message = lambda _client, _data, message: answers.append((message.topic, json.loads(message.payload)))
    client.connect("127.0.0.1", demo.memory["broker_port"])
    client.loop_start()
    try:
        client.publish(f"vw/1/gw/{other['gateway']}/up/readings", json.dumps(foreign), qos=1)
        client.publish(f"vw/1/gw/{one['gateway']}/up/readings", json.dumps(sent), qos=1)
        wait_until(lambda: any(topic.endswith("/receipts") for topic, _ in answers), "the receipt")
    finally:
        client.disconnect()
        client.loop_stop()

    receipts = [body for topic, body in answers if topic.endswith("/receipts")]
    assert receipts == [{"schema": "vitalwire.receipt/1", "stored": [sent["message_id"]], "rejected": []}]
    assert {topic.split("/")[3] for topic, _ in answers} == {one["gateway"]}
    with psycopg.connect(demo.dsn) as conn:
        cursor = conn.execute("SELECT * FROM reading_v1 WHERE message_id = %s", (sent["message_id"],))
        assert tuple(column.name for column in cursor.description or ()) == CONTRACT_COLUMNS
        row = dict(zip(CONTRACT_COLUMNS, cursor.fetchone() or (), strict=True))
        lost = conn.execute("SELECT 1 FROM reading_v1 WHERE message_id = %s", (foreign["message_id"],)).fetchall()
        simulated = conn.execute(
            "SELECT is_simulated FROM practice p JOIN patient t ON t.practice_id = p.id WHERE t.id = %s",
            (device["patient"],),
        ).fetchone()
    assert (row["gateway_id"], row["device_id"], row["patient_id"]) == (one["gateway"], device["id"], device["patient"])
    assert (row["kind"], row["entry"]) == ("blood-pressure", "automatic")
    assert row["verdict"] in {"accepted", "ok"}  # before and after the alert engine's judgement
    assert lost == []
    assert simulated == (True,)


def _odd(metric: str, number: int) -> dict[str, Any]:
    return component(metric, ODD_VALUES[number])


def test_no_secret_is_in_the_arguments_of_any_process(demo: Demo) -> None:
    processes = [demo.process, *demo.process.children(recursive=True)]
    commands = [" ".join(process.cmdline()) for process in processes]

    assert len(processes) > 15  # the servers, the homes, their radios and devices are all there
    told = [(kind, command) for kind, secret in secrets_of(demo) for command in commands if secret in command]
    assert told == []


def test_no_secret_and_nothing_of_a_patient_is_in_any_log(demo: Demo, identities: list[dict[str, Any]]) -> None:
    with httpx.Client(base_url=demo.url) as nurse:
        token = token_of(nurse.get("/login").text)
        form = {"login": "nurse", "password": demo.logins["nurse"], "csrf_token": token}
        assert nurse.post("/login", data=form).status_code == 303
        session = nurse.cookies["vw_session"]
        for page in ("/patients?q=Anna+Berg", "/patients/pt-demo01", "/registry/pt-demo01"):
            assert "Anna Berg" in nurse.get(page).text
    with psycopg.connect(demo.dsn) as conn:
        wait_until(
            lambda: conn.execute("SELECT 1 FROM observation LIMIT 1").fetchone(), "a reading of the demo's homes"
        )
        personal = [("name or telephone", text) for (text,) in conn.execute(_PERSONAL)]
    assert len(personal) > 8
    private = [
        *secrets_of(demo),
        *personal,
        ("session", session),
        ("form token", token),
        *[("provisioned password", one["password"]) for one in identities],
        *[("value", value) for value in ODD_VALUES],
    ]
    logs = [path for path in demo.folder.rglob("*") if path.is_file() and path.suffix == ".log"]

    assert len(logs) > 12
    told = [
        (kind, path.name)
        for path in logs
        for kind, text in private
        if text in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert told == []


_PERSONAL = """
SELECT name FROM patient WHERE practice_id = 'pr-demo'
UNION SELECT phone FROM patient WHERE phone IS NOT NULL
UNION SELECT name FROM staff
UNION SELECT name FROM practitioner
UNION SELECT birth_on::text FROM patient WHERE birth_on IS NOT NULL
"""


def secrets_of(demo: Demo) -> list[tuple[str, str]]:
    """Every secret the demo knows, with its kind."""
    with psycopg.connect(demo.dsn) as conn:
        keys = [f"{key:06d}" for (key,) in conn.execute("SELECT passkey FROM device WHERE passkey IS NOT NULL")]
    files = [path.read_text(encoding="utf-8").strip() for path in (demo.folder / "secrets").iterdir()]
    assert len(demo.logins) >= 5
    assert keys
    assert files
    return [
        *[("log-in password", password) for password in demo.logins.values()],
        *[("broker password", password) for password in demo.memory["passwords"].values()],
        *[("secret file", text) for text in files],
        *[("passkey", key) for key in keys],
    ]
