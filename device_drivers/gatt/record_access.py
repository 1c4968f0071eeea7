"""Record Access Control Point 2A52: requests to a device's memory, and its answers. Codec only.

Input: octets, or the request wanted. Output: `RecordAccess`, or octets to write. Layout: Bluetooth SIG, GATT
Specification Supplement, Record Access Control Point; GLS 1.0.1 clause 3.5. The dialogue is in `stored_records`.
There is no encoder for Delete: the meter is the patient's own record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final

from device_drivers.gatt.fields import read_date_time, warnings_of
from device_drivers.ieee11073 import DeviceTime
from device_drivers.measurement import DecodeWarning
from device_drivers.reader import Reader

RECORD_ACCESS: Final = "2A52"


class OpCode(IntEnum):
    """What is asked, or what kind of answer this is."""

    REPORT_RECORDS = 1
    DELETE_RECORDS = 2
    ABORT = 3
    REPORT_NUMBER = 4
    NUMBER_RESPONSE = 5
    RESPONSE = 6


class Operator(IntEnum):
    """Which records."""

    NULL = 0
    ALL = 1
    LESS_OR_EQUAL = 2
    GREATER_OR_EQUAL = 3
    WITHIN_RANGE = 4
    FIRST = 5
    LAST = 6


class ResponseCode(IntEnum):
    """How a request ended. `NO_RECORDS_FOUND` is a normal answer."""

    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS_FOUND = 6
    ABORT_UNSUCCESSFUL = 7
    PROCEDURE_NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9
    SERVER_BUSY = 10


_OP_CODES: Final = frozenset(map(int, OpCode))
_OPERATORS: Final = frozenset(map(int, Operator))
_RESPONSE_CODES: Final = frozenset(map(int, ResponseCode))
_BY_SEQUENCE_NUMBER: Final = 1
_BY_USER_FACING_TIME: Final = 2
_HAS_MINIMUM: Final = (Operator.GREATER_OR_EQUAL, Operator.WITHIN_RANGE)
_HAS_MAXIMUM: Final = (Operator.LESS_OR_EQUAL, Operator.WITHIN_RANGE)
_REQUESTS: Final = (OpCode.REPORT_RECORDS, OpCode.DELETE_RECORDS, OpCode.REPORT_NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAccess:
    """One request or answer; fields that it does not have are None.

    Codes are plain integers, because devices send values that no table has. `minimum` and `maximum` are sequence
    numbers, or user-facing times when `filter_type` is 2.
    """

    op_code: int
    operator: int
    request_op_code: int | None = None
    response_code: int | None = None
    number_of_records: int | None = None
    filter_type: int | None = None
    minimum: int | datetime | None = None
    maximum: int | datetime | None = None
    warnings: tuple[DecodeWarning, ...] = ()
    extra_hex: str | None = None


def decode(payload: bytes) -> RecordAccess:
    """Any 2A52 payload, request or answer."""
    reader = Reader(RECORD_ACCESS, payload)
    op_code = reader.u8("op-code")
    operator = reader.u8("operator")
    if op_code == OpCode.NUMBER_RESPONSE:
        return _number_response(reader, operator)
    if op_code == OpCode.RESPONSE:
        return _response(reader, operator)
    if op_code in _REQUESTS and operator in (*_HAS_MINIMUM, *_HAS_MAXIMUM):
        return _filtered_request(reader, op_code, operator)
    extra = reader.rest()
    return RecordAccess(
        op_code=op_code,
        operator=operator,
        warnings=warnings_of(
            trailing=extra,
            reserved_value=op_code not in _OP_CODES or operator not in _OPERATORS,
        ),
        extra_hex=extra.hex() if extra else None,
    )


def _number_response(reader: Reader, operator: int) -> RecordAccess:
    # Sixteen bits by the specification; meters with small memories have been seen to send eight.
    number = reader.u8("number of records") if reader.remaining() == 1 else reader.u16("number of records")
    extra = reader.rest()
    return RecordAccess(
        op_code=OpCode.NUMBER_RESPONSE,
        operator=operator,
        number_of_records=number,
        warnings=warnings_of(trailing=extra, reserved_value=operator != Operator.NULL),
        extra_hex=extra.hex() if extra else None,
    )


def _response(reader: Reader, operator: int) -> RecordAccess:
    request_op_code = reader.u8("request op-code")
    response_code = reader.u8("response code")
    extra = reader.rest()
    return RecordAccess(
        op_code=OpCode.RESPONSE,
        operator=operator,
        request_op_code=request_op_code,
        response_code=response_code,
        warnings=warnings_of(
            trailing=extra, reserved_value=operator != Operator.NULL or response_code not in _RESPONSE_CODES
        ),
        extra_hex=extra.hex() if extra else None,
    )


def _filtered_request(reader: Reader, op_code: int, operator: int) -> RecordAccess:
    filter_type = reader.u8("filter type")
    minimum = maximum = None
    bad_time: DeviceTime | None = None
    known = filter_type in (_BY_SEQUENCE_NUMBER, _BY_USER_FACING_TIME)
    if known and operator in _HAS_MINIMUM:
        minimum, bad_time = _limit(reader, filter_type, "minimum")
    if known and operator in _HAS_MAXIMUM:
        maximum, bad_maximum = _limit(reader, filter_type, "maximum")
        bad_time = bad_time or bad_maximum
    extra = reader.rest()
    return RecordAccess(
        op_code=op_code,
        operator=operator,
        filter_type=filter_type,
        minimum=minimum,
        maximum=maximum,
        warnings=warnings_of(trailing=extra, time=bad_time, reserved_value=not known),
        extra_hex=extra.hex() if extra else None,
    )


def _limit(reader: Reader, filter_type: int, field: str) -> tuple[int | datetime | None, DeviceTime | None]:
    """One end of a range, and the time when its octets are no date."""
    if filter_type == _BY_SEQUENCE_NUMBER:
        return reader.u16(field), None
    time = read_date_time(reader, field)
    return time.value, time if time.raw_hex else None


# --- requests -------------------------------------------------------------------------------------------------------


def report_all() -> bytes:
    return bytes((OpCode.REPORT_RECORDS, Operator.ALL))


def report_last() -> bytes:
    return bytes((OpCode.REPORT_RECORDS, Operator.LAST))


def report_from(sequence_number: int) -> bytes:
    """All records whose sequence number is at least this."""
    return bytes((OpCode.REPORT_RECORDS, Operator.GREATER_OR_EQUAL, _BY_SEQUENCE_NUMBER)) + _u16(sequence_number)


def report_within(minimum: int, maximum: int) -> bytes:
    """All records between two sequence numbers, both included."""
    return bytes((OpCode.REPORT_RECORDS, Operator.WITHIN_RANGE, _BY_SEQUENCE_NUMBER)) + _u16(minimum) + _u16(maximum)


def count_all() -> bytes:
    return bytes((OpCode.REPORT_NUMBER, Operator.ALL))


def count_from(sequence_number: int) -> bytes:
    """The number of records whose sequence number is at least this."""
    return bytes((OpCode.REPORT_NUMBER, Operator.GREATER_OR_EQUAL, _BY_SEQUENCE_NUMBER)) + _u16(sequence_number)


def abort() -> bytes:
    return bytes((OpCode.ABORT, Operator.NULL))


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "little")
