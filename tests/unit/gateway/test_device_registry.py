"""The allow-list: who may be read, what is learnt, what survives."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.contract import Config, DeviceConfig
from gateway.registry import Bond, Registry

AT = datetime(2026, 3, 2, tzinfo=UTC)
CUFF = DeviceConfig(id="bp-1", kind="blood-pressure", address="c0:00:00:00:00:01")
METER = DeviceConfig(id="gl-1", kind="glucose", name="meter+1", passkey=123456)


def config(version: int, *devices: DeviceConfig) -> Config:
    return Config(version=version, at=AT, devices=devices)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry.json")


def found(registry: Registry, address: str, name: str | None = None) -> str | None:
    device = registry.find(address, name)
    return None if device is None else device.id


def test_unknown_devices_are_not_found(registry: Registry) -> None:
    assert found(registry, "C0:00:00:00:00:01", "UA-651BLE") is None


def test_address_is_compared_without_case_and_name_only_while_no_address_is_known(registry: Registry) -> None:
    registry.apply(config(1, CUFF, METER))

    assert found(registry, "C0:00:00:00:00:01") == "bp-1"
    assert found(registry, "AA:00:00:00:00:09", "meter+1") == "gl-1"
    assert found(registry, "AA:00:00:00:00:09", "meter+12") is None
    registry.learn("gl-1", address="AA:00:00:00:00:09", bond=Bond.BONDED)
    assert found(registry, "AA:00:00:00:00:09") == "gl-1"
    assert found(registry, "BB:00:00:00:00:09", "meter+1") is None


@pytest.mark.parametrize(
    ("learnt", "by_name"),
    [
        ("3F:00:00:00:00:01", False),
        ("40:00:00:00:00:01", True),
        ("7F:00:00:00:00:01", True),
        ("80:00:00:00:00:01", False),
    ],
)
def test_device_whose_private_address_changed_is_still_known_by_its_name(
    registry: Registry, learnt: str, by_name: bool
) -> None:
    registry.apply(config(1, METER))
    registry.learn("gl-1", address=learnt)

    assert (found(registry, "55:00:00:00:00:02", "meter+1") == "gl-1") is by_name


def test_what_was_learnt_survives_restart_and_new_configuration(tmp_path: Path, registry: Registry) -> None:
    registry.apply(config(1, CUFF, METER))
    registry.learn("bp-1", bond=Bond.BONDED, model="UA-651BLE", firmware="1.0.2")

    again = Registry(tmp_path / "registry.json")
    again.apply(config(2, CUFF))

    device = again.device("bp-1")
    assert device is not None
    assert (device.bond, device.model, device.firmware) == ("bonded", "UA-651BLE", "1.0.2")
    assert again.device("gl-1") is None
    assert again.view().version == 2


def test_replaced_device_starts_unpaired(registry: Registry) -> None:
    registry.apply(config(1, CUFF))
    registry.learn("bp-1", bond=Bond.BONDED)

    registry.apply(config(2, DeviceConfig(id="bp-1", kind="blood-pressure", address="C0:00:00:00:00:99")))

    device = registry.device("bp-1")
    assert device is not None
    assert device.bond == "unpaired"


@pytest.mark.parametrize(("version", "applied"), [(4, False), (5, False), (6, True)])
def test_older_configuration_is_ignored(registry: Registry, version: int, applied: bool) -> None:
    registry.apply(config(5, CUFF))

    assert registry.apply(config(version, CUFF)) is applied
    assert registry.view().version == (6 if applied else 5)


def test_device_enrolled_at_the_box_stays_until_the_server_names_it(registry: Registry) -> None:
    registry.enrol(CUFF)
    assert registry.view().version is None

    registry.apply(config(1, METER))
    assert found(registry, "C0:00:00:00:00:01") == "bp-1"

    registry.apply(config(2, METER, CUFF))
    registry.apply(config(3, METER))
    assert found(registry, "C0:00:00:00:00:01") is None


def test_file_is_private_and_a_damaged_one_is_set_aside(tmp_path: Path, registry: Registry) -> None:
    registry.enrol(METER)
    path = tmp_path / "registry.json"
    assert path.stat().st_mode & 0o077 == 0

    path.write_text("{", encoding="utf-8")

    assert Registry(path).view().devices == ()
    assert (tmp_path / "registry.json.damaged").read_text(encoding="utf-8") == "{"


def test_enrolment_by_another_process_is_taken_over(tmp_path: Path) -> None:
    changes: list[None] = []
    running = Registry(tmp_path / "registry.json", on_change=lambda: changes.append(None))
    Registry(tmp_path / "registry.json").enrol(CUFF)

    running.reload()
    running.reload()

    assert found(running, "C0:00:00:00:00:01") == "bp-1"
    assert len(changes) == 1
