"""Whom to connect to and when: cuffs first, a few attempts a window, rest after work."""

from __future__ import annotations

import pytest

from device_drivers.driver import Urgency
from gateway.schedule import (
    ATTEMPTS,
    Remedy,
    Window,
    after_failure,
    after_success,
    choose,
    heard,
    is_ready,
)


def window(device: str = "bp-1", urgency: Urgency = Urgency.CUFF, *, opened: float = 100, last: float = 100) -> Window:
    return Window(device_id=device, urgency=urgency, opened_at=opened, heard_at=last)


@pytest.mark.parametrize(("gap", "same"), [(4.999, True), (5.0, False), (5.001, False)])
def test_five_seconds_of_silence_end_a_window(gap: float, same: bool) -> None:
    before = after_failure(window(), 100, Remedy.RETRY_NOW)

    after = heard(before, device_id="bp-1", urgency=Urgency.CUFF, at=100 + gap)

    assert (after.attempts == 1) is same
    assert (after.opened_at == 100) is same


@pytest.mark.parametrize(("age", "ready"), [(7.999, True), (8.0, True), (8.001, False)])
def test_only_a_device_heard_in_the_last_eight_seconds_is_ready(age: float, ready: bool) -> None:
    assert is_ready(window(), 100 + age) is ready


def test_cuff_goes_before_a_meter_that_was_heard_first() -> None:
    meter = window("gl-1", Urgency.METER, opened=90, last=101)
    scale = window("ws-1", Urgency.BACKGROUND, opened=80, last=101)
    cuff = window("bp-1", Urgency.CUFF, opened=100, last=101)

    assert choose([scale, meter, cuff], 101) == cuff
    assert choose([scale, meter], 101) == meter
    assert choose([], 101) is None


def test_among_cuffs_the_first_one_heard_goes_first_and_a_failing_one_lets_others_pass() -> None:
    early, late = window("bp-1", opened=90, last=101), window("bp-2", opened=95, last=101)

    assert choose([late, early], 101) == early
    assert choose([late, after_failure(early, 101, Remedy.RETRY_NOW)], 101) == late


@pytest.mark.parametrize(("rest", "ready"), [(19.999, False), (20.0, True), (20.001, True)])
def test_meter_that_goes_on_advertising_rests_for_twenty_seconds(rest: float, ready: bool) -> None:
    done = after_success(window(urgency=Urgency.METER), 100, readings=3)
    still_heard = done
    for second in range(1, 21):
        still_heard = heard(still_heard, device_id="gl-1", urgency=Urgency.METER, at=99.5 + second)

    assert is_ready(still_heard, 100 + rest) is ready


@pytest.mark.parametrize(("readings", "at", "ready"), [(1, 101.9, False), (1, 102.0, True), (0, 102.0, False)])
def test_cuff_heard_again_has_measured_again_unless_it_gave_nothing(readings: int, at: float, ready: bool) -> None:
    done = after_success(window(), 100, readings=readings)

    assert is_ready(heard(done, device_id="bp-1", urgency=Urgency.CUFF, at=at), at) is ready


def test_device_that_went_silent_and_came_back_is_ready_at_once() -> None:
    done = after_success(window(urgency=Urgency.METER), 100, readings=3)

    assert is_ready(heard(done, device_id="gl-1", urgency=Urgency.METER, at=106), 106)


def test_attempts_of_a_window_are_limited_and_then_it_rests() -> None:
    current = window()
    for attempt in range(ATTEMPTS):
        assert is_ready(current, 100), attempt
        current = after_failure(current, 100, Remedy.RETRY_NOW)

    assert not is_ready(current, 100)
    assert not is_ready(heard(current, device_id="bp-1", urgency=Urgency.CUFF, at=104), 104)


@pytest.mark.parametrize("remedy", [Remedy.NEXT_ADVERTISEMENT, Remedy.PAIR_AGAIN, Remedy.REFRESH_CACHE])
def test_most_failures_want_a_fresh_advertisement(remedy: Remedy) -> None:
    failed = after_failure(window(), 103, remedy)

    assert not is_ready(failed, 103)
    assert is_ready(heard(failed, device_id="bp-1", urgency=Urgency.CUFF, at=103.1), 103.1)


def test_giving_up_rests() -> None:
    failed = after_failure(window(), 100, Remedy.GIVE_UP)

    assert not is_ready(heard(failed, device_id="bp-1", urgency=Urgency.CUFF, at=104), 104)
