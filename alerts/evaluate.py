"""Which rules a reading fires. Pure: the reading, the patient's window and rules in, firings out, in rule order.

Only readings of verdict ok count towards means, counts, flags and gains. Sums are compared with limit * n: no
division, so no rounding decides.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from alerts import wording
from alerts.model import METRICS, Severity, Verdict
from alerts.profile import PatientRule, PatientRules, Test
from alerts.quality import Gated
from alerts.state import Kept

Values = tuple[Decimal | None, ...]


class Firing(msgspec.Struct, frozen=True):
    """A rule is true now. `tentative`: it needs a retake before it counts."""

    compiled: PatientRule
    severity: Severity
    evidence: tuple[str, ...]
    reason: str
    tentative: bool
    at_once: bool


def any_true(tests: tuple[Test, ...], values: Values) -> bool:
    for index, compare, limit, _ in tests:
        value = values[index]
        if value is not None and compare(value, limit):
            return True
    return False


def all_true(tests: tuple[Test, ...], values: Values) -> bool:
    """False when a number is missing: what was not measured clears nothing."""
    for index, compare, limit, _ in tests:
        value = values[index]
        if value is None or not compare(value, limit):
            return False
    return bool(tests)


def firings(gated: Gated, known: tuple[Kept, ...], rules: PatientRules) -> list[Firing]:
    """Rules that this reading, the newest of its kind, makes true. `known` already holds it.

    A suspect reading fires only rules that ask for a retake, and those only tentatively. A late one never asks for a
    retake, and its severity is at most P3.
    """
    reading, found = gated.reading, []
    ok = gated.verdict is Verdict.OK
    for compiled in rules.by_kind[reading.kind]:
        shape = compiled.rule.shape
        firing = None
        if shape == "point":
            firing = _point(compiled, gated)
        elif ok and shape == "mean":
            firing = _mean(compiled, gated.at, known)
        elif ok and shape == "count":
            firing = _count(compiled, gated, known)
        elif ok and shape == "flag":
            firing = _flag(compiled, gated, known)
        elif ok and shape == "gain":
            firing = _gain(compiled, gated, known)
        if firing is not None:
            found.append(_for_late(firing) if gated.late else firing)
    return found


def would_be(gated: Gated, rules: PatientRules) -> Severity | None:
    """The severity this value alone would have for the patient; None when it fires nothing."""
    found = [
        f.severity for c in rules.by_kind[gated.reading.kind] if c.rule.shape == "point" and (f := _point(c, gated))
    ]
    return min(found) if found else None


def _for_late(firing: Firing) -> Firing:
    return Firing(firing.compiled, max(firing.severity, Severity.P3), firing.evidence, firing.reason, False, False)


def _point(compiled: PatientRule, gated: Gated) -> Firing | None:
    values, rule = gated.reading.values, compiled.rule
    suspect = gated.verdict is Verdict.SUSPECT
    if suspect and rule.confirm is None:
        return None
    if compiled.at_once and not suspect and any_true(compiled.at_once, values):
        reason = wording.point(compiled, compiled.at_once, values)
        return Firing(compiled, rule.at_once_severity, (gated.reading.id,), reason, False, True)
    tests = compiled.tests
    if not any_true(tests, values):
        # A limit at once that lies outside the rule's own limits still asks for a retake when the reading is suspect.
        tests = compiled.at_once
        if not suspect or not any_true(tests, values):
            return None
    reason = wording.point(compiled, tests, values)
    return Firing(compiled, rule.severity, (gated.reading.id,), reason, rule.confirm is not None, False)


def _mean(compiled: PatientRule, at: datetime, known: tuple[Kept, ...]) -> Firing | None:
    rule = compiled.rule
    since = at - rule.window
    tested = {test[0] for test in compiled.tests}
    window = [k for k in known if since <= k.at <= at and k.verdict is Verdict.OK and _has(k.values, tested)]
    n = len(window)
    if n < rule.min_n or len({k.day for k in window}) < rule.min_days:
        return None
    sums = _sums(compiled, window)
    if not any(compare(sums[index], limit * n) for index, compare, limit, _ in compiled.tests):
        return None
    return Firing(compiled, rule.severity, tuple(k.id for k in window), wording.mean(compiled, sums, n), False, False)


def _has(values: Values, tested: set[int]) -> bool:
    """Whether every tested number is there and is a number (HI and LO have no mean)."""
    return all((value := values[index]) is not None and value.is_finite() for index in tested)


def _sums(compiled: PatientRule, window: list[Kept]) -> tuple[Decimal, ...]:
    """Sum per metric; only the tested metrics are sure to be in every reading."""
    width = len(METRICS[compiled.rule.kind or "bp"])
    return tuple(sum((k.values[i] or _ZERO for k in window), _ZERO) for i in range(width))


_ZERO = Decimal(0)


def _count(compiled: PatientRule, gated: Gated, known: tuple[Kept, ...]) -> Firing | None:
    rule, tests = compiled.rule, compiled.tests
    if not any_true(tests, gated.reading.values):
        return None
    since, last = gated.at - rule.window, gated.at
    hits = [gated.reading.id]
    for kept in reversed(known):
        if kept.at < since:
            break
        if (
            kept.verdict is Verdict.OK
            and last - kept.at >= rule.spaced
            and kept.id not in hits
            and any_true(tests, kept.values)
        ):
            hits.append(kept.id)
            last = kept.at
    if len(hits) < rule.count:
        return None
    reason = wording.counted(compiled, gated.reading.values, len(hits))
    return Firing(compiled, rule.severity, tuple(reversed(hits)), reason, False, False)


def _flag(compiled: PatientRule, gated: Gated, known: tuple[Kept, ...]) -> Firing | None:
    rule = compiled.rule
    if rule.flag not in gated.reading.flags:
        return None
    since = gated.at - rule.window
    last = [k for k in known if k.verdict is Verdict.OK and k.at >= since][-rule.of_last :]
    hits = tuple(k.id for k in last if rule.flag in k.flags)
    if len(hits) < rule.count:
        return None
    return Firing(compiled, rule.severity, hits, wording.flagged(compiled, len(hits), len(last)), False, False)


def _gain(compiled: PatientRule, gated: Gated, known: tuple[Kept, ...]) -> Firing | None:
    rule, now = compiled.rule, gated.reading.values[0]
    if now is None:
        return None
    newest, oldest = gated.at - rule.window_from, gated.at - rule.window
    before = [k for k in known if k.verdict is Verdict.OK and k.values[0] is not None and oldest <= k.at <= newest]
    if not before:
        return None
    lowest = min(before, key=lambda k: k.values[0] or _ZERO)
    if now - (lowest.values[0] or _ZERO) < rule.amount:
        return None
    span: timedelta = gated.at - lowest.at
    return Firing(
        compiled, rule.severity, (gated.reading.id,), wording.gained(compiled, now, lowest, span), False, False
    )
