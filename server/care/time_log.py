"""Time without a stopwatch: what a timer row means, and which stretches of work it proposes.

Input: a timer value, the server's `now`, and how long ago the last input was. Output: the next timer value, stretches
to the second. Pure; nothing is rounded. Every second belongs to one patient, one program and one activity, because one
person's only running timer is the only thing that grows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

# Shorter would cut somebody who reads a chart; longer would count a walk to the coffee machine. Time is cut back to the
# last input, so that no second stands without evidence.
IDLE_CUTOFF: Final = timedelta(minutes=2)
# On the telephone nobody touches the keyboard. A call that is never ended stops counting after this long.
CALL_CUTOFF: Final = timedelta(minutes=45)
CALL: Final = "live-call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One unbroken stretch, half-open [start, end), whole seconds."""

    start: datetime
    end: datetime
    program: str
    activity: str

    @property
    def seconds(self) -> int:
        return int((self.end - self.start).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """One person's work on one patient that is not confirmed yet. `running_since` is None while it pauses."""

    patient_id: str
    program: str
    activity: str
    alert_id: str | None
    started_at: datetime
    running_since: datetime | None
    last_input_at: datetime
    pieces: tuple[Piece, ...] = ()

    @property
    def running(self) -> bool:
        return self.running_since is not None


def begin(*, patient_id: str, program: str, activity: str, alert_id: str | None, now: datetime) -> Timer:
    """A new timer that runs from now."""
    now = _whole(now)
    return Timer(
        patient_id=patient_id,
        program=program,
        activity=activity,
        alert_id=alert_id,
        started_at=now,
        running_since=now,
        last_input_at=now,
    )


def settle(timer: Timer, now: datetime) -> Timer:
    """Apply what the passing of time does: after the cut-off without input the timer has been pausing since then.
    Idempotent, so it may run late: after a crash, a closed lid, a lost connection."""
    cutoff = CALL_CUTOFF if timer.activity == CALL else IDLE_CUTOFF
    if timer.running_since is None or now - timer.last_input_at <= cutoff:
        return timer
    return _stop(timer, timer.last_input_at)


def touch(timer: Timer, *, now: datetime, idle: timedelta) -> Timer:
    """The page is seen and had its last input `idle` ago. Resumes a paused timer from that input on, never earlier."""
    now = _whole(now)
    timer = settle(timer, now)
    input_at = _whole(max(now - max(idle, timedelta(0)), timer.last_input_at))
    if input_at == timer.last_input_at and not timer.running:
        return timer
    return replace(timer, running_since=timer.running_since or input_at, last_input_at=input_at)


def pause(timer: Timer, now: datetime) -> Timer:
    """Stop counting now: tab hidden, another patient opened, the person said so. A pause is itself an input."""
    timer = settle(timer, now)
    return timer if not timer.running else _stop(timer, _whole(now))


def resume(timer: Timer, now: datetime) -> Timer:
    now = _whole(now)
    timer = settle(timer, now)
    return replace(timer, running_since=timer.running_since or now, last_input_at=now)


def turn_to(timer: Timer, *, now: datetime, program: str | None = None, activity: str | None = None) -> Timer:
    """The content of the work changes from now on: a call begins, another program is served. Earlier seconds keep
    theirs."""
    now = _whole(now)
    timer = pause(timer, now)
    turned = replace(timer, program=program or timer.program, activity=activity or timer.activity)
    return resume(turned, now)


def stretches(timer: Timer, now: datetime) -> tuple[Piece, ...]:
    """Everything counted so far, oldest first; touching stretches of the same content are one."""
    merged: list[Piece] = []
    for piece in pause(timer, now).pieces:
        last = merged[-1] if merged else None
        if last and last.end == piece.start and (last.program, last.activity) == (piece.program, piece.activity):
            merged[-1] = replace(last, end=piece.end)
        else:
            merged.append(piece)
    return tuple(merged)


def counted_seconds(timer: Timer, now: datetime) -> int:
    return sum(piece.seconds for piece in stretches(timer, now))


def narrow(piece: Piece, *, start: datetime, end: datetime) -> Piece | None:
    """The part of a stretch a person keeps; None when nothing is left. Time can be cut here, never added: seconds
    without evidence are entered elsewhere, with a reason."""
    kept = replace(piece, start=max(_whole(start), piece.start), end=min(_whole(end), piece.end))
    return kept if kept.end > kept.start else None


def _stop(timer: Timer, at: datetime) -> Timer:
    since = timer.running_since
    pieces = timer.pieces
    if since is not None and at > since:
        pieces = (*pieces, Piece(start=since, end=at, program=timer.program, activity=timer.activity))
    return replace(timer, running_since=None, pieces=pieces, last_input_at=max(at, timer.last_input_at))


def _whole(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
