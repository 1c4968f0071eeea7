"""The words of a verdict: proofs, reasons and determinations.

Input: what a rule found. Output: frozen values that the shells print; no rule and no number lives here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

import msgspec

from server.billing.calendar import ServicePeriod
from server.billing.parameter_tree import Citation

# The closed vocabulary of refusals and holds.
REASONS: Final = frozenset(
    {
        "TIME_BELOW_THRESHOLD",
        "DAYS_BELOW_THRESHOLD",
        "CODE_NOT_EFFECTIVE",
        "CODE_TERMINATED",
        "EXCLUSIVE_CODE",
        "EXCLUSIVE_PROGRAM",
        "ADDON_WITHOUT_BASE",
        "UNIT_CAP",
        "MUE_EXCESS",
        "NO_INTERACTIVE_COMM",
        "NO_CONSENT",
        "CONSENT_REVOKED",
        "NO_ORDER",
        "NOT_ESTABLISHED",
        "NO_INITIATING_VISIT",
        "NO_CARE_PLAN",
        "CONDITIONS_NOT_MET",
        "MDM_NOT_MET",
        "WRONG_PERFORMER",
        "OVERLAP_SAME_PROGRAM",
        "OVERLAP_CROSS_PROGRAM",
        "STAFF_DOUBLE_BOOKED",
        "MANUAL_DATA",
        "DEVICE_NOT_QUALIFIED",
        "OTHER_PRACTITIONER",
        "ALREADY_ONCE",
        "INPATIENT_TIME",
        "HOSPICE_REVIEW",
        "GLOBAL_SURGERY_REVIEW",
        "MODEL_EXCLUSION",
        "STRADDLES_RULE_CHANGE",
        "LANE_NOT_DESIGNATED",
        "EPISODE_ENDED_EARLY",
        "NO_MONITORED_DATA",
        "RULES_NOT_LOADED",
        "UNKNOWN_CODE",
    }
)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One requirement that is met: the rule, the arithmetic, the evidence and what would be left without each piece."""

    rule: str
    text: str
    citation: Citation
    evidence: tuple[str, ...] = ()
    have: str | None = None
    need: str | None = None
    unit: str | None = None
    without: Mapping[str, str] = {}


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One requirement that is not met, or one question for a person."""

    reason: str
    text: str
    citation: Citation
    have: str | None = None
    need: str | None = None
    question: str | None = None
    evidence: tuple[str, ...] = ()


class Surplus(msgspec.Struct, frozen=True, kw_only=True):
    """Units beyond the billable ones, refused or held for a reason of their own."""

    units: int
    held: bool
    reason: Reason


class Determination(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one code for one period. Billable when `units` > 0 and nothing is unmet or held."""

    code: str
    program: str
    practitioner: str | None
    period: ServicePeriod
    service_from: date
    service_to: date
    units: int
    lane: str | None = None
    diagnoses: tuple[str, ...] = ()
    episode: str | None = None
    evident: bool = True
    because: tuple[Proof, ...] = ()
    unmet: tuple[Reason, ...] = ()
    holds: tuple[Reason, ...] = ()
    surplus: tuple[Surplus, ...] = ()

    @property
    def earned(self) -> bool:
        """Own requirements met: it would bill if nothing else stood in the way."""
        return self.units > 0 and not self.unmet

    @property
    def billable(self) -> bool:
        return self.earned and not self.holds


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something a biller should see that changes no verdict."""

    reason: str
    text: str
    citation: Citation | None = None
    evidence: tuple[str, ...] = ()


def with_unmet(found: Determination, *reasons: Reason) -> Determination:
    """The determination with further unmet requirements, none twice."""
    new = tuple(reason for reason in reasons if reason not in found.unmet)
    return msgspec.structs.replace(found, unmet=found.unmet + new) if new else found


def with_holds(found: Determination, *reasons: Reason) -> Determination:
    """The determination with further questions, none twice."""
    new = tuple(reason for reason in reasons if reason not in found.holds)
    return msgspec.structs.replace(found, holds=found.holds + new) if new else found
