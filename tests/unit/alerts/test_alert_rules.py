"""A rule set is used only when every word of it is right."""

# ruff: noqa: E501 - one case a line

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.profile import rules_for
from alerts.rule_set import ProfileError, RuleSetError
from alerts.rules import DEFAULT_POLICY, load_rule_set, parse_rule_set

Document = dict[str, Any]
SHIPPED: Document = yaml.safe_load(DEFAULT_POLICY.read_text())


def rule(document: Document, name: str) -> Document:
    return next(item for item in document["rules"] if item["id"] == name)


def refused(change: Callable[[Document], object]) -> tuple[str, ...]:
    document = copy.deepcopy(SHIPPED)
    change(document)
    with pytest.raises(RuleSetError) as caught:
        parse_rule_set(document)
    return caught.value.problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(extra=1), "rule set: unknown key 'extra'"),
        (lambda d: d.pop("policy"), "rule set: policy is missing"),
        (lambda d: rule(d, "bp.severe").update(colour="red"), "rules.bp.severe: unknown key 'colour'"),
        (lambda d: rule(d, "bp.severe").update(family="bp.higher"), "rules.bp.severe: unknown family 'bp.higher'"),
        (lambda d: rule(d, "bp.severe").update(severity="P0"), "rules.bp.severe.severity: expected P1, P2, P3 or P4, not 'P0'"),
        (lambda d: rule(d, "bp.severe").update(any=[["mgdl", ">", 1]]), "rules.bp.severe.any: bp has no metric 'mgdl'; it has sys, dia, pulse"),
        (lambda d: rule(d, "bp.severe").update(any=[["sys", "=>", 1]]), "rules.bp.severe.any: operator must be one of < <= > >=, not '=>'"),
        (lambda d: rule(d, "bp.severe").update(any=[["sys", ">", "goal"]]), "rules.bp.severe.any: limit 'goal' is not a number of profile_defaults"),
        (lambda d: rule(d, "bp.severe").update(any=[["sys", ">", True]]), "rules.bp.severe.any: expected a number, not True"),
        (lambda d: rule(d, "bp.severe").pop("any"), "rules.bp.severe: needs any: [[metric, op, limit], …]"),
        (lambda d: rule(d, "bp.severe").pop("clear"), "rules.bp.severe: has no clear; add clear: {all: [[metric, op, limit], …]} or no_clear: reason"),
        (lambda d: rule(d, "bp.high.repeat").update(within="3 days"), "rules.bp.high.repeat.within: expected minutes or a number with m, h or d, not '3 days'"),
        (lambda d: rule(d, "bp.high.repeat").update(mean={"days": 7, "min_n": 1, "min_days": 1}), "rules.bp.high.repeat: is of several shapes: mean, count"),
        (lambda d: rule(d, "rhythm.irregular").update(count=4), "rules.rhythm.irregular: count 4 of the last 3 can never happen"),
        (lambda d: rule(d, "rhythm.irregular").update(unless="afib"), "rules.rhythm.irregular.unless: 'afib' is not a yes/no profile value"),
        (lambda d: rule(d, "weight.day").update(gain={"kg": 1, "hours": [12, 36]}), "rules.weight.day.gain: lb is missing"),
        (lambda d: rule(d, "weight.day").update(gain={"lb": 3, "hours": [36, 12]}), "rules.weight.day.gain.hours: 36 is not below 12"),
        (lambda d: rule(d, "tech.missed").update(per="day"), "rules.tech.missed.per: expected: per: expects"),
        (lambda d: d["rules"].append(rule(d, "bp.low")), "rules.bp.low: is there twice"),
        (lambda d: d["policy"]["escalate"].update(P1=[]), "rules.bp.severe: can be P1, but policy.escalate.P1 is empty: nobody would be told again"),
        (lambda d: d["policy"]["escalate"].update(P1=[5, 5]), "policy.escalate.P1: steps must rise"),
        (lambda d: d["policy"]["claim_idle"].pop("P2"), "policy.claim_idle: P2 is missing"),
        (lambda d: d["policy"]["escalate"].update(P5=[1]), "policy.escalate: unknown key 'P5'"),
        (lambda d: d["families"].update({"bp.high": {"inhibits": ["bp.tend"]}}), "families.bp.high.inhibits: unknown family 'bp.tend'"),
        (lambda d: d["profile_kinds"].update(copd={"spo2": 88}), "profile_kinds.copd: unknown profile value 'spo2'"),
        (lambda d: d["quality"]["bp"]["range"].update(sys=[270, 50]), "quality.bp.range.sys: 270 is not below 50"),
        (lambda d: d["quality"]["glucose"].update(codes={"HI": "below"}), "quality.glucose.codes.HI: expected LO: below, HI: above, not 'below'"),
        (lambda d: d["ruleset"].update(effective="soon"), "ruleset.effective: expected a date, not 'soon'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(change: Callable[[Document], object], problem: str) -> None:
    assert problem in refused(change)


def test_all_problems_are_told_at_once() -> None:
    def change(document: Document) -> None:
        rule(document, "bp.severe").update(colour="red")
        rule(document, "bp.low").update(severity="P7")

    assert len(refused(change)) == 2


@pytest.mark.parametrize("document", [None, [], "text", {"rules": 3}])
def test_anything_else_is_refused_without_a_crash(document: object) -> None:
    with pytest.raises(RuleSetError):
        parse_rule_set(document)


def test_reason_in_place_of_a_clear_is_accepted() -> None:
    document = copy.deepcopy(SHIPPED)
    rule(document, "bp.severe").pop("clear")
    rule(document, "bp.severe")["no_clear"] = "a person decides"

    assert parse_rule_set(document).rules[0].no_clear == "a person decides"


def test_doubled_key_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("ruleset: {id: a}\nruleset: {id: b}\n")

    with pytest.raises(RuleSetError, match=r"twice.yaml: line 2: key 'ruleset' is doubled"):
        load_rule_set(path)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    binary = tmp_path / "x.yaml"
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(RuleSetError, match=r"nowhere.yaml: cannot be read"):
        load_rule_set(tmp_path / "nowhere.yaml")
    with pytest.raises(RuleSetError, match=r"x.yaml: is not UTF-8"):
        load_rule_set(binary)


def test_kinds_come_before_the_patients_own_values() -> None:
    rules = rules_for(load_rule_set(), {"kinds": ["hf"], "pulse_hi": 105})

    assert (rules.profile["hf"], rules.profile["pulse_hi"]) == (True, 105)
    assert rules.by_id["pulse.limits"].tests[0][2] == Decimal(105)
    assert "weight.week" in rules.by_id


def test_rules_for_others_are_left_out() -> None:
    rules = rules_for(load_rule_set(), {"known_af": True})

    assert "weight.week" not in rules.by_id
    assert "rhythm.irregular" not in rules.by_id


@pytest.mark.parametrize("kind", ["pregnancy", "child", "children", "dialysis", "hospice"])
def test_patients_the_set_is_not_made_for_are_refused(kind: str) -> None:
    with pytest.raises(ProfileError, match=f"adult-default must not be used for {kind}"):
        rules_for(load_rule_set(), {"kinds": [kind]})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"goal_sis": 120}, "goal_sis: unknown profile value"),
        ({"goal_sys": "120"}, "goal_sys: '120' does not fit"),
        ({"goal_sys": True}, "goal_sys: True does not fit"),
        ({"hf": 1}, "hf: 1 does not fit"),
        ({"expects": ["sleep"]}, "expects: .* does not fit"),
        ({"user": 1.5}, "user: 1.5 does not fit"),
        ({"kinds": "hf"}, "kinds: expected a list"),
        ({"kinds": ["athlete"]}, "kinds: unknown kind 'athlete'"),
    ],
)
def test_override_that_does_not_fit_is_refused(overrides: Document, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        rules_for(load_rule_set(), overrides)
