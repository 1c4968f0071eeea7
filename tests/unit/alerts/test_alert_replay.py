"""Replay of a rule set over stored events. Expected alerts are written by hand from the limits of the set in force:
a blood pressure above 180 or 120 is severe and needs a retake within 20 minutes; glucose below 70 is P2, below 54 P1.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerts.cases import EPOCH, parse_events
from alerts.model import Event, Severity, State
from alerts.profile import rules_for
from alerts.replay import Raised, Spells, arrival, compare, first_state, replay, warm_up
from alerts.replay_report import Report
from alerts.rule_set import Condition, RuleSet
from alerts.rules import load_rule_set
from alerts.state import new_state

IN_FORCE = load_rule_set()
DAY = 24 * 60


def with_limit(rule_id: str, limit: int) -> RuleSet:
    """The set in force with another limit in every first condition of one rule (its clearing condition follows)."""
    return replace(
        IN_FORCE,
        version=99,
        rules=tuple(
            replace(
                r,
                conditions=(Condition(metric=r.conditions[0].metric, op=r.conditions[0].op, limit=Decimal(limit)),),
            )
            if r.id == rule_id
            else r
            for r in IN_FORCE.rules
        ),
    )


def events(*lines: str) -> list[Event]:
    return sorted((e.event for e in parse_events(list(lines), "replay")), key=arrival)


def raised(
    rule_set: RuleSet, *lines: str, since: int = 0, until: int = 2 * DAY, profile: dict[str, Any] | None = None
) -> tuple[Raised, ...]:
    return replay(
        "pt-1",
        events(*lines),
        rules_for(rule_set, profile or {}),
        new_state(EPOCH),
        since=EPOCH + timedelta(minutes=since),
        until=EPOCH + timedelta(minutes=until),
    )


def words(alerts: tuple[Raised, ...]) -> list[str]:
    return [f"{_minute(a)} {a.family} {a.severity} {a.rule} {a.evidence}" for a in alerts]


def _minute(alert: Raised) -> int:
    return (alert.raised_at - EPOCH) // timedelta(minutes=1)


def test_confirmed_alert_is_raised_with_its_retake_and_names_its_first_reading() -> None:
    found = raised(IN_FORCE, "0 bp 190/100", "6 bp 185/100")

    assert words(found) == ["6 bp.high P1 bp.severe e1"]
    assert (found[0].began_at, found[0].ended_at) == (EPOCH, None)


def test_pending_alert_that_is_not_confirmed_was_before_nobody() -> None:
    assert raised(IN_FORCE, "0 bp 190/100", "6 bp 120/80") == ()


def test_alert_that_comes_back_after_recovery_is_raised_again_by_its_new_reading() -> None:
    lines = ("0 glucose 48", "30 glucose 110", "600 glucose 50")

    found = raised(IN_FORCE, *lines)

    assert words(found) == ["0 glucose.low P1 glucose.level2 e1", "600 glucose.low P1 glucose.level2 e3"]
    assert found[0].ended_at == EPOCH + timedelta(minutes=30)


def test_alert_that_gets_worse_is_one_with_its_worst_severity() -> None:
    assert words(raised(IN_FORCE, "0 glucose 65", "5 glucose 50")) == ["0 glucose.low P1 glucose.level2 e1"]


@pytest.mark.parametrize(("value", "count"), [(69, 1), (70, 0), (71, 0)])
def test_limit_in_force_judges_as_the_engine_does(value: int, count: int) -> None:
    assert len(raised(IN_FORCE, f"0 glucose {value}")) == count


def test_stricter_limit_finds_more() -> None:
    lines = ("0 glucose 79", "600 glucose 100", "1200 glucose 60")

    now, changed = raised(IN_FORCE, *lines), raised(with_limit("glucose.level1", 80), *lines)

    assert words(now) == ["1200 glucose.low P2 glucose.level1 e3"]
    assert words(changed) == ["0 glucose.low P2 glucose.level1 e1", "1200 glucose.low P2 glucose.level1 e3"]
    found = compare(now, changed)
    assert (found.only_current, found.only_changed) == ((), changed[:1])


def test_looser_limit_misses_exactly_the_known_one() -> None:
    lines = ("0 glucose 65", "600 glucose 100", "1200 glucose 60")

    now, changed = raised(IN_FORCE, *lines), raised(with_limit("glucose.level1", 61), *lines)

    found = compare(now, changed)
    assert words(found.only_current) == ["0 glucose.low P2 glucose.level1 e1"]
    assert (found.only_changed, found.less_severe, found.more_severe) == ((), (), ())


def test_milder_alert_for_the_same_reading_is_not_missed_but_said() -> None:
    lines = ("0 glucose 50",)

    now, changed = raised(IN_FORCE, *lines), raised(with_limit("glucose.level2", 45), *lines)

    found = compare(now, changed)
    assert (found.only_current, found.only_changed) == ((), ())
    assert found.less_severe == ((now[0], Severity.P2),)
    assert compare(changed, now).more_severe == ((now[0], Severity.P2),)


def test_readings_before_the_period_fill_windows_and_are_not_counted() -> None:
    lines = ("0 glucose 50", "30 glucose 110", "100 glucose 66", "130 glucose 110", "600 glucose 50")

    assert words(raised(IN_FORCE, *lines, since=600)) == ["600 glucose.low P1 glucose.level2 e5"]
    assert raised(IN_FORCE, *lines, since=601) == ()
    assert len(raised(IN_FORCE, *lines, since=599)) == 1


def test_event_at_the_end_belongs_to_the_next_period() -> None:
    assert raised(IN_FORCE, "600 glucose 50", until=600) == ()
    assert len(raised(IN_FORCE, "600 glucose 50", until=601)) == 1


def test_silence_is_raised_without_evidence_at_its_limit() -> None:
    found = raised(IN_FORCE, "0 bp 120/80", until=73 * 60, profile={"expects": ["bp"]})

    assert words(found) == [f"{72 * 60} tech.missed P4 tech.missed None"]
    assert raised(IN_FORCE, "0 bp 120/80", until=72 * 60, profile={"expects": ["bp"]}) == ()


def test_late_reading_is_judged_by_its_arrival() -> None:
    assert words(raised(IN_FORCE, "0 glucose 48 rx=361")) == ["361 glucose.low P3 glucose.level2 e1"]
    assert words(raised(IN_FORCE, "0 glucose 48 rx=360")) == ["360 glucose.low P1 glucose.level2 e1"]


def test_limits_the_set_refuses_are_an_alert_of_the_replay_too() -> None:
    rules = replace(rules_for(IN_FORCE, {}), problem="kinds: unknown kind 'x'")

    for lines in (("5 glucose 100",), ()):
        found = replay(
            "pt-1", events(*lines), rules, new_state(EPOCH), since=EPOCH, until=EPOCH + timedelta(minutes=10)
        )
        assert [(a.family, a.severity) for a in found] == [("tech.profile", "P3")]


def test_same_events_give_the_same_alerts() -> None:
    lines = ("0 bp 190/100", "6 bp 185/100", "40 glucose 50", "70 glucose 110", "90 glucose 50", "90 glucose 50")

    assert raised(IN_FORCE, *lines) == raised(IN_FORCE, *lines)


def test_log_that_starts_in_the_middle_tells_the_opening_after_a_wait() -> None:
    spells = Spells("pt-1")
    step = {"family": "bp.high", "rule": "bp.severe", "at": EPOCH, "evidence": ("r2",)}
    spells.see("a", severity=Severity.P1, before=State.PENDING, after=State.OPEN, **step)  # type: ignore[arg-type]
    spells.see("b", severity=Severity.P2, before=State.CLAIMED, after=State.OPEN, **step)  # type: ignore[arg-type]

    assert [(a.severity, a.evidence) for a in spells.all()] == [("P1", "r2")]


# --- where it begins


@pytest.mark.parametrize(
    ("recorded", "started"),
    [
        (-6, 0),  # known well before the first reading: silence counts from the assignment
        (-5, 100),  # within the worker's five minutes: from the first arrival
        (-4, 100),
    ],
)
def test_silence_counts_from_the_assignment_when_it_was_known_before(recorded: int, started: int) -> None:
    first = EPOCH + timedelta(minutes=100)

    state = first_state(
        events("100 glucose 100"),
        assigned_at=EPOCH,
        recorded_at=first + timedelta(minutes=recorded),
        earliest=EPOCH - timedelta(days=1),
    )

    assert state is not None
    assert state.started_at == EPOCH + timedelta(minutes=started)


def test_patient_without_device_and_readings_has_no_state() -> None:
    earliest = EPOCH + timedelta(days=1)

    assert first_state([], assigned_at=None, recorded_at=None, earliest=earliest) is None
    known = first_state([], assigned_at=EPOCH, recorded_at=EPOCH, earliest=earliest)
    assert known == new_state(earliest)


def test_warm_up_holds_the_longest_window_of_either_set() -> None:
    wide = replace(IN_FORCE, rules=(replace(IN_FORCE.rules[0], window=timedelta(days=40)),))

    assert warm_up(IN_FORCE) == timedelta(days=14) + IN_FORCE.reopen_within
    assert warm_up(IN_FORCE, wide) == timedelta(days=40) + IN_FORCE.reopen_within


# --- the report


def test_report_counts_by_week_and_says_it_in_one_sentence() -> None:
    lines = ("0 glucose 65", "600 glucose 100", f"{8 * DAY} glucose 60")
    until = 14 * DAY
    report = Report(
        current=IN_FORCE,
        changed=with_limit("glucose.level1", 61),
        since=EPOCH,
        until=EPOCH + timedelta(minutes=until),
    )
    now = raised(IN_FORCE, *lines, until=until, profile={"expects": []})
    changed = raised(with_limit("glucose.level1", 61), *lines, until=until, profile={"expects": []})

    report.add(current=now, changed=changed, raised=(), readings=3)
    document = report.document()

    assert document["summary"] == "From 1 to 0.5 a week; would have missed 1 (listed)."
    assert document["rules"] == {"current": "adult-default@3", "changed": "adult-default@99"}
    assert (document["patients"], document["readings"]) == (1, 3)
    assert document["weeks"] == ["2026-01-05T00:00:00+00:00", "2026-01-12T00:00:00+00:00"]
    assert document["counts"] == [
        {"family": "glucose.low", "severity": "P2", "current": [1, 1], "changed": [0, 1], "raised": [0, 0]}
    ]
    assert document["only_current"] == [
        {
            "patient": "pt-1",
            "family": "glucose.low",
            "rule": "glucose.level1",
            "severity": "P2",
            "evidence": "e1",
            "raised_at": "2026-01-05T00:00:00+00:00",
        }
    ]
    assert document["only_changed"] == []
    assert document["a_week"]["raised"] == 0


def test_report_of_equal_sets_misses_nothing() -> None:
    report = Report(current=IN_FORCE, changed=IN_FORCE, since=EPOCH, until=EPOCH + timedelta(days=7))
    now = raised(IN_FORCE, "0 glucose 65")
    report.add(current=now, changed=now, raised=now, readings=1)

    assert report.document()["summary"] == "From 1 to 1 a week; would have missed 0."
