"""Rules for one patient: the rule set with the patient's kinds and overrides filled in and compiled for speed.

Input: a `RuleSet` and overrides. Output: `PatientRules`, or `ProfileError`. Order: defaults, kinds, overrides.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alerts.model import METRICS
from alerts.rule_set import Condition, ProfileError, Rule, RuleSet

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# index of the metric in Reading.values, comparison, limit, its word
Test = tuple[int, Callable[[Any, Any], bool], Decimal, str]


# When a P3 or P4 clock of so many minutes, started at an instant, runs out. P1 and P2 never wait for office hours.
After = Callable[[datetime, timedelta], datetime]


def by_wall_clock(start: datetime, span: timedelta) -> datetime:
    """A practice that is always open."""
    return start + span


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRule:
    """A rule with its limits filled in."""

    rule: Rule
    tests: tuple[Test, ...]
    at_once: tuple[Test, ...]
    clear: tuple[Test, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRules:
    """Everything the engine needs to judge one patient."""

    rule_set: RuleSet
    profile: Mapping[str, Any]
    by_kind: Mapping[str, tuple[PatientRule, ...]]
    by_id: Mapping[str, PatientRule]
    bad_in_row: tuple[Rule, ...]
    silence: tuple[Rule, ...]
    keep: timedelta
    user: int | None
    ketones: bool
    expects: tuple[str, ...]
    after: After = by_wall_clock
    problem: str = ""  # why the patient's own limits are not in these rules


def rules_for(
    rule_set: RuleSet, overrides: Mapping[str, Any] | None = None, *, after: After = by_wall_clock
) -> PatientRules:
    """Compile. `after` knows the practice's hours.

    Raises `ProfileError` for an unknown key, a wrong type, or a patient the set must not be used for.
    """
    profile = _profile(rule_set, overrides or {})
    compiled = [
        PatientRule(
            rule=rule,
            tests=_tests(rule, rule.conditions, profile),
            at_once=_tests(rule, rule.at_once, profile),
            clear=_tests(rule, rule.clear, profile),
        )
        for rule in rule_set.rules
        if (rule.only is None or profile[rule.only]) and (rule.unless is None or not profile[rule.unless])
    ]
    return PatientRules(
        rule_set=rule_set,
        profile=profile,
        by_kind={kind: tuple(c for c in compiled if c.rule.kind == kind) for kind in METRICS},
        by_id={c.rule.id: c for c in compiled},
        bad_in_row=tuple(c.rule for c in compiled if c.rule.shape == "bad_in_row"),
        silence=tuple(c.rule for c in compiled if c.rule.shape == "silence"),
        keep=max((c.rule.window for c in compiled if c.rule.kind is not None), default=timedelta(days=1)),
        user=profile.get("user"),
        ketones=bool(profile.get("t1d")) or bool(profile.get("sglt2")),
        expects=tuple(profile.get("expects", ())),
        after=after,
    )


def _tests(rule: Rule, conditions: tuple[Condition, ...], profile: Mapping[str, Any]) -> tuple[Test, ...]:
    metrics = METRICS[rule.kind or "bp"]
    return tuple(
        (
            metrics.index(c.metric),
            _OPERATORS[c.op],
            Decimal(str(profile[c.limit])) if isinstance(c.limit, str) else c.limit,
            c.op,
        )
        for c in conditions
    )


def _profile(rule_set: RuleSet, overrides: Mapping[str, Any]) -> dict[str, Any]:
    profile = dict(rule_set.profile_defaults)
    kinds = overrides.get("kinds", [])
    if not isinstance(kinds, list):
        raise ProfileError("kinds: expected a list such as [hf]")
    for kind in kinds:
        if kind in rule_set.refuses:
            raise ProfileError(
                f"kinds: {rule_set.id} must not be used for {kind} ({rule_set.refuses[kind]}); use a set made for it"
            )
        if kind not in rule_set.profile_kinds:
            raise ProfileError(f"kinds: unknown kind {kind!r}; known are {', '.join(rule_set.profile_kinds)}")
        profile.update(rule_set.profile_kinds[kind])
    for key, value in overrides.items():
        if key == "kinds":
            continue
        if key not in profile:
            raise ProfileError(f"{key}: unknown profile value; known are {', '.join(profile)}")
        _check_type(key, value, profile[key])
        profile[key] = value
    return profile


def _check_type(key: str, value: object, default: object) -> None:
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, list):
        fits = isinstance(value, list) and all(v in METRICS for v in value)
    elif default is None:
        fits = value is None or (isinstance(value, int) and not isinstance(value, bool))
    else:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and Decimal(str(value)).is_finite()
    if not fits:
        raise ProfileError(f"{key}: {value!r} does not fit; the default is {default!r}")
