"""The Record Access Control Point 2A52 as a device answers it: which records a request means, and every refusal.

Input: the request's octets and the stored records. Output: a decision; sending it is the device's business. Pure.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from simulators.encoding import EncodingError, parse_date_time, racp_number_of_records, racp_response
from simulators.memory import StoredRecord


class OpCode(enum.IntEnum):
    """What the collector wants."""

    REPORT = 1
    DELETE = 2
    ABORT = 3
    COUNT = 4


class Operator(enum.IntEnum):
    """Which records are meant."""

    NULL = 0
    ALL = 1
    AT_MOST = 2
    AT_LEAST = 3
    WITHIN = 4
    FIRST = 5
    LAST = 6


class ResponseValue(enum.IntEnum):
    """How a request ended."""

    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS_FOUND = 6
    ABORT_UNSUCCESSFUL = 7
    PROCEDURE_NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9


Bound = int | datetime
FILTER_SEQUENCE = 1
FILTER_USER_FACING_TIME = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do: send `report`, erase `delete`, stop what runs (`abort`), then indicate `answer`."""

    answer: bytes
    report: tuple[StoredRecord, ...] = ()
    delete: frozenset[int] = frozenset()
    abort: bool = False


class _RefusedError(Exception):
    def __init__(self, value: ResponseValue) -> None:
        super().__init__(value.name)
        self.value = value


def decide(request: bytes, records: Sequence[StoredRecord]) -> Decision:
    """Judge one request against the records (oldest first)."""
    op_code = request[0] if request else 0
    operator = request[1] if len(request) > 1 else 0
    operand = request[2:]
    if op_code not in set(OpCode):
        return Decision(answer=racp_response(op_code, ResponseValue.OP_CODE_NOT_SUPPORTED))
    if op_code == OpCode.ABORT:
        if operator != Operator.NULL:
            return Decision(answer=racp_response(op_code, ResponseValue.INVALID_OPERATOR))
        return Decision(answer=racp_response(op_code, ResponseValue.SUCCESS), abort=True)
    try:
        chosen = _choose(operator, operand, records)
    except _RefusedError as refusal:
        return Decision(answer=racp_response(op_code, refusal.value))
    if op_code == OpCode.COUNT:
        return Decision(answer=racp_number_of_records(len(chosen)))
    if not chosen:
        return Decision(answer=racp_response(op_code, ResponseValue.NO_RECORDS_FOUND))
    success = racp_response(op_code, ResponseValue.SUCCESS)
    if op_code == OpCode.DELETE:
        return Decision(answer=success, delete=frozenset(record.sequence for record in chosen))
    return Decision(answer=success, report=tuple(chosen))


def _choose(operator: int, operand: bytes, records: Sequence[StoredRecord]) -> Sequence[StoredRecord]:
    low: Bound | None = None
    high: Bound | None = None
    match operator:
        case Operator.ALL | Operator.FIRST | Operator.LAST:
            if operand:
                raise _RefusedError(ResponseValue.INVALID_OPERAND)
            return {Operator.ALL: records, Operator.FIRST: records[:1], Operator.LAST: records[-1:]}[Operator(operator)]
        case Operator.AT_MOST:
            high = _one_bound(operand)
        case Operator.AT_LEAST:
            low = _one_bound(operand)
        case Operator.WITHIN:
            low, high = _two_bounds(operand)
        case Operator.NULL:
            raise _RefusedError(ResponseValue.INVALID_OPERATOR)
        case _:
            raise _RefusedError(ResponseValue.OPERATOR_NOT_SUPPORTED)
    return [record for record in records if _within(record, low, high)]


def _within(record: StoredRecord, low: Bound | None, high: Bound | None) -> bool:
    value: Bound = record.sequence if isinstance(low if low is not None else high, int) else record.user_time
    return (low is None or low <= value) and (high is None or value <= high)  # type: ignore[operator]


def _one_bound(operand: bytes) -> Bound:
    return _bounds(operand, 1)[0]


def _two_bounds(operand: bytes) -> tuple[Bound, Bound]:
    low, high = _bounds(operand, 2)
    if low > high:  # type: ignore[operator]
        raise _RefusedError(ResponseValue.INVALID_OPERAND)
    return low, high


def _bounds(operand: bytes, count: int) -> list[Bound]:
    """The filter values of an operand: sequence numbers (u16) or user-facing times (7 octets)."""
    if not operand:
        raise _RefusedError(ResponseValue.INVALID_OPERAND)
    kind, values = operand[0], operand[1:]
    if kind == FILTER_SEQUENCE:
        if len(values) != 2 * count:
            raise _RefusedError(ResponseValue.INVALID_OPERAND)
        return list(struct.unpack(f"<{count}H", values))
    if kind == FILTER_USER_FACING_TIME:
        if len(values) != 7 * count:
            raise _RefusedError(ResponseValue.INVALID_OPERAND)
        try:
            return [parse_date_time(values[7 * i : 7 * i + 7]) for i in range(count)]
        except EncodingError as error:
            raise _RefusedError(ResponseValue.INVALID_OPERAND) from error
    raise _RefusedError(ResponseValue.OPERAND_NOT_SUPPORTED)
