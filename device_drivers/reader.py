"""A bounds-checked cursor over one payload: the only place that takes a payload apart.

Input: octets. Output: unsigned and signed little-endian integers, or `DecodeError` with the offset and what is missing.
"""

from __future__ import annotations

from typing import NoReturn

from device_drivers.errors import DecodeError


class Reader:
    """Reads one payload from the front. Every method names the field, so that an error can say what was expected."""

    __slots__ = ("_characteristic", "_end", "_payload", "offset")

    def __init__(self, characteristic: str, payload: bytes, *, start: int = 0, end: int | None = None) -> None:
        self._characteristic = characteristic
        self._payload = payload
        self._end = len(payload) if end is None else end
        self.offset = start

    def u8(self, field: str) -> int:
        offset = self.offset
        if offset + 1 > self._end:
            self._too_short(field, 1)
        self.offset = offset + 1
        return self._payload[offset]

    def u16(self, field: str) -> int:
        offset = self.offset
        if offset + 2 > self._end:
            self._too_short(field, 2)
        self.offset = offset + 2
        payload = self._payload
        return payload[offset] | payload[offset + 1] << 8

    def u24(self, field: str) -> int:
        return int.from_bytes(self.octets(3, field), "little")

    def u32(self, field: str) -> int:
        return int.from_bytes(self.octets(4, field), "little")

    def s8(self, field: str) -> int:
        value = self.u8(field)
        return value - 0x100 if value & 0x80 else value

    def s16(self, field: str) -> int:
        value = self.u16(field)
        return value - 0x10000 if value & 0x8000 else value

    def octets(self, count: int, field: str) -> bytes:
        offset = self.offset
        if offset + count > self._end:
            self._too_short(field, count)
        self.offset = offset + count
        return self._payload[offset : offset + count]

    def remaining(self) -> int:
        return self._end - self.offset

    def rest(self) -> bytes:
        """Everything not read yet; the cursor moves to the end."""
        rest = self._payload[self.offset : self._end]
        self.offset = self._end
        return rest

    def error(self, message: str, *, offset: int | None = None) -> DecodeError:
        """A `DecodeError` at `offset` (default: here), for octets that are there but cannot be."""
        where = self.offset if offset is None else offset
        return DecodeError(
            f"{self._characteristic}: {message}",
            characteristic=self._characteristic,
            payload=self._payload,
            offset=where,
        )

    def _too_short(self, field: str, count: int) -> NoReturn:
        missing = count - (self._end - self.offset)
        message = f"{field} at octet {self.offset} is cut off, {missing} of its {count} octets missing"
        raise DecodeError(
            f"{self._characteristic}: {message}",
            characteristic=self._characteristic,
            payload=self._payload,
            offset=self.offset,
            missing=missing,
        )
