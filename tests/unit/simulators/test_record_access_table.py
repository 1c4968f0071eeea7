"""The device side of 2A52: each operator, each refusal. Requests and answers in octets from the Glucose Service."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from simulators.memory import StoredRecord
from simulators.record_access import decide

FIRST_TIME = datetime(2026, 10, 1, 7, 0)  # noqa: DTZ001 - device clocks have no zone
RECORDS = tuple(
    StoredRecord(sequence=n, user_time=FIRST_TIME + timedelta(days=n - 1), payload=bytes((n,))) for n in range(1, 11)
)
THIRD_DAY = "ea070a03070000"
FIFTH_DAY = "ea070a05070000"


@pytest.mark.parametrize(
    ("request_octets", "sequences"),
    [
        ("0101", range(1, 11)),
        ("0102010300", range(1, 4)),
        ("0103010800", range(8, 11)),
        ("01030101 00", range(1, 11)),
        ("01030a", None),
        ("0104010300 0500", range(3, 6)),
        ("0105", [1]),
        ("0106", [10]),
        (f"010302{THIRD_DAY}", range(3, 11)),
        (f"010202{THIRD_DAY}", range(1, 4)),
        (f"010402{THIRD_DAY}{FIFTH_DAY}", range(3, 6)),
    ],
)
def test_records_a_request_means(request_octets: str, sequences: range | list[int] | None) -> None:
    decision = decide(bytes.fromhex(request_octets), RECORDS)

    if sequences is None:
        assert decision.report == ()
    else:
        assert [record.sequence for record in decision.report] == list(sequences)
        assert decision.answer.hex() == "06000101"


@pytest.mark.parametrize(
    ("request_octets", "answer"),
    [
        ("0401", "05000a00"),  # count
        ("0403010800", "05000300"),
        ("040301ff00", "05000000"),  # counting none is an answer, not an error
        ("010301ff00", "06000106"),  # no records found
        ("0100", "06000103"),  # invalid operator
        ("0109", "06000104"),  # operator not supported
        ("010301", "06000105"),  # operand too short
        ("0101ff", "06000105"),  # operand where none belongs
        ("01040105000300", "06000105"),  # from 5 to 3
        ("010302ea070d03070000", "06000105"),  # month 13
        ("01030a0300", "06000109"),  # filter type 10
        ("0901", "06000902"),  # op-code not supported
        ("", "06000002"),
        ("0301", "06000303"),  # abort takes the null operator
    ],
)
def test_answers_without_records(request_octets: str, answer: str) -> None:
    decision = decide(bytes.fromhex(request_octets), RECORDS)

    assert decision.answer.hex() == answer
    assert decision.report == ()
    assert not decision.delete


def test_delete_names_what_goes() -> None:
    decision = decide(bytes.fromhex("0202010300"), RECORDS)

    assert decision.delete == {1, 2, 3}
    assert decision.answer.hex() == "06000201"


def test_abort() -> None:
    decision = decide(bytes.fromhex("0300"), RECORDS)

    assert decision.abort
    assert decision.answer.hex() == "06000301"


def test_empty_memory_has_no_records() -> None:
    assert decide(bytes.fromhex("0106"), ()).answer.hex() == "06000106"
