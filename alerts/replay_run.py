"""Replay over a database: both rule sets over the same stored events, beside what was raised.

Input: a DSN, the rule set in force, a changed one, a period. Output: the report's JSON object. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from alerts import tables_replay
from alerts.batch import Rulebook
from alerts.engine import GATEWAY
from alerts.model import Event, GatewayChange, Severity, State
from alerts.replay import Raised, Spells, arrival, first_state, replay, warm_up
from alerts.replay_report import Report
from alerts.rule_set import RuleSet


class UnknownPracticeError(LookupError):
    """No practice has this identifier."""


async def run_replay(
    dsn: str,
    *,
    current: RuleSet,
    changed: RuleSet,
    since: datetime,
    until: datetime,
    practice_id: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Both rule sets over what arrived from `since` to `until`.

    Raises `UnknownPracticeError` or `tables_replay.DatabaseNotReachedError`.
    """
    report = Report(current=current, changed=changed, since=since, until=until)
    books = Rulebook(current), Rulebook(changed)
    earliest = since - warm_up(current, changed)
    async with tables_replay.snapshot(dsn) as conn:
        if practice_id is not None and not await tables_replay.practice_exists(conn, practice_id):
            raise UnknownPracticeError(practice_id)
        total = await tables_replay.count_patients(conn, practice_id=practice_id, until=until)
        done = 0
        async for stored in tables_replay.stored_patients(
            conn, practice_id=practice_id, earliest=earliest, until=until
        ):
            of_current, of_changed = (
                _under(book, stored, earliest=earliest, since=since, until=until) for book in books
            )
            report.add(
                current=of_current,
                changed=of_changed,
                raised=_raised(stored, since=since),
                readings=sum(since <= reading.arrived_at for reading in stored.readings),
            )
            done += 1
            if progress is not None:
                progress(done, total)
    return report.document()


def _under(
    book: Rulebook, stored: tables_replay.Stored, *, earliest: datetime, since: datetime, until: datetime
) -> tuple[Raised, ...]:
    patient = stored.patient
    state = first_state(
        stored.readings, assigned_at=patient.assigned_at, recorded_at=stored.recorded_at, earliest=earliest
    )
    if state is None:
        return ()
    # Of the same instant the home comes first: the worker looks at homes before it judges.
    events: list[Event] = sorted([*_homes(stored.log), *stored.readings], key=arrival)
    return replay(patient.patient_id, events, book.of(patient), state, since=since, until=until)


def _homes(log: Sequence[tables_replay.LogRow]) -> list[GatewayChange]:
    """When the home was lost and back, as its own alerts tell; no other history of homes is kept.

    A person who closed such an alert said that the home is looked after: from there its readings are missed again.
    """
    return [
        GatewayChange(online=row.to_state == State.CLOSED, at=row.at)
        for row in log
        if row.family == GATEWAY and (row.to_state == State.CLOSED or row.from_state in (None, State.CLOSED))
    ]


def _raised(stored: tables_replay.Stored, *, since: datetime) -> tuple[Raised, ...]:
    """What was raised in truth, counted as the replay counts."""
    spells = Spells(stored.patient.patient_id)
    for row in stored.log:
        spells.see(
            row.alert_id,
            family=row.family,
            rule=row.rule,
            severity=Severity(row.severity),
            before=State(row.from_state) if row.from_state is not None else None,
            after=State(row.to_state),
            at=row.at,
            evidence=row.evidence,
        )
    return tuple(r for r in spells.all() if r.raised_at >= since)
