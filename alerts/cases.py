"""Golden cases in their notation: read, run through the engine, compare.

Input: YAML of cases (`T kind value [pNN] [flag…] [u=N] [rx=T]`, `T action family key=value`, minutes from the start).
Output: the JSON objects of `vitalwire alerts evaluate`, and differences from what a case expects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from alerts import wording
from alerts.actions import ACTIONS
from alerts.engine import step, tick
from alerts.model import (
    ABOVE_RANGE,
    BELOW_RANGE,
    HELD,
    METRICS,
    Action,
    Alert,
    Event,
    GatewayChange,
    Judgement,
    NotificationDue,
    Output,
    Reading,
    Refusal,
    Transition,
)
from alerts.profile import rules_for
from alerts.rule_set import RuleSet
from alerts.state import new_state

EPOCH: Final = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday; any midnight serves
_FLAGS: Final = frozenset({"movement", "cuff_loose", "position", "irregular", "poor_signal"})
_EXPECTED: Final = re.compile(r"(\S+) (P\d) (\S+) L(\d) n=(\d+)(?: (\S+))?")


class CaseError(ValueError):
    """A case cannot be read; the message names case and event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """An event and its place in the case (from 1; a repeated event counts each time)."""

    number: int
    event: Event


def run_case(case: object, rule_set: RuleSet) -> dict[str, Any]:
    """One case through the engine. Raises `CaseError` or `ProfileError` when it cannot be read."""
    if not isinstance(case, dict) or "id" not in case:
        raise CaseError("a case needs an id, events and at")
    name = str(case["id"])
    rules = rules_for(rule_set, case.get("profile") or {})
    events = parse_events(case.get("events") or [], name)
    end = EPOCH + _minutes(str(case.get("at", 0)), name)
    state, said = new_state(EPOCH), list[Output]()
    for item in sorted(events, key=lambda e: _arrival(e.event)):
        if _arrival(item.event) > end:
            break
        state, out = step(state, item.event, rules)
        said.extend(out)
    state, out = tick(state, end, rules)
    said.extend(out)
    numbers = {e.event.id: e.number for e in events if isinstance(e.event, Reading)}
    alerts = {t.alert.number: t.alert for t in said if isinstance(t, Transition)}
    alerts |= {a.number: a for a in (*state.closed.values(), *state.live.values())}
    return {
        "id": name,
        "alerts": [alert_row(alerts[number]) for number in sorted(alerts)],
        "notified": [
            {"minute": _minute(o.due_at), "family": o.alert.family, "level": o.level}
            for o in said
            if isinstance(o, NotificationDue)
        ],
        "held": [
            {"event": numbers[o.reading_id], "verdict": o.verdict.value}
            for o in said
            if isinstance(o, Judgement) and o.verdict in HELD
        ],
        "refused": [
            {"minute": _minute(o.at), "action": o.action, "reason": o.reason} for o in said if isinstance(o, Refusal)
        ],
    }


def alert_row(alert: Alert) -> dict[str, Any]:
    return {
        "family": alert.family,
        "severity": alert.severity.value,
        "state": alert.state.value,
        "level": alert.level,
        "evidence": len(alert.evidence),
        "tags": sorted(alert.tags),
        "rule": alert.rule,
        "text": wording.sentence(alert),
    }


