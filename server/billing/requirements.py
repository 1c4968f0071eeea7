"""Requirements that several rules share, each answered as a proof or as a reason.

Input: `Context`, a course, a date. Output: `Proof` (met) or `Reason` (not met), with citation, evidence and arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Final

from server.billing.calendar import (
    MICROSECONDS,
    ServicePeriod,
    ZoneHistory,
    clock_text,
    microseconds,
    midnight,
    seconds_text,
)
from server.billing.context import Context, Course
from server.billing.outcome import Proof, Reason
from server.billing.time_ledger import ClosedSpan, Piece, Tally, TimeLedger, reached_at

Check = Proof | Reason

# Where each kind of excluded time is ruled.
EXCLUSION_RULES: Final = {
    "NO_CONSENT": "time/consent_first",
    "CONSENT_REVOKED": "time/consent_revoked",
    "INPATIENT_TIME": "time/inpatient_days",
    "OVERLAP_CROSS_PROGRAM": "time/cross_program",
    "WRONG_PERFORMER": "time/performer",
    "NO_INITIATING_VISIT": "ccm/eligibility/initiating_visit_days",
    "NO_ORDER": "rpm/eligibility/order",
    "NOT_ESTABLISHED": "rpm/eligibility/established_patient",
    "CONDITIONS_NOT_MET": "time/activity",
    "EPISODE_ENDED_EARLY": "time/enrollment",
}


def split(checks: Iterable[Check]) -> tuple[tuple[Proof, ...], tuple[Reason, ...]]:
    """Proofs and unmet requirements, in order."""
    proofs: list[Proof] = []
    reasons: list[Reason] = []
    for check in checks:
        if isinstance(check, Proof):
            proofs.append(check)
        else:
            reasons.append(check)
    return tuple(proofs), tuple(reasons)


def rule_id(path: str) -> str:
    return path.replace("/", ".")


def flag(
    ctx: Context,
    path: str,
    *,
    met: bool,
    reason: str,
    yes: str,
    no: str,
    evidence: tuple[str, ...],
    day: date | None = None,
) -> Check:
    """A yes/no requirement."""
    citation = ctx.cite(path, day)
    if met:
        return Proof(rule=rule_id(path), text=yes, citation=citation, evidence=evidence)
    return Reason(reason=reason, text=no, citation=citation, evidence=evidence)


def time_block(ctx: Context, path: str, *, need: int, counted: Tally, what: str, day: date | None = None) -> Check:
    """Seconds counted against seconds needed; `need` in seconds."""
    evidence = counted.evidence
    have_text = seconds_text(counted.total)
    text = f"{what} needs {clock_text(need * MICROSECONDS)} in the month; {clock_text(counted.total)} counted"
    if counted.total >= need * MICROSECONDS:
        return Proof(
            rule=rule_id(path),
            text=text,
            citation=ctx.cite(path, day),
            evidence=evidence,
            have=have_text,
            need=str(need),
            unit="s",
            without=counted.counterfactuals,
        )
    return Reason(
        reason="TIME_BELOW_THRESHOLD",
        text=f"{text}, {clock_text(need * MICROSECONDS - counted.total)} short",
        citation=ctx.cite(path, day),
        have=have_text,
        need=str(need),
        evidence=evidence,
    )


def lost_time(ctx: Context, ledger: TimeLedger, *, need: int, have: int) -> Iterator[Reason]:
    """Kinds of excluded time that would have closed the gap: the biller's next question."""
    for reason in ledger.reasons:
        path = EXCLUSION_RULES.get(reason)
        lost = ledger.excluded(reason)
        if path is not None and have < need * MICROSECONDS <= have + lost:
            yield Reason(
                reason=reason,
                text=f"{clock_text(lost)} do not count: {EXCLUSION_WORDS[reason]}",
                citation=ctx.cite(path),
                have=seconds_text(lost),
                evidence=ledger.evidence(reason),
            )


EXCLUSION_WORDS: Final = {
    "NO_CONSENT": "worked before consent was documented",
    "CONSENT_REVOKED": "worked after the patient stopped the service",
    "INPATIENT_TIME": "worked on an inpatient or skilled nursing Part A day",
    "OVERLAP_CROSS_PROGRAM": "claimed by two programs or inside a visit; a named person must allocate them",
    "WRONG_PERFORMER": "not performed by a qualified person",
    "NO_INITIATING_VISIT": "worked before the initiating visit",
    "NO_ORDER": "worked before monitoring was ordered",
    "NOT_ESTABLISHED": "worked before the patient was established",
    "CONDITIONS_NOT_MET": "work of a kind that never counts, or outside the enrollment",
    "EPISODE_ENDED_EARLY": "worked after the episode had ended",
    "OVERLAP_SAME_PROGRAM": "the same moment is counted once already",
    "STAFF_DOUBLE_BOOKED": "the same person is booked on another patient at that moment",
    "LANE_NOT_DESIGNATED": "no program was chosen for the entry",
    "MANUAL_DATA": "typed or reported, not sent by the device",
    "DEVICE_NOT_QUALIFIED": "the device is no medical device for this service",
}


