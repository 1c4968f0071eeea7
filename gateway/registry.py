"""Which devices this home may read, and what is known about each bond.

Input: the server's retained configuration, a local enrolment, what pairing found out. Output: the device an
advertisement belongs to, or None: a device that is not on the list is never connected to. Kept in one small file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import structlog

from gateway import contract

log = structlog.get_logger(__name__)

_LOCAL_VERSION: Final = -1


class Bond(StrEnum):
    """State of the bond with one device."""

    UNPAIRED = "unpaired"
    PAIRING = "pairing"
    BONDED = "bonded"
    BOND_LOST = "bond-lost"
    NOT_NEEDED = "not-needed"


class KnownDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device on the list. `address` is learnt at the first contact when only a name was configured."""

    config: contract.DeviceConfig
    address: str | None = None
    bond: str = Bond.UNPAIRED.value
    model: str | None = None
    firmware: str | None = None

    @property
    def id(self) -> str:
        return self.config.id


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: int = _LOCAL_VERSION
    devices: tuple[KnownDevice, ...] = ()
    local: tuple[str, ...] = ()  # ids enrolled at the box, not by the server


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryView:
    """What the registry holds, for status and command line."""

    version: int | None
    devices: tuple[KnownDevice, ...]


class Registry:
    """The allow-list. Every change is on disk (atomically, readable by its owner only) before it counts."""

    def __init__(self, path: Path, *, on_change: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_change = on_change
        self._content = _load(path)
        self._stamp = _stamp(path)

    def view(self) -> RegistryView:
        version = self._content.version
        return RegistryView(version=None if version == _LOCAL_VERSION else version, devices=self._content.devices)

    def device(self, device_id: str) -> KnownDevice | None:
        return next((device for device in self._content.devices if device.id == device_id), None)

    def device_at(self, address: str) -> KnownDevice | None:
        """The device with this address."""
        wanted = address.upper()
        return next((device for device in self._content.devices if _address_of(device) == wanted), None)

    def find(self, address: str, name: str | None) -> KnownDevice | None:
        """The device an advertisement belongs to. Address first; a name counts only while no address is known."""
        known = self.device_at(address)
        if known is not None or not name:
            return known
        return next((d for d in self._content.devices if _goes_by_name(d) and d.config.name == name), None)

    def apply(self, config: contract.Config) -> bool:
        """Take over the server's configuration. Older versions are ignored. True when something changed.

        Bonds and learnt addresses of devices that stay are kept; local enrolments stay unless the server names them.
        """
        if config.version < self._content.version:
            log.info("config_ignored", version=config.version, have=self._content.version)
            return False
        before = {device.id: device for device in self._content.devices}
        devices = [_merged(before.get(item.id), item) for item in config.devices]
        named = {device.id for device in devices}
        local = tuple(name for name in self._content.local if name not in named)
        devices.extend(before[name] for name in local)
        return self._replace(_File(version=config.version, devices=tuple(devices), local=local))

    def enrol(self, config: contract.DeviceConfig) -> KnownDevice:
        """Put a device on the list at the box itself (`vitalwire gateway pair`)."""
        before = self.device(config.id)
        device = _merged(before, config)
        others = tuple(item for item in self._content.devices if item.id != config.id)
        local = self._content.local
        if before is None:
            local = (*local, config.id)
        self._replace(msgspec.structs.replace(self._content, devices=(*others, device), local=local))
        return device

    def learn(
        self,
        device_id: str,
        *,
        address: str | None = None,
        bond: Bond | None = None,
        model: str | None = None,
        firmware: str | None = None,
    ) -> None:
        """Keep what a session found out; None leaves a field as it is."""
        changes: dict[str, object] = {
            field: value
            for field, value in (
                ("address", address),
                ("bond", None if bond is None else bond.value),
                ("model", model),
                ("firmware", firmware),
            )
            if value is not None
        }
        devices = tuple(
            msgspec.structs.replace(device, **changes) if device.id == device_id else device
            for device in self._content.devices
        )
        self._replace(msgspec.structs.replace(self._content, devices=devices))

    def reload(self) -> None:
        """Take over what another process (`vitalwire gateway pair`) wrote."""
        stamp = _stamp(self._path)
        if stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            content = _load(self._path)
            if content != self._content:
                self._content = content
                self._on_change()

    def _replace(self, content: _File) -> bool:
        if content == self._content:
            return False
        self._content = content
        try:
            _save(self._path, content)
            self._stamp = _stamp(self._path)
        except OSError as error:  # it holds in memory; the journal reports the disk's trouble
            log.error("registry_not_saved", error=type(error).__name__)
        self._on_change()
        return True


def _goes_by_name(device: KnownDevice) -> bool:
    """No address is known, or one that looks like a resolvable private address and changes every quarter of an hour
    (Bluetooth Core, Vol 6 Part B 1.3.2.2: the two highest bits are 01)."""
    address = _address_of(device)
    if address is None:
        return True
    return device.config.address is None and address[0] in "4567"


def _address_of(device: KnownDevice) -> str | None:
    address = device.address or device.config.address
    return None if address is None else address.upper()


def _merged(before: KnownDevice | None, config: contract.DeviceConfig) -> KnownDevice:
    if before is None:
        return KnownDevice(config=config)
    moved = config.address is not None and config.address != before.config.address
    if moved:  # another box with the same id: nothing learnt about the old one holds
        return KnownDevice(config=config)
    return msgspec.structs.replace(before, config=config)


def _load(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return _File()
    except (OSError, msgspec.DecodeError) as error:
        log.error("registry_unreadable", error=type(error).__name__)
        with contextlib.suppress(OSError):
            path.replace(path.with_name(path.name + ".damaged"))
        return _File()


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes with every replacement of the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns)


def _save(path: Path, content: _File) -> None:
    write_private(path, msgspec.json.encode(content))


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
