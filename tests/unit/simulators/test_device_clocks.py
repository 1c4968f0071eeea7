"""Wrong clocks: offset, drift, settings, and the two clocks of a glucose meter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from simulators.clock import DeviceClock, GlucoseClock, SimulatedClock

NOON = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)


def shown(*parts: int) -> datetime:
    return datetime(*parts)  # noqa: DTZ001 - device clocks have no zone


def test_simulated_time_never_runs_backwards() -> None:
    clock = SimulatedClock(NOON)
    clock.advance_to(NOON + timedelta(hours=1))

    assert clock.now() == NOON + timedelta(hours=1)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance_to(NOON)


def test_device_clock_shows_its_offset() -> None:
    clock = DeviceClock(anchor=NOON, offset=timedelta(hours=-4))

    assert clock.read(NOON) == shown(2026, 10, 1, 8, 0)


def test_device_clock_drifts() -> None:
    clock = DeviceClock(anchor=NOON, drift_ppm=100)  # 100 microseconds a second: 8.64 s a day

    assert clock.read(NOON + timedelta(days=1)) == shown(2026, 10, 2, 12, 0, 8, 640_000)


def test_setting_a_clock_ends_its_error_and_keeps_its_drift() -> None:
    clock = DeviceClock(anchor=NOON, offset=timedelta(hours=26), drift_ppm=100)
    later = NOON + timedelta(days=10)

    clock = clock.set(shown(2026, 10, 11, 8, 0), later)

    assert clock.read(later) == shown(2026, 10, 11, 8, 0)
    assert clock.read(later + timedelta(days=1)) == shown(2026, 10, 12, 8, 0, 8, 640_000)


def test_meter_keeps_its_base_time_when_the_user_sets_the_clock() -> None:
    clock = GlucoseClock(base=DeviceClock(anchor=NOON))

    clock = clock.set(shown(2026, 10, 1, 13, 0), NOON)

    assert clock.offset_minutes == 60
    assert clock.base.read(NOON) == shown(2026, 10, 1, 12, 0)
    assert clock.read(NOON) == shown(2026, 10, 1, 13, 0)


def test_meter_puts_odd_seconds_into_the_base_time() -> None:
    clock = GlucoseClock(base=DeviceClock(anchor=NOON)).set(shown(2026, 10, 1, 11, 59, 50), NOON)

    assert clock.offset_minutes == 0
    assert clock.base.read(NOON) == shown(2026, 10, 1, 11, 59, 50)


@pytest.mark.parametrize(("minutes", "offset"), [(32_765, 32_765), (32_766, 32_766), (32_767, 0)])
def test_a_change_beyond_the_offset_starts_a_new_base_time(minutes: int, offset: int) -> None:
    wanted = shown(2026, 10, 1, 12, 0) + timedelta(minutes=minutes)

    clock = GlucoseClock(base=DeviceClock(anchor=NOON)).set(wanted, NOON)

    assert clock.offset_minutes == offset
    assert clock.read(NOON) == wanted
