"""The days of a fleet: seeded, in order of leaving, with peaks in each home's own zone and a power-back burst."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.contract import MAX_PAYLOAD_BYTES, decode_reading, encode, encode_batch
from server.ingest.accept import check
from simulators.fleet import FleetResult, batches
from simulators.fleet_pattern import (
    Act,
    FleetDevice,
    FleetError,
    FleetHome,
    Pattern,
    acts,
    digest,
    habits_of,
    ledger_line,
    read_homes,
)

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
NOON = BEGIN + timedelta(hours=12)


def homes(count: int) -> tuple[FleetHome, ...]:
    return tuple(
        FleetHome(
            gateway=f"gw-{number:010d}",
            username="u",
            password="p",
            devices=(
                FleetDevice(id=f"bp-{number}", kind="blood-pressure"),
                FleetDevice(id=f"gl-{number}", kind="glucose"),
            ),
        )
        for number in range(count)
    )


def pattern(*, seed: int = 1, offline_share: float = 0.0, offline_days: float = 10.0) -> Pattern:
    return Pattern(seed=seed, begin=BEGIN, power_back=NOON, offline_share=offline_share, offline_days=offline_days)


def until(end: datetime, fleet: tuple[FleetHome, ...], lived: Pattern) -> list[Act]:
    return list(itertools.takewhile(lambda act: act.leaves_at < end, acts(fleet, lived)))


def test_the_same_seed_gives_the_same_readings_and_another_seed_others() -> None:
    end = BEGIN + timedelta(days=2)

    first, again = until(end, homes(5), pattern()), until(end, homes(5), pattern())
    other = until(end, homes(5), pattern(seed=2))

    assert first == again
    assert not {act.reading.message_id for act in first} & {act.reading.message_id for act in other}


def test_a_home_lives_the_same_days_whoever_lives_beside_it() -> None:
    end = BEGIN + timedelta(days=3)

    alone = until(end, homes(1), pattern())
    among = [act for act in until(end, homes(20), pattern()) if act.gateway == homes(1)[0].gateway]

    assert alone
    assert alone == among


def test_readings_leave_in_order_and_every_identity_is_its_own() -> None:
    lived = until(BEGIN + timedelta(days=7), homes(50), pattern(offline_share=0.3))

    assert [act.leaves_at for act in lived] == sorted(act.leaves_at for act in lived)
    assert len({act.reading.message_id for act in lived}) == len(lived)


def test_homes_measure_in_the_morning_and_evening_of_their_own_zone() -> None:
    """Usual hours are 7:30 and 18:45; habit and day spread them by 0.85 h: 5-10 and 16-21:30 is three sigma."""
    fleet = homes(200)
    zone = {home.gateway: habits_of(home, pattern()).zone for home in fleet}
    hours = Counter(
        act.reading.measured_at.astimezone(zone[act.gateway]).hour
        for act in until(BEGIN + timedelta(days=10), fleet, pattern())
    )

    morning, evening = sum(hours[hour] for hour in range(5, 10)), sum(hours[hour] for hour in range(16, 22))
    assert morning + evening > 0.98 * hours.total()
    assert max(hours, key=lambda hour: hours[hour]) == 7
    # The evening is kept three times for every four mornings.
    assert evening / morning == pytest.approx(0.75, abs=0.05)
    assert len(set(zone.values())) == 4


def test_daylight_saving_moves_the_utc_hour_and_not_the_local_one() -> None:
    """2026-03-08 is the change in New York: 7:30 is 12:30 UTC before it and 11:30 UTC after it."""
    fleet = tuple(home for home in homes(100) if habits_of(home, pattern()).zone == ZoneInfo("America/New_York"))
    mornings: dict[bool, list[float]] = {False: [], True: []}
    for act in until(BEGIN + timedelta(days=12), fleet, pattern()):
        measured = act.reading.measured_at
        if 9 <= measured.hour < 16:
            mornings[measured >= datetime(2026, 3, 8, 7, tzinfo=UTC)].append(measured.hour + measured.minute / 60)

    before, after = (sum(hours) / len(hours) for hours in (mornings[False], mornings[True]))
    assert before - after == pytest.approx(1.0, abs=0.1)


def test_adherence_differs_between_homes_and_is_four_fifths_in_the_middle() -> None:
    """A Beta(8, 2) has its mean at 0.8."""
    adherences = [habits_of(home, pattern()).adherence for home in homes(1000)]

    assert sum(adherences) / len(adherences) == pytest.approx(0.8, abs=0.02)
    assert max(adherences) - min(adherences) > 0.4


def test_homes_without_power_bring_their_days_as_stored_readings_when_it_is_back() -> None:
    fleet = homes(100)
    lived = until(BEGIN + timedelta(days=2), fleet, pattern(offline_share=0.2))
    dark = {home.gateway for home in fleet if habits_of(home, pattern(offline_share=0.2)).loses_power}
    stored = [act for act in lived if act.reading.memory == "stored"]

    assert 10 <= len(dark) <= 30
    assert {act.gateway for act in stored} == dark
    assert all(NOON <= act.leaves_at <= NOON + timedelta(seconds=30) for act in stored)
    assert all(NOON - timedelta(days=10) <= act.reading.measured_at < NOON for act in stored)
    assert min(act.leaves_at for act in lived if act.gateway in dark) >= NOON
    # Ten days of two devices, mornings and evenings: 10 * 2 * 0.8 * (1 + 0.75) = 28 readings a home.
    assert len(stored) / len(dark) == pytest.approx(28, rel=0.15)
    # After it they live on like everybody else.
    assert {act.gateway for act in lived if act.reading.memory == "live"} >= dark


def test_nothing_was_measured_before_its_time() -> None:
    lived = until(BEGIN + timedelta(days=1), homes(30), pattern())

    assert min(act.reading.measured_at for act in lived) >= BEGIN
    assert {act.reading.memory for act in lived} == {"live"}


def test_the_server_accepts_every_kind_of_reading() -> None:
    lived = until(BEGIN + timedelta(days=1), homes(10), pattern(offline_share=0.5))

    assert {act.reading.kind for act in lived} == {"blood-pressure", "glucose"}
    assert {check(decode_reading(encode(act.reading))) for act in lived} == {"accepted"}


def test_a_ledger_line_says_what_the_database_must_hold() -> None:
    act = next(acts(homes(1), pattern()))
    line = ledger_line(act)

    assert set(line) == {"message_id", "gateway", "device", "measured_at", "digest"}
    assert line["message_id"] == str(act.reading.message_id)
    assert datetime.fromisoformat(line["measured_at"]) == act.reading.measured_at


def test_a_digest_is_of_values_and_not_of_their_spelling() -> None:
    new_york = ZoneInfo("America/New_York")
    one = digest("bp-1", "blood-pressure", NOON, [("systolic", "130", "mm[Hg]"), ("diastolic", "80", "mm[Hg]")])

    assert one == digest(
        "bp-1",
        "blood-pressure",
        NOON.astimezone(new_york),
        [("diastolic", "80.0", "mm[Hg]"), ("systolic", "130", "mm[Hg]")],
    )
    assert one != digest("bp-1", "blood-pressure", NOON, [("systolic", "131", "mm[Hg]"), ("diastolic", "80", "mm[Hg]")])
    assert one != digest("bp-2", "blood-pressure", NOON, [("systolic", "130", "mm[Hg]"), ("diastolic", "80", "mm[Hg]")])


IDENTITY = {
    "gateway": "gw-0123456789",
    "username": "gw-0123456789",
    "password": "secret",
    "devices": [{"id": "bp-1", "kind": "blood-pressure", "patient": "pt-1"}],
}


def test_identities_of_provision_are_read() -> None:
    [home] = read_homes([IDENTITY, IDENTITY], most=1)

    assert (home.gateway, home.devices) == (
        "gw-0123456789",
        (FleetDevice(id="bp-1", kind="blood-pressure"),),
    )


@pytest.mark.parametrize(
    ("identities", "most", "said"),
    [
        ([], None, "at least one gateway"),
        ({}, None, "JSON list"),
        ([IDENTITY], 2, "provision more"),
        ([{"gateway": "gw-0123456789"}], None, "entry 0 lacks"),
        ([{**IDENTITY, "devices": []}], None, "has a device"),
        ([{**IDENTITY, "devices": [{"id": "x", "kind": "weight"}]}], None, "'weight'"),
    ],
)
def test_wrong_identities_are_refused_with_what_to_do(identities: object, most: int | None, said: str) -> None:
    with pytest.raises(FleetError, match=said):
        read_homes(identities, most)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (99, [99]), (100, [100]), (101, [100, 1]), (200, [100, 100]), (201, [100, 100, 1])]
)
def test_batches_hold_at_most_a_hundred_readings(count: int, sizes: list[int]) -> None:
    payloads = [str(number).encode() for number in range(count)]

    assert [len(batch) for batch in batches(payloads)] == sizes
    assert [payload for batch in batches(payloads) for payload in batch] == payloads


def test_batches_of_real_readings_fit_into_one_payload_of_the_contract() -> None:
    lived = until(BEGIN + timedelta(days=30), homes(2), pattern())

    made = [encode_batch(batch) for batch in batches([encode(act.reading) for act in lived])]

    assert len(made) > 1
    assert max(map(len, made)) <= MAX_PAYLOAD_BYTES


def test_delays_are_told_to_two_per_cent() -> None:
    """A hundred delays of 1 to 100 ms: half are at most 50 ms, 99 at most 99 ms."""
    result = FleetResult(gateways=1)
    for milliseconds in range(1, 101):
        result.note_delay(milliseconds / 1000)

    assert result.delay_ms(0.5) == pytest.approx(50, rel=0.02)
    assert result.delay_ms(0.99) == pytest.approx(99, rel=0.02)
