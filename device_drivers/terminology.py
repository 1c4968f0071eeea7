"""The closed table of what we measure: unit kept, codes for exchange, display decimals, and what a value can mean.

Input: a `Metric`. Output: its `Term`. Codes are strings: LOINC, and the IEEE 11073-10101 reference number (MDC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from device_drivers.measurement import Metric


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends belong to the range."""

    low: Decimal
    high: Decimal

    def __contains__(self, value: Decimal) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One metric.

    `reportable`: outside of it the number cannot be what it says it is (wrong unit, wrong octets): it is kept apart
    and never judged. Deliberately wider than any device's own range, so that no emergency is taken for a fault.
    `plausible`: outside of it a value is rare in an adult at home: worth asking whose it was, no reason to drop it.
    """

    metric: Metric
    unit: str
    label: str
    decimals: int
    loinc: str | None
    mdc: str | None
    reportable: Range
    plausible: Range


def _term(
    metric: Metric,
    unit: str,
    label: str,
    *,
    decimals: int,
    loinc: str | None,
    mdc: str | None,
    reportable: tuple[str, str],
    plausible: tuple[str, str],
) -> Term:
    return Term(
        metric=metric,
        unit=unit,
        label=label,
        decimals=decimals,
        loinc=loinc,
        mdc=mdc,
        reportable=Range(Decimal(reportable[0]), Decimal(reportable[1])),
        plausible=Range(Decimal(plausible[0]), Decimal(plausible[1])),
    )


# Plausible pressures follow the filter of a telehealth service (BMC Fam Pract 2015, doi 10.1186/s12875-015-0301-2,
# table 2: systolic 50-260, diastolic below systolic and at most 200). Other ranges are our own, chosen wide.
TERMS: Final[Mapping[Metric, Term]] = MappingProxyType(
    {
        term.metric: term
        for term in (
            _term(
                Metric.SYSTOLIC,
                "mm[Hg]",
                "Systolic",
                decimals=0,
                loinc="8480-6",
                mdc="150021",
                reportable=("30", "320"),
                plausible=("50", "260"),
            ),
            _term(
                Metric.DIASTOLIC,
                "mm[Hg]",
                "Diastolic",
                decimals=0,
                loinc="8462-4",
                mdc="150022",
                reportable=("10", "250"),
                plausible=("20", "200"),
            ),
            _term(
                Metric.MEAN_ARTERIAL,
                "mm[Hg]",
                "Mean arterial pressure",
                decimals=0,
                loinc="8478-0",
                mdc="150023",
                reportable=("10", "300"),
                plausible=("30", "230"),
            ),
            _term(
                Metric.PULSE_RATE,
                "/min",
                "Pulse rate",
                decimals=0,
                loinc="8867-4",
                mdc="149546",
                reportable=("10", "350"),
                plausible=("30", "220"),
            ),
            _term(
                Metric.CUFF_PRESSURE,
                "mm[Hg]",
                "Cuff pressure",
                decimals=0,
                loinc=None,
                mdc="150300",
                reportable=("0", "350"),
                plausible=("0", "300"),
            ),
            _term(
                Metric.GLUCOSE,
                "mg/dL",
                "Glucose",
                decimals=0,
                loinc="41653-7",
                mdc="160184",
                reportable=("1", "2000"),
                plausible=("20", "600"),
            ),
            _term(
                Metric.BODY_WEIGHT,
                "kg",
                "Body weight",
                decimals=1,
                loinc="29463-7",
                mdc="188736",
                reportable=("0.5", "650"),
                plausible=("30", "300"),
            ),
            _term(
                Metric.BMI,
                "kg/m2",
                "Body mass index",
                decimals=1,
                loinc="39156-5",
                mdc="188752",
                reportable=("5", "200"),
                plausible=("10", "80"),
            ),
            _term(
                Metric.HEIGHT,
                "m",
                "Body height",
                decimals=2,
                loinc="8302-2",
                mdc="188740",
                reportable=("0.2", "2.8"),
                plausible=("1.2", "2.3"),
            ),
            _term(
                Metric.BODY_TEMPERATURE,
                "Cel",
                "Body temperature",
                decimals=1,
                loinc="8310-5",
                mdc="150364",
                reportable=("20", "46"),
                plausible=("34", "42"),
            ),
            _term(
                Metric.SPO2,
                "%",
                "Oxygen saturation",
                decimals=0,
                loinc="59408-5",
                mdc="150456",
                reportable=("10", "100"),
                plausible=("60", "100"),
            ),
            _term(
                Metric.PULSE_AMPLITUDE_INDEX,
                "%",
                "Pulse amplitude index",
                decimals=1,
                loinc="61006-3",
                mdc="150488",
                reportable=("0", "100"),
                plausible=("0", "30"),
            ),
            _term(
                Metric.GLUCOSE_TREND,
                "mg/dL/min",
                "Glucose trend",
                decimals=1,
                loinc=None,
                mdc=None,
                reportable=("-100", "100"),
                plausible=("-10", "10"),
            ),
        )
    }
)

BLOOD_PRESSURE_PANEL_LOINC: Final = "85354-9"
BLOOD_PRESSURE_PANEL_MDC: Final = "150020"

# IEEE 11073-10417 (glucose meter): the MDC code says which blood; LOINC 99504-3 is glucose in interstitial fluid.
GLUCOSE_MDC_BY_SAMPLE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "capillary-whole-blood": "160184",
        "capillary-plasma": "160188",
        "venous-whole-blood": "160192",
        "venous-plasma": "160196",
        "arterial-whole-blood": "160200",
        "arterial-plasma": "160204",
        "undetermined-whole-blood": "160364",
        "undetermined-plasma": "160368",
        "interstitial-fluid": "160212",
        "control-solution": "160208",
    }
)
INTERSTITIAL_GLUCOSE_LOINC: Final = "99504-3"


def is_reportable(metric: Metric, value: Decimal) -> bool:
    """Whether a value in the unit we keep can mean what the metric says."""
    return value in TERMS[metric].reportable
