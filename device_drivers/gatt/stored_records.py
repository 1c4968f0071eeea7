"""The dialogue that reads a meter's memory through 2A52, as a state machine. No input or output of its own.

Input: events (`begin`, `on_record`, `on_answer`, `on_silence`, `on_refused`). Output: the next step, `Request` or
`Finished`. It asks for what is new, checks that the memory is still the one it knew, and falls back to reading
everything. It cannot delete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from hashlib import sha256
from typing import Final

from device_drivers.gatt import record_access
from device_drivers.gatt.record_access import OpCode, RecordAccess, ResponseCode

LAST_SEQUENCE_NUMBER: Final = 0xFFFF

# ATT error codes a server may answer a 2A52 write with (Bluetooth CSS part B, common profile and service error codes;
# 0x80 and 0x81 are what servers before them used, GLS 1.0).
PROCEDURE_IN_PROGRESS: Final = frozenset({0xFE, 0x80})

_CANNOT_SELECT: Final = frozenset(
    {
        ResponseCode.INVALID_OPERATOR,
        ResponseCode.OPERATOR_NOT_SUPPORTED,
        ResponseCode.INVALID_OPERAND,
        ResponseCode.OPERAND_NOT_SUPPORTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """The newest record that is known to be committed: its sequence number and a digest of its octets."""

    sequence_number: int
    digest: str

    def as_mapping(self) -> dict[str, object]:
        return {"sequence_number": self.sequence_number, "digest": self.digest}


def resume_point_of(mapping: Mapping[str, object]) -> ResumePoint | None:
    """The stored resume point; None at the first contact and for anything that is not one (then all is read)."""
    number, digest = mapping.get("sequence_number"), mapping.get("digest")
    if not isinstance(number, int) or not isinstance(digest, str) or not 0 <= number <= LAST_SEQUENCE_NUMBER:
        return None
    return ResumePoint(sequence_number=number, digest=digest)


def digest_of(payload: bytes) -> str:
    return sha256(payload).hexdigest()


class Outcome(StrEnum):
    """How the dialogue ended."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"  # the device stopped, refused or fell silent in the middle
    UNSUPPORTED = "unsupported"  # the device has no stored-records procedure


