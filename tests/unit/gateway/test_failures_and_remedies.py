"""What bleak's errors mean: to a driver (`as_link_error`), and to the plan of attempts (`classify_connect`)."""

from __future__ import annotations

import pytest
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from device_drivers.errors import AttError, LinkClosedError
from gateway.link import as_link_error, att_code
from gateway.radio import full_uuid, short_name
from gateway.schedule import Remedy
from gateway.session import classify_connect


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BleakGATTProtocolError(0x0F), 0x0F),
        (BleakDBusError("org.bluez.Error.Failed", ["Operation failed with ATT error: 0x0f"]), 0x0F),
        (BleakDBusError("org.bluez.Error.NotAuthorized", ["Not authorized"]), 0x05),
        (BleakDBusError("org.bluez.Error.NotPermitted", ["Read not permitted"]), 0x02),
        (BleakDBusError("org.bluez.Error.Failed", ["Operation failed"]), 0x0E),
        (BleakDBusError("org.bluez.Error.Failed", ["Not connected"]), None),
        (BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["gone"]), None),
        (BleakCharacteristicNotFoundError("2A35"), 0x0A),
        (BleakError("disconnected"), None),
        (TimeoutError(), None),
        (EOFError(), None),
    ],
)
def test_device_refusals_are_told_from_lost_links(error: Exception, code: int | None) -> None:
    assert att_code(error) == code
    translated = as_link_error(error, "2A35")
    assert isinstance(translated, LinkClosedError if code is None else AttError)


@pytest.mark.parametrize(
    ("error", "bonded", "remedy", "problem"),
    [
        (TimeoutError(), False, Remedy.NEXT_ADVERTISEMENT, "connect-timeout"),
        (BleakDeviceNotFoundError("AA", "gone"), False, Remedy.NEXT_ADVERTISEMENT, "device-gone"),
        (BleakDBusError("org.bluez.Error.InProgress", ["In Progress"]), False, Remedy.RETRY_NOW, "adapter-busy"),
        (
            BleakDBusError("org.bluez.Error.Failed", ["le-connection-abort-by-local"]),
            False,
            Remedy.RETRY_NOW,
            "adapter-busy",
        ),
        (
            BleakError("failed to discover services, device disconnected"),
            False,
            Remedy.REFRESH_CACHE,
            "services-unknown",
        ),
        (KeyError("/org/bluez/hci0/dev"), False, Remedy.REFRESH_CACHE, "services-unknown"),
        (BleakError("HCI error PIN_OR_KEY_MISSING"), True, Remedy.PAIR_AGAIN, "bond-lost"),
        (
            BleakDBusError("org.bluez.Error.AuthenticationFailed", ["Authentication Failed"]),
            True,
            Remedy.PAIR_AGAIN,
            "bond-lost",
        ),
        (
            BleakDBusError("org.bluez.Error.AuthenticationFailed", ["Authentication Failed"]),
            False,
            Remedy.GIVE_UP,
            "pairing-failed",
        ),
        (BleakError("anything else"), False, Remedy.RETRY_NOW, "connect-failed"),
        (EOFError(), False, Remedy.RETRY_NOW, "connect-failed"),
    ],
)
def test_failed_connection_asks_for_its_remedy(error: Exception, bonded: bool, remedy: Remedy, problem: str) -> None:
    verdict = classify_connect(error, bonded=bonded)

    assert (verdict.remedy, verdict.problem) == (remedy, problem)


def test_names_of_characteristics() -> None:
    assert full_uuid("2A35") == "00002a35-0000-1000-8000-00805f9b34fb"
    assert short_name("00002A35-0000-1000-8000-00805F9B34FB") == "2A35"
    vendor = "00001524-1212-efde-1523-785feabcd123"
    assert (full_uuid(vendor.upper()), short_name(vendor)) == (vendor, vendor)
