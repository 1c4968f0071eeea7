"""An advertisement finds its driver; models find their quirks; characteristics their canonical names."""

from __future__ import annotations

import pytest

from device_drivers.catalog import DRIVERS, best_driver, driver_by_id
from device_drivers.decoding import canonical_characteristic
from device_drivers.driver import Advertisement, Driver
from device_drivers.vendors import QUIRKS, prepare, quirk_of


def _advertisement(*services: str) -> Advertisement:
    return Advertisement(address="AA:BB:CC:DD:EE:FF", service_uuids=services)


@pytest.mark.parametrize(
    ("services", "driver_id"),
    [
        (("1810",), "std.blood_pressure"),
        (("180A", "1808"), "std.glucose"),
        (("181D",), "std.weight"),
        (("1809",), "std.thermometer"),
        (("1822",), "std.pulse_oximeter"),
        (("180D",), None),
        ((), None),
    ],
)
def test_the_service_finds_the_driver(services: tuple[str, ...], driver_id: str | None) -> None:
    driver = best_driver(_advertisement(*services))

    assert (driver.info.id if driver else None) == driver_id


def test_a_vendor_driver_wins_by_its_score() -> None:
    class Vendor:
        info = DRIVERS[0].info
        policy = DRIVERS[0].policy
        collect = DRIVERS[0].collect
        decode = DRIVERS[0].decode

        def match(self, advertisement: Advertisement) -> int | None:
            return 80 if "1810" in advertisement.service_uuids else None

    vendor: Driver = Vendor()

    assert best_driver(_advertisement("1810"), (*DRIVERS, vendor)) is vendor
    assert best_driver(_advertisement("1808"), (*DRIVERS, vendor)) is not vendor


def test_of_equal_scores_the_earlier_wins() -> None:
    assert best_driver(_advertisement("1808", "1810")) is DRIVERS[0]


def test_drivers_have_ids_of_their_own() -> None:
    assert len({driver.info.id for driver in DRIVERS}) == len(DRIVERS)
    assert driver_by_id("std.glucose") is DRIVERS[1]
    assert driver_by_id("std.glucometer") is None


@pytest.mark.parametrize("model", ["Beurer BM85", "beurer bm-85", "BM85", "BM 85"])
def test_a_model_is_known_however_it_is_written(model: str) -> None:
    quirk = quirk_of(model)

    assert quirk is not None
    assert quirk.title == "Beurer BM 85"


@pytest.mark.parametrize("model", [None, "", "BM850", "UA-651BLE"])
def test_other_models_have_no_quirk(model: str | None) -> None:
    assert quirk_of(model) is None


def test_no_model_belongs_to_two_quirks() -> None:
    names = [name for quirk in QUIRKS for name in quirk.models]

    assert len(names) == len(set(names))


def test_octets_that_do_not_show_the_fault_are_left_alone() -> None:
    standard = bytes.fromhex("1e 8000 4e00 5f00 e80706170e230a 4800 01 0100")

    assert prepare("2A35", standard, "BM85") == standard
    assert prepare("2A18", standard, "BM85") == standard
    assert prepare("2A18", b"\x01\x02", "TD-4272") == b"\x01\x02"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("2A35", "2A35"),
        ("2a35", "2A35"),
        (" 0x2a35 ", "2A35"),
        ("00002a35-0000-1000-8000-00805F9B34FB", "2A35"),
        ("5DF5E817-A945-4F81-89C0-3D4E9759C07C", "5df5e817-a945-4f81-89c0-3d4e9759c07c"),
        ("SFLOAT", "sfloat"),
    ],
)
def test_canonical_names(name: str, canonical: str) -> None:
    assert canonical_characteristic(name) == canonical
