"""Device clock to UTC. Expected values worked out by hand; the home is in New York (UTC-5, from 8 March 2026 UTC-4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from device_drivers.measurement import TimeQuality
from gateway.clock import ClockReading, EffectiveTime, is_trusted, resolve_effective_time

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def naive(text: str) -> datetime:
    return datetime.fromisoformat(text)


def pair(gateway_at: str, device_time: str | None) -> ClockReading:
    return ClockReading(
        gateway_at=utc(gateway_at),
        device_time=None if device_time is None else naive(device_time),
        characteristic="2A08",
    )


def resolve(device_time: str | None, received_at: str, *clocks: ClockReading, newest: bool = True) -> EffectiveTime:
    return resolve_effective_time(
        None if device_time is None else naive(device_time),
        received_at=utc(received_at),
        home=NEW_YORK,
        clock_readings=clocks,
        newest=newest,
    )


def test_contract_example_seven_seconds_slow_clock_is_corrected() -> None:
    result = resolve("2026-03-02T07:00:00", "2026-03-02T12:00:09", pair("2026-03-02T12:00:10", "2026-03-02T07:00:03"))

    assert result == EffectiveTime(
        measured_at=utc("2026-03-02T12:00:07"),
        clock_offset_seconds=Decimal(7),
        quality=TimeQuality.CORRECTED,
        memory="live",
    )


@pytest.mark.parametrize(
    ("device_clock", "offset", "quality", "measured_at"),
    [
        ("2026-03-02T07:00:06", "4", TimeQuality.SYNCHRONISED, "2026-03-02T12:00:00"),
        ("2026-03-02T07:00:05", "5", TimeQuality.CORRECTED, "2026-03-02T12:00:05"),
        ("2026-03-02T07:00:04", "6", TimeQuality.CORRECTED, "2026-03-02T12:00:06"),
        ("2026-03-02T07:00:14", "-4", TimeQuality.SYNCHRONISED, "2026-03-02T12:00:00"),
        ("2026-03-02T07:00:15", "-5", TimeQuality.CORRECTED, "2026-03-02T11:59:55"),
    ],
)
def test_synchronised_ends_at_five_seconds(
    device_clock: str, offset: str, quality: TimeQuality, measured_at: str
) -> None:
    result = resolve("2026-03-02T07:00:00", "2026-03-02T12:00:09", pair("2026-03-02T12:00:10", device_clock))

    assert (result.quality, result.clock_offset_seconds, result.measured_at) == (
        quality,
        Decimal(offset),
        utc(measured_at),
    )


@pytest.mark.parametrize(
    ("device_clock", "measured_at"),
    [
        # 29:59 slow on 10 March (UTC-4): home time with drift; the reading of 7 March (UTC-5) is 08:00 + 29:59 EST
        ("2026-03-10T07:30:01", "2026-03-07T13:29:59"),
        # 30:00 and 30:01 slow: the clock runs by itself; 71 h 30 min before 12:00:00Z (and one second)
        ("2026-03-10T07:30:00", "2026-03-07T12:30:00"),
        ("2026-03-10T07:29:59", "2026-03-07T12:30:01"),
    ],
)
def test_home_time_ends_at_thirty_minutes(device_clock: str, measured_at: str) -> None:
    result = resolve("2026-03-07T08:00:00", "2026-03-10T12:00:00", pair("2026-03-10T12:00:00", device_clock))

    assert (result.quality, result.measured_at) == (TimeQuality.CORRECTED, utc(measured_at))


def test_clock_nobody_changed_in_spring_runs_by_itself() -> None:
    # one hour behind since 8 March, right before: both readings were taken at the true time
    clock = pair("2026-03-10T12:00:00", "2026-03-10T07:00:00")

    before = resolve("2026-03-07T07:00:00", "2026-03-10T12:00:00", clock)
    after = resolve("2026-03-09T07:00:00", "2026-03-10T12:00:00", clock)

    assert before.measured_at == utc("2026-03-07T12:00:00")
    assert after.measured_at == utc("2026-03-09T12:00:00")
    assert before.clock_offset_seconds == Decimal(3600)


def test_clock_that_was_changed_in_spring_keeps_home_time() -> None:
    clock = pair("2026-03-10T12:00:00", "2026-03-10T08:00:00")

    assert resolve("2026-03-07T07:00:00", "2026-03-10T12:00:00", clock).measured_at == utc("2026-03-07T12:00:00")
    assert resolve("2026-03-09T08:00:00", "2026-03-10T12:00:00", clock).measured_at == utc("2026-03-09T12:00:00")


@pytest.mark.parametrize(
    ("received_at", "measured_at"),
    [("2026-11-01T05:31:00", "2026-11-01T05:30:00"), ("2026-11-01T06:31:00", "2026-11-01T06:30:00")],
)
def test_hour_that_comes_twice_in_autumn_follows_the_receive_time(received_at: str, measured_at: str) -> None:
    assert resolve("2026-11-01T01:30:00", received_at).measured_at == utc(measured_at)


@pytest.mark.parametrize(
    ("device_clock", "gateway_at", "measured_at"),
    [
        # the pair, taken in the first 01:45, says that 01:30 was the first one
        ("2026-11-01T01:45:00", "2026-11-01T05:45:00", "2026-11-01T05:30:00"),
        ("2026-11-01T01:45:00", "2026-11-01T06:45:00", "2026-11-01T06:30:00"),
    ],
)
def test_hour_that_comes_twice_follows_the_clock_pair(device_clock: str, gateway_at: str, measured_at: str) -> None:
    result = resolve("2026-11-01T01:30:00", gateway_at, pair(gateway_at, device_clock))

    assert (result.measured_at, result.quality) == (utc(measured_at), TimeQuality.SYNCHRONISED)


def test_hour_that_spring_leaves_out_is_an_unchanged_clock() -> None:
    assert resolve("2026-03-08T02:30:00", "2026-03-08T07:31:00").measured_at == utc("2026-03-08T07:30:00")


@pytest.mark.parametrize("reset_to", ["1970-01-01T00:10:00", "2000-01-01T00:10:00", "2010-01-01T00:10:00"])
def test_reset_clock_read_in_the_same_session_is_corrected(reset_to: str) -> None:
    reading_at = naive(reset_to) - timedelta(minutes=5)

    result = resolve(reading_at.isoformat(), "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", reset_to))

    assert (result.measured_at, result.quality) == (utc("2026-03-02T11:55:00"), TimeQuality.CORRECTED)


def test_reading_before_the_reset_keeps_its_own_time_with_unknown_quality() -> None:
    result = resolve("2026-03-01T07:00:00", "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", "2000-01-01T00:10:00"))

    assert (result.measured_at, result.quality) == (utc("2026-03-01T12:00:00"), TimeQuality.UNKNOWN)
    assert result.memory == "stored"


def test_reset_reading_after_the_clock_was_set_falls_back_to_the_receive_time() -> None:
    result = resolve("2000-01-01T00:05:00", "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", "2026-03-02T07:00:00"))

    assert (result.measured_at, result.quality) == (utc("2026-03-02T12:00:00"), TimeQuality.RECEIVED_AT)


@pytest.mark.parametrize(("newest", "memory"), [(True, "live"), (False, "stored")])
def test_without_a_device_time_the_receive_time_counts(newest: bool, memory: str) -> None:
    result = resolve(None, "2026-03-02T12:00:00", newest=newest)

    assert result == EffectiveTime(
        measured_at=utc("2026-03-02T12:00:00"),
        clock_offset_seconds=None,
        quality=TimeQuality.RECEIVED_AT,
        memory=memory,  # type: ignore[arg-type]
    )


def test_offset_is_kept_even_when_the_reading_has_no_time() -> None:
    result = resolve(None, "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", "2026-03-02T06:59:00"))

    assert (result.clock_offset_seconds, result.quality) == (Decimal(60), TimeQuality.RECEIVED_AT)


def test_device_that_does_not_know_its_time_gives_no_pair() -> None:
    result = resolve("2026-03-02T07:00:00", "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", None))

    assert (result.clock_offset_seconds, result.quality) == (None, TimeQuality.UNKNOWN)


def test_first_clock_reading_counts_because_later_ones_may_follow_a_setting() -> None:
    result = resolve(
        "2026-03-02T06:00:00",
        "2026-03-02T12:00:00",
        pair("2026-03-02T12:00:00", "2026-03-02T06:00:00"),
        pair("2026-03-02T12:00:01", "2026-03-02T07:00:01"),
    )

    assert (result.measured_at, result.clock_offset_seconds) == (utc("2026-03-02T12:00:00"), Decimal(3600))


@pytest.mark.parametrize(
    ("device_time", "quality"),
    [
        ("2026-03-02T07:01:59", TimeQuality.UNKNOWN),
        ("2026-03-02T07:02:00", TimeQuality.UNKNOWN),
        ("2026-03-02T07:02:01", TimeQuality.RECEIVED_AT),
    ],
)
def test_two_minutes_into_the_future_is_the_end(device_time: str, quality: TimeQuality) -> None:
    assert resolve(device_time, "2026-03-02T12:00:00").quality is quality


@pytest.mark.parametrize(
    ("device_time", "quality"),
    [
        ("2024-03-02T07:00:01", TimeQuality.UNKNOWN),
        ("2024-03-02T07:00:00", TimeQuality.UNKNOWN),
        ("2024-03-02T06:59:59", TimeQuality.RECEIVED_AT),
    ],
)
def test_seven_hundred_and_thirty_days_is_the_oldest_memory(device_time: str, quality: TimeQuality) -> None:
    assert resolve(device_time, "2026-03-02T12:00:00").quality is quality


@pytest.mark.parametrize(
    ("device_time", "memory"),
    [("2026-03-02T06:50:01", "live"), ("2026-03-02T06:50:00", "live"), ("2026-03-02T06:49:59", "stored")],
)
def test_ten_minutes_part_live_from_stored(device_time: str, memory: str) -> None:
    result = resolve(device_time, "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", "2026-03-02T07:00:00"))

    assert result.memory == memory


@pytest.mark.parametrize("device_time", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_ends_of_the_calendar_fall_back_to_the_receive_time(device_time: str) -> None:
    far = resolve(device_time, "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", device_time))
    near = resolve(device_time, "2026-03-02T12:00:00", pair("2026-03-02T12:00:00", "2026-03-02T07:00:00"))

    assert near.quality is TimeQuality.RECEIVED_AT
    assert far.measured_at == utc("2026-03-02T12:00:00")  # nonsense, but coincident: the pair still corrects it


@pytest.mark.parametrize(
    ("now", "trusted"), [("2023-12-31T23:59:59", False), ("2024-01-01T00:00:00", True), ("2024-01-01T00:00:01", True)]
)
def test_box_without_network_time_does_not_trust_itself(now: str, trusted: bool) -> None:
    assert is_trusted(utc(now)) is trusted