def differences(case: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """Where a result departs from what the case expects; empty when it agrees. Order does not matter."""
    wanted = {
        "alerts": sorted(_normal(line) for line in case.get("alerts", [])),
        "notified": sorted(case.get("notified", [])),
        "held": sorted(case.get("held", [])),
        "refused": sorted(case.get("refused", [])),
    }
    got = {
        "alerts": sorted(_line(a) for a in row["alerts"]),
        "notified": sorted(f"{n['minute']}:{n['family']}:L{n['level']}" for n in row["notified"]),
        "held": sorted(f"{h['event']}:{h['verdict']}" for h in row["held"]),
        "refused": sorted(f"{r['minute']}:{r['action']}:{r['reason']}" for r in row["refused"]),
    }
    return [f"{key}: expected {wanted[key]}, got {got[key]}" for key in wanted if wanted[key] != got[key]]


def parse_events(lines: object, name: str) -> list[Numbered]:
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise CaseError(f"{name}: events: expected a list of texts")
    found: list[Numbered] = []
    for line in lines:
        for at, words in _repeated(line, name):
            number = len(found) + 1
            found.append(Numbered(number=number, event=_event(at, words, f"e{number}", f"{name}: {line!r}")))
    return found


def _repeated(line: str, where: str) -> Iterator[tuple[datetime, list[str]]]:
    first, *words = line.split()
    match = re.fullmatch(r"(\d+)\.\.(\d+)/(\d+)", first)
    if match is None:
        yield EPOCH + _minutes(first, where), words
        return
    start, end, every = int(match[1]), int(match[2]), int(match[3])
    if every < 1:
        raise CaseError(f"{where}: a step of 0 never ends")
    for minute in range(start, end + 1, every):
        yield EPOCH + timedelta(minutes=minute), words


def _event(at: datetime, words: list[str], identity: str, where: str) -> Event:
    if not words:
        raise CaseError(f"{where}: says no event")
    if words[0] in ("gateway_offline", "gateway_online"):
        return GatewayChange(online=words[0] == "gateway_online", at=at)
    if words[0] in ACTIONS:
        return _action(at, words, where)
    if words[0] in METRICS:
        return _reading(at, words, identity, where)
    raise CaseError(f"{where}: unknown event {words[0]!r}")


def _action(at: datetime, words: list[str], where: str) -> Action:
    if len(words) < 2:
        raise CaseError(f"{where}: which family?")
    pairs = dict(word.partition("=")[::2] for word in words[2:])
    known = {"min", "reason", "note", "by", "disposition"}
    if set(pairs) - known or not all(pairs.values()):
        raise CaseError(f"{where}: expected key=value with keys {', '.join(sorted(known))}")
    return Action(
        action=words[0],
        family=words[1],
        at=at,
        actor=pairs.get("by"),
        minutes=_integer(pairs.get("min"), where),
        reason=pairs.get("reason"),
        note=pairs.get("note"),
        disposition=pairs.get("disposition"),
    )


def _reading(at: datetime, words: list[str], identity: str, where: str) -> Reading:
    kind, rest = words[0], words[1:]
    if not rest:
        raise CaseError(f"{where}: has no value")
    values: list[Decimal | None] = list(_values(kind, rest[0], where))
    arrived, user, flags = at, None, list[str]()
    for word in rest[1:]:
        if word.startswith("rx="):
            arrived = EPOCH + _minutes(word[3:], where)
        elif word.startswith("u="):
            user = _integer(word[2:], where)
        elif kind == "bp" and re.fullmatch(r"p\d+", word):
            values[2] = Decimal(word[1:])
        elif word in _FLAGS:
            flags.append(word)
        else:
            raise CaseError(f"{where}: unknown word {word!r}")
    return Reading(
        id=identity,
        kind=kind,
        measured_at=at,
        arrived_at=arrived,
        values=tuple(values),
        day=at.toordinal(),
        flags=tuple(flags),
        user=user,
    )


def _values(kind: str, word: str, where: str) -> tuple[Decimal | None, ...]:
    if kind == "glucose" and word in ("HI", "LO"):
        return (ABOVE_RANGE if word == "HI" else BELOW_RANGE,)
    try:
        numbers = tuple(Decimal(part) for part in word.split("/"))
    except InvalidOperation as error:
        raise CaseError(f"{where}: {word!r} is not a number") from error
    if len(numbers) != (2 if kind == "bp" else 1) or not all(n.is_finite() for n in numbers):
        raise CaseError(f"{where}: {word!r} is not a value of {kind}")
    return (*numbers, None) if kind == "bp" else numbers


def _integer(word: str | None, where: str) -> int | None:
    if word is None:
        return None
    if not re.fullmatch(r"\d+", word):
        raise CaseError(f"{where}: {word!r} is not a whole number")
    return int(word)


def _minutes(word: str, where: str) -> timedelta:
    if not re.fullmatch(r"\d+(\.\d+)?", word):
        raise CaseError(f"{where}: {word!r} is not a minute")
    return timedelta(minutes=float(word))


def _minute(at: datetime) -> int:
    return int((at - EPOCH).total_seconds() // 60)


def _arrival(event: Event) -> datetime:
    return event.arrived_at if isinstance(event, Reading) else event.at


def _normal(line: str) -> str:
    match = _EXPECTED.fullmatch(line)
    if match is None:
        raise CaseError(f"cannot read the expected line {line!r}")
    family, severity, state, level, n, tags = match.groups()
    return f"{family} {severity} {state} L{level} n={n} {','.join(sorted((tags or '').split(',')))}".rstrip()


def _line(alert: Mapping[str, Any]) -> str:
    tags = ",".join(sorted(alert["tags"]))
    head = f"{alert['family']} {alert['severity']} {alert['state']}"
    return f"{head} L{alert['level']} n={alert['evidence']} {tags}".rstrip()
