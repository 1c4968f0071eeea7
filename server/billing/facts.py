"""Facts of one patient-month, strict and frozen.

Input: the JSON object of the billing-facts format (schema vitalwire.billing-facts/1).
Output: `Facts`, or `FactsError` that names every field in error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, get_args

import msgspec

from server.billing.calendar import UnknownZoneError, zone
from server.billing.fact_types import Facts
from server.billing.packs import UnknownPackError, pack_for


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with the facts: where (a JSON path) and what to do."""

    where: str
    message: str


class FactsError(ValueError):
    """The facts cannot be read; `problems` names every field."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.where}: {problem.message}" for problem in problems))
        self.problems = problems


# The first month the shared parameters speak for; Medicare's programs here are younger.
FIRST_MONTH: Final = "2000-01"
_FIELD_TYPES: Final[dict[str, Any]] = {field.encode_name: field.type for field in msgspec.structs.fields(Facts)}


def facts_digest(facts: Mapping[str, object]) -> str:
    """SHA-256 of the facts as canonical JSON: sorted keys, no spaces, UTF-8."""
    return digest_of(facts)


def canonical(value: object) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8: the same value is always the same bytes."""
    return msgspec.json.encode(value, order="sorted")


def digest_of(value: object) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def parse_facts(facts: Mapping[str, object]) -> Facts:
    """The frozen facts of a JSON object; `FactsError` with every problem found."""
    try:
        parsed = msgspec.convert(facts, Facts)
    except msgspec.ValidationError:
        raise FactsError(tuple(_form_problems(facts))) from None
    problems = tuple(_contradictions(parsed))
    if problems:
        raise FactsError(problems)
    return parsed


def _problem_of(error: msgspec.ValidationError, path: str) -> Problem:
    message, _, tail = str(error).partition(" - at `$")
    return Problem(where=path + tail.rstrip("`"), message=message)


def _convert_problem(value: object, wanted: Any, path: str) -> Problem | None:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        return _problem_of(error, path)
    return None


def _form_problems(facts: object) -> Iterator[Problem]:
    """Each field and each list item on its own, so that one run names all of them."""
    if not isinstance(facts, Mapping):
        yield Problem(where="", message="Expected one JSON object of facts")
        return
    for name in sorted(str(key) for key in facts.keys() - _FIELD_TYPES.keys()):
        yield Problem(where=name, message="unknown field")
    for name, wanted in _FIELD_TYPES.items():
        if name not in facts:
            if name in {"schema", "as_of", "month", "payer", "practice", "patient"}:
                yield Problem(where=name, message="missing field")
            continue
        value = facts[name]
        items = get_args(wanted)
        if isinstance(value, (list, tuple)) and items and items[-1] is Ellipsis:
            found = [_convert_problem(item, items[0], f"{name}[{place}]") for place, item in enumerate(value)]
        else:
            found = [_convert_problem(value, wanted, name)]
        yield from (problem for problem in found if problem is not None)
    payer = facts.get("payer")
    if isinstance(payer, Mapping) and payer.get("pack") and isinstance(payer["pack"], str):
        yield from _pack_problems(payer["pack"])


def _pack_problems(name: str) -> Iterator[Problem]:
    try:
        pack_for(name)
    except UnknownPackError as error:
        yield Problem(where="payer.pack", message=str(error))


def _contradictions(facts: Facts) -> Iterator[Problem]:
    """What the types cannot say: zones, order of ends, ids that name nobody, overlapping enrolments."""
    if facts.month < FIRST_MONTH:
        yield Problem(where="month", message=f"no rules are known before {FIRST_MONTH}")
    yield from _pack_problems(facts.payer.pack)
    yield from _zone_problems(facts)
    yield from _order_problems(facts)
    yield from _identity_problems(facts)
    yield from _enrollment_problems(facts)


def _zone_problems(facts: Facts) -> Iterator[Problem]:
    zones = [("practice.time_zone", facts.practice.time_zone)]
    zones += [(f"patient.time_zones[{place}].zone", move.zone) for place, move in enumerate(facts.patient.time_zones)]
    for where, name in zones:
        try:
            zone(name)
        except UnknownZoneError as error:
            yield Problem(where=where, message=str(error))


def _order_problems(facts: Facts) -> Iterator[Problem]:
    for name, field, ends in _SPANS:
        for place, (start, end) in enumerate(map(ends, getattr(facts, name))):
            if end is not None and end < start:
                yield Problem(where=f"{name}[{place}].{field}", message=f"ends before it starts ({start.isoformat()})")


# List, field of the format that ends a span, and its two ends.
_SPANS: Final[tuple[tuple[str, str, Callable[[Any], tuple[Any, Any]]], ...]] = (
    ("time_entries", "end", attrgetter("start", "end")),
    ("elsewhere", "end", attrgetter("start", "end")),
    ("enrollments", "to", attrgetter("from_", "to")),
    ("consents", "revoked_at", attrgetter("granted_at", "revoked_at")),
    ("stays", "to", attrgetter("from_", "to")),
    ("hospice", "revoked_on", attrgetter("elected_on", "revoked_on")),
    ("global_surgery", "to", attrgetter("from_", "to")),
    ("models", "to", attrgetter("from_", "to")),
    ("services", "to", attrgetter("from_", "to")),
    ("authorizations", "to", attrgetter("from_", "to")),
)


def _identity_problems(facts: Facts) -> Iterator[Problem]:
    lists: dict[str, Sequence[Any]] = {
        "practitioners": facts.practitioners,
        "staff": facts.staff,
        "devices": facts.devices,
        "readings": facts.readings,
        "time_entries": facts.time_entries,
    }
    for name, values in lists.items():
        if len({value.id for value in values}) == len(values):
            continue
        seen: set[str] = set()
        for place, value in enumerate(values):
            if value.id in seen:
                yield Problem(where=f"{name}[{place}].id", message=f"{value.id!r} is there twice")
            seen.add(value.id)
    practitioners = {person.id for person in facts.practitioners}
    people = practitioners | {person.id for person in facts.staff}
    devices = {device.id for device in facts.devices}
    for place, enrollment in enumerate(facts.enrollments):
        if enrollment.practitioner not in practitioners:
            yield Problem(
                where=f"enrollments[{place}].practitioner", message=f"{enrollment.practitioner!r} is no practitioner"
            )
    for place, entry in enumerate(facts.time_entries):
        if entry.performer not in people:
            yield Problem(
                where=f"time_entries[{place}].performer",
                message=f"{entry.performer!r} names neither staff nor practitioner",
            )
    for place, reading in enumerate(facts.readings):
        if reading.device not in devices:
            yield Problem(where=f"readings[{place}].device", message=f"{reading.device!r} is no device of these facts")


def _enrollment_problems(facts: Facts) -> Iterator[Problem]:
    ordered = sorted(
        enumerate(facts.enrollments), key=lambda pair: (pair[1].program, pair[1].practitioner, pair[1].from_)
    )
    for (_, before), (place, after) in pairwise(ordered):
        same = (before.program, before.practitioner, before.system) == (after.program, after.practitioner, after.system)
        if same and (before.to is None or after.from_ <= before.to):
            yield Problem(where=f"enrollments[{place}].from", message=f"overlaps another enrollment in {after.program}")
