"""JSON Schemas of what commands read and print: billing facts, adjudication, decode results, alert evaluation. Pure.

Input: none. Output: JSON Schema 2020-12 documents. The facts come from the very types that read them; the answers,
which the code writes as plain values, are declared here and held to real output by the tests. Fields may be added to
answers within a version, so a schema of an answer allows unknown ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from alerts.model import Severity, State, Verdict
from device_drivers.measurement import AbsentReason, DecodeWarning, Kind, Metric, Outcome
from server.billing.fact_types import Facts, Lane, Program
from server.billing.outcome import REASONS

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Decimals = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Dollars = Annotated[str, Meta(pattern=r"^[0-9]+\.[0-9]{2}$")]
Seconds = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$")]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
LocalTime = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$")]
Month = Annotated[str, Meta(pattern="^[0-9]{4}-(0[1-9]|1[0-2])$")]
Sha256 = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
Hex = Annotated[str, Meta(pattern="^([0-9a-f]{2})+$")]
Units = Annotated[int, Meta(ge=1)]
ReasonWord = Annotated[str, Meta(extra_json_schema={"enum": sorted(REASONS)})]


# --- vitalwire.adjudication/1 ---------------------------------------------------------------------------------------


class Citation(Struct):
    """Where a rule stands."""

    title: str
    locator: str
    href: str | UnsetType | None = UNSET
    confidence: str | UnsetType = UNSET


class Period(Struct, rename={"from_": "from"}):
    """First and last local date, both included."""

    from_: Day
    to: Day


class Proof(Struct):
    """A requirement that is met; `without` is what it would have without that piece of evidence."""

    rule: str
    have: str | None
    need: str | None
    unit: str | None
    text: str
    citation: Citation
    evidence: list[str]
    without: dict[str, str]


class BillableLine(Struct):
    """A line to claim, with every requirement it meets."""

    code: str
    units: Units
    program: Program
    lane: Lane | None
    practitioner: str
    service_from: Day
    service_to: Day
    period: Period
    amount: Dollars | None
    unit_amount: Dollars | None
    place_of_service: str
    modifiers: list[str]
    diagnoses: list[str]
    because: Annotated[list[Proof], Meta(min_length=1)]


class Refusal(Struct):
    """A requirement that is not met."""

    reason: ReasonWord
    text: str
    have: str | None
    need: str | None
    citation: Citation
    evidence: list[str]


class RefusedLine(Struct):
    """A line that may not be claimed, with all that stands against it."""

    code: str
    units: Units
    reasons: Annotated[list[Refusal], Meta(min_length=1)]


class Question(Struct):
    """What a person must answer before the line may be claimed."""

    reason: ReasonWord
    text: str
    question: str
    citation: Citation
    evidence: list[str]


class HeldLine(Struct):
    """A line that waits for a person."""

    code: str
    units: Units
    reasons: Annotated[list[Question], Meta(min_length=1)]


class ExcludedSeconds(Struct, rename={"with_": "with"}):
    """Seconds of an entry that do not count, and beside which entries."""

    seconds: Seconds
    reason: str
    with_: list[str]


class CountedEntry(Struct):
    """One time entry as it was counted."""

    entry: str
    program: Program | None
    counted_seconds: Seconds
    excluded: list[ExcludedSeconds]


class ExcludedReading(Struct):
    """A reading whose day it could not earn."""

    reading: str
    date: Day
    reason: str


class ReadingDays(Struct):
    """The reading days of one device period."""

    period: Period
    dates: list[Day]
    excluded: list[ExcludedReading]


class AlternativeLine(Struct):
    """A code and its units."""

    code: str
    units: Units


class Alternative(Struct):
    """What another lane or program would claim."""

    program: Program
    lane: Lane | None
    lines: list[AlternativeLine]
    total: Dollars | None


class Warned(Struct):
    """Something to see that changes no verdict."""

    reason: str
    text: str
    evidence: list[str]


class Pack(Struct):
    """Which rules decided."""

    id: str
    rule_year: Annotated[str, Meta(pattern="^[0-9]{4}$")]
    digest: Sha256


class Adjudication(Struct):
    """Everything decided about one patient-month."""

    schema: Literal["vitalwire.adjudication/1"]
    patient: str
    month: Month
    pack: Pack
    facts_digest: Sha256
    billable: list[BillableLine]
    refused: list[RefusedLine]
    held: list[HeldLine]
    time: list[CountedEntry]
    days: list[ReadingDays]
    alternatives: list[Alternative]
    warnings: list[Warned]
    total: Dollars | None


# --- decode results -------------------------------------------------------------------------------------------------

Word = Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
Octet = Annotated[int, Meta(ge=0, le=255)]
Context = dict[str, Any]


class DecodedComponent(Struct):
    """One number in the unit we keep, and exactly what the device sent."""

    metric: Metric
    value: Decimals | None
    unit: str
    reported_value: Decimals | None
    reported_unit: str | None
    absent_reason: AbsentReason | None


class DecodedRecord(Struct):
    """One record of a characteristic that may carry several."""

    outcome: Outcome
    components: list[DecodedComponent]
    time_offset_minutes: int | None
    flags: list[Word]
    context: Context
    warnings: list[DecodeWarning]


class DecodedMeasurement(Struct):
    """What one packet of a device says."""

    characteristic: str
    kind: Kind
    outcome: Outcome
    components: list[DecodedComponent]
    device_time: LocalTime | None
    time_offset_minutes: int | None
    sequence_number: int | None
    user_id: Annotated[int, Meta(ge=0, le=254)] | None
    flags: list[Word]
    context: Context
    warnings: list[DecodeWarning]
    extra_hex: Hex | UnsetType = UNSET
    device_time_raw: Hex | UnsetType = UNSET


class DecodedRecords(Struct):
    """A packet of several records."""

    characteristic: Literal["2AA7"]
    kind: Literal["continuous-glucose"]
    outcome: Outcome
    records: list[DecodedRecord]
    warnings: list[DecodeWarning]


class DecodedNumber(Struct):
    """SFLOAT or FLOAT."""

    characteristic: Literal["SFLOAT", "FLOAT"]
    kind: Literal["number"]
    value: Decimals | None
    absent_reason: AbsentReason | None
    warnings: list[DecodeWarning]
    extra_hex: Hex | UnsetType = UNSET


class DecodedDateTime(Struct):
    """A device's clock."""

    characteristic: Literal["2A08", "2A2B"]
    kind: Literal["date-time"]
    device_time: LocalTime | None
    warnings: list[DecodeWarning]
    extra_hex: Hex | UnsetType = UNSET
    device_time_raw: Hex | UnsetType = UNSET


