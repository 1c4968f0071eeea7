"""Device clocks, battery and device information by hand-made octets."""

from __future__ import annotations

from datetime import timedelta

import pytest

from device_drivers.driver import ClockPolicy, SessionPolicy
from device_drivers.errors import DecodeError
from device_drivers.gatt.battery import decode_level
from device_drivers.gatt.current_time import (
    clock_is_due,
    decode_clock,
    decode_local_time_information,
    encode_clock,
)
from device_drivers.gatt.device_information import decode_text
from tests.unit.device_drivers.scripted_link import shown


def test_current_time() -> None:
    """Sunday, half a second, manual change: only date and time matter."""
    clock = decode_clock("2A2B", bytes.fromhex("e80706170e230a 07 80 01"))

    assert clock.device_time == shown("2024-06-23T14:35:10")
    assert clock.warnings == ()


def test_date_time_is_seven_octets_and_current_time_ten() -> None:
    with pytest.raises(DecodeError) as short:
        decode_clock("2A2B", bytes.fromhex("e80706170e230a 07 80"))

    assert (short.value.offset, short.value.missing) == (7, 1)
    assert decode_clock("2A08", bytes.fromhex("e80706170e230a 07")).extra_hex == "07"


def test_writing_a_clock() -> None:
    """2026-03-02 is a Monday; 999999 us are 255/256 s; the reason is a manual update."""
    time = shown("2026-03-02T12:05:09.999999")

    assert encode_clock("2A08", time).hex() == "ea0703020c0509"
    assert encode_clock("2A2B", time).hex() == "ea0703020c0509" + "01" + "ff" + "01"


@pytest.mark.parametrize(
    ("octets", "zone", "dst"),
    [
        ("ec00", -300, 0),  # UTC-5
        ("1604", 330, 60),  # UTC+5:30
        ("3802", 840, 30),
        ("3908", None, 120),  # UTC+14:15 does not exist
        ("d000", -720, 0),
        ("cf00", None, 0),
        ("80ff", None, None),
        ("0003", 0, None),
    ],
)
def test_local_time_information(octets: str, zone: int | None, dst: int | None) -> None:
    information = decode_local_time_information(bytes.fromhex(octets))

    assert (information.zone_minutes, information.dst_minutes) == (zone, dst)


@pytest.mark.parametrize(("off_by", "due"), [(59, False), (60, True), (61, True), (-59, False), (-60, True)])
def test_the_threshold_of_a_clock(off_by: int, due: bool) -> None:
    policy = SessionPolicy(clock=ClockPolicy.IF_OFF, clock_threshold_seconds=60)
    desired = shown("2026-03-02T12:00:00")

    assert clock_is_due(policy, device_time=desired + timedelta(seconds=off_by), desired=desired) is due


@pytest.mark.parametrize(("octets", "percent"), [("00", 0), ("64", 100), ("65", None), ("ff", None), ("3200", 50)])
def test_battery_level(octets: str, percent: int | None) -> None:
    assert decode_level(bytes.fromhex(octets)) == percent


def test_empty_battery_answer() -> None:
    with pytest.raises(DecodeError):
        decode_level(b"")


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"UA-651BLE\0\0\0", "UA-651BLE"),
        (b"  1.0.2 \0garbage", "1.0.2"),
        (b"A&D\xff", "A&D\ufffd"),
        (b"line\r\nbreak\x1b[31m", "linebreak[31m"),
        (b"\0", ""),
        (b"x" * 65, "x" * 64),
    ],
)
def test_device_strings_are_made_safe(octets: bytes, text: str) -> None:
    assert decode_text(octets) == text
