"""The record access codec by the examples of the specification, and corners of the dialogue a session rarely sees."""

from __future__ import annotations

import pytest

from device_drivers.errors import DecodeError
from device_drivers.gatt import record_access
from device_drivers.gatt.record_access import decode
from device_drivers.gatt.stored_records import Finished, Outcome, Request, ResumePoint, StoredRecords
from tests.unit.device_drivers.scripted_link import shown


def test_requests() -> None:
    assert record_access.report_all().hex() == "0101"
    assert record_access.report_from(258).hex() == "0103010201"
    assert record_access.report_within(2, 511).hex() == "0104010200ff01"
    assert record_access.report_last().hex() == "0106"
    assert record_access.count_all().hex() == "0401"
    assert record_access.count_from(1).hex() == "0403010100"
    assert record_access.abort().hex() == "0300"


def test_nothing_in_the_codec_deletes() -> None:
    assert not [name for name in vars(record_access) if "delete" in name.lower()]


def test_answers() -> None:
    number = decode(bytes.fromhex("05000a00"))
    success = decode(bytes.fromhex("06000101"))

    assert (number.op_code, number.number_of_records) == (5, 10)
    assert (success.request_op_code, success.response_code) == (1, 1)
    assert success.warnings == ()


def test_eight_bit_count_of_small_meters() -> None:
    assert decode(bytes.fromhex("050007")).number_of_records == 7


def test_time_filters() -> None:
    request = decode(bytes.fromhex("0104 02 e8070617000000 e80706180e3b3b"))

    assert request.filter_type == 2
    assert request.minimum == shown("2024-06-23T00:00:00")
    assert request.maximum == shown("2024-06-24T14:59:59")


def test_one_sided_filters() -> None:
    assert decode(bytes.fromhex("0102010500")).maximum == 5
    assert decode(bytes.fromhex("0102010500")).minimum is None
    assert decode(bytes.fromhex("0403010500")).minimum == 5


@pytest.mark.parametrize(
    ("octets", "warnings", "extra"),
    [
        ("0101", (), None),
        ("0001", ("reserved-value",), None),
        ("0701", ("reserved-value",), None),
        ("0107", ("reserved-value",), None),
        ("0101ff", ("trailing-octets",), "ff"),
        ("0103030500", ("trailing-octets", "reserved-value"), "0500"),
        ("0103 02 e8070d17000000", ("invalid-device-time",), None),
        ("06000100", ("reserved-value",), None),
        ("0600010a", (), None),
        ("0600010b", ("reserved-value",), None),
        ("05010100", ("reserved-value",), None),
    ],
)
def test_reserved_codes_are_told(octets: str, warnings: tuple[str, ...], extra: str | None) -> None:
    message = decode(bytes.fromhex(octets))

    assert message.warnings == warnings
    assert message.extra_hex == extra


@pytest.mark.parametrize("octets", ["", "01", "0103", "010301", "01030105", "0104010500ff", "0500", "0600", "060001"])
def test_short_messages(octets: str) -> None:
    with pytest.raises(DecodeError, match="2A52"):
        decode(bytes.fromhex(octets))


# --- dialogue ------------------------------------------------------------------------------------------------------

KNOWN = ResumePoint(sequence_number=5, digest="x")
SUCCESS = decode(bytes.fromhex("06000101"))


def _answer(octets: str) -> record_access.RecordAccess:
    return decode(bytes.fromhex(octets))


def test_refused_count_goes_on_with_the_report() -> None:
    records = StoredRecords(None)
    records.begin()

    assert records.on_refused(0x03) == Request(record_access.report_all(), starts_report=True)


def test_refused_report_ends() -> None:
    records = StoredRecords(None)
    records.begin()
    records.on_answer(_answer("05000100"))

    assert records.on_refused(0xFD) == Finished(Outcome.INCOMPLETE)


@pytest.mark.parametrize("code", [0xFE, 0x80])
def test_a_busy_procedure_is_aborted_only_once(code: int) -> None:
    records = StoredRecords(None)
    records.begin()

    assert records.on_refused(code) == Request(record_access.abort())
    assert records.on_answer(_answer("06000301")) == Request(record_access.count_all())
    assert records.on_refused(code) == Request(record_access.report_all(), starts_report=True)
    assert records.on_refused(code) == Finished(Outcome.INCOMPLETE)


@pytest.mark.parametrize("code", ["08", "0a", "07", "0b"])
def test_a_report_the_device_breaks_off_is_incomplete(code: str) -> None:
    records = StoredRecords(None)
    records.begin()
    records.on_answer(_answer("05000100"))

    assert records.on_answer(_answer(f"060001{code}")) == Finished(Outcome.INCOMPLETE)
    assert not records.reported


def test_a_refused_check_after_new_records_ends_well() -> None:
    records = StoredRecords(KNOWN)
    records.begin()
    records.on_answer(_answer("05000100"))
    records.on_record(6, b"six")
    check = records.on_answer(SUCCESS)

    assert check == Request(record_access.report_within(5, 5))
    assert records.on_refused(0x80 | 0x13) == Finished(Outcome.COMPLETE)


def test_a_check_that_cannot_be_made_reads_everything_when_nothing_new_came() -> None:
    records = StoredRecords(KNOWN)
    records.begin()
    records.on_answer(_answer("05000000"))
    records.on_answer(_answer("06000104"))

    assert records.on_answer(_answer("06000104")) == Request(record_access.report_all(), starts_report=True)
    assert not records.memory_reset


def test_silence_in_a_check_is_an_abort_but_the_report_counts() -> None:
    records = StoredRecords(KNOWN)
    records.begin()
    records.on_answer(_answer("05000000"))

    assert records.on_silence() == Request(record_access.abort())
    assert records.on_silence() == Finished(Outcome.INCOMPLETE)
    assert records.reported