def consent(ctx: Context, course: Course, path: str, period: ServicePeriod) -> Check:
    """Consent to this practitioner in force on some moment of the period."""
    windows = ctx.consent_windows(course.program, course.practitioner)
    low, high = midnight(period.first, ctx.zone), midnight(period.last + timedelta(days=1), ctx.zone)
    live = [w for w in windows if microseconds(w.start) < high and (w.end is None or microseconds(w.end) > low)]
    evidence = tuple(f"consents/{w.place}" for w in (live or windows))
    if live:
        return Proof(rule=rule_id(path), text="consent documented", citation=ctx.cite(path), evidence=evidence)
    if any(microseconds(w.start) < high for w in windows):
        return Reason(
            reason="CONSENT_REVOKED",
            text="the patient had stopped the service before the period",
            citation=ctx.cite("time/consent_revoked"),
            evidence=evidence,
        )
    needed = sorted(ctx.required_statements(course.program))
    told = f" with all of: {', '.join(needed)}" if needed else ""
    return Reason(
        reason="NO_CONSENT",
        text=f"no documented consent to {course.practitioner} for this service{told}",
        citation=ctx.cite(path),
        evidence=evidence,
    )


def initiating_visit(ctx: Context, course: Course, path: str, *, days: int) -> tuple[Check, ClosedSpan | None]:
    """The initiating visit where one is needed, and the span before it in which no minute counts.

    Needed for a patient whom the billing practitioner had not seen within `days` before the start.
    """
    visits = ctx.visits_by(course.practitioner)
    start = course.first_on
    begun = ctx.facts.patient.established_on
    seen = [
        place
        for place, visit, on in visits
        if start - timedelta(days=days) <= on <= start
        # The visit that made the patient a patient of the practice is itself the initiating one: it must say so.
        and (course.program in visit.discussed or (begun is not None and begun < on))
    ]
    if seen:
        evidence = tuple(f"visits/{place}" for place in seen)
        return Proof(
            rule=rule_id(path), text="seen within a year before the start", citation=ctx.cite(path), evidence=evidence
        ), None
    found = sorted(
        (visit.at, place) for place, visit, on in visits if course.program in visit.discussed and on >= start
    )
    if found and microseconds(found[0][0]) < ctx.span[1]:
        at, place = found[0]
        gate = ClosedSpan(
            start=-(1 << 62), end=microseconds(at), reason="NO_INITIATING_VISIT", with_=(f"visits/{place}",)
        )
        return Proof(
            rule=rule_id(path), text="initiating visit held", citation=ctx.cite(path), evidence=(f"visits/{place}",)
        ), gate
    return Reason(
        reason="NO_INITIATING_VISIT",
        text=f"no visit with {course.practitioner} within {days} days before the start, and no initiating visit since",
        citation=ctx.cite(path),
    ), None


def live_contacts(ledger: TimeLedger, pieces: Iterable[Piece]) -> tuple[str, ...]:
    """Entries of live two-way talk with patient or caregiver of which at least a second stands."""
    standing = {piece.entry for piece in pieces if piece.end > piece.start}
    return tuple(
        row.entry.id
        for row in ledger.rows
        if row.entry.live and row.entry.with_ in {"patient", "caregiver"} and row.entry.id in standing
    )


def month_service_dates(ctx: Context, pieces: Iterable[Piece], need: int) -> tuple[date, date]:
    """Date of service of a month code in the payer's style; `need` in seconds."""
    style = ctx.pack.style(ctx.month.last) or ctx.facts.payer.date_of_service
    if style == "from-through":
        return ctx.month.first, ctx.month.last
    if style == "threshold-date":
        reached = reached_at(pieces, need * MICROSECONDS)
        if reached is not None:
            day = _local_day(ctx, reached)
            return day, day
    return ctx.month.last, ctx.month.last


def _local_day(ctx: Context, instant: int) -> date:
    # The threshold instant is the end of a second that counted: the second before it names the day.
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp((instant - 1) / MICROSECONDS, tz=UTC)
    return ZoneHistory([], ctx.zone).local_date(moment)
