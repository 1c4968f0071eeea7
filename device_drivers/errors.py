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


class UnsupportedFeature(DeviceDriverError):
    """A device answered that it cannot do what a session needs."""
