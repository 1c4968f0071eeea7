"""TLS on the server's side: ingest trusts only the named authority, pages are served over https when a key is named."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from server.broker import INGEST_USER, Listener, MosquittoChild, free_port
from server.provision import ProvisionedGateway
from tests.integration.test_gateway_tls import Authority, authority
from tests.support.ingest import IngestProcess, provisioned, reading, rows, wait_until


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return authority(tmp_path, "ours")


def tls_broker(folder: Path, ours: Authority, gateway: ProvisionedGateway) -> MosquittoChild:
    certificate, key = ours.issue(folder, "broker")
    return MosquittoChild(
        folder / "broker",
        listener=Listener(port=free_port(), certificate=certificate, key=key),
        passwords={INGEST_USER: "of-ingest", gateway.gateway: gateway.password},
        persistent=False,
    )


def ingest_with(database: str, broker: MosquittoChild, folder: Path, ca: Path) -> IngestProcess:
    password = folder / "ingest-password"
    password.write_text("of-ingest", encoding="utf-8")
    return IngestProcess(
        database,
        broker,
        folder,
        VITALWIRE_MQTT_USERNAME=INGEST_USER,
        VITALWIRE_MQTT_PASSWORD_FILE=str(password),
        VITALWIRE_MQTT_CA_FILE=str(ca),
    )


def publish(broker: MosquittoChild, gateway: ProvisionedGateway, payload: bytes, ca: Path) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(gateway.username, gateway.password)
    client.tls_set(ca_certs=str(ca))
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.publish(f"vw/1/gw/{gateway.gateway}/up/readings", payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_ingest_takes_readings_in_over_tls(database: str, tmp_path: Path, ours: Authority) -> None:
    [gateway] = provisioned(database)
    one = reading(gateway.devices[0].id)
    broker = tls_broker(tmp_path, ours, gateway)
    broker.start()
    process = ingest_with(database, broker, tmp_path, ours.file)
    try:
        assert broker.url.startswith("mqtts://")
        process.start()
        publish(broker, gateway, json.dumps(one).encode(), ours.file)
        wait_until(lambda: rows(database, "SELECT 1 FROM observation"), "the reading")
    finally:
        process.kill()
        broker.kill()


def test_ingest_refuses_a_broker_of_another_authority(database: str, tmp_path: Path, ours: Authority) -> None:
    [gateway] = provisioned(database)
    broker = tls_broker(tmp_path, ours, gateway)
    broker.start()
    process = ingest_with(database, broker, tmp_path, authority(tmp_path, "strangers").file)
    try:
        process.start(wait=False)
        wait_until(lambda: "unknown ca" in broker.files.log.read_text(encoding="utf-8"), "the refusal")
        connected = f"as {INGEST_USER}" in broker.files.log.read_text(encoding="utf-8")
    finally:
        process.kill()
        broker.kill()

    assert not connected


def test_pages_are_served_over_tls_with_secure_cookies(database: str, tmp_path: Path, ours: Authority) -> None:
    certificate, key = ours.issue(tmp_path, "pages")
    port = free_port()
    web = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "server", "web"],
        env={
            **os.environ,
            "DATABASE_URL": database,
            "VITALWIRE_WEB_PORT": str(port),
            "VITALWIRE_WEB_TLS_CERT_FILE": str(certificate),
            "VITALWIRE_WEB_TLS_KEY_FILE": str(key),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    trusting = ssl.create_default_context(cafile=str(ours.file))

    def answers() -> bool:
        try:
            return httpx.get(f"https://127.0.0.1:{port}/health/ready", verify=trusting).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, "the pages")
        page = httpx.get(f"https://127.0.0.1:{port}/login", verify=trusting)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/login")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://127.0.0.1:{port}/login")
    finally:
        web.terminate()
        web.wait(20)

    assert page.headers["strict-transport-security"].startswith("max-age=31536000")
    assert all("Secure" in cookie for cookie in page.headers.get_list("set-cookie"))
    assert page.headers.get_list("set-cookie")
