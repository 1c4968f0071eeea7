"""What late or corrected facts change of a frozen adjudication: a signed difference, never a silent change.

Input: the frozen adjudication with its facts, the new adjudication with its facts. Output: lines added, removed and
changed with their amounts, holds and refusals that moved, and the facts that differ, by id. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

Json = Mapping[str, Any]
Key = tuple[str, str, str]

_MONEY: Final = ("units", "amount", "unit_amount", "service_from", "service_to", "practitioner", "modifiers", "lane")
# When the month was read is no fact of the patient; everything it lets in shows as a fact of its own.
_NO_FACT: Final = ("as_of", "proposals")


def difference(frozen: Json, frozen_facts: Json, fresh: Json, fresh_facts: Json) -> dict[str, Any]:
    """Lines added, removed, changed; `total` is signed: what the new decision adds to the frozen one.

    Raises:
        ValueError: The two are not the same patient's same month.
    """
    for name in ("patient", "month"):
        if frozen[name] != fresh[name]:
            raise ValueError(f"the two are not of one {name}: {frozen[name]!r} and {fresh[name]!r}")
    before, after = _lines(frozen["billable"]), _lines(fresh["billable"])
    facts = changed_facts(frozen_facts, fresh_facts)
    added = [_added(after[key], fresh_facts) for key in sorted(after.keys() - before.keys())]
    removed = [_removed(before[key], frozen_facts, fresh) for key in sorted(before.keys() - after.keys())]
    changed = [
        _changed(before[key], frozen_facts, after[key], fresh_facts)
        for key in sorted(before.keys() & after.keys())
        if any(before[key].get(name) != after[key].get(name) for name in _MONEY)
    ]
    for line in (*added, *removed, *changed):
        # A fact that no proof cites (an entry that overlaps, a stay) leaves every changed fact in question.
        cited = line.pop("cites")
        names = [fact["fact"] for fact in facts]
        line["caused_by"] = [name for name in names if name in cited] or names
    return {
        "patient": frozen["patient"],
        "month": frozen["month"],
        "pack_changed": frozen["pack"]["digest"] != fresh["pack"]["digest"],
        "added": added,
        "removed": removed,
        "changed": changed,
        "held": _moved(frozen["held"], fresh["held"]),
        "facts": facts,
        "total": str(Decimal(fresh["total"]) - Decimal(frozen["total"])),
        "unknown_amounts": sum(line["amount"] is None for line in (*added, *removed)),
    }


def is_empty(found: Json) -> bool:
    """Whether nothing that is claimed or asked changes."""
    return not (found["added"] or found["removed"] or found["changed"] or found["held"])


def sentences(found: Json) -> tuple[str, ...]:
    """The difference as a biller would tell it."""
    told = [f"{_name(line)} is new: {_signed(line['amount'])}." for line in found["added"]]
    told += [f"{_name(line)} no longer stands: {_signed(line['amount'])}." for line in found["removed"]]
    for line in found["changed"]:
        units = line["fields"].get("units")
        what = f"{units[0]} become {units[1]} units" if units else "is dated, priced or signed otherwise"
        told.append(f"{_name(line)}: {what}: {_signed(line['amount'])}.")
    asked = {"asked": "is a question now", "settled": "is no question any more"}
    told += [f"{_name(line)} {asked[line['change']]}." for line in found["held"]]
    if not told and found["facts"]:
        told = ["No line and no question changes; the proofs rest on other facts."]
    if told:
        counts = {
            word: sum(fact["change"] == word for fact in found["facts"]) for word in ("added", "changed", "removed")
        }
        since = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        told.append(f"In all {_signed(found['total'])}. Facts since then: {since or 'none; the rules changed'}.")
    return tuple(told)


def _name(line: Json) -> str:
    return f"{line['code']} ({line['label']})" if line.get("label") else str(line["code"])


def _signed(amount: str | None) -> str:
    if amount is None:
        return "amount not known"
    return f"{'-' if Decimal(amount) < 0 else '+'}${abs(Decimal(amount))}"


def same_facts(before: Json, after: Json) -> bool:
    """Whether two readings of a month know the same, whenever they were made."""
    return not changed_facts(before, after)


def changed_facts(before: Json, after: Json) -> list[dict[str, Any]]:
    """Facts that came, went or changed: {"fact": its id or place, "change", "before", "after"}."""
    old, new = ({name: fact for _, name, fact in _named(facts)} for facts in (before, after))
    return [
        {
            "fact": name,
            "change": "added" if name not in old else "removed" if name not in new else "changed",
            "before": old.get(name),
            "after": new.get(name),
        }
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _named(facts: Json) -> Iterator[tuple[str, str, Any]]:
    """(place, name, fact): named by id where a fact has one, by what it says of whom where it has none."""
    for name, value in facts.items():
        if name in _NO_FACT:
            continue
        if not isinstance(value, list):
            yield name, name, value
            continue
        seen: dict[str, int] = {}
        for number, fact in enumerate(value):
            label = fact["id"] if "id" in fact else f"{name}: {_label(fact)}"
            seen[label] = seen.get(label, 0) + 1
            yield f"{name}/{number}", label if seen[label] == 1 else f"{label} ({seen[label]})", fact


def _label(fact: Json) -> str:
    """What tells a fact without an id from its neighbours; what may be corrected later stays out."""
    told = (fact.get(name) for name in ("program", "kind", "code", "name", "practitioner", "performer", "patient"))
    days = (fact.get(name) for name in ("from", "start", "at", "on", "granted_at", "elected_on", "version"))
    return ", ".join(str(value) for value in (*told, *days) if value is not None)


def _lines(lines: list[Json]) -> dict[Key, Json]:
    """Lines by code, period and practitioner; of several reasons to hold one code, the first stands for it."""
    found: dict[Key, Json] = {}
    for line in lines:
        period = line["period"] or {}
        found.setdefault((line["code"], period.get("from", ""), period.get("to", "")), line)
    return found


def _head(line: Json) -> dict[str, Any]:
    return {"code": line["code"], "label": line.get("label"), "period": line["period"], "units": line["units"]}


def _cites(line: Json, facts: Json) -> set[str]:
    """Names of the facts that a line's proofs cite, by id or by place."""
    names = {place: name for place, name, _ in _named(facts)}
    return {names.get(one, one) for proof in line["because"] for one in proof["evidence"]}


