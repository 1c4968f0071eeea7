"""One patient-month as the rules see it: facts indexed, gates turned into spans, ledgers computed once.

Input: `Facts` and the parameter tree. Output: `Context` with courses, time ledgers, day ledgers and citations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from server.billing.calendar import ONE_DAY, ServicePeriod, ZoneHistory, bounds, microseconds, midnight, month_period
from server.billing.closed_spans import (
    CONSENT_PROGRAMS,
    ConsentWindow,
    bookings,
    consent_gates,
    cross_program,
    enrollment_gates,
    stay_gates,
)
from server.billing.codes import Code, register
from server.billing.day_ledger import DayGates, DayLedger, dated, read_days
from server.billing.fact_types import Consent, Device, Enrollment, Facts, Practitioner, Reading, Staff, TimeEntry, Visit
from server.billing.lazily import lazily
from server.billing.packs import MEDICARE, Pack
from server.billing.parameter_tree import Citation, ParameterTree
from server.billing.time_ledger import (
    NEVER_COUNTS,
    ClosedSpan,
    EntryRow,
    Exclusion,
    Piece,
    Span,
    TimeLedger,
    admit,
)

# Work with the patient in person: outside these programs' remote or non-face-to-face nature unless justified.
_REMOTE_PROGRAMS: Final = frozenset({"rpm", "rtm", "ccm", "pcm"})


class Course(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One program of one billing practitioner for the patient: the enrolments that make it up, oldest first."""

    program: str
    practitioner: str
    enrollments: tuple[Enrollment, ...]

    @property
    def first_on(self) -> date:
        return self.enrollments[0].from_

    @lazily
    def diagnosis(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(e.diagnosis for e in self.enrollments if e.diagnosis))


