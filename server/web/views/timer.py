"""The visible timer and the proposal it makes when it stops. Pure.

Input: timer values and `now`. Output: texts, and seconds the script counts on from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from server.care.activity import ACTIVITIES, BY_CODE, COUNTERPARTS, PROGRAMS, Talk
from server.care.time_log import CALL, Piece, Timer, counted_seconds, settle, stretches
from server.db.time_entries import Entry, TimerRow
from server.web.formatting import exact, iso, local_date, local_time_seconds, local_when, stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerView:
    """The timer of one patient. `exists` false: nothing is being counted."""

    patient_id: str
    exists: bool
    running: bool
    on_call: bool
    program: str
    program_label: str
    activity_label: str
    seconds: int
    clock: str
    programs: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchView:
    """One stretch of a proposal; times at the practice's wall clock."""

    index: int
    start: str
    end: str
    start_label: str
    end_label: str
    length: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentView:
    """Stretches of the same program and activity: they share one set of answers."""

    index: int
    program: str
    activity: str
    live: bool
    with_whom: str
    total: str
    stretches: tuple[StretchView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalView:
    """What would be logged. Nothing is rounded."""

    patient_id: str
    patient: str
    on_date: str
    total: str
    alert_id: str
    note: str
    contents: tuple[ContentView, ...]
    programs: tuple[tuple[str, str], ...]
    activities: tuple[tuple[str, str], ...]
    counterparts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayView:
    """One person's day: confirmed entries and what still waits."""

    waiting: tuple[tuple[str, str, str], ...]
    entries: tuple[tuple[str, str, str, str, str], ...]
    total: str


def timer_view(timer: Timer | None, *, patient_id: str, programs: Sequence[str], now: datetime) -> TimerView:
    settled = None if timer is None else settle(timer, now)
    program = settled.program if settled else ""
    seconds = counted_seconds(settled, now) if settled else 0
    return TimerView(
        patient_id=patient_id,
        exists=settled is not None,
        running=settled is not None and settled.running,
        on_call=settled is not None and settled.activity == CALL,
        program=program,
        program_label=PROGRAMS.get(program, program.upper()),
        activity_label=BY_CODE[settled.activity].label if settled else "",
        seconds=seconds,
        clock=stopwatch(seconds),
        programs=tuple((code, PROGRAMS[code], code == program) for code in programs),
    )


def contents_of(pieces: Sequence[Piece]) -> list[tuple[str, str, list[Piece]]]:
    """Stretches grouped by (program, activity), in the order they first appear."""
    groups: dict[tuple[str, str], list[Piece]] = {}
    for piece in pieces:
        groups.setdefault((piece.program, piece.activity), []).append(piece)
    return [(program, activity, own) for (program, activity), own in groups.items()]


def proposal_view(
    row: TimerRow, *, programs: Sequence[str], zone: ZoneInfo, now: datetime, note: str | None = None
) -> ProposalView:
    pieces = stretches(row.timer, now)
    return ProposalView(
        patient_id=row.timer.patient_id,
        patient=row.patient_name,
        on_date=local_date(row.timer.started_at, zone),
        total=exact(sum(piece.seconds for piece in pieces)),
        alert_id=row.timer.alert_id or "",
        note=row.draft.get("note") or row.draft.get("sent", "") if note is None else note,
        contents=tuple(
            ContentView(
                index=index,
                program=program,
                activity=activity,
                live=BY_CODE[activity].talk is Talk.ALWAYS,
                with_whom="patient" if BY_CODE[activity].talk is Talk.ALWAYS else "",
                total=exact(sum(piece.seconds for piece in own)),
                stretches=tuple(
                    StretchView(
                        index=number,
                        start=iso(piece.start),
                        end=iso(piece.end),
                        start_label=local_time_seconds(piece.start, zone),
                        end_label=local_time_seconds(piece.end, zone),
                        length=exact(piece.seconds),
                    )
                    for number, piece in enumerate(own)
                ),
            )
            for index, (program, activity, own) in enumerate(contents_of(pieces))
        ),
        programs=tuple((code, PROGRAMS[code]) for code in programs),
        activities=tuple((activity.code, activity.label) for activity in ACTIVITIES),
        counterparts=tuple(COUNTERPARTS.items()),
    )


def day_view(rows: Sequence[TimerRow], entries: Sequence[Entry], *, zone: ZoneInfo, now: datetime) -> DayView:
    return DayView(
        waiting=tuple((row.timer.patient_id, row.patient_name, exact(counted_seconds(row.timer, now))) for row in rows),
        entries=tuple(
            (
                local_when(entry.started_at, zone, now),
                entry.patient_name,
                BY_CODE[entry.activity].label,
                (entry.program or "not allocated").upper(),
                exact(int((entry.ended_at - entry.started_at).total_seconds())),
            )
            for entry in entries
        ),
        total=exact(sum(int((entry.ended_at - entry.started_at).total_seconds()) for entry in entries)),
    )