def _added(line: Json, facts: Json) -> dict[str, Any]:
    return {**_head(line), "amount": line["amount"], "service_to": line["service_to"], "cites": _cites(line, facts)}


def _removed(line: Json, facts: Json, fresh: Json) -> dict[str, Any]:
    """A line that no longer stands, with the reasons the new decision gives."""
    key = next(iter(_lines([line])))
    reasons = [
        reason["text"]
        for part in ("refused", "held")
        for other in fresh[part]
        if next(iter(_lines([other]))) == key
        for reason in other["reasons"]
    ]
    amount = None if line["amount"] is None else str(-Decimal(line["amount"]))
    return {
        **_head(line),
        "amount": amount,
        "service_to": line["service_to"],
        "reasons": reasons,
        "cites": _cites(line, facts),
    }


def _changed(before: Json, old_facts: Json, after: Json, new_facts: Json) -> dict[str, Any]:
    amounts = (before["amount"], after["amount"])
    known = None if None in amounts else str(Decimal(amounts[1]) - Decimal(amounts[0]))
    fields = {name: [before.get(name), after.get(name)] for name in _MONEY if before.get(name) != after.get(name)}
    cites = _cites(before, old_facts) | _cites(after, new_facts)
    return {**_head(after), "amount": known, "fields": fields, "cites": cites}


def _moved(before: list[Json], after: list[Json]) -> list[dict[str, Any]]:
    """Questions that are new, and questions that fell away."""
    old, new = _lines(before), _lines(after)
    rows = [(key, "asked", new[key]) for key in new.keys() - old.keys()]
    rows += [(key, "settled", old[key]) for key in old.keys() - new.keys()]
    return [
        {**_head(line), "change": change, "reasons": [reason["text"] for reason in line["reasons"]]}
        for _, change, line in sorted(rows, key=lambda row: (row[0], row[1]))
    ]
