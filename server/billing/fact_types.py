"""The shape of the billing facts: closed words and frozen values, one class a list of the format.

Input: none. Output: the types that `facts.py` fills and every rule reads. Absent means "none known".
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Final, Literal, get_args

import msgspec

SCHEMA: Final = "vitalwire.billing-facts/1"

Program = Literal[
    "rpm",
    "rtm",
    "ccm",
    "pcm",
    "apcm",
    "tcm",
    "bhi",
    "cocm",
    "data-review",
    "home-health-oversight",
    "hospice-oversight",
]
PROGRAMS: Final[tuple[str, ...]] = get_args(Program)
Lane = Literal["staff", "complex", "practitioner"]
System = Literal["respiratory", "musculoskeletal", "cbt"]
Activity = Literal[
    "live-call",
    "data-review",
    "coordination",
    "care-plan",
    "medication",
    "oversight",
    "documentation",
    "voicemail",
    "text",
    "scheduling",
    "setup",
    "clerical",
]
EndReason = Literal["order-stopped", "consent-withdrawn", "device-returned", "goals-met", "death", "transfer"]
Statement = Literal["availability", "cost-sharing", "one-practitioner", "right-to-stop"]
ServiceStatus = Literal["met", "claimed", "paid", "denied"]

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=999)]

_RENAMED: Final = {"from_": "from", "with_": "with"}


class _Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_RENAMED):
    """A frozen value; a field that the format does not know is an error."""


class Locality(_Fact, frozen=True, kw_only=True):
    """A row of the geographic index table."""

    mac: Text
    number: Text


class Payer(_Fact, frozen=True, kw_only=True):
    """Which rules and which money."""

    pack: Text
    qualifying_apm: bool = False
    locality: Locality | None = None
    date_of_service: Literal["last-day", "threshold-date", "from-through"] = "last-day"


class Practice(_Fact, frozen=True, kw_only=True):
    """Where the service is billed; its zone decides the month."""

    id: Text
    time_zone: Text
    kind: Literal["physician-practice", "rhc", "fqhc"]
    place_of_service: Annotated[str, msgspec.Meta(pattern="^[0-9]{2}$")]
    revocation_effective: Literal["moment", "month_end"] = "moment"


class Practitioner(_Fact, frozen=True, kw_only=True):
    """A person who may bill; `group` decides who counts as the same practitioner."""

    id: Text
    group: str | None = None
    credential: Text


class Staff(_Fact, frozen=True, kw_only=True):
    """Clinical staff; only a qualified person's time counts."""

    id: Text
    credential: Text
    employer: Literal["practice", "contractor"] = "practice"
    qualified: bool = False


class PatientZone(_Fact, frozen=True, kw_only=True):
    """The zone a patient lives in from a date on."""

    from_: date
    zone: Text


class Condition(_Fact, frozen=True, kw_only=True):
    """A diagnosis with what the practitioner said of it."""

    icd10: Text
    chronic_12_months: bool = False
    significant_risk: bool = False


class Patient(_Fact, frozen=True, kw_only=True):
    """The patient; identifiers only, never a name."""

    id: Text
    time_zones: tuple[PatientZone, ...] = ()
    established_on: date | None = None
    qualified_medicare_beneficiary: bool = False
    conditions: tuple[Condition, ...] = ()


class Visit(_Fact, frozen=True, kw_only=True):
    """A face-to-face visit and the programs discussed at it."""

    kind: Literal["e-m", "awv", "ippe", "tcm"]
    practitioner: Text
    at: Instant
    discussed: tuple[Program, ...] = ()


class Enrollment(_Fact, frozen=True, kw_only=True):
    """Patient, program and billing practitioner, both dates included."""

    program: Program
    practitioner: Text
    from_: date
    to: date | None = None
    end_reason: EndReason | None = None
    episode: str | None = None
    ordered_on: date | None = None
    diagnosis: str | None = None
    setup_on: date | None = None
    system: System | None = None
    under: Literal["apcm"] | None = None


class Consent(_Fact, frozen=True, kw_only=True):
    """What the patient agreed to, with whom, until when."""

    program: Program
    practitioner: Text
    granted_at: Instant
    revoked_at: Instant | None = None
    form: Literal["verbal", "written"]
    statements: tuple[Statement, ...] = ()


