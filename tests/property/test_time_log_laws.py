"""Laws of counted time: whatever happens in whatever order, no second is counted twice or without evidence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.care import time_log
from server.care.time_log import Timer

T0 = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
_STEP = st.tuples(
    st.sampled_from(["touch", "pause", "resume", "call", "review", "ccm", "rpm"]),
    st.integers(min_value=0, max_value=400),
    st.integers(min_value=0, max_value=400),
)


def _apply(timer: Timer, what: str, now: datetime, idle: int) -> Timer:
    match what:
        case "touch":
            return time_log.touch(timer, now=now, idle=timedelta(seconds=idle))
        case "pause":
            return time_log.pause(timer, now)
        case "resume":
            return time_log.resume(timer, now)
        case "call":
            return time_log.turn_to(timer, now=now, activity="live-call")
        case "review":
            return time_log.turn_to(timer, now=now, activity="data-review")
        case program:
            return time_log.turn_to(timer, now=now, program=program)


@given(st.lists(_STEP, max_size=30))
def test_stretches_never_overlap_and_stay_inside_the_elapsed_time(steps: list[tuple[str, int, int]]) -> None:
    timer = time_log.begin(patient_id="p", program="rpm", activity="data-review", alert_id=None, now=T0)
    now = T0
    for what, wait, idle in steps:
        now += timedelta(seconds=wait)
        timer = _apply(timer, what, now, idle)

    pieces = time_log.stretches(timer, now)

    assert all(piece.end > piece.start for piece in pieces)
    assert all(before.end <= after.start for before, after in pairwise(pieces))
    assert sum(piece.seconds for piece in pieces) <= (now - T0).total_seconds()
    assert not pieces or (pieces[0].start >= T0 and pieces[-1].end <= now)


@given(st.lists(_STEP, max_size=20), st.integers(min_value=0, max_value=100_000))
def test_settling_late_or_twice_changes_nothing(steps: list[tuple[str, int, int]], later: int) -> None:
    timer = time_log.begin(patient_id="p", program="rpm", activity="data-review", alert_id=None, now=T0)
    now = T0
    for what, wait, idle in steps:
        now += timedelta(seconds=wait)
        timer = _apply(timer, what, now, idle)
    once = time_log.settle(timer, now + timedelta(seconds=later))

    assert time_log.settle(once, now + timedelta(seconds=later)) == once
