"""The Bluetooth adapter as this package uses it: makers of bleak scanners and clients, and nothing else.

Input: adapter name, or the options of another bleak backend (a virtual radio in tests and scenarios). Output: `Radio`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

Detection = Callable[[BLEDevice, AdvertisementData], None]

_BASE_SUFFIX: Final = "-0000-1000-8000-00805f9b34fb"


class Radio(Protocol):
    """Where scanners and clients come from."""

    @property
    def uses_bluez(self) -> bool:
        """Whether BlueZ is behind it: then there is a daemon to watch and an agent to register."""
        ...

    @property
    def adapter(self) -> str:
        """BlueZ's name of the adapter ("hci0")."""
        ...

    def make_scanner(self, on_detection: Detection) -> BleakScanner: ...

    def make_client(
        self, device: BLEDevice, *, on_disconnect: Callable[[BleakClient], None], timeout_seconds: float
    ) -> BleakClient: ...


class BleakRadio:
    """bleak on this machine's adapter, or on another backend named by the options.

    For a virtual radio: `BleakRadio(scanner_options={"backend": …, "radio": …}, client_options={…})`.
    """

    def __init__(
        self,
        adapter: str | None = None,
        *,
        scanner_options: Mapping[str, Any] | None = None,
        client_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._adapter = adapter
        self._scanner_options = dict(scanner_options or {})
        self._client_options = dict(client_options or {})
        if adapter is not None:
            self._scanner_options.setdefault("bluez", {"adapter": adapter})
            self._client_options.setdefault("bluez", {"adapter": adapter})

    @property
    def uses_bluez(self) -> bool:
        return "backend" not in self._client_options

    @property
    def adapter(self) -> str:
        return self._adapter or "hci0"

    def make_scanner(self, on_detection: Detection) -> BleakScanner:
        return BleakScanner(on_detection, **self._scanner_options)

    def make_client(
        self, device: BLEDevice, *, on_disconnect: Callable[[BleakClient], None], timeout_seconds: float
    ) -> BleakClient:
        return BleakClient(device, on_disconnect, timeout=timeout_seconds, **self._client_options)


def full_uuid(name: str) -> str:
    """ "2A35" → the 128-bit UUID bleak speaks; full UUIDs pass through."""
    return f"0000{name.lower()}{_BASE_SUFFIX}" if len(name) == 4 else name.lower()


def short_name(uuid: str) -> str:
    """A 128-bit UUID → "2A35" when the Bluetooth SIG assigned it."""
    lower = uuid.lower()
    if lower.startswith("0000") and lower.endswith(_BASE_SUFFIX):
        return lower[4:8].upper()
    return lower
