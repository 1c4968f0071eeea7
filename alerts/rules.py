"""A rule set from a file: read, check every word of it, or say everything that is wrong with it.

Input: YAML (or a mapping). Output: a frozen `RuleSet`, or `RuleSetError` with all problems and where they are.
Durations are minutes unless a unit (m, h, d) is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from alerts.checked import Checked, is_number
from alerts.model import METRICS, Severity
from alerts.rule_set import REFUSED_KINDS, Condition, Confirm, Quality, Rule, RuleSet, RuleSetError

DEFAULT_POLICY: Final = Path(__file__).with_name("policies") / "adult_default_v3.yaml"
OPERATORS: Final = ("<", "<=", ">", ">=")
_SHAPES: Final = ("mean", "count", "flag", "gain", "silence", "bad_in_row")
_RULE_NEEDS: Final = ("id", "family", "severity")
_RULE_MAY: Final = (
    *("kind", "any", "confirm", "at_once", "clear", "no_clear", "count", "within", "spaced", "mean", "flag", "of_last"),
    *("unless", "only", "recheck", "advice", "gain", "silence", "per", "bad_in_row", "source"),
)


def load_rule_set(path: Path = DEFAULT_POLICY) -> RuleSet:
    """Read and check a YAML file. Raises `RuleSetError`; a doubled key is an error, not "the last one wins"."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise RuleSetError([f"{path.name}: cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError as error:
        raise RuleSetError([f"{path.name}: is not UTF-8 text"]) from error
    except yaml.YAMLError as error:
        raise RuleSetError([f"{path.name}: {_first_line(error)}"]) from error
    return parse_rule_set(document)


def parse_rule_set(document: object) -> RuleSet:
    """Check a document and give the rule set. Every problem is collected before it is refused."""
    return _Parser().rule_set(document)