class DecodedRecordAccess(Struct):
    """A message of the record access control point."""

    characteristic: Literal["2A52"]
    kind: Literal["record-access"]
    op_code: Octet
    operator: Octet
    warnings: list[DecodeWarning]
    request_op_code: Octet | UnsetType = UNSET
    response_code: Octet | UnsetType = UNSET
    number_of_records: int | UnsetType = UNSET
    filter_type: Octet | UnsetType = UNSET
    minimum: int | str | UnsetType = UNSET
    maximum: int | str | UnsetType = UNSET
    extra_hex: Hex | UnsetType = UNSET


class ErrorWords(Struct):
    """What is wrong, and where in the input."""

    kind: str
    message: str
    where: dict[str, Any] | str


class ErrorAnswer(Struct):
    """The one error object of every command that speaks JSON."""

    error: ErrorWords


# --- alert evaluation -----------------------------------------------------------------------------------------------


class EvaluatedAlert(Struct):
    """One alert as it stands at the end of a case."""

    family: str
    severity: Severity
    state: State
    level: Annotated[int, Meta(ge=0)]
    evidence: Annotated[int, Meta(ge=0)]
    tags: list[str]
    rule: str
    text: str


class Notified(Struct):
    """Somebody was told."""

    minute: int
    family: str
    level: int


class HeldEvent(Struct):
    """A reading that the engine did not act on."""

    event: int
    verdict: Verdict


class RefusedAction(Struct):
    """What a person asked and the engine refused."""

    minute: int
    action: str
    reason: str


class AlertEvaluation(Struct):
    """The engine's answer to one case."""

    id: str
    alerts: list[EvaluatedAlert]
    notified: list[Notified]
    held: list[HeldEvent]
    refused: list[RefusedAction]


_FORMATS: Final[Mapping[str, tuple[str, tuple[type[Struct], ...]]]] = {
    "billing-facts": ("vitalwire.billing-facts/1", (Facts,)),
    "adjudication": ("vitalwire.adjudication/1", (Adjudication,)),
    "decoded": (
        "a result of vitalwire decode",
        (DecodedMeasurement, DecodedRecords, DecodedNumber, DecodedDateTime, DecodedRecordAccess, ErrorAnswer),
    ),
    "alert-evaluation": ("a result of vitalwire alerts evaluate", (AlertEvaluation,)),
    "error": ("the error object on standard error", (ErrorAnswer,)),
}
NAMES: Final = tuple(_FORMATS)


def answer_schema(name: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of one format."""
    title, types = _FORMATS[name]
    forms, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    root: dict[str, Any] = dict(forms[0]) if len(forms) == 1 else {"anyOf": list(forms)}
    return {"$schema": _DIALECT, "title": title, **root, "$defs": definitions}
