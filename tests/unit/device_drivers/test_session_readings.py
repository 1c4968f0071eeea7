"""Packets of a session become readings: joined, counted once, held back where they are nobody's, never lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from device_drivers.driver import Packet, SessionReadings
from device_drivers.readings import readings_of, user_facing_time
from tests.unit.device_drivers.scripted_link import T0, packet, shown

BASE = "e80706170e230a"  # 2024-06-23 14:35:10


def _packets(*sent: tuple[str, str]) -> list[Packet]:
    return [packet(name, bytes.fromhex(octets), number=index) for index, (name, octets) in enumerate(sent)]


def _read(*sent: tuple[str, str], model: str | None = None, ended: bool = True) -> SessionReadings:
    return readings_of(_packets(*sent), model=model, ended=ended)


def _glucose(number: int, *, flags: int = 0x12, value: str = "8eb0", sample: str = "11") -> tuple[str, str]:
    return "2A18", f"{flags:02x} {number.to_bytes(2, 'little').hex()} {BASE} {value} {sample}"


def _meal(number: int, code: str = "03") -> tuple[str, str]:
    return "2A34", f"02 {number.to_bytes(2, 'little').hex()} {code}"


def test_a_measurement_is_joined_with_its_context_by_sequence_number() -> None:
    session = _read(_glucose(1), _glucose(2), _meal(2, "02"), _meal(1, "01"))

    first, second = session.readings
    assert first.measurement.context["meal"] == "preprandial"
    assert second.measurement.context["meal"] == "postprandial"
    assert first.measurement.context["sample_type"] == "capillary-whole-blood"
    assert set(first.raws) == {"2A18", "2A34"}
    assert (first.packets, second.packets) == ((0, 3), (1, 2))
    assert first.received_at == T0


def test_a_context_that_comes_first_finds_its_measurement() -> None:
    session = _read(_meal(1), _glucose(1))

    (reading,) = session.readings
    assert reading.measurement.context["meal"] == "fasting"
    assert reading.packets == (0, 1)


def test_a_context_without_measurement_is_quarantined_at_the_end_and_waits_before() -> None:
    assert [entry.packet for entry in _read(_glucose(1, flags=2), _meal(9)).quarantine] == [1]
    assert _read(_glucose(1, flags=2), _meal(9), ended=False).pending == (1,)


def test_a_measurement_waits_for_the_context_it_announced_while_the_session_runs() -> None:
    running = _read(_glucose(1), _glucose(2, flags=0x02), ended=False)
    over = _read(_glucose(1), _glucose(2, flags=0x02))

    assert running.pending == (0,)
    assert [reading.packets for reading in running.readings] == [(1,)]
    assert [reading.packets for reading in over.readings] == [(0,), (1,)]


def test_a_packet_sent_twice_is_one_reading() -> None:
    cuff = ("2A35", f"02 8000 4e00 5f00 {BASE}")

    session = _read(cuff, cuff, _glucose(1), _meal(1), _glucose(1), _meal(1))

    assert [reading.packets for reading in session.readings] == [(0, 1), (2, 3, 4, 5)]


def test_two_records_with_one_sequence_number_are_both_kept() -> None:
    session = _read(_glucose(1), _meal(1), _glucose(1, value="90b0"), _meal(1, "05"))

    assert [reading.measurement.context["meal"] for reading in session.readings] == ["fasting", "bedtime"]


def test_a_second_different_context_is_not_attached() -> None:
    session = _read(_glucose(1), _meal(1, "01"), _meal(1, "02"))

    assert session.readings[0].measurement.context["meal"] == "preprandial"
    assert [entry.packet for entry in session.quarantine] == [2]


def test_undecodable_packets_are_quarantined_with_their_octets() -> None:
    session = _read(("2A35", "00 80"), ("2A35", "00 8000 4e00 5f00"), ("2AA7", "05 00"))

    assert [entry.packet for entry in session.quarantine] == [0, 2]
    assert session.quarantine[0].error.payload == bytes.fromhex("0080")
    assert len(session.readings) == 1


def test_what_carries_no_reading_is_transport() -> None:
    session = _read(("2A52", "06000101"), ("2A36", "00 6400 0000 0000"), ("2A51", "0000"), ("fff1", "00"))

    assert session.transport == (0, 1, 2, 3)
    assert session.readings == ()


def test_records_of_one_packet_are_readings_of_their_own() -> None:
    session = _read(("2AA7", "06 00 7800 0500 06 00 7900 0a00"))

    assert [reading.raws for reading in session.readings] == [
        {"2AA7": bytes.fromhex("060078000500")},
        {"2AA7": bytes.fromhex("060079000a00")},
    ]
    assert [reading.packets for reading in session.readings] == [(0,), (0,)]


def test_raws_are_the_octets_as_sent_not_as_mended() -> None:
    octets = "566a0047000000ea07080b121f00003f000000"

    (reading,) = _read(("2A35", octets), model="Beurer BM85").readings

    assert reading.raws == {"2A35": bytes.fromhex(octets)}
    assert reading.measurement.user_id == 0
    assert reading.held is None


def test_a_mean_pressure_or_a_pulse_of_zero_is_no_component() -> None:
    (reading,) = _read(("2A35", "04 8000 4e00 0000 0000")).readings

    assert [part.metric for part in reading.measurement.components] == ["systolic", "diastolic"]
    assert reading.held is None


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        (_glucose(1, flags=2), None),
        (_glucose(1, flags=2, sample="1a"), "control-solution"),
        (_glucose(1, flags=2, sample="41"), "control-solution"),
        (_glucose(1, flags=2, value="ffff"), "implausible"),
        (_glucose(1, flags=2, value="fe07"), None),  # "HI" is a result
        (("2A35", "00 4800 5100 4000"), "implausible"),
        (("2A35", "00 ff07 ff07 ff07"), None),  # a failed measurement is an event
        (("2A5E", "02 6100 4000 0004"), "not-from-wearer"),  # demonstration
        (("2A5E", "02 6100 4000 0008"), "not-from-wearer"),  # testing
        (("2A5E", "02 6100 4000 0010"), "not-from-wearer"),  # calibration
        (("2A5E", "02 6100 4000 0080"), "invalid"),
        (("2A5E", "02 6100 4000 0040"), None),  # questionable: shown with its flag
    ],
)
def test_what_must_not_become_anybodys_reading_is_held(sent: tuple[str, str], held: str | None) -> None:
    (reading,) = _read(sent).readings

    assert reading.held == held


def test_a_control_solution_named_by_location_stays_held_with_its_context() -> None:
    (reading,) = _read(_glucose(1, sample="41"), _meal(1)).readings

    assert reading.held == "control-solution"


def test_a_ketone_value_is_held_for_the_meters_that_send_it() -> None:
    (plain,) = _read(_glucose(1), _meal(1, "06")).readings
    (isens,) = _read(_glucose(1), _meal(1, "06"), model="CareSens N Plus BT").readings

    assert plain.held is None
    assert isens.held == "not-glucose"


def test_the_memory_full_mark_of_taidoc_meters_is_held() -> None:
    mark = ("2A18", "02 0000 f5070101000000 fe07 11")  # 2037-01-01, HI
    high = ("2A18", "02 0000 ea070101000000 fe07 11")  # 2026-01-01, HI

    assert [reading.held for reading in _read(mark, high, model="TD-4272").readings] == ["device-mark", None]
    assert [reading.held for reading in _read(mark, high).readings] == [None, None]


def test_the_wrong_offset_of_taidoc_meters_is_not_read() -> None:
    record = ("2A18", f"03 0000 {BASE} 3c00 8eb0 11")

    (standard,) = _read(record).readings
    (taidoc,) = _read(record, model="TD-4272").readings

    assert standard.user_facing_time == shown("2024-06-23T15:35:10")
    assert taidoc.user_facing_time == shown("2024-06-23T14:35:10")
    assert taidoc.measurement.components == standard.measurement.components


@pytest.mark.parametrize(
    ("record", "time"),
    [
        (f"01 0000 {BASE} 0000", "2024-06-23T14:35:10"),
        (f"01 0000 {BASE} c4ff", "2024-06-23T13:35:10"),
        (f"01 0000 {BASE} ff7f", None),  # the offset overran
        ("01 0000 0f270c1f173b3b 0100", None),  # beyond the calendar
        ("00 0000 00000000000000", None),
    ],
)
def test_user_facing_time_is_base_time_plus_offset(record: str, time: str | None) -> None:
    (reading,) = _read(("2A18", record)).readings

    assert reading.user_facing_time == (None if time is None else shown(time))
    assert user_facing_time(reading.measurement) == reading.user_facing_time


def test_the_first_arrival_counts() -> None:
    (reading,) = _read(_meal(1), _glucose(1), _glucose(1)).readings

    assert reading.received_at == T0 + timedelta(seconds=1)