class _StrictLoader(yaml.SafeLoader):
    """YAML without doubled keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)) or key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is doubled", problem_mark=key_node.start_mark)
            seen.add(key)
        return dict(super().construct_mapping(node, deep))


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return where + str(getattr(error, "problem", None) or "is not YAML")


class _Parser(Checked):
    """Collects problems while it reads; nothing is used unless nothing is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.families: set[str] = set()
        self.profile: Mapping[str, Any] = {}

    def rule_set(self, document: object) -> RuleSet:
        top = self.table(
            document,
            "rule set",
            need=("ruleset", "quality", "families", "rules", "profile_defaults", "policy"),
            may=("profile_kinds", "refuses"),
        )
        head = self.table(
            top.get("ruleset"), "ruleset", need=("id", "version", "effective"), may=("approved_by", "title")
        )
        inhibits = self.inhibitions(top.get("families"))
        self.profile = self.table(top.get("profile_defaults"), "profile_defaults")
        kinds = self.kinds(top.get("profile_kinds", {}))
        quality = self.table(top.get("quality"), "quality", need=("late_after", "future_tolerance"), may=tuple(METRICS))
        policy = self.table(
            top.get("policy"),
            "policy",
            need=("escalate", "claim_idle", "snooze_max", "reopen_within", "needs_human_close"),
        )
        escalate = {
            severity: tuple(
                self.minutes(m, f"policy.escalate.{severity}") for m in self.items(steps, f"policy.escalate.{severity}")
            )
            for severity, steps in self.by_severity(policy.get("escalate"), "policy.escalate").items()
        }
        rules = tuple(self.rule(item, f"rules[{n}]") for n, item in enumerate(self.items(top.get("rules"), "rules"), 1))
        self.check_whole(rules, escalate)
        result = RuleSet(
            id=str(head.get("id")),
            version=self.integer(head.get("version"), "ruleset.version"),
            effective=self.day(head.get("effective"), "ruleset.effective"),
            approved_by=head.get("approved_by"),
            quality={k: self.quality(v, k) for k, v in quality.items() if k in METRICS},
            late_after=self.minutes(quality.get("late_after"), "quality.late_after"),
            future_tolerance=self.minutes(quality.get("future_tolerance"), "quality.future_tolerance"),
            inhibits=inhibits,
            rules=rules,
            profile_defaults=self.profile,
            profile_kinds=kinds,
            escalate=escalate,
            claim_idle={
                s: self.minutes(v, f"policy.claim_idle.{s}")
                for s, v in self.by_severity(policy.get("claim_idle"), "policy.claim_idle").items()
            },
            snooze_max={
                s: self.integer(v, f"policy.snooze_max.{s}")
                for s, v in self.by_severity(policy.get("snooze_max"), "policy.snooze_max").items()
            },
            reopen_within=self.minutes(policy.get("reopen_within"), "policy.reopen_within"),
            needs_human_close=frozenset(
                self.severity(s, "policy.needs_human_close")
                for s in self.items(policy.get("needs_human_close"), "policy.needs_human_close")
            ),
            refuses={**REFUSED_KINDS, **self.table(top.get("refuses", {}), "refuses")},
        )
        if self.problems:
            raise RuleSetError(self.problems)
        return result

    # --- parts

    def inhibitions(self, node: object) -> dict[str, frozenset[str]]:
        families = self.table(node, "families")
        self.families = set(families)
        found: dict[str, frozenset[str]] = {}
        for name, body in families.items():
            where = f"families.{name}"
            names = self.items(self.table(body, where, may=("inhibits",)).get("inhibits", []), f"{where}.inhibits")
            for other in names:
                if other not in families:
                    self.wrong(f"{where}.inhibits", f"unknown family {other!r}")
            found[name] = frozenset(map(str, names))
        return found

    def kinds(self, node: object) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for kind, body in self.table(node, "profile_kinds").items():
            values = self.table(body, f"profile_kinds.{kind}")
            for key in values:
                if key not in self.profile:
                    self.wrong(f"profile_kinds.{kind}", f"unknown profile value {key!r}")
            found[kind] = values
        return found

    def quality(self, node: object, kind: str) -> Quality:
        where = f"quality.{kind}"
        body = self.table(node, where, need=("range",), may=("min_gap", "suspect_flags", "codes"))
        ranges = self.table(body.get("range"), f"{where}.range", need=METRICS[kind])
        limits: list[tuple[Decimal, Decimal]] = []
        for metric in METRICS[kind]:
            pair = self.items(ranges.get(metric), f"{where}.range.{metric}")
            if len(pair) != 2:
                self.wrong(f"{where}.range.{metric}", "expected [lowest, highest]")
                continue
            low, high = (self.number(v, f"{where}.range.{metric}") for v in pair)
            if low >= high:
                self.wrong(f"{where}.range.{metric}", f"{low} is not below {high}")
            limits.append((low, high))
        gap = self.table(body.get("min_gap", {}), f"{where}.min_gap", may=("sys-dia",) if kind == "bp" else ())
        codes = self.table(body.get("codes", {}), f"{where}.codes", may=("LO", "HI"))
        for code, meaning in codes.items():
            if (code, meaning) not in (("LO", "below"), ("HI", "above")):
                self.wrong(f"{where}.codes.{code}", f"expected LO: below, HI: above, not {meaning!r}")
        return Quality(
            ranges=tuple(limits),
            min_gap=self.number(gap["sys-dia"], f"{where}.min_gap") if "sys-dia" in gap else None,
            suspect_flags=frozenset(map(str, self.items(body.get("suspect_flags", []), f"{where}.suspect_flags"))),
        )

    def rule(self, node: object, where: str) -> Rule:
        if isinstance(node, dict) and "id" in node:
            where = f"rules.{node['id']}"
        body = self.table(node, where, need=_RULE_NEEDS, may=_RULE_MAY)
        name = str(body.get("id", where))
        family = str(body.get("family"))
        if family not in self.families:
            self.wrong(where, f"unknown family {family!r}")
        kind = body.get("kind")
        shape = self.shape(body, where)
        if shape in ("silence", "bad_in_row"):
            if kind is not None:
                self.wrong(where, f"a rule of {shape} has no kind")
            kind = None
        elif kind not in METRICS:
            self.wrong(where, f"kind must be one of {', '.join(METRICS)}, not {kind!r}")
            kind = "bp"
        for key in ("only", "unless"):
            if key in body and not isinstance(self.profile.get(body[key]), bool):
                self.wrong(f"{where}.{key}", f"{body[key]!r} is not a yes/no profile value")
        at_once = self.table(body.get("at_once", {}), f"{where}.at_once", may=("any", "severity"))
        clear = self.table(body.get("clear", {}), f"{where}.clear", may=("all",))
        if "at_once" in body and set(at_once) != {"any", "severity"}:
            self.wrong(f"{where}.at_once", "needs any and severity")
        if "advice" in body and body["advice"] != "ketones":
            self.wrong(f"{where}.advice", f"unknown advice {body['advice']!r}; expected ketones")
        mean = self.table(body.get("mean", {}), f"{where}.mean", may=("days", "min_n", "min_days"))
        fields: dict[str, Any] = {}
        if shape == "mean":
            fields = {
                "window": timedelta(days=self.integer(mean.get("days"), f"{where}.mean.days")),
                "min_n": self.integer(mean.get("min_n"), f"{where}.mean.min_n"),
                "min_days": self.integer(mean.get("min_days"), f"{where}.mean.min_days"),
            }
        elif shape in ("count", "flag"):
            fields = {
                "count": self.integer(body.get("count"), f"{where}.count"),
                "window": self.duration(body.get("within"), f"{where}.within"),
                "spaced": self.minutes(body.get("spaced", 0), f"{where}.spaced"),
            }
            if shape == "flag":
                fields |= {
                    "of_last": self.integer(body.get("of_last"), f"{where}.of_last"),
                    "flag": str(body.get("flag")),
                }
                if fields["count"] > fields["of_last"]:
                    self.wrong(where, f"count {fields['count']} of the last {fields['of_last']} can never happen")
        elif shape == "gain":
            fields = self.gain(body.get("gain"), str(kind), f"{where}.gain")
        elif shape == "silence":
            silence = self.table(body.get("silence"), f"{where}.silence", need=("hours",))
            fields = {"window": timedelta(hours=self.integer(silence.get("hours"), f"{where}.silence.hours"))}
            if body.get("per") != "expects":
                self.wrong(f"{where}.per", "expected: per: expects")
        elif shape == "bad_in_row":
            fields = {"count": self.integer(body.get("bad_in_row"), f"{where}.bad_in_row")}
        if shape in ("point", "mean", "count") and not body.get("any"):
            self.wrong(where, "needs any: [[metric, op, limit], …]")
        return Rule(
            id=name,
            family=family,
            kind=kind,
            shape=shape,
            severity=self.severity(body.get("severity"), f"{where}.severity"),
            conditions=self.conditions(body.get("any", []), kind, f"{where}.any"),
            confirm=self.confirm(body["confirm"], f"{where}.confirm") if "confirm" in body else None,
            at_once=self.conditions(at_once.get("any", []), kind, f"{where}.at_once"),
            at_once_severity=self.severity(at_once.get("severity", "P1"), f"{where}.at_once.severity"),
            clear=self.conditions(clear.get("all", []), kind, f"{where}.clear"),
            recheck=self.minutes(body["recheck"], f"{where}.recheck") if "recheck" in body else None,
            advice=body.get("advice"),
            only=body.get("only"),
            unless=body.get("unless"),
            no_clear=str(body.get("no_clear", "")),
            **fields,
        )

    def shape(self, body: Mapping[str, Any], where: str) -> str:
        shapes = [s for s in _SHAPES if s in body]
        if "flag" in shapes and "count" in shapes:
            shapes.remove("count")  # a flag rule counts flagged readings
        if len(shapes) > 1:
            self.wrong(where, f"is of several shapes: {', '.join(shapes)}")
        return shapes[0] if shapes else "point"

    def gain(self, node: object, kind: str, where: str) -> dict[str, Any]:
        unit = METRICS[kind][0]
        body = self.table(node, where, need=(unit, "hours"))
        hours = self.items(body.get("hours"), f"{where}.hours")
        if len(hours) != 2:
            self.wrong(f"{where}.hours", "expected [from, to]")
            return {}
        low, high = (self.integer(h, f"{where}.hours") for h in hours)
        if low >= high:
            self.wrong(f"{where}.hours", f"{low} is not below {high}")
        return {
            "amount": self.number(body.get(unit), f"{where}.{unit}"),
            "window_from": timedelta(hours=low),
            "window": timedelta(hours=high),
        }

    def confirm(self, node: object, where: str) -> Confirm:
        body = self.table(node, where, need=("min_gap", "ask_after", "window", "confirmed", "timeout"))
        return Confirm(
            min_gap=self.minutes(body.get("min_gap"), f"{where}.min_gap"),
            ask_after=self.minutes(body.get("ask_after"), f"{where}.ask_after"),
            window=self.minutes(body.get("window"), f"{where}.window"),
            confirmed=self.severity(body.get("confirmed"), f"{where}.confirmed"),
            timeout=self.severity(body.get("timeout"), f"{where}.timeout"),
        )

    def conditions(self, node: object, kind: str | None, where: str) -> tuple[Condition, ...]:
        found: list[Condition] = []
        for item in self.items(node, where):
            if not isinstance(item, list) or len(item) != 3:
                self.wrong(where, f"expected [metric, op, limit], not {item!r}")
                continue
            metric, op, limit = item
            if kind is not None and metric not in METRICS[kind]:
                self.wrong(where, f"{kind} has no metric {metric!r}; it has {', '.join(METRICS[kind])}")
            if op not in OPERATORS:
                self.wrong(where, f"operator must be one of {' '.join(OPERATORS)}, not {op!r}")
            if isinstance(limit, str):
                if not is_number(self.profile.get(limit)):
                    self.wrong(where, f"limit {limit!r} is not a number of profile_defaults")
                found.append(Condition(metric=str(metric), op=str(op), limit=limit))
            else:
                found.append(Condition(metric=str(metric), op=str(op), limit=self.number(limit, where)))
        return tuple(found)

    def check_whole(self, rules: tuple[Rule, ...], escalate: Mapping[Severity, tuple[timedelta, ...]]) -> None:
        names = [rule.id for rule in rules]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self.wrong(f"rules.{name}", "is there twice")
        for rule in rules:
            # A value that fires a point or count rule needs a value that ends it, or a reason why none does. Means,
            # gains, flags and silences look at a window and end with a person's close or with the next reading.
            if rule.shape in ("point", "count") and not rule.clear and not rule.no_clear:
                self.wrong(
                    f"rules.{rule.id}", "has no clear; add clear: {all: [[metric, op, limit], …]} or no_clear: reason"
                )
            reaches = {rule.severity} | ({rule.at_once_severity} if rule.at_once else set())
            reaches |= {rule.confirm.confirmed, rule.confirm.timeout} if rule.confirm else set()
            if Severity.P1 in reaches and not escalate.get(Severity.P1):
                self.wrong(f"rules.{rule.id}", "can be P1, but policy.escalate.P1 is empty: nobody would be told again")
        for severity, steps in escalate.items():
            if list(steps) != sorted(set(steps)):
                self.wrong(f"policy.escalate.{severity}", "steps must rise")
