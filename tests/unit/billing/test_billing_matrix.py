"""The whole pair matrix against its table in print, both ways, on each side of every date, and what the engine does."""

from __future__ import annotations

from datetime import date
from itertools import combinations, permutations

import pytest

from server.billing.codes import register
from server.billing.concurrency import exclude, matrix, verdict
from server.billing.context import Context
from server.billing.facts import parse_facts
from server.billing.outcome import Determination
from server.billing.parameter_tree import medicare
from tests.billing_cases.months import Json, month_facts

GROUPS = {
    "A": "ccm-staff",
    "B": "ccm-complex",
    "C": "ccm-practitioner",
    "D": "pcm",
    "E": "rpm-device",
    "F": "rpm-time",
    "G": "data-review",
    "H": "rtm",
    "I": "tcm",
    "J": "bhi",
    "K": "cocm",
    "L": "apcm",
    "M": "oversight",
    "N": "esrd",
    "O": "care-planning",
    "Q": "self-measured-bp",
}
# One code of each group, of the calendar month where the group has one.
CODES = {
    "ccm-staff": "99490",
    "ccm-complex": "99487",
    "ccm-practitioner": "99491",
    "pcm": "99426",
    "rpm-device": "99454",
    "rpm-time": "99457",
    "data-review": "99091",
    "rtm": "98980",
    "tcm": "99495",
    "bhi": "99484",
    "cocm": "99492",
    "apcm": "G0557",
    "oversight": "G0181",
    "esrd": "90960",
    "care-planning": "G0506",
    "self-measured-bp": "99474",
}
# As printed: Y allowed, D allowed when distinct, H hold, X not by the same practitioner, XX by nobody.
PRINTED = """
  A  B  C  D  E  F  G  H  I  J  K  L  M  N  O  Q
A .  XX XX X  Y  D  H  D  D  D  D  X  X  X  Y  X
B XX .  XX X  Y  D  H  D  D  D  D  X  X  X  H  X
C XX XX .  X  Y  D  X  D  D  D  D  X  X  X  Y  X
D X  X  X  .  Y  D  H  D  H  D  H  X  X  X  H  X
E Y  Y  Y  Y  .  Y  X  XX Y  Y  Y  Y  Y  Y  Y  X
F D  D  D  D  Y  .  X  XX D  D  D  D  H  H  H  X
G H  H  X  H  X  X  .  X  D  X  X  H  H  H  X  X
H D  D  D  D  XX XX X  .  D  D  D  D  H  H  H  X
I D  D  D  H  Y  D  D  D  .  D  H  X  D  D  Y  X
J D  D  D  D  Y  D  X  D  D  .  X  D  X  X  Y  X
K D  D  D  H  Y  D  X  D  H  X  .  D  X  X  Y  X
L X  X  X  X  Y  D  H  D  X  D  D  .  H  H  H  H
M X  X  X  X  Y  H  H  H  D  X  X  H  .  H  X  H
N X  X  X  X  Y  H  H  H  D  X  X  H  H  .  X  H
O Y  H  Y  H  Y  H  X  H  Y  Y  Y  H  X  X  .  X
Q X  X  X  X  X  X  X  X  X  X  X  H  H  H  X  .
"""
MODES = {"Y": "allowed", "D": "distinct", "H": "hold", "X": "same-practitioner", "XX": "nobody"}
# Pairs that the list of pairs dates to 2020-01-01. Before it care management gave way to the transition; the others
# rested on a claim edit, which binds one practitioner.
BEFORE_2020 = {frozenset(("I", other)): "yields" if other in "ABC" else "same-practitioner" for other in "ABCGMN"}
BOUNDARIES = ["2019-12-31", "2020-01-01", "2024-12-31", "2025-01-01", "2025-12-31", "2026-01-01", "2026-12-31"]
LANES = {"ccm-staff", "ccm-complex", "ccm-practitioner"}


def printed() -> dict[tuple[str, str], str]:
    head, *rows = (line.split() for line in PRINTED.strip().splitlines())
    return {(row[0], column): symbol for row in rows for column, symbol in zip(head, row[1:], strict=True)}


PAIRS = [pytest.param(one, other, id=f"{GROUPS[one]} {GROUPS[other]}") for one, other in permutations(GROUPS, 2)]


def test_table_in_print_is_whole_and_symmetric() -> None:
    table = printed()

    assert len(table) == 16 * 16
    assert all(table[one, other] == table[other, one] for one, other in combinations(GROUPS, 2))
    assert {pair for pair, symbol in table.items() if symbol == "."} == {(one, one) for one in GROUPS}
    assert set(GROUPS.values()) == {code.group for code in register().values() if code.group}
    assert len(matrix()) == 16 * 15 // 2


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_mode_of_the_pair_on_each_side_of_each_date(one: str, other: str) -> None:
    for text in BOUNDARIES:
        day = date.fromisoformat(text)
        found = verdict(GROUPS[one], GROUPS[other], day)
        expected = MODES[printed()[one, other]]
        if day < date(2020, 1, 1):
            expected = BEFORE_2020.get(frozenset((one, other)), expected)
        assert found is not None
        assert found.mode == expected, text
        assert found == verdict(GROUPS[other], GROUPS[one], day)
        assert found.citation.title
        assert found.citation.locator


