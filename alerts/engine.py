"""One event in, the new state and what follows out. Pure: no clock, no store, no randomness.

`step(state, event, rules)` first lets every clock run that was due before the event, then handles the event;
`tick(state, now, rules)` lets clocks run up to and including `now`. The same events give the same outputs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, assert_never

from msgspec.structs import replace

from alerts import wording
from alerts.actions import decide
from alerts.evaluate import Firing, firings, would_be
from alerts.lifecycle import Turn
from alerts.model import Action, Event, GatewayChange, Judgement, Output, ProfileChange, Reading, Severity, Verdict
from alerts.profile import PatientRules
from alerts.quality import Gated, gate, remember
from alerts.state import Kept, PatientState
from alerts.steps import NOTIFIED

GATEWAY: Final = "tech.gateway"
CLOCK: Final = "tech.clock"
IDENTITY: Final = "tech.identity"
PROFILE: Final = "tech.profile"


def step(state: PatientState, event: Event, rules: PatientRules) -> tuple[PatientState, tuple[Output, ...]]:
    """Handle one event. An event stamped before the state's clock is handled at the clock: time never runs back."""
    at = event.arrived_at if isinstance(event, Reading) else event.at
    at = max(at, state.clock)
    state, due = _run_clocks(state, rules, at, inclusive=False)
    match event:
        case Reading():
            state, out = _on_reading(state, event, rules, at)
        case Action():
            turn = Turn(state, rules, at)
            decide(turn, event)
            silent_since = (
                at if any(r.family not in turn.live for r in rules.silence if r.family in state.live) else None
            )
            state, out = _finish(state, turn, silent_since=silent_since or state.silent_since)
        case GatewayChange():
            state, out = _on_gateway(state, event, rules, at)
        case ProfileChange():
            state, out = _on_profile(state, event, rules, at)
        case _:
            assert_never(event)
    return state, (*due, *out)


def tick(state: PatientState, now: datetime, rules: PatientRules) -> tuple[PatientState, tuple[Output, ...]]:
    """Everything due up to `now`, in order, each at its own due time (so that a late tick shows as late)."""
    state, out = _run_clocks(state, rules, now, inclusive=True)
    return (replace(state, clock=now) if now > state.clock else state), tuple(out)


def due_at(state: PatientState, rules: PatientRules) -> datetime | None:
    """When the engine must look at this patient again, if nothing comes in."""
    due = [at for alert in state.live.values() if (at := alert.due_at()) is not None]
    due += [silence[0] for silence in _silences(state, rules)]
    return min(due) if due else None


# --- clocks


def _run_clocks(
    state: PatientState, rules: PatientRules, until: datetime, *, inclusive: bool
) -> tuple[PatientState, list[Output]]:
    out: list[Output] = []
    while (at := due_at(state, rules)) is not None and (at < until or (inclusive and at == until)):
        turn = Turn(state, rules, max(at, state.clock))
        alert_due = turn.next_due()
        if alert_due is not None and alert_due[0] <= at:
            turn.fire_due(alert_due[1])
        else:
            _, rule_index, kind = min(_silences(state, rules))
            rule = rules.silence[rule_index]
            turn.raise_technical(rule.family, rule.id, rule.severity, wording.silent(kind, rule.window))
        state, said = _finish(state, turn)
        out.extend(said)
    return state, out


def _silences(state: PatientState, rules: PatientRules) -> list[tuple[datetime, int, str]]:
    """When each expected kind will have been silent too long. None while the gateway is away: that is the cause."""
    if state.gateway_offline:
        return []
    found: list[tuple[datetime, int, str]] = []
    for index, rule in enumerate(rules.silence):
        if rule.family in state.live or rule.family not in rules.rule_set.inhibits:
            continue
        for kind in rules.expects:
            found.append((_heard(state, kind) + rule.window, index, kind))  # noqa: PERF401 - a nested comprehension hides it
    return found


def _heard(state: PatientState, kind: str) -> datetime:
    heard = state.seen.get(kind, state.started_at)
    return heard if state.silent_since is None else max(heard, state.silent_since)


# --- readings


