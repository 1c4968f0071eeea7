"""Replay: what a rule set would have raised over stored readings, nobody acting. Pure.

Input: the events of one patient in the order of their arrival, the patient's rules, where to begin and end. Output:
every time an alert came before people (`Raised`). The engine is the live one; so is the count of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alerts.engine import step, tick
from alerts.model import Event, Output, ProfileChange, Reading, Severity, State, Transition
from alerts.profile import PatientRules
from alerts.rule_set import RuleSet
from alerts.state import PatientState, new_state

# Out of people's sight: what comes from here and opens is raised.
_AWAY: Final = frozenset({None, State.CLOSED, State.RECOVERED})
_ENDED: Final = frozenset({State.CLOSED, State.RECOVERED})
# The worker looks this often for patients who got a device and have not measured.
ENROLLED_WITHIN: Final = timedelta(minutes=5)
_LEAST_WARM_UP: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """One time an alert came before people: opened, reopened, or back after its values had recovered.

    `began_at` is earlier than `raised_at` where a retake was awaited; `ended_at` is None while it stands. `severity` is
    the worst until the end, `rule` the one that gave it. `evidence` is the first reading it stands on, or the one
    that brought it back; silence and lost homes stand on none.
    """

    patient_id: str
    family: str
    rule: str
    severity: Severity
    evidence: str | None
    began_at: datetime
    raised_at: datetime
    ended_at: datetime | None


@dataclass(slots=True, kw_only=True)
class _Spell:
    """From the first sign of an alert until it is closed or recovered; raised once it is open."""

    rule: str
    severity: Severity
    evidence: str | None
    began_at: datetime
    raised_at: datetime | None = None


class Spells:
    """Counts how often alerts of one patient are raised, from their transitions in order.

    The same count for a replay's outputs and for the stored log, so that the two compare.
    """

    def __init__(self, patient_id: str) -> None:
        self._patient_id = patient_id
        self._running: dict[object, tuple[str, _Spell]] = {}
        self._done: list[Raised] = []

    def see(
        self,
        alert: object,
        *,
        family: str,
        rule: str,
        severity: Severity,
        before: State | None,
        after: State,
        at: datetime,
        evidence: Sequence[str],
    ) -> None:
        """One transition of the alert named `alert` (any key that is its own)."""
        # A log that starts in the middle may tell of an alert's opening but not of its wait for a retake.
        starts = before in _AWAY or (before is State.PENDING and after is State.OPEN and alert not in self._running)
        if starts and after not in _ENDED:
            # An alert that comes back carries its old readings first; the newest one brought it back.
            named = evidence[-1:] if before in _ENDED else evidence[:1]
            spell = _Spell(rule=rule, severity=severity, evidence=named[0] if named else None, began_at=at)
            self._running[alert] = (family, spell)
        if alert not in self._running:
            return
        spell = self._running[alert][1]
        if after in _ENDED:
            self._end(alert, at)
            return
        if spell.raised_at is None and after is State.OPEN:
            spell.raised_at, spell.severity, spell.rule = at, severity, rule
        elif severity < spell.severity:
            spell.severity, spell.rule = severity, rule

    def all(self) -> tuple[Raised, ...]:
        """Everything raised, in the order of raising; what still stands has no end."""
        for alert in list(self._running):
            self._end(alert, None)
        return tuple(sorted(self._done, key=lambda r: (r.raised_at, r.family)))

    def _end(self, alert: object, at: datetime | None) -> None:
        family, spell = self._running.pop(alert)
        if spell.raised_at is None:
            return
        self._done.append(
            Raised(
                patient_id=self._patient_id,
                family=family,
                rule=spell.rule,
                severity=spell.severity,
                evidence=spell.evidence,
                began_at=spell.began_at,
                raised_at=spell.raised_at,
                ended_at=at,
            )
        )


def replay(
    patient_id: str,
    events: Iterable[Event],
    rules: PatientRules,
    state: PatientState,
    *,
    since: datetime,
    until: datetime,
) -> tuple[Raised, ...]:
    """What `rules` raise from `since` (inclusive) to `until` (exclusive), by events in order of arrival.

    `state` is the patient before the first event. Events before `since` fill the windows and start alerts that then
    stand already; they are not in the result.
    """
    spells = Spells(patient_id)
    told = not rules.problem
    for event in events:
        if arrival(event) >= until:
            break
        state, said = step(state, event, rules)
        _hear(spells, said)
        if not told:
            state = _tell_problem(spells, state, rules)
            told = True
    if not told:
        state = _tell_problem(spells, state, rules)
    _, said = tick(state, until, rules)
    _hear(spells, said)
    return tuple(r for r in spells.all() if since <= r.raised_at < until)


def arrival(event: Event) -> datetime:
    """When the server knew of it."""
    return event.arrived_at if isinstance(event, Reading) else event.at


def _tell_problem(spells: Spells, state: PatientState, rules: PatientRules) -> PatientState:
    """As the worker does after a patient's first batch: limits that cannot be used are an alert too."""
    state, said = step(state, ProfileChange(problem=rules.problem, at=state.clock), rules)
    _hear(spells, said)
    return state


