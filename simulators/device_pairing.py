"""The device's side of pairing: when it accepts, what it displays, what protection it insists on.

Input: a view of the device. Output: a delegate and a security manager session for bumble.
"""

from __future__ import annotations

from typing import Protocol

from bumble.pairing import PairingConfig, PairingDelegate
from bumble.smp import ErrorCode, IoCapability, Session, SMP_Pairing_Request_Command


class PairingDevice(Protocol):
    """What pairing needs to know of a device. `displayed_passkey` is its display."""

    displayed_passkey: str | None

    @property
    def shows_passkey(self) -> bool: ...

    @property
    def accepts_pairing(self) -> bool: ...

    @property
    def fixed_passkey(self) -> int | None: ...


def pairing_config(device: PairingDevice) -> PairingConfig:
    """Bonding with LE Secure Connections; protected against a man in the middle where there is a display."""
    return PairingConfig(sc=True, mitm=device.shows_passkey, bonding=True, delegate=_Display(device))


class _Display(PairingDelegate):
    """The device's side of pairing: accepts in its pairing mode, shows a passkey if it has a display."""

    def __init__(self, device: PairingDevice) -> None:
        super().__init__(
            PairingDelegate.IoCapability.DISPLAY_OUTPUT_ONLY
            if device.shows_passkey
            else PairingDelegate.IoCapability.NO_OUTPUT_NO_INPUT
        )
        self._device = device

    async def accept(self) -> bool:
        return self._device.accepts_pairing

    async def generate_passkey(self) -> int:
        fixed = self._device.fixed_passkey
        return await super().generate_passkey() if fixed is None else fixed

    async def display_number(self, number: int, digits: int) -> None:
        self._device.displayed_passkey = f"{number:0{digits}d}"


class ProtectedSession(Session):
    """SMP as the specification has it: who needs protection against a man in the middle refuses to pair without.

    Vol 3, Part H, 2.3.5.1; bumble falls back to Just Works silently.
    """

    async def on_smp_pairing_request_command_async(self, command: SMP_Pairing_Request_Command) -> None:
        has_keys = command.io_capability in (IoCapability.KEYBOARD_ONLY, IoCapability.KEYBOARD_DISPLAY)
        if self.mitm and not has_keys:
            self.send_pairing_failed(ErrorCode.AUTHENTICATION_REQUIREMENTS)
            return
        await super().on_smp_pairing_request_command_async(command)
