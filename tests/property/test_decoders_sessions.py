"""Laws of sessions: no packet is lost between journal and readings, no dialogue runs for ever or deletes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.driver import Packet
from device_drivers.drivers.glucose import Progress
from device_drivers.gatt import record_access
from device_drivers.gatt.stored_records import Finished, Request, ResumePoint, StoredRecords
from device_drivers.readings import readings_of

START: Final = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)


def _measurement(number: int, *, announces: bool, value: int) -> bytes:
    flags = 0x12 if announces else 0x02
    return (
        bytes((flags,))
        + number.to_bytes(2, "little")
        + bytes.fromhex("ea070302070000")
        + (0xB000 | value).to_bytes(2, "little")
        + b"\x11"
    )


GLUCOSE: Final = st.builds(_measurement, st.integers(0, 4), announces=st.booleans(), value=st.integers(90, 92)).map(
    lambda payload: ("2A18", payload)
)


def _context(number: int, meal: int) -> tuple[str, bytes]:
    return "2A34", b"\x02" + number.to_bytes(2, "little") + bytes((meal,))


CONTEXT: Final = st.builds(_context, st.integers(0, 4), st.integers(1, 2))
SENSOR: Final = st.tuples(st.just("2AA7"), st.sampled_from([bytes.fromhex("060078000500060079000a00"), b"\x05\x00"]))
NAMES: Final = st.sampled_from(["2A35", "2A18", "2A34", "2A52", "2A36", "2AA7", "fff1"])
ANYTHING: Final = st.tuples(NAMES, st.binary(max_size=20))
SESSIONS: Final = st.lists(GLUCOSE | CONTEXT | SENSOR | ANYTHING, max_size=20)


def _packets(sent: list[tuple[str, bytes]]) -> list[Packet]:
    return [
        Packet(
            characteristic=characteristic,
            payload=payload,
            received_at=START + timedelta(seconds=index),
            monotonic=float(index),
        )
        for index, (characteristic, payload) in enumerate(sent)
    ]


@settings(max_examples=150)
@given(sent=SESSIONS, ended=st.booleans())
def test_every_packet_ends_in_exactly_one_place(sent: list[tuple[str, bytes]], ended: bool) -> None:
    session = readings_of(_packets(sent), ended=ended)

    in_readings = {index for reading in session.readings for index in reading.packets}
    elsewhere = [entry.packet for entry in session.quarantine] + list(session.pending) + list(session.transport)
    assert sorted([*in_readings, *elsewhere]) == list(range(len(sent)))
    assert not (ended and session.pending)


@settings(max_examples=100)
@given(sent=SESSIONS)
def test_reading_history_again_gives_the_same(sent: list[tuple[str, bytes]]) -> None:
    packets = _packets(sent)
    first, second = readings_of(packets), readings_of(packets)

    assert first.readings == second.readings
    assert [str(entry.error) for entry in first.quarantine] == [str(entry.error) for entry in second.quarantine]


@settings(max_examples=100)
@given(sent=SESSIONS)
def test_the_octets_of_every_reading_are_those_of_its_packets(sent: list[tuple[str, bytes]]) -> None:
    packets = _packets(sent)

    for reading in readings_of(packets).readings:
        for characteristic, raw in reading.raws.items():
            sources = [
                packets[index].payload for index in reading.packets if packets[index].characteristic == characteristic
            ]
            assert any(raw in source for source in sources)


@settings(max_examples=150)
@given(sent=SESSIONS)
def test_a_session_says_the_same_at_its_end_as_piece_by_piece(sent: list[tuple[str, bytes]]) -> None:
    """A reading that is handed out while the session runs is the reading at the end, but for a late context."""
    packets = _packets(sent)
    final = {tuple(sorted(reading.raws.items())) for reading in readings_of(packets).readings}
    primaries = {entry for raws in final for entry in raws}

    for end in range(len(packets)):
        for reading in readings_of(packets[:end], ended=False).readings:
            assert set(reading.raws.items()) <= primaries


RESUME: Final = st.none() | st.builds(
    lambda number: ResumePoint(sequence_number=number, digest="x"), st.integers(0, 65535)
)
ANSWERS: Final = st.sampled_from(
    [bytes((6, 0, asked, code)) for asked in (1, 3, 4) for code in range(1, 11)]
    + [bytes((5, 0, count, 0)) for count in (0, 1, 7)]
)
EVENTS: Final = st.lists(
    st.tuples(st.just("answer"), ANSWERS)
    | st.tuples(st.just("record"), st.binary(min_size=2, max_size=2))
    | st.tuples(st.just("silence"), st.just(b""))
    | st.tuples(st.just("refused"), st.sampled_from([b"\x80", b"\xfe", b"\x03"])),
    max_size=60,
)


@settings(max_examples=300)
@given(resume=RESUME, whole=st.booleans(), events=EVENTS)
def test_no_dialogue_deletes_or_asks_without_end(
    resume: ResumePoint | None, whole: bool, events: list[tuple[str, bytes]]
) -> None:
    records = StoredRecords(resume, whole_memory=whole)
    requests = [records.begin().payload]

    for name, octets in events:
        if name == "record":
            records.on_record(int.from_bytes(octets, "little"), octets)
            continue
        if name == "answer":
            step = records.on_answer(record_access.decode(octets))
        else:
            step = records.on_silence() if name == "silence" else records.on_refused(octets[0])
        if isinstance(step, Finished):
            break
        if isinstance(step, Request):
            requests.append(step.payload)

    assert all(payload[0] in (1, 3, 4) for payload in requests)
    # Two counts, two reports from a number, two checks, two whole reads and two aborts are the most there can be.
    assert len(requests) <= 12


@settings(max_examples=150)
@given(numbers=st.lists(st.integers(0, 300), max_size=30))
def test_a_safe_resume_point_never_skips_what_an_ascending_memory_still_holds(numbers: list[int]) -> None:
    """Cut anywhere: every number up to the resume point that the meter sends at all was sent before the cut."""
    memory = sorted(set(numbers))
    progress = Progress()
    for position, number in enumerate(memory, start=1):
        progress.on_measurement(number, _measurement(number, announces=False, value=90))
        safe = progress.safe()
        if safe is not None:
            assert [kept for kept in memory if kept <= safe.sequence_number] == memory[:position]


@settings(max_examples=150)
@given(numbers=st.lists(st.integers(0, 65535), min_size=2, max_size=30, unique=True))
def test_without_order_there_is_no_safe_point(numbers: list[int]) -> None:
    descending = sorted(numbers, reverse=True)
    if any((before - after) >= 32768 for before, after in pairwise(descending)):
        return  # so far apart that the numbers may have wrapped
    progress = Progress()

    for number in descending:
        progress.on_measurement(number, _measurement(number, announces=False, value=90))

        assert progress.safe() is None
