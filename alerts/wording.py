"""Why an alert is there, in one sentence with the numbers and the limit. English; no names of people.

Input: readings, rules. Output: text. The sentence is stored with the alert, so that a later rule set cannot change it.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from alerts.model import ABOVE_RANGE, BELOW_RANGE, METRICS, Alert
from alerts.profile import PatientRule, Test
from alerts.state import Kept

Values = tuple[Decimal | None, ...]

_OP: Final = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
_METRIC: Final = {
    "sys": "systolic",
    "dia": "diastolic",
    "pulse": "pulse",
    "mgdl": "glucose",
    "spo2": "oxygen saturation",
    "lb": "weight",
}
KIND: Final = {"bp": "blood pressure", "glucose": "glucose", "spo2": "oxygen saturation", "weight": "weight"}
_TAG: Final = {
    "not_confirmed": "a second reading did not confirm it",
    "confirmed": "confirmed by a second reading",
    "no_retake": "no usable second reading came in time",
    "recheck_overdue": "no second reading came in time",
    "claim_timeout": "claimed but nothing was done in time",
    "late": "received late, history only",
    "ketone_advice": "ask about ketones",
}


def number(value: Decimal | None) -> str:
    """A value as the device shows it: no exponent, no invented digits; LO and HI are words."""
    if value is None:
        return "unknown"
    if value == ABOVE_RANGE:
        return "HI"
    if value == BELOW_RANGE:
        return "LO"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(kind: str, values: Values) -> str:
    """One reading as people say it."""
    if kind == "bp":
        pulse = f", pulse {number(values[2])}" if values[2] is not None else ""
        return f"blood pressure {number(values[0])}/{number(values[1])} mmHg{pulse}"
    if kind == "glucose":
        code = {ABOVE_RANGE: "HI (above the meter's range)", BELOW_RANGE: "LO (below the meter's range)"}
        return f"glucose {code.get(values[0], number(values[0]) + ' mg/dL') if values[0] is not None else 'unknown'}"
    if kind == "spo2":
        return f"oxygen saturation {number(values[0])} %"
    return f"weight {number(values[0])} lb"


def limits(kind: str, tests: tuple[Test, ...], values: Values | None = None) -> str:
    """The limits that `values` break, or all of them."""
    words = [
        f"{f'{_METRIC[METRICS[kind][index]]} ' if len(METRICS[kind]) > 1 else ''}{_OP[op]} {number(limit)}"
        for index, compare, limit, op in tests
        if values is None or ((value := values[index]) is not None and compare(value, limit))
    ]
    return " or ".join(words) if values is None else " and ".join(words)


def point(compiled: PatientRule, tests: tuple[Test, ...], values: Values) -> str:
    kind = compiled.rule.kind or "bp"
    return _capital(f"{shown(kind, values)}{':' if kind == 'bp' else ' is'} {limits(kind, tests, values)}")


def counted(compiled: PatientRule, values: Values, n: int) -> str:
    rule = compiled.rule
    kind = rule.kind or "bp"
    apart = f", at least {_span(rule.spaced)} apart," if rule.spaced else ""
    return (
        f"{n} {KIND[kind]} readings within {_span(rule.window)}{apart} {limits(kind, compiled.tests)};"
        f" limit {rule.count}; the last is {shown(kind, values)}"
    )


def mean(compiled: PatientRule, sums: tuple[Decimal, ...], n: int) -> str:
    rule = compiled.rule
    kind = rule.kind or "bp"
    values: Values = tuple((total / n).quantize(Decimal("0.1"), ROUND_HALF_EVEN) for total in sums)
    broken = [
        f"{_METRIC[METRICS[kind][i]]} {_OP[op]} {number(limit)}"
        for i, compare, limit, op in compiled.tests
        if compare(sums[i], limit * n)
    ]
    return f"Mean of {n} readings in {_span(rule.window)} is {_mean_shown(kind, values)}: {' and '.join(broken)}"


def _mean_shown(kind: str, values: Values) -> str:
    if kind == "bp":
        return f"{number(values[0])}/{number(values[1])} mmHg"
    return shown(kind, values)


def flagged(compiled: PatientRule, n: int, of: int) -> str:
    rule = compiled.rule
    word = "an irregular pulse" if rule.flag == "irregular" else rule.flag
    marked = f"{n} of the last {of} readings within {_span(rule.window)}"
    return f"{marked} were marked by the device for {word}; limit {rule.count}"


def gained(compiled: PatientRule, now: Decimal, before: Kept, span: timedelta) -> str:
    rule = compiled.rule
    then = before.values[0] or Decimal(0)
    return (
        f"Weight {number(now)} lb is {number(now - then)} lb more than {number(then)} lb {_span(span)} before;"
        f" limit {number(rule.amount)} lb in {_span(rule.window_from)} to {_span(rule.window)}"
    )


def silent(kind: str, limit: timedelta) -> str:
    return f"No {KIND.get(kind, kind)} reading for {_span(limit)}; limit {_span(limit)}"


def bad_in_row(n: int, limit: int, kind: str, values: Values) -> str:
    last = shown(kind, values)
    return f"{n} impossible readings in a row (last: {last}); limit {limit}: check the device and how it is worn"


def other_person(kind: str, values: Values, user: int | None, expected: int | None) -> str:
    who = f"A reading by device user {user} came in, the patient is user {expected}"
    return f"{who}: {shown(kind, values)}; ask who took it"


def clock_ahead(ahead: timedelta, tolerance: timedelta) -> str:
    return f"The device's clock is {_span(ahead)} ahead; limit {_span(tolerance)}: the time of receipt was used"


def gateway_offline() -> str:
    return "The home gateway is offline: readings wait at home until it is back"


def profile_refused(problem: str) -> str:
    return f"This patient's own limits are not in use, the defaults are: {problem}"


def sentence(alert: Alert) -> str:
    """The reason with what has become of it."""
    extras = [_TAG[tag] for tag in alert.tags if tag in _TAG]
    return f"{alert.reason}{''.join(f'; {extra}' for extra in extras)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    if minutes % 1440 == 0 and minutes >= 5 * 1440:
        return f"{minutes // 1440} days"
    if minutes % 60 == 0 and minutes >= 120:
        return f"{minutes // 60} h"
    return f"{minutes} min"