def context(month: str, designated: tuple[str, ...] = ()) -> Context:
    facts = month_facts(month)
    facts["practitioners"].append({"id": "dr-z", "group": "pr9", "credential": "MD"})
    facts["designations"] = [{"program": program, "lane": None, "practitioner": "dr-a"} for program in designated]
    return Context(parse_facts(facts), medicare())


def line(ctx: Context, group: str, practitioner: str) -> Determination:
    code = register()[CODES[group]]
    return Determination(
        code=code.number,
        program=code.program or group,
        practitioner=practitioner,
        period=ctx.month,
        service_from=ctx.month.last,
        service_to=ctx.month.last,
        units=1,
    )


def outcome(one: Determination) -> str:
    if one.unmet:
        return "refused"
    return "held" if one.holds else "billable"


def decided(month: str, one: str, other: str, practitioner: str, designated: tuple[str, ...] = ()) -> tuple[str, str]:
    ctx = context(month, designated)
    lines = exclude(ctx, [line(ctx, one, "dr-a"), line(ctx, other, practitioner)])
    return outcome(lines[0]), outcome(lines[1])


BOTH: dict[str, dict[str, tuple[str, str]]] = {
    # mode → outcome of both lines by one practitioner, and by two of different groups
    "allowed": {"same": ("billable", "billable"), "other": ("billable", "billable")},
    "distinct": {"same": ("billable", "billable"), "other": ("billable", "billable")},
    "hold": {"same": ("held", "held"), "other": ("held", "held")},
    "same-practitioner": {"same": ("held", "held"), "other": ("billable", "billable")},
    "nobody": {"same": ("held", "held"), "other": ("held", "held")},
}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_engine_does_what_the_mode_says(one: str, other: str) -> None:
    """Two lines of one run, nothing designated. Lanes of one program are chosen elsewhere."""
    groups = GROUPS[one], GROUPS[other]
    if set(groups) <= LANES:
        return
    mode = MODES[printed()[one, other]]
    for who, practitioner in (("same", "dr-a"), ("other", "dr-z")):
        expected = BOTH[mode][who]
        if set(groups) in ({"data-review", "rpm-device"}, {"data-review", "rpm-time"}) and who == "same":
            expected = ("refused", "billable") if groups[0] == "data-review" else ("billable", "refused")
        assert decided("2026-11", *groups, practitioner) == expected, (mode, who)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_designated_one_stays_and_the_other_is_refused(one: str, other: str) -> None:
    groups = GROUPS[one], GROUPS[other]
    mode = MODES[printed()[one, other]]
    program = register()[CODES[groups[0]]].program
    theirs = register()[CODES[groups[1]]].program
    if set(groups) <= LANES or program is None or program == theirs or "data-review" in groups:
        return
    if mode not in {"same-practitioner", "nobody"}:
        return
    assert decided("2026-11", *groups, "dr-a", (program,)) == ("billable", "refused")


@pytest.mark.parametrize("other", sorted(set("ABCGMN")))
def test_transition_before_and_since_2020(other: str) -> None:
    before = ("billable", "refused") if other in "ABC" else ("held", "held")
    assert decided("2019-12", "tcm", GROUPS[other], "dr-a") == before
    assert decided("2020-01", "tcm", GROUPS[other], "dr-a") == ("billable", "billable")


def known_service(month: str, mine: str, theirs: str, practitioner: str) -> str:
    """The outcome of a line of this run beside a service that is known already."""
    facts: Json = month_facts(month)
    facts["practitioners"].append({"id": "dr-z", "group": "pr9", "credential": "MD"})
    facts["services"] = [
        {
            "code": CODES[theirs],
            "from": f"{month}-15",
            "to": f"{month}-15",
            "practitioner": practitioner,
            "status": "paid",
        }
    ]
    ctx = Context(parse_facts(facts), medicare())
    return outcome(exclude(ctx, [line(ctx, mine, "dr-a")])[0])


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_known_service_does_what_the_mode_says(one: str, other: str) -> None:
    mine, theirs = GROUPS[one], GROUPS[other]
    if {mine, theirs} <= LANES:
        return
    mode = MODES[printed()[one, other]]
    same = {"allowed": "billable", "distinct": "billable", "hold": "held"}.get(mode, "refused")
    abroad = {"same-practitioner": "billable"}.get(mode, same)
    if mode == "same-practitioner" and theirs == "oversight":
        abroad = "held"
    if {mine, theirs} == {"rpm-device", "rpm-time"}:
        abroad = "held"  # only one practitioner monitors a patient

    assert known_service("2026-11", mine, theirs, "dr-a") == same
    assert known_service("2026-11", mine, theirs, "dr-z") == abroad
