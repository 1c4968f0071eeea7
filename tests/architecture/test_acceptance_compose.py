"""The production shape of docker-compose.yml, checked against the program it starts. Nothing is started here."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from gateway.config import Settings as GatewaySettings
from server import cli
from server.config import PREFIX, ServerSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
ONE_SHOT = {"migrate", "broker-files"}  # they end; others wait for them with service_completed_successfully
SIMULATED = {name for name, service in SERVICES.items() if "simulators" in service.get("profiles", [])}
LASTING = sorted(set(SERVICES) - ONE_SHOT - SIMULATED)


def command_of(words: list[str]) -> Any:
    """The command that the words name; fails where there is none."""
    target = cli.COMMANDS[words[0]]
    command: Any = typer.main.get_command(getattr(importlib.import_module(target.module), target.attribute))
    for word in words[1:]:
        if not hasattr(command, "commands") or word.startswith("-"):
            break
        assert word in command.commands, f"there is no command {' '.join(words)!r}"
        command = command.commands[word]
    return command


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists_and_takes_the_options_it_is_given(name: str) -> None:
    words = [str(word) for word in SERVICES[name]["command"]]
    known = {option for parameter in command_of(words).params for option in parameter.opts}

    assert [word for word in words if word.startswith("--") and word not in known] == []


@pytest.mark.parametrize("name", LASTING)
def test_every_lasting_service_has_a_health_check_that_can_run(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]

    if test[:2] == ["CMD", "vitalwire"]:
        command_of(test[2:])
    assert test[0] in {"CMD", "CMD-SHELL"}


def test_the_parts_of_the_system_are_there() -> None:
    assert {"broker", "timescale", "migrate", "ingest-1", "ingest-2", "web", "alerts"} <= set(SERVICES)
    assert SIMULATED
    for name in ("ingest-1", "ingest-2"):
        assert SERVICES[name]["environment"]["VITALWIRE_INGEST_SHARED"] == "true"
    names = {SERVICES[name]["environment"]["VITALWIRE_INGEST_CLIENT_ID"] for name in ("ingest-1", "ingest-2")}
    assert len(names) == 2


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_secrets_are_files_and_images_are_pinned(name: str) -> None:
    service = SERVICES[name]
    environment: dict[str, str] = service.get("environment", {})

    for variable, value in environment.items():
        if any(word in variable for word in ("PASSWORD", "SECRET", "DATABASE_URL", "TOKEN")):
            assert variable.endswith("_FILE"), variable
            assert value.startswith("/run/secrets/"), variable
    assert "latest" not in service["image"]
    assert ":" in service["image"]
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_runs_as_root_but_the_step_that_hands_files_over(name: str) -> None:
    user = str(SERVICES[name].get("user", "of the image"))

    assert (user.split(":")[0] in {"0", "root"}) is (name == "broker-files")
    if name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert "USER vitalwire" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in OURS if name.startswith("ingest")])
def test_what_writes_files_has_a_volume_for_them(name: str) -> None:
    """The root file system is read-only; ingest keeps health and brake in its data folder."""
    assert any(volume.endswith(":/var/lib/vitalwire") for volume in SERVICES[name]["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one_the_program_reads(name: str) -> None:
    known = {PREFIX + field.upper() for field in (*ServerSettings.model_fields, *GatewaySettings.model_fields)}
    given = {variable for variable in SERVICES[name].get("environment", {}) if variable.startswith(PREFIX)}

    assert given <= known


def test_only_tls_and_loopback_are_reachable_from_outside() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"broker": ["8883:8883"], "web": ["127.0.0.1:8080:8080"]}
    assert SERVICES["ingest-1"]["environment"]["VITALWIRE_MQTT_URL"].startswith("mqtts://")
