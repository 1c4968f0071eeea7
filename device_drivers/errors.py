"""What can go wrong between a payload and a measurement. Nothing else may leave this package."""

from __future__ import annotations


class DeviceDriverError(Exception):
    """Base of every error this package raises on purpose."""


class DecodeError(DeviceDriverError):
    """The payload cannot be what the characteristic promises.

    Carries where reading stopped, so that a quarantined payload can be understood later.
    """

    def __init__(
        self,
        message: str,
        *,
        characteristic: str,
        payload: bytes,
        offset: int,
        missing: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.characteristic = characteristic
        self.payload = payload
        self.offset = offset
        self.missing = missing


class ProtocolError(DeviceDriverError):
    """A device broke the order of a procedure (for example: a record-access answer nobody asked for)."""


class UnsupportedFeature(DeviceDriverError):  # noqa: N818 -- the word of the architecture, in use
    """A device answered that it cannot do what a session needs."""


class LinkError(DeviceDriverError):
    """The radio link failed under a session. Raised by the gateway's `Link`, classified there by remedy."""


class LinkClosedError(LinkError):
    """The device is gone: it hung up, left the range, or the adapter dropped it."""


class AttError(LinkError):
    """The device refused a read, a write or a subscription.

    `code` is the ATT error code (Bluetooth Core, Vol 3 Part F 3.4.1.1): 0x05 and 0x0F ask for pairing, 0xFD says that
    a client characteristic configuration is missing, 0xFE that a procedure is already running.
    """

    def __init__(self, message: str, *, characteristic: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.characteristic = characteristic
        self.code = code
