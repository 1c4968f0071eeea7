"""Laws of the alert engine over random histories: duplicates, reordering, restarts, people who act at odd moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts.actions import ACTIONS
from alerts.engine import due_at, step, tick
from alerts.model import (
    ABOVE_RANGE,
    BELOW_RANGE,
    HELD,
    Action,
    Alert,
    Event,
    GatewayChange,
    Judgement,
    NotificationDue,
    Output,
    Reading,
    Severity,
    State,
    Transition,
    Verdict,
)
from alerts.profile import rules_for
from alerts.rules import load_rule_set
from alerts.state import PatientState, decode_state, encode_state, new_state

START = datetime(2026, 1, 5, tzinfo=UTC)
RULES = rules_for(load_rule_set(), {"kinds": ["hf"], "user": 1, "expects": ["bp", "glucose"], "t1d": True})
FAMILIES = sorted(RULES.rule_set.inhibits)
LEGAL = {
    None: {State.PENDING, State.OPEN},
    State.PENDING: {State.PENDING, State.OPEN, State.CLOSED},
    State.OPEN: {State.OPEN, State.CLAIMED, State.SNOOZED, State.RECOVERED, State.CLOSED},
    State.CLAIMED: {State.CLAIMED, State.OPEN, State.SNOOZED, State.RECOVERED, State.CLOSED},
    State.SNOOZED: {State.SNOOZED, State.OPEN, State.CLAIMED, State.RECOVERED, State.CLOSED},
    State.RECOVERED: {State.RECOVERED, State.OPEN, State.CLOSED},
    State.CLOSED: {State.OPEN},
}


def decimals(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(Decimal)


VALUES: dict[str, st.SearchStrategy[tuple[Decimal | None, ...]]] = {
    "bp": st.tuples(decimals(40, 260), decimals(25, 140), st.none() | decimals(30, 150)),
    "glucose": st.tuples(decimals(20, 620) | st.sampled_from([ABOVE_RANGE, BELOW_RANGE])),
    "spo2": st.tuples(decimals(80, 100)),
    "weight": st.tuples(decimals(170, 190)),
}
FLAGS = st.lists(st.sampled_from(["movement", "cuff_loose", "irregular", "poor_signal"]), max_size=2, unique=True)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events in the order of arrival, seconds to days apart; readings may be old, early, or there already."""
    events: list[Event] = []
    at = START
    sent: list[Reading] = []
    for number in range(draw(st.integers(1, 25))):
        at += timedelta(minutes=draw(st.sampled_from([0, 1, 2, 5, 10, 20, 60, 240, 480, 1500])))
        what = draw(st.sampled_from(["reading"] * 6 + ["duplicate", "action", "action", "gateway"]))
        if what == "duplicate" and sent:
            event: Event = replace(draw(st.sampled_from(sent)), id=f"r{number}", arrived_at=at)
        elif what == "action":
            event = Action(
                action=draw(st.sampled_from(ACTIONS)),
                family=draw(st.sampled_from(FAMILIES)),
                at=at,
                actor=draw(st.sampled_from(["a", "b"])),
                minutes=draw(st.none() | st.integers(0, 500)),
                reason=draw(st.sampled_from([None, "seen"])),
                note=draw(st.sampled_from([None, "", "called"])),
            )
        elif what == "gateway":
            event = GatewayChange(online=draw(st.booleans()), at=at)
        else:
            kind = draw(st.sampled_from(sorted(VALUES)))
            behind = draw(st.sampled_from([0, 0, 0, 0, 1, 30, 361, 1440, -5, -11]))
            measured = at - timedelta(minutes=behind)
            event = Reading(
                id=f"r{number}",
                kind=kind,
                measured_at=measured,
                arrived_at=at,
                values=draw(VALUES[kind]),
                day=measured.toordinal(),
                flags=tuple(draw(FLAGS)),
                user=draw(st.sampled_from([None, 1, 1, 2])),
            )
            sent.append(event)
        events.append(event)
    return events


def run(events: list[Event], until: timedelta = timedelta(days=1)) -> tuple[PatientState, list[Output]]:
    state, said = new_state(START), list[Output]()
    for event in events:
        state, out = step(state, event, RULES)
        said.extend(out)
    state, out = tick(state, state.clock + until, RULES)
    return state, [*said, *out]


def transitions(said: list[Output]) -> list[Transition]:
    return [output for output in said if isinstance(output, Transition)]


@settings(max_examples=80, deadline=None)
@given(histories())
def test_replaying_gives_the_same_and_a_restart_in_between_changes_nothing(events: list[Event]) -> None:
    plain = run(events)

    state, said = new_state(START), list[Output]()
    for event in events:
        state, out = step(decode_state(encode_state(state)), event, RULES)
        said.extend(out)
    state, out = tick(state, state.clock + timedelta(days=1), RULES)

    assert (state, [*said, *out]) == plain


@settings(max_examples=80, deadline=None)
@given(histories(), st.lists(st.integers(0, 3000), max_size=10))
def test_looking_at_the_clock_in_between_changes_nothing_that_is_said(events: list[Event], looks: list[int]) -> None:
    """A worker that polls often and one that sleeps until an event comes say the same, at the same due times."""
    plain = run(events)

    state, said = new_state(START), list[Output]()
    for event in events:
        at = event.arrived_at if isinstance(event, Reading) else event.at
        for look in sorted(looks):
            if state.clock < START + timedelta(minutes=look) < at:
                state, out = tick(state, START + timedelta(minutes=look), RULES)
                said.extend(out)
        state, out = step(state, event, RULES)
        said.extend(out)
    state, out = tick(state, state.clock + timedelta(days=1), RULES)

    assert [*said, *out] == plain[1]