def _hear(spells: Spells, said: Iterable[Output]) -> None:
    for output in said:
        if isinstance(output, Transition):
            alert = output.alert
            spells.see(
                alert.number,
                family=alert.family,
                rule=alert.rule,
                severity=alert.severity,
                before=output.from_state,
                after=alert.state,
                at=output.at,
                evidence=alert.evidence,
            )


# --- where a replay begins


def warm_up(*rule_sets: RuleSet) -> timedelta:
    """How far before its first day a replay must read, so that every window is full and reopening is known."""
    windows = [rule.window for rule_set in rule_sets for rule in rule_set.rules]
    return max(_LEAST_WARM_UP, *windows) + max(rule_set.reopen_within for rule_set in rule_sets)


def first_state(
    events: Sequence[Event], *, assigned_at: datetime | None, recorded_at: datetime | None, earliest: datetime
) -> PatientState | None:
    """The state the worker began with: silence counts from the first arrival, or from the assignment if that was known
    well before it. None for a patient of whom nothing is expected and nothing came.
    """
    arrivals = [e.arrived_at for e in events if isinstance(e, Reading)]
    first = arrivals[0] if arrivals else None
    if assigned_at is None:
        return None if first is None else new_state(first)
    start = max(assigned_at, earliest)
    if first is None:
        return new_state(start)
    if recorded_at is None or recorded_at + ENROLLED_WITHIN >= first:
        return new_state(first)
    return new_state(min(start, first), min(max(start, recorded_at), first))


# --- side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two rule sets part over one patient. Beside an alert: the worst the other set had standing then."""

    only_current: tuple[Raised, ...]
    only_changed: tuple[Raised, ...]
    less_severe: tuple[tuple[Raised, Severity], ...]  # raised by the current set, milder under the changed one
    more_severe: tuple[tuple[Raised, Severity], ...]  # raised by the changed set, milder under the current one


def compare(current: Sequence[Raised], changed: Sequence[Raised]) -> Difference:
    """Raised alerts of one patient under two rule sets.

    Two belong together when their family is the same and they stood at the same time: whoever looked then saw the
    patient in the list, whichever reading had put the patient there.
    """
    of_current = [(one, _beside(one, changed)) for one in current]
    of_changed = [(one, _beside(one, current)) for one in changed]
    return Difference(
        only_current=tuple(one for one, other in of_current if other is None),
        only_changed=tuple(one for one, other in of_changed if other is None),
        less_severe=tuple((one, other) for one, other in of_current if other is not None and one.severity < other),
        more_severe=tuple((one, other) for one, other in of_changed if other is not None and one.severity < other),
    )


def _beside(one: Raised, others: Sequence[Raised]) -> Severity | None:
    """The worst alert of the other set that stood at the same time, None when there was none."""
    return min((o.severity for o in others if o.family == one.family and _together(one, o)), default=None)


def _together(one: Raised, other: Raised) -> bool:
    return (one.ended_at is None or other.began_at <= one.ended_at) and (
        other.ended_at is None or one.began_at <= other.ended_at
    )
