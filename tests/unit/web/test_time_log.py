"""Timer algebra: every threshold one second under, at, and over; expected seconds counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server.care import time_log
from server.care.time_log import Piece, Timer

T0 = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def running(activity: str = "data-review") -> Timer:
    return time_log.begin(patient_id="pt-1", program="rpm", activity=activity, alert_id=None, now=T0)


def spans(timer: Timer, now: datetime) -> list[tuple[float, float]]:
    return [((p.start - T0).total_seconds(), (p.end - T0).total_seconds()) for p in time_log.stretches(timer, now)]


@pytest.mark.parametrize(("silent", "still_running"), [(119, True), (120, True), (121, False)])
def test_two_minutes_without_input_pause_the_timer(silent: int, still_running: bool) -> None:
    timer = time_log.touch(running(), now=at(60), idle=timedelta(0))

    settled = time_log.settle(timer, at(60 + silent))

    assert settled.running is still_running


def test_paused_time_is_cut_back_to_the_last_input() -> None:
    timer = time_log.touch(running(), now=at(60), idle=timedelta(0))

    assert spans(timer, at(3600)) == [(0, 60)]


@pytest.mark.parametrize(("silent", "counted"), [(2699, 2699), (2700, 2700), (2701, 0)])
def test_a_call_counts_without_input_up_to_forty_five_minutes(silent: int, counted: int) -> None:
    timer = running("live-call")

    assert time_log.counted_seconds(timer, at(silent)) == counted


def test_input_after_a_pause_resumes_from_that_input() -> None:
    timer = time_log.touch(running(), now=at(30), idle=timedelta(0))

    timer = time_log.touch(timer, now=at(615), idle=timedelta(seconds=15))

    assert spans(timer, at(640)) == [(0, 30), (600, 640)]


def test_two_tabs_for_ten_minutes_count_ten_minutes() -> None:
    timer = running()
    for second in range(5, 601, 5):  # both tabs beat every ten seconds, five apart
        timer = time_log.touch(timer, now=at(second), idle=timedelta(seconds=second % 10))

    assert time_log.counted_seconds(timer, at(600)) == 600


def test_old_beat_of_another_tab_takes_nothing_back() -> None:
    timer = time_log.touch(running(), now=at(100), idle=timedelta(0))

    late = time_log.touch(timer, now=at(101), idle=timedelta(seconds=90))

    assert late.last_input_at == at(100)


def test_beat_from_the_future_of_a_tab_is_not_believed() -> None:
    timer = time_log.touch(running(), now=at(10), idle=timedelta(seconds=-500))

    assert timer.last_input_at == at(10)


def test_beat_without_new_input_does_not_resume() -> None:
    timer = time_log.pause(running(), at(20))

    timer = time_log.touch(timer, now=at(40), idle=timedelta(seconds=30))

    assert not timer.running
    assert spans(timer, at(60)) == [(0, 20)]


def test_call_splits_the_work_by_content() -> None:
    timer = time_log.turn_to(running(), now=at(50), activity="live-call")
    timer = time_log.turn_to(timer, now=at(350), activity="documentation")

    pieces = time_log.stretches(timer, at(400))

    assert [(p.activity, p.seconds) for p in pieces] == [("data-review", 50), ("live-call", 300), ("documentation", 50)]


def test_change_of_program_gives_no_second_to_both() -> None:
    timer = time_log.turn_to(running(), now=at(90), program="ccm")

    assert [(p.program, p.seconds) for p in time_log.stretches(timer, at(120))] == [("rpm", 90), ("ccm", 30)]


def test_touching_stretches_of_the_same_content_are_one() -> None:
    timer = time_log.resume(time_log.pause(running(), at(40)), at(40))

    assert spans(timer, at(70)) == [(0, 70)]


def test_fractions_of_seconds_are_never_added() -> None:
    timer = time_log.begin(patient_id="p", program="rpm", activity="data-review", alert_id=None, now=at(0.9))

    assert time_log.counted_seconds(timer, at(10.99)) == 10


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 60, (0, 60)), (-10, 99, (0, 60)), (5, 50, (5, 50)), (60, 70, None), (30, 30, None), (59, 60, (59, 60))],
)
def test_a_stretch_can_be_cut_and_never_grown(start: int, end: int, expected: tuple[int, int] | None) -> None:
    piece = Piece(start=at(0), end=at(60), program="rpm", activity="data-review")

    kept = time_log.narrow(piece, start=at(start), end=at(end))

    assert (None if kept is None else (kept.start, kept.end)) == (
        None if expected is None else (at(expected[0]), at(expected[1]))
    )