@settings(max_examples=80, deadline=None)
@given(histories())
def test_every_step_is_legal_and_the_log_projects_to_the_state(events: list[Event]) -> None:
    state, said = run(events)

    last: dict[int, Alert] = {}
    for step_ in transitions(said):
        alert, before = step_.alert, last.get(step_.alert.number)
        assert step_.from_state == (before.state if before else None)
        assert alert.state in LEGAL[step_.from_state]
        if before is not None:
            assert set(before.evidence) <= set(alert.evidence)
            assert alert.level >= before.level or step_.kind == "reopened"
            if alert.severity != before.severity:
                assert step_.kind in {
                    "opened", "worsened", "confirmed", "not_confirmed", "no_retake", "reopened",
                }  # fmt: skip
        last[alert.number] = alert
        live = [a.family for a in last.values() if a.state is not State.CLOSED]
        assert len(live) == len(set(live))
    projected = {a.family: a.number for a in last.values() if a.state is not State.CLOSED}
    assert projected == {family: alert.number for family, alert in state.live.items()}
    for alert in state.live.values():
        assert (alert.state, alert.severity, alert.level) == (
            last[alert.number].state,
            last[alert.number].severity,
            last[alert.number].level,
        )


@settings(max_examples=80, deadline=None)
@given(histories())
def test_somebody_is_told_of_every_critical_alert(events: list[Event]) -> None:
    _, said = run(events)

    told = {(o.alert.number, o.alert.severity) for o in said if isinstance(o, NotificationDue)}
    for step_ in transitions(said):
        if step_.alert.severity is Severity.P1 and step_.alert.state is not State.PENDING:
            assert (step_.alert.number, Severity.P1) in told


@settings(max_examples=80, deadline=None)
@given(histories())
def test_a_pending_alert_is_never_silent(events: list[Event]) -> None:
    state, said = run(events)

    assert not [a for a in state.live.values() if a.state is State.PENDING]
    for step_ in transitions(said):
        if step_.alert.state is State.PENDING:
            assert step_.alert.confirm_until is not None


@settings(max_examples=80, deadline=None)
@given(histories())
def test_every_reading_is_judged_once_and_held_ones_are_evidence_of_nothing_clinical(events: list[Event]) -> None:
    _, said = run(events)

    judged = [o for o in said if isinstance(o, Judgement)]
    assert [j.reading_id for j in judged] == [e.id for e in events if isinstance(e, Reading)]
    held = {j.reading_id for j in judged if j.verdict in HELD}
    for step_ in transitions(said):
        if not step_.alert.family.startswith("tech."):
            assert held.isdisjoint(step_.alert.evidence)


@settings(max_examples=80, deadline=None)
@given(histories())
def test_duplicates_change_nothing(events: list[Event]) -> None:
    doubled: list[Event] = []
    for event in events:
        doubled.append(event)
        if isinstance(event, Reading):
            doubled.append(replace(event, id=f"{event.id}-again"))

    _, plain = run(events)
    _, twice = run(doubled)

    def without_duplicates(said: list[Output]) -> list[Output]:
        return [o for o in said if not (isinstance(o, Judgement) and o.verdict is Verdict.DUPLICATE)]

    assert without_duplicates(twice) == without_duplicates(plain)


@settings(max_examples=80, deadline=None)
@given(histories())
def test_older_readings_touch_no_alert(events: list[Event]) -> None:
    state = new_state(START)
    for event in events:
        if isinstance(event, Reading) and event.user != 2:
            newest = state.newest.get(event.kind)
            before = state
            state, _ = step(state, event, RULES)
            if newest is not None and min(event.measured_at, event.arrived_at) < newest:
                due, _ = tick(before, event.arrived_at - timedelta(microseconds=1), RULES)
                clinical = {f: a for f, a in state.live.items() if not f.startswith("tech.")}
                assert clinical == {f: a for f, a in due.live.items() if not f.startswith("tech.")}
        else:
            state, _ = step(state, event, RULES)


@settings(max_examples=80, deadline=None)
@given(histories())
def test_suspect_and_late_readings_confirm_nothing_and_page_nobody(events: list[Event]) -> None:
    state = new_state(START)
    for event in events:
        at = event.arrived_at if isinstance(event, Reading) else event.at
        state, _ = tick(state, at - timedelta(microseconds=1), RULES)
        state, out = step(state, event, RULES)
        if isinstance(event, Reading):
            verdict = next(o.verdict for o in out if isinstance(o, Judgement))
            kinds = {o.kind for o in transitions(list(out)) if not o.alert.family.startswith("tech.")}
            if verdict is Verdict.SUSPECT:
                assert kinds.isdisjoint({"confirmed", "not_confirmed", "recovered"})
            if event.arrived_at - event.measured_at > timedelta(hours=6):
                assert "confirmed" not in kinds
                assert not [o for o in out if isinstance(o, NotificationDue)]


@settings(max_examples=80, deadline=None)
@given(histories())
def test_clocks_end(events: list[Event]) -> None:
    """A quiet patient is looked at ever more seldom: nothing stays due for ever."""
    state, _ = run(events, until=timedelta(days=60))

    due = due_at(state, RULES)
    assert due is None or due > state.clock