@dataclass(frozen=True, slots=True)
class Request:
    """Write these octets to 2A52 and wait for records and the answer.

    `starts_report`: the records that follow are a new transfer; what came of an earlier one does not count for it.
    """

    payload: bytes
    starts_report: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more to ask."""

    outcome: Outcome


Step = Request | Finished


class _Phase(Enum):
    COUNT = 1  # how many records are there
    REPORT = 2  # hand them over
    VERIFY = 3  # is the newest record we knew still the same
    VERIFY_LAST = 4  # the same question for devices that know no ranges
    ABORT = 5


class StoredRecords:
    """One transfer. `expected` is the number of records the device announced, `received` how many different ones came.

    `memory_reset` is True when the record we knew is gone or another: the sequence numbers started again.
    `reported` is True once the device said that it has sent everything that was asked for.
    """

    def __init__(self, resume: ResumePoint | None, *, whole_memory: bool = False) -> None:
        self._resume = resume
        self._phase = _Phase.COUNT
        # 65535 has no successor to ask from; after it the numbers start again.
        self._selective = resume is not None and not whole_memory and resume.sequence_number < LAST_SEQUENCE_NUMBER
        self._verified: bool | None = None
        self._retry_after_abort = False
        self._may_retry = True
        self.expected: int | None = None
        self._sequence_numbers: set[int] = set()
        self.reported = False
        self.memory_reset = False

    @property
    def received(self) -> int:
        return len(self._sequence_numbers)

    @property
    def missing(self) -> int:
        """How many of the records that the device counted have not come (yet)."""
        return max(0, (self.expected or 0) - self.received)

    @property
    def verifying(self) -> bool:
        """Whether the next record answers a check and is not part of the transfer."""
        return self._phase in (_Phase.VERIFY, _Phase.VERIFY_LAST)

    def begin(self) -> Request:
        """The first request: how many. A device that does not count is asked for its records straight away."""
        self._phase = _Phase.COUNT
        return Request(record_access.count_from(self._first_wanted()) if self._selective else record_access.count_all())

    def on_record(self, sequence_number: int, payload: bytes) -> None:
        """A measurement arrived."""
        if not self.verifying:
            self._sequence_numbers.add(sequence_number)
        elif self._resume is not None:
            same = sequence_number == self._resume.sequence_number and digest_of(payload) == self._resume.digest
            self._verified = same if self._verified is None else self._verified and same

    def on_answer(self, answer: RecordAccess) -> Step | None:
        """An indication of 2A52. None: it answers something we did not ask, keep waiting."""
        if self._phase is _Phase.COUNT:
            return self._on_count(answer)
        if answer.op_code != OpCode.RESPONSE:
            return None
        asked = OpCode.ABORT if self._phase is _Phase.ABORT else OpCode.REPORT_RECORDS
        if answer.request_op_code != asked or answer.response_code is None:
            return None
        if self._phase is _Phase.ABORT:
            return self._on_aborted()
        if self.verifying:
            return self._on_verified(answer.response_code)
        return self._on_reported(answer.response_code)

    def on_silence(self) -> Step:
        """Neither record nor answer for the time of the procedure (GLS: 30 s)."""
        if self._phase is _Phase.ABORT:
            return Finished(Outcome.INCOMPLETE)
        self._phase = _Phase.ABORT
        return Request(record_access.abort())

    def on_refused(self, code: int) -> Step:
        """The device answered a write of ours with an ATT error."""
        if code in PROCEDURE_IN_PROGRESS and self._may_retry:
            # Left over from another client or an earlier link: stop it and begin again, once.
            self._may_retry, self._retry_after_abort = False, True
            self._phase = _Phase.ABORT
            return Request(record_access.abort())
        if self._phase is _Phase.COUNT:
            return self._report()
        return self._finish_check() if self.verifying else Finished(Outcome.INCOMPLETE)

    # --- one phase each ---------------------------------------------------------------------------------------------

    def _on_count(self, answer: RecordAccess) -> Step | None:
        if answer.op_code == OpCode.NUMBER_RESPONSE:
            self.expected = answer.number_of_records
            return self._after_report() if self.expected == 0 else self._report()
        if answer.op_code != OpCode.RESPONSE or answer.request_op_code != OpCode.REPORT_NUMBER:
            return None
        if answer.response_code == ResponseCode.NO_RECORDS_FOUND:
            self.expected = 0
            return self._after_report()
        return self._report()

    def _report(self) -> Request:
        self._phase = _Phase.REPORT
        self._sequence_numbers.clear()
        self.reported = False
        if self._selective:
            return Request(record_access.report_from(self._first_wanted()), starts_report=True)
        return Request(record_access.report_all(), starts_report=True)

    def _on_reported(self, code: int) -> Step:
        if code in (ResponseCode.SUCCESS, ResponseCode.NO_RECORDS_FOUND):
            return self._after_report()
        if code in _CANNOT_SELECT and self._selective:
            return self._read_everything()
        if code == ResponseCode.OP_CODE_NOT_SUPPORTED:
            return Finished(Outcome.UNSUPPORTED)
        return Finished(Outcome.INCOMPLETE)

    def _after_report(self) -> Step:
        """Everything from there on is here. If the memory was wiped, its numbers are low again and something new lies
        below: look whether the record we knew is still the same."""
        self.reported = True
        if not self._selective:
            return Finished(Outcome.COMPLETE)
        self._phase = _Phase.VERIFY
        self._verified = None
        known = self._first_wanted() - 1
        return Request(record_access.report_within(known, known))

    def _on_verified(self, code: int) -> Step:
        if code == ResponseCode.SUCCESS and self._verified is not None:
            return self._finish_check()
        if self._phase is _Phase.VERIFY and code in _CANNOT_SELECT:
            return self._verify_by_last()
        if code == ResponseCode.NO_RECORDS_FOUND:
            self._verified = False
        return self._finish_check()

    def _verify_by_last(self) -> Step:
        """The newest record is the one we knew only when nothing new came."""
        if self.received:
            return Finished(Outcome.COMPLETE)
        self._phase = _Phase.VERIFY_LAST
        return Request(record_access.report_last())

    def _finish_check(self) -> Step:
        if self._verified:
            return Finished(Outcome.COMPLETE)
        if self._verified is None and self.received:
            return Finished(Outcome.COMPLETE)  # could not be checked, but the numbers went on
        self.memory_reset = self._verified is False
        return self._read_everything()

    def _read_everything(self) -> Request:
        self._selective = False
        self.expected = None
        return self._report()

    def _on_aborted(self) -> Step:
        if not self._retry_after_abort:
            return Finished(Outcome.INCOMPLETE)
        self._retry_after_abort = False
        return self.begin()

    def _first_wanted(self) -> int:
        return self._resume.sequence_number + 1 if self._resume else 0