class CarePlan(_Fact, frozen=True, kw_only=True):
    """One version of a care plan."""

    program: Program
    version: int = 1
    approved_at: Instant | None = None
    approved_by: str | None = None


class Attestation(_Fact, frozen=True, kw_only=True):
    """A practitioner's signed statement."""

    kind: Literal["complex-mdm", "extra-care-planning"]
    level: Literal["straightforward", "low", "moderate", "high"] | None = None
    practitioner: Text
    on: date


class Designation(_Fact, frozen=True, kw_only=True):
    """The lane, or the program of several, that the practitioner chose."""

    program: Program
    lane: Lane | None = None
    practitioner: Text


class Device(_Fact, frozen=True, kw_only=True):
    """A device the patient measures with."""

    id: Text
    kind: Text
    fda_defined: bool = False


class Reading(_Fact, frozen=True, kw_only=True):
    """One measurement and when it reached us."""

    id: Text
    device: Text
    measured_at: Instant
    received_at: Instant
    entry: Literal["automatic", "manual"]
    system: System | None = None


class TimeEntry(_Fact, frozen=True, kw_only=True):
    """One person at work for the patient, start to end."""

    id: Text
    program: Program | None = None
    candidates: tuple[Program, ...] = ()
    performer: Text
    start: Instant
    end: Instant
    activity: Activity
    live: bool = False
    with_: Literal["patient", "caregiver", "other-clinician"] | None = None
    part_of_visit: bool = False
    in_person: bool = False
    automated: bool = False
    recorded_at: Instant


class Elsewhere(_Fact, frozen=True, kw_only=True):
    """The same people at work for other patients."""

    performer: Text
    patient: Text
    start: Instant
    end: Instant


class Stay(_Fact, frozen=True, kw_only=True):
    """Days in a hospital or skilled nursing facility; both dates included."""

    kind: Literal["inpatient", "snf-part-a"]
    from_: date
    to: date | None = None


class Hospice(_Fact, frozen=True, kw_only=True):
    """An election of hospice."""

    elected_on: date
    revoked_on: date | None = None


class GlobalSurgery(_Fact, frozen=True, kw_only=True):
    """A global period and whose it is."""

    from_: date
    to: date | None = None
    practitioner: Text


class Model(_Fact, frozen=True, kw_only=True):
    """Alignment with a payment model."""

    name: Literal["access"]
    aligned_with_us: bool
    from_: date
    to: date | None = None


class Discharge(_Fact, frozen=True, kw_only=True):
    """A discharge home and what followed it."""

    on: date
    contact_on: date | None = None
    attempts_on: tuple[date, ...] = ()
    visit_at: Instant | None = None
    mdm: Literal["straightforward", "low", "moderate", "high"] | None = None
    reconciled_on: date | None = None
    practitioner: Text


class Service(_Fact, frozen=True, kw_only=True):
    """A line known from outside this run."""

    code: Text
    from_: date
    to: date
    practitioner: Text
    status: ServiceStatus
    episode: str | None = None


class Authorization(_Fact, frozen=True, kw_only=True):
    """A payer's word that a code may be billed for dates of service, both included."""

    code: Text
    from_: date
    to: date | None = None
    granted_at: Instant


class Proposal(_Fact, frozen=True, kw_only=True):
    """A line that a person or an importer offers."""

    code: Text
    units: Count = 1
    on: date | None = None


class Facts(_Fact, frozen=True, kw_only=True):
    """Everything a rule may look at."""

    schema: Literal["vitalwire.billing-facts/1"]
    as_of: Instant
    month: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-(0[1-9]|1[0-2])$")]
    payer: Payer
    practice: Practice
    patient: Patient
    practitioners: tuple[Practitioner, ...] = ()
    staff: tuple[Staff, ...] = ()
    visits: tuple[Visit, ...] = ()
    enrollments: tuple[Enrollment, ...] = ()
    consents: tuple[Consent, ...] = ()
    care_plans: tuple[CarePlan, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    designations: tuple[Designation, ...] = ()
    devices: tuple[Device, ...] = ()
    readings: tuple[Reading, ...] = ()
    time_entries: tuple[TimeEntry, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    stays: tuple[Stay, ...] = ()
    hospice: tuple[Hospice, ...] = ()
    global_surgery: tuple[GlobalSurgery, ...] = ()
    models: tuple[Model, ...] = ()
    discharges: tuple[Discharge, ...] = ()
    services: tuple[Service, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