def _on_reading(
    state: PatientState, reading: Reading, rules: PatientRules, at: datetime
) -> tuple[PatientState, tuple[Output, ...]]:
    kind = reading.kind
    known = state.history.get(kind, ())
    gated = gate(reading, known, rules)
    verdict = gated.verdict
    turn = Turn(state, rules, at)
    turn.out.append(Judgement(reading_id=reading.id, verdict=verdict, problems=gated.problems))
    if verdict is Verdict.DUPLICATE:
        return _finish(state, turn)
    history = {**state.history, kind: remember(known, gated, rules.keep)}
    seen, newest, bad = state.seen, state.newest, state.bad_in_row
    if verdict is Verdict.UNASSIGNED:
        _other_person(turn, gated, rules)
        return _finish(state, turn, history=history)
    if gated.at > seen.get(kind, state.started_at):
        seen = {**seen, kind: gated.at}
    if verdict is Verdict.QUARANTINED:
        bad = {**bad, kind: bad.get(kind, 0) + 1}
        _impossible(turn, gated, rules, bad[kind])
    else:
        if bad.get(kind):
            bad = {**bad, kind: 0}
        if gated.ahead is not None:
            reason = wording.clock_ahead(gated.ahead, rules.rule_set.future_tolerance)
            turn.raise_technical(CLOCK, CLOCK, Severity.P4, reason, (reading.id,))
        before = newest.get(kind)
        # Older than what is known: history only. It neither fires, confirms nor clears.
        if before is None or gated.at >= before:
            newest = {**newest, kind: gated.at}
            _judge(turn, gated, rules, history[kind])
    heard = replace(state, history=history, seen=seen, newest=newest, bad_in_row=bad)
    _end_silence(turn, heard, rules)
    return _finish(heard, turn)


def _judge(turn: Turn, gated: Gated, rules: PatientRules, known: tuple[Kept, ...]) -> None:
    kind = gated.reading.kind
    by_family: dict[str, list[Firing]] = {}
    for firing in firings(gated, known, rules):
        by_family.setdefault(firing.compiled.rule.family, []).append(firing)
    for family, fired in by_family.items():
        turn.fire(family, fired, gated)
    for family in [f for f in turn.live if f not in by_family]:
        rule = rules.by_id.get(turn.live[family].rule)
        if rule is not None and rule.rule.kind == kind:
            turn.not_fired(family, gated)


def _other_person(turn: Turn, gated: Gated, rules: PatientRules) -> None:
    reading = gated.reading
    reason = wording.other_person(reading.kind, reading.values, reading.user, rules.user)
    severe = would_be(gated, rules) in NOTIFIED and not gated.late
    turn.raise_technical(IDENTITY, IDENTITY, Severity.P2 if severe else Severity.P4, reason, (reading.id,))


def _impossible(turn: Turn, gated: Gated, rules: PatientRules, in_row: int) -> None:
    reading = gated.reading
    for rule in rules.bad_in_row:
        if in_row >= rule.count:
            reason = wording.bad_in_row(in_row, rule.count, reading.kind, reading.values)
            turn.raise_technical(rule.family, rule.id, rule.severity, reason, (reading.id,))


def _end_silence(turn: Turn, heard: PatientState, rules: PatientRules) -> None:
    """A missed-readings alert ends when no expected kind has been silent too long any more."""
    for rule in rules.silence:
        alert = turn.live.get(rule.family)
        if alert is not None and alert.rule == rule.id:
            kinds = rules.expects
            if all(heard.seen.get(kind, heard.started_at) + rule.window > turn.now for kind in kinds):
                turn.close(alert, "recovered", "recovered")


# --- gateway


def _on_gateway(
    state: PatientState, change: GatewayChange, rules: PatientRules, at: datetime
) -> tuple[PatientState, tuple[Output, ...]]:
    turn = Turn(state, rules, at)
    if change.online is not state.gateway_offline:
        return _finish(state, turn)
    if not change.online:
        turn.raise_technical(GATEWAY, GATEWAY, Severity.P4, wording.gateway_offline())
        return _finish(state, turn, gateway_offline=True)
    if (alert := turn.live.get(GATEWAY)) is not None:
        turn.close(alert, "online", "online")
    return _finish(state, turn, gateway_offline=False, silent_since=at)


# --- profile


def _on_profile(
    state: PatientState, change: ProfileChange, rules: PatientRules, at: datetime
) -> tuple[PatientState, tuple[Output, ...]]:
    """Defaults judge a patient whose own limits cannot be used, and somebody must know."""
    turn = Turn(state, rules, at)
    alert = turn.live.get(PROFILE)
    if change.problem and change.problem != state.profile_problem:
        turn.raise_technical(PROFILE, PROFILE, Severity.P3, wording.profile_refused(change.problem))
    elif not change.problem and alert is not None:
        turn.close(alert, "mended", "mended")
    return _finish(state, turn, profile_problem=change.problem)


def _finish(state: PatientState, turn: Turn, **changes: object) -> tuple[PatientState, tuple[Output, ...]]:
    if turn.live or state.live:
        turn.settle_inhibition()
    if len(turn.out) > 1 or turn.live != state.live:
        changes |= {"live": turn.live, "closed": turn.closed, "next_number": turn.next_number}
    return replace(state, clock=turn.now, **changes), tuple(turn.out)
