"""The quality gate: what a reading is worth before any rule sees it.

Input: a reading, the patient's recent readings and rules. Output: a `Gated` reading. Checks run in the order of the
rule set's document: duplicate, impossible, other person, suspect, clock, age.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.model import ABOVE_RANGE, BELOW_RANGE, METRICS, Reading, Verdict
from alerts.profile import PatientRules
from alerts.rule_set import Quality
from alerts.state import MAX_KEPT, Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """A reading with its verdict and effective time. `ahead` is how far its clock runs before the server's."""

    reading: Reading
    verdict: Verdict
    at: datetime
    late: bool
    ahead: timedelta | None
    problems: tuple[str, ...] = ()


def gate(reading: Reading, known: tuple[Kept, ...], rules: PatientRules) -> Gated:
    """Judge one reading. A time after its arrival is never believed: nothing is measured after it was received."""
    rule_set = rules.rule_set
    measured, arrived = reading.measured_at, reading.arrived_at
    ahead = measured - arrived
    quality = rule_set.quality.get(reading.kind)
    problems: tuple[str, ...] = ()
    if is_duplicate(reading, known):
        verdict = Verdict.DUPLICATE
    elif quality is not None and (problems := impossible(reading, quality)):
        verdict = Verdict.QUARANTINED
    elif reading.user is not None and rules.user is not None and reading.user != rules.user:
        verdict, problems = Verdict.UNASSIGNED, ("user",)
    elif quality is not None and reading.flags and not quality.suspect_flags.isdisjoint(reading.flags):
        verdict = Verdict.SUSPECT
        problems = tuple(flag for flag in reading.flags if flag in quality.suspect_flags)
    else:
        verdict = Verdict.OK
    return Gated(
        reading=reading,
        verdict=verdict,
        at=min(measured, arrived),
        late=arrived - measured > rule_set.late_after,
        ahead=ahead if ahead > rule_set.future_tolerance else None,
        problems=problems,
    )


def is_duplicate(reading: Reading, known: tuple[Kept, ...]) -> bool:
    """Same device, device time or sequence, and values as a reading that is already there."""
    for kept in reversed(known):
        if kept.id == reading.id or (
            kept.reported_at == reading.measured_at
            and kept.values == reading.values
            and kept.device == reading.device
            and kept.sequence == reading.sequence
        ):
            return True
    return False


def impossible(reading: Reading, quality: Quality) -> tuple[str, ...]:
    """The values that cannot be true of a living patient with a working device; empty when all can.

    Pulse may be missing; every other number of the kind must be there. LO and HI of a glucose meter are values.
    """
    found: list[str] = []
    for metric, value, (low, high) in zip(METRICS[reading.kind], reading.values, quality.ranges, strict=True):
        if value is None:
            if metric != "pulse":
                found.append(f"{metric}-missing")
        elif not low <= value <= high and not (metric == "mgdl" and value in (ABOVE_RANGE, BELOW_RANGE)):
            found.append(f"{metric}-out-of-range")
    if quality.min_gap is not None and not found:
        sys, dia = reading.values[0], reading.values[1]
        if sys is not None and dia is not None and dia >= sys - quality.min_gap:
            found.append("sys-dia-gap")
    return tuple(found)


def remember(known: tuple[Kept, ...], gated: Gated, keep: timedelta) -> tuple[Kept, ...]:
    """The window with this reading in its place by time, without what no rule can reach any more."""
    reading = gated.reading
    kept = Kept(
        reading.id,
        gated.at,
        reading.measured_at,
        reading.values,
        reading.day,
        gated.verdict,
        reading.flags,
        reading.device,
        reading.sequence,
    )
    if not known or known[-1].at <= gated.at:
        extended = (*known, kept)
    else:
        place = bisect_right(known, gated.at, key=lambda k: k.at)
        extended = (*known[:place], kept, *known[place:])
    oldest = extended[-1].at - keep
    if extended[0].at < oldest or len(extended) > MAX_KEPT:
        extended = tuple(k for k in extended[-MAX_KEPT:] if k.at >= oldest)
    return extended
