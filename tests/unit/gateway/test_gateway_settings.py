"""Settings from the environment, and what an installer reads when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load_settings
from gateway.errors import SettingsError

GOOD = {"VITALWIRE_GATEWAY_ID": "gw-0123456789", "VITALWIRE_MQTT_URL": "mqtts://broker.example.org"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("VITALWIRE_"):
            monkeypatch.delenv(name)


def problems(monkeypatch: pytest.MonkeyPatch, **changes: str) -> tuple[str, ...]:
    for name, value in {**GOOD, **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return caught.value.problems


def test_two_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert (settings.mqtt_host, settings.mqtt_port, settings.tls) == ("broker.example.org", 8883, True)
    assert (settings.mqtt_version, settings.time_zone, settings.mqtt_password()) == ("5", "UTC", None)


def test_nothing_set_names_every_missing_variable() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert [problem.split(" ")[0] for problem in caught.value.problems] == [
        "VITALWIRE_GATEWAY_ID",
        "VITALWIRE_MQTT_URL",
    ]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("VITALWIRE_GATEWAY_ID", "gw-012345678", "not a gateway id"),
        ("VITALWIRE_GATEWAY_ID", "gw-0123456789/#", "not a gateway id"),
        ("VITALWIRE_GATEWAY_ID", "gw-" + "a" * 33, "not a gateway id"),
        ("VITALWIRE_MQTT_URL", "http://broker", "mqtts://host:8883"),
        ("VITALWIRE_MQTT_URL", "mqtts://:8883", "mqtts://host:8883"),
        ("VITALWIRE_MQTT_URL", "mqtts://host:99999", "mqtts://host:8883"),
        ("VITALWIRE_MQTT_URL", "mqtts://user:secret@host", "VITALWIRE_MQTT_PASSWORD_FILE"),
        ("VITALWIRE_MQTT_URL", "mqtt://broker.example.org", "unencrypted"),
        ("VITALWIRE_MQTT_VERSION", "3.1.1", "this machine only"),
        ("VITALWIRE_MQTT_VERSION", "4", "VITALWIRE_MQTT_VERSION"),
        ("VITALWIRE_TIME_ZONE", "EST5", "America/New_York"),
        ("VITALWIRE_MQTT_CA_FILE", "/does/not/exist", "there is no file"),
        ("VITALWIRE_JOURNAL_MAX_MEBIBYTES", "3", "VITALWIRE_JOURNAL_MAX_MEBIBYTES"),
    ],
)
def test_wrong_value_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    found = problems(monkeypatch, **{name: value})

    assert len(found) == 1
    assert name in found[0]
    assert says in found[0]
    assert "secret" not in found[0]


@pytest.mark.parametrize("length", [10, 32])
def test_gateway_id_at_its_bounds(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setenv("VITALWIRE_GATEWAY_ID", "gw-" + "a" * length)
    monkeypatch.setenv("VITALWIRE_MQTT_URL", GOOD["VITALWIRE_MQTT_URL"])

    assert len(load_settings().gateway_id) == length + 3


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "[::1]"])
def test_plain_transport_and_old_protocol_are_for_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("VITALWIRE_GATEWAY_ID", GOOD["VITALWIRE_GATEWAY_ID"])
    monkeypatch.setenv("VITALWIRE_MQTT_URL", f"mqtt://{host}:1883")
    monkeypatch.setenv("VITALWIRE_MQTT_VERSION", "3.1.1")

    assert load_settings().mqtt_port == 1883


def test_closed_test_network_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALWIRE_GATEWAY_ID", GOOD["VITALWIRE_GATEWAY_ID"])
    monkeypatch.setenv("VITALWIRE_MQTT_URL", "mqtt://broker")
    monkeypatch.setenv("VITALWIRE_MQTT_INSECURE", "true")

    assert load_settings().mqtt_host == "broker"


def test_password_is_read_from_its_file_without_the_line_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("p ä ss\n", encoding="utf-8")
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VITALWIRE_MQTT_USERNAME", "gw-0123456789")
    monkeypatch.setenv("VITALWIRE_MQTT_PASSWORD_FILE", str(secret))

    settings = load_settings()

    assert settings.mqtt_password() == "p ä ss"
    assert "ss" not in repr(settings.mqtt_password_file)[-3:]


def test_half_a_certificate_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    certificate.write_text("x", encoding="utf-8")

    assert problems(monkeypatch, VITALWIRE_MQTT_CERT_FILE=str(certificate)) == (
        "VITALWIRE_MQTT_CERT_FILE and VITALWIRE_MQTT_KEY_FILE belong together; set both or neither",
    )