class Context:
    """Everything a rule may ask. Computed lazily, kept for the run, never changed."""

    def __init__(self, facts: Facts, tree: ParameterTree, pack: Pack = MEDICARE) -> None:
        self.facts = facts
        self.tree = tree
        self.pack = pack
        self.codes: Mapping[str, Code] = register()
        # The order of the register is the order of the output.
        self.rank: Mapping[str, int] = _rank_of_codes()
        self.month: ServicePeriod = month_period(facts.month)
        self.zone = facts.practice.time_zone
        self.span: Span = bounds(self.month, self.zone)
        self.zones = ZoneHistory([(z.from_, z.zone) for z in facts.patient.time_zones], self.zone)
        self.practitioners: Mapping[str, Practitioner] = {p.id: p for p in facts.practitioners}
        self.staff: Mapping[str, Staff] = {p.id: p for p in facts.staff}
        self.devices: Mapping[str, Device] = {d.id: d for d in facts.devices}
        self._month_entries = self._entries_in(self.span)
        self.entries: tuple[TimeEntry, ...] = tuple(entry for entry, _ in self._month_entries.values())
        self._ledgers: dict[tuple[str, str, ServicePeriod], TimeLedger] = {}
        self._days: dict[int, DayLedger] = {}
        self._windows: dict[tuple[str, str], tuple[ConsentWindow, ...]] = {}
        self._billers: dict[str, bool] = {}
        self._performers: dict[tuple[str, str], bool] = {}

    def cite(self, path: str, day: date | None = None) -> Citation:
        """The citation of a parameter on the day (the month's last when none is named)."""
        return self.tree.at(path, day or self.month.last).citation

    def group_of(self, practitioner: str) -> str | None:
        person = self.practitioners.get(practitioner)
        return person.group if person else None

    def same_group(self, one: str | None, other: str | None) -> bool:
        """Whether two practitioners bill as one: the same person or the same group."""
        if one is None or other is None:
            return False
        group = self.group_of(one)
        return one == other or (group is not None and group == self.group_of(other))

    def rules_loaded(self, day: date) -> bool:
        """Whether the rules of that day's year are in this pack; a locked year is never decided by an older one."""
        return self.tree.at("situation/rule_year", day).value is True

    # --- courses ---

    @lazily
    def courses(self) -> tuple[Course, ...]:
        """Enrolments that touch the month or ended before it, by program and practitioner."""
        by_key: dict[tuple[str, str], list[Enrollment]] = {}
        for enrollment in self.facts.enrollments:
            if enrollment.from_ <= self.month.last:
                by_key.setdefault((enrollment.program, enrollment.practitioner), []).append(enrollment)
        return tuple(
            Course(
                program=program,
                practitioner=practitioner,
                enrollments=tuple(sorted(found, key=lambda e: (e.from_, e.system or "", e.episode or ""))),
            )
            for (program, practitioner), found in sorted(by_key.items())
        )

    def running(self, course: Course) -> bool:
        """Whether an enrolment of the course has a date in the month."""
        return any(self.month.meets(e.from_, e.to) for e in course.enrollments)

    def place_of(self, enrollment: Enrollment) -> str:
        return self._places[id(enrollment)]

    @lazily
    def _places(self) -> Mapping[int, str]:
        return {id(enrollment): f"enrollments/{place}" for place, enrollment in enumerate(self.facts.enrollments)}

    # --- consent ---

    def consent_windows(self, program: str, practitioner: str) -> tuple[ConsentWindow, ...]:
        """Complete consents to this practitioner, oldest first. An incomplete consent unlocks nothing."""
        key = (program, practitioner)
        windows = self._windows.get(key)
        if windows is None:
            windows = self._windows[key] = self._read_windows(program, practitioner)
        return windows

    def _read_windows(self, program: str, practitioner: str) -> tuple[ConsentWindow, ...]:
        needed = self.required_statements(program)
        found = []
        for place, consent in enumerate(self.facts.consents):
            mine = consent.program == program and consent.practitioner == practitioner
            if mine and consent.granted_at <= self.facts.as_of and needed <= set(consent.statements):
                end = self._stop_of(consent)
                found.append(ConsentWindow(start=consent.granted_at, end=end, place=place))
        return tuple(sorted(found, key=lambda w: (w.start, w.place)))

    def required_statements(self, program: str) -> frozenset[str]:
        path = f"{program}/eligibility/consent_statements"
        return (
            frozenset(self.tree.words(path, self.month.last)) if self.tree.has(path, self.month.last) else frozenset()
        )

    def _stop_of(self, consent: Consent) -> datetime | None:
        """When a revocation takes effect: at its moment, or at the end of its month where the practice chose so."""
        if consent.revoked_at is None or consent.revoked_at > self.facts.as_of:
            return None
        if self.facts.practice.revocation_effective == "moment":
            return consent.revoked_at
        local = ZoneHistory([], self.zone).local_date(consent.revoked_at)
        end = midnight(month_period(f"{local.year:04d}-{local.month:02d}").last + ONE_DAY, self.zone)
        return datetime.fromtimestamp(end / 1_000_000, tz=consent.revoked_at.tzinfo)

    # --- visits ---

    def visits_by(self, practitioner: str) -> tuple[tuple[int, Visit, date], ...]:
        """(place, visit, local date) of this practitioner's visits that had happened by `as_of`."""
        return tuple(found for found in self._visits if found[1].practitioner == practitioner)

    @lazily
    def _visits(self) -> tuple[tuple[int, Visit, date], ...]:
        local = ZoneHistory([], self.zone)
        return tuple(
            (place, visit, local.local_date(visit.at))
            for place, visit in enumerate(self.facts.visits)
            if visit.at <= self.facts.as_of
        )

    # --- time ---

    @lazily
    def _known_entries(self) -> tuple[tuple[TimeEntry, int, int], ...]:
        """Entries recorded by `as_of` with their ends in microseconds, in order of time."""
        as_of = self.facts.as_of
        known = [
            (entry, microseconds(entry.start), microseconds(entry.end))
            for entry in self.facts.time_entries
            if entry.recorded_at <= as_of
        ]
        known.sort(key=lambda found: (found[1], found[2], found[0].id))
        return tuple(known)

    def _entries_in(self, span: Span) -> dict[str, tuple[TimeEntry, Span]]:
        """Entries that touch a span, clipped to it; the rest of a call across midnight belongs to the other month."""
        low, high = span
        return {
            entry.id: (entry, (start if start > low else low, end if end < high else high))
            for entry, start, end in self._known_entries
            if start < high and end > low
        }

    @lazily
    def spans(self) -> Mapping[str, Span]:
        """Entries of the month, clipped to it."""
        return {name: clipped for name, (_, clipped) in self._month_entries.items()}

    def begun_on(self, entry: TimeEntry) -> date:
        """The patient's date on which an entry began."""
        return self.zones.local_date(entry.start)

    @lazily
    def today(self) -> date:
        """The patient's date at `as_of`."""
        return self.zones.local_date(self.facts.as_of)

    def ledger(
        self, course: Course, gates: tuple[ClosedSpan, ...] = (), period: ServicePeriod | None = None
    ) -> TimeLedger:
        """The time ledger of a course in a period (the month); `gates` are the program's own closed spans."""
        period = period or self.month
        key = (course.program, course.practitioner, period)
        found = self._ledgers.get(key)
        if found is None:
            entries = self._month_entries if period is self.month else self._entries_in(bounds(period, self.zone))
            found = self._ledgers[key] = self._build_ledger(course, gates, entries)
        return found

    def known_ledgers(self) -> Mapping[tuple[str, str, ServicePeriod], TimeLedger]:
        return self._ledgers

    def _build_ledger(
        self, course: Course, gates: tuple[ClosedSpan, ...], entries: Mapping[str, tuple[TimeEntry, Span]]
    ) -> TimeLedger:
        mine = [found for found in entries.values() if found[0].program == course.program]
        if not mine:
            return TimeLedger()
        first, last = mine[0][1][0], max([span[1] for _, span in mine])
        shut = (
            *self._consent_gates(course),
            *gates,
            *self._stay_gates,
            *enrollment_gates(course.enrollments, self.month, self.zone),
        )
        closed = tuple(gate for gate in shut if gate.start < last and gate.end > first)
        conflicts = self._month_conflicts if entries is self._month_entries else cross_program(entries)
        rows: list[EntryRow] = []
        clean: list[Piece] = []
        disputed: list[Piece] = []
        bookings = self._bookings
        for entry, span in mine:
            name, performer = entry.id, entry.performer
            row, kept, doubtful = admit(
                entry,
                span,
                whole=self._whole_exclusion(entry, course, span),
                closed=(*closed, *conflicts[name]) if name in conflicts else closed,
                elsewhere=bookings.get(performer, ()),
            )
            rows.append(row)
            for low, high in kept:
                clean.append(Piece(start=low, end=high, entry=name, performer=performer))
            for low, high in doubtful:
                disputed.append(Piece(start=low, end=high, entry=name, performer=performer))
        return TimeLedger(rows=tuple(rows), clean=tuple(clean), disputed=tuple(disputed))

    @lazily
    def _month_conflicts(self) -> Mapping[str, tuple[ClosedSpan, ...]]:
        return cross_program(self._month_entries)

    def _whole_exclusion(self, entry: TimeEntry, course: Course, span: Span) -> Exclusion | None:
        reason = None
        if entry.automated or not self._may_perform(entry.performer, course.practitioner):
            reason = "WRONG_PERFORMER"
        elif entry.activity in NEVER_COUNTS or (entry.in_person and course.program in _REMOTE_PROGRAMS):
            reason = "CONDITIONS_NOT_MET"
        elif entry.part_of_visit:
            reason = "OVERLAP_CROSS_PROGRAM"
        return Exclusion(microseconds=span[1] - span[0], reason=reason) if reason else None

    def _may_perform(self, performer: str, practitioner: str) -> bool:
        key = (performer, practitioner)
        found = self._performers.get(key)
        if found is None:
            found = self._performers[key] = self._qualified(performer, practitioner)
        return found

    def _qualified(self, performer: str, practitioner: str) -> bool:
        person = self.practitioners.get(performer)
        if person is not None:
            return self.may_bill(person) and self.same_group(performer, practitioner)
        staff = self.staff.get(performer)
        return staff is not None and staff.qualified

    def may_bill(self, person: Practitioner) -> bool:
        found = self._billers.get(person.id)
        if found is None:
            found = self._billers[person.id] = self._bills(person)
        return found

    def _bills(self, person: Practitioner) -> bool:
        return person.credential.upper() in self.tree.words("situation/billing_practitioner", self.month.last)

    def _consent_gates(self, course: Course) -> Iterator[ClosedSpan]:
        if course.program in CONSENT_PROGRAMS:
            yield from consent_gates(self.consent_windows(course.program, course.practitioner))

    @lazily
    def _stay_gates(self) -> tuple[ClosedSpan, ...]:
        return tuple(stay_gates(self.facts.stays, self.month, self.zones))

    @lazily
    def _bookings(self) -> Mapping[str, tuple[ClosedSpan, ...]]:
        return bookings(self.facts.elsewhere, self.facts.patient.id)

    # --- days ---

    @lazily
    def readings(self) -> tuple[tuple[Reading, date], ...]:
        return dated(self.facts.readings, self.zones, self.facts.as_of)

    def day_ledger(self, enrollment: Enrollment, *, self_reported: bool = False) -> DayLedger:
        """Reading days of one enrolment."""
        key = id(enrollment)
        found = self._days.get(key)
        if found is None:
            window = self.episode_consent(enrollment)
            gates = DayGates(
                first_on=enrollment.from_,
                last_on=enrollment.to,
                consent_from=window.start if window else None,
                consent_until=window.end if window else None,
                ordered_on=enrollment.ordered_on,
                setup_on=enrollment.setup_on,
                self_reported=self_reported,
                system=enrollment.system,
            )
            found = self._days[key] = read_days(self.readings, self.devices, gates)
        return found

    def episode_consent(self, enrollment: Enrollment) -> ConsentWindow | None:
        """The consent an episode runs under: the last one not ended before the enrolment began."""
        windows = [
            window
            for window in self.consent_windows(enrollment.program, enrollment.practitioner)
            if window.end is None or self.zones.local_date(window.end) >= enrollment.from_
        ]
        return windows[0] if windows else None

    def ends_on(self, enrollment: Enrollment) -> tuple[date, str] | None:
        """The last date of the episode and why it ended, if that is known by now."""
        ends: list[tuple[date, str]] = []
        window = self.episode_consent(enrollment)
        if window is not None and window.end is not None:
            ends.append((self.zones.local_date(window.end - timedelta(microseconds=1)), "consent-withdrawn"))
        if enrollment.to is not None:
            ends.append((enrollment.to, enrollment.end_reason or "ended"))
        return min(ends) if ends else None

    def inpatient_on(self, days: Iterable[date]) -> tuple[date, ...]:
        if not self.facts.stays:
            return ()
        return tuple(
            day for day in days if any(s.from_ <= day and (s.to is None or day <= s.to) for s in self.facts.stays)
        )


@lru_cache(maxsize=1)
def _rank_of_codes() -> Mapping[str, int]:
    return {number: place for place, number in enumerate(register())}
