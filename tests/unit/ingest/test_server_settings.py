"""Settings of the server: what is refused, and that printing them shows no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.config import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [*os.environ]:
        if name.startswith(("VITALWIRE_", "DATABASE_URL")):
            monkeypatch.delenv(name)


def test_plain_mqtt_beyond_this_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"VITALWIRE_MQTT_URL: plain mqtt:// to broker\.example"):
        load_settings({"mqtt_url": "mqtt://broker.example:1883"})


@pytest.mark.parametrize(
    "url", ["mqtt://127.0.0.1", "mqtt://localhost:1", "mqtt://[::1]:1883", "mqtts://broker.example"]
)
def test_safe_addresses_are_taken(url: str) -> None:
    assert load_settings({"mqtt_url": url}).mqtt_url == url


def test_plain_mqtt_can_be_allowed_by_name() -> None:
    assert load_settings({"mqtt_url": "mqtt://broker.example", "mqtt_insecure": True}).mqtt_port == 1883


@pytest.mark.parametrize("url", ["http://x", "broker", "mqtt://", "mqtt://h:0", "mqtt://h:99999", "mqtt://u:p@h"])
def test_other_addresses_are_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({"mqtt_url": url})

    assert "u:p" not in str(error.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({"web_port": 70000, "mqtt_version": "3", "data": "/tmp"})

    assert [line.split(":")[0] for line in error.value.problems] == ["VITALWIRE_MQTT_VERSION", "VITALWIRE_WEB_PORT"]


def test_secrets_come_from_files_and_are_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("postgres://u:hush@h/db\n", encoding="utf-8")

    settings = load_settings({"database_url_file": secret, "mqtt_username": "ingest", "mqtt_password_file": secret})

    assert settings.resolve_database_url() == "postgres://u:hush@h/db"
    assert settings.mqtt_password() == "postgres://u:hush@h/db"
    assert "hush" not in repr(settings)
    assert "hush" not in repr(load_settings({"database_url": "postgres://u:hush@h/db"}))


def test_missing_secret_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="VITALWIRE_MQTT_PASSWORD_FILE: there is no file"):
        load_settings({"mqtt_password_file": tmp_path / "none"})


def test_database_may_be_given_once(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")

    with pytest.raises(SettingsError, match="both set"):
        load_settings({"database_url": "postgres:///a", "database_url_file": secret})
