"""An adjudication in the words a biller would say: what, how much, why not, what to do.

Input: an adjudication of the billing contract. Output: sentences, one a line. No rule is decided here; what to do
follows from the reason alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

Json = Mapping[str, Any]

PROGRAMS: Final[Mapping[str, str]] = {
    "rpm": "remote physiologic monitoring",
    "rtm": "remote therapeutic monitoring",
    "ccm": "chronic care management",
    "pcm": "principal care management",
    "apcm": "advanced primary care",
    "tcm": "transition after discharge",
    "bhi": "behavioral health integration",
    "cocm": "collaborative care",
    "data-review": "review of device data",
    "home-health-oversight": "oversight of home health",
    "hospice-oversight": "oversight of hospice",
}
# What a biller can do about it. A reason without an entry is settled by the rule: there is nothing to do.
ADVICE: Final[Mapping[str, str]] = {
    "TIME_BELOW_THRESHOLD": "record work that was done and is not recorded yet; nothing is rounded up",
    "DAYS_BELOW_THRESHOLD": "wait for readings that are still on their way from the device, if any",
    "NO_INTERACTIVE_COMM": "record the live talk if there was one in the month, with whom and when",
    "NO_CONSENT": "find the documented consent to this practitioner; work before it never counts",
    "CONSENT_REVOKED": "new work needs a new consent",
    "NO_ORDER": "find the order of a practitioner, with its date",
    "NOT_ESTABLISHED": "find the visit that made the patient a patient of this practice",
    "NO_INITIATING_VISIT": "find the visit at which the program was discussed",
    "NO_CARE_PLAN": "find the plan that the billing practitioner approved before the last minute of the month",
    "MDM_NOT_MET": "ask the practitioner only if such decisions were made in the month",
    "OVERLAP_CROSS_PROGRAM": "ask the person who did the work to which program it belongs",
    "MANUAL_DATA": "ask whether the device's own connection works",
    "DEVICE_NOT_QUALIFIED": "give the patient a device that is a medical device",
    "OTHER_PRACTITIONER": "talk to the other practice; one of the two may bill",
    "WRONG_PERFORMER": "check who did the work and in what role",
    "UNKNOWN_CODE": "correct the code in the system that offered it",
}
# Minutes that did not count, in words.
LOST: Final[Mapping[str, str]] = {
    "OVERLAP_SAME_PROGRAM": "two people at work for one program at the same moment count once",
    "OVERLAP_CROSS_PROGRAM": "claimed by two programs, or part of a visit",
    "STAFF_DOUBLE_BOOKED": "the same person is booked on another patient at that moment",
    "NO_CONSENT": "worked without a consent or an enrollment",
    "CONSENT_REVOKED": "worked after the patient stopped the service",
    "WRONG_PERFORMER": "not the work of a person who may do it",
    "INPATIENT_TIME": "the patient was in hospital or in a nursing facility",
    "CONDITIONS_NOT_MET": "work that does not count for the program",
    "NOT_ESTABLISHED": "worked before the patient was a patient of the practice",
    "NO_INITIATING_VISIT": "worked before the initiating visit",
    "LANE_NOT_DESIGNATED": "nobody has said to which program the work belongs",
    "RULES_NOT_LOADED": "the rules of that year are not loaded",
}


def explain(adjudication: Json) -> tuple[str, ...]:
    """What is billed and why, what a person must answer, what is not billed and what can be done about it."""
    return tuple(_sentences(adjudication))


def _sentences(answer: Json) -> Iterator[str]:
    pack = answer["pack"]
    rules = "Medicare Part B rules" if pack["id"] == "medicare-b" else f"rules of the pack {pack['id']} over Medicare's"
    yield f"Patient {answer['patient']}, {answer['month']}, {rules} of {pack['rule_year']}."
    held = f" {_count(answer['held'], 'line')} a person must decide." if answer["held"] else ""
    if answer["billable"]:
        yield f"To claim: {_count(answer['billable'], 'line')}, {_dollars(answer['total'])} in all.{held}"
    else:
        yield f"Nothing can be claimed.{held}"
    for line in answer["billable"]:
        yield from _billed(line)
    for reasons, lines in _alike(answer["held"]):
        yield from _held(lines, reasons)
    for reasons, lines in _alike(answer["refused"]):
        yield from _refused(lines, reasons)
    yield from _minutes(answer)
    for choice in answer["alternatives"]:
        lines_of = " + ".join(f"{line['units']} x {line['code']}" for line in choice["lines"])
        yield (
            f"Also lawful, if {choice['practitioner']} designates the {choice['lane']} lane: {lines_of}, "
            f"{_dollars(choice['total'])}. The lane is the practitioner's choice, never the price's."
        )
    for warning in answer["warnings"]:
        yield f"Note: {warning['text']}."


def _alike(lines: Sequence[Json]) -> Iterator[tuple[Sequence[Json], list[Json]]]:
    """Lines that stand or fall for the very same reasons, told once."""
    groups: dict[tuple[str, ...], list[Json]] = {}
    for line in lines:
        key = tuple(f"{reason['text']} {reason.get('question')}" for reason in line["reasons"])
        groups.setdefault(key, []).append(line)
    for alike in groups.values():
        yield alike[0]["reasons"], alike


def _count(items: Sequence[Any], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def _dollars(amount: str | None) -> str:
    return f"${amount}" if amount is not None else "amount not known, the carrier prices it"


def _cited(citation: Json) -> str:
    return f"{citation['title']}, {citation['locator']}"


def _names(lines: Sequence[Json]) -> str:
    return ", ".join(
        (f"{line['units']} x " if line["units"] > 1 else "")
        + (f"{line['code']} ({line['label']})" if line["label"] else str(line["code"]))
        for line in lines
    )


def _billed(line: Json) -> Iterator[str]:
    units = f" x {line['units']}" if line["units"] > 1 else ""
    yield (
        f"{line['code']}{units} ({line['label']}), date of service {line['service_to']}, by {line['practitioner']}: "
        f"{_dollars(line['amount'])}."
    )
    for proof in line["because"]:
        yield f"  Proven: {_programs(proof['text'])}. Rule: {_cited(proof['citation'])}."


def _held(lines: Sequence[Json], reasons: Sequence[Json]) -> Iterator[str]:
    yield f"{_names(lines)} {'is' if len(lines) == 1 else 'are'} held until a person answers:"
    for reason in reasons:
        question = reason.get("question") or "Is this line right?"
        yield f"  {_capital(_programs(reason['text']))}. Question: {question} Rule: {_cited(reason['citation'])}."


def _refused(lines: Sequence[Json], reasons: Sequence[Json]) -> Iterator[str]:
    yield f"{_names(lines)} cannot be claimed:"
    for reason in reasons:
        yield f"  {_capital(_programs(reason['text']))}. Rule: {_cited(reason['citation'])}."
    todo = dict.fromkeys(ADVICE[reason["reason"]] for reason in reasons if reason["reason"] in ADVICE)
    # A code that another one replaces, or that was claimed already, cannot be saved by anything listed beside it.
    settled = any(reason["reason"] not in ADVICE and reason["reason"] != "ADDON_WITHOUT_BASE" for reason in reasons)
    yield f"  What to do: {'nothing, the rule settles it' if settled or not todo else '; '.join(todo)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _programs(text: str) -> str:
    """Program ids that stand as words of a sentence, by their names; spans of dates in words."""
    return " ".join(
        PROGRAMS.get(word, word) if word in ("ccm", "pcm", "apcm", "rpm", "rtm") else word
        for word in text.replace("..", " to ").split(" ")
    )


def _minutes(answer: Json) -> Iterator[str]:
    counted: dict[str, Decimal] = {}
    lost: dict[str, Decimal] = {}
    for row in answer["time"]:
        name = PROGRAMS.get(row["program"] or "", "no program")
        counted[name] = counted.get(name, Decimal(0)) + Decimal(row["counted_seconds"])
        for cut in row["excluded"]:
            lost[cut["reason"]] = lost.get(cut["reason"], Decimal(0)) + Decimal(cut["seconds"])
    for program, seconds in sorted(counted.items()):
        yield f"Time counted for {program}: {_clock(seconds)}."
    for reason, seconds in sorted(lost.items()):
        yield f"Time not counted: {_clock(seconds)}, {LOST.get(reason, 'the rule excludes it')}."
    for period in answer["days"]:
        span = period["period"]
        yield f"Days with readings {span['from']} to {span['to']}: {len(period['dates'])}."
    for period in answer.get("running", ()):
        span = period["period"]
        yield f"Days so far in the running period {span['from']} to {span['to']}: {len(period['dates'])}."


def _clock(seconds: Decimal) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
