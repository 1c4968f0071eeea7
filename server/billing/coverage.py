"""The coverage register: what the product knows of each code, since when, how sure, and which test stands at its edge.

Input: the register of codes and the parameter tree. Output: one `Coverage` a code, in the order of the register; the
command and the page print the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from server.billing.codes import Code, register
from server.billing.parameter_tree import DatedValue, Parameter, ParameterTree, medicare

# Parameters of these units are edges that a test stands on; flags and words have none.
_COUNTED: Final[Mapping[str, str]] = {
    "s": "seconds",
    "day": "days",
    "contact": "live contacts",
    "condition": "conditions",
    "attempt": "attempts",
    "unit": "units at most",
}
_BOUNDARY_TEST: Final = "tests/unit/billing/test_billing_coverage.py::test_boundary"
_EXCLUDING_TEST: Final = "tests/unit/billing/test_billing_matrix.py::test_known_service_does_what_the_mode_says"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One number that decides the code, from a date on."""

    rule: str
    label: str
    since: date
    value: int
    unit: str
    confidence: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What stands behind one code."""

    code: Code
    thresholds: tuple[Threshold, ...]
    confidence: tuple[str, ...]
    tested_by: str

    def as_json(self) -> dict[str, object]:
        code = self.code
        return {
            "code": code.number,
            "label": code.label,
            "program": code.program,
            "billable_from": code.first.isoformat(),
            "billable_to": code.last.isoformat() if code.last else None,
            "verified_from": code.verified_from.isoformat() if code.verified_from else None,
            "rule": code.rule,
            "status": code.status,
            "confidence": list(self.confidence),
            "tested_by": self.tested_by,
            "thresholds": [
                {
                    "rule": one.rule,
                    "since": one.since.isoformat(),
                    "value": one.value,
                    "unit": one.unit,
                    "confidence": one.confidence,
                    "source": one.source,
                }
                for one in self.thresholds
            ],
        }


def coverage(tree: ParameterTree | None = None) -> tuple[Coverage, ...]:
    """Every code of the register."""
    by_code: dict[str, list[Parameter]] = {}
    for parameter in tree or medicare():
        for number in parameter.applies_to:
            by_code.setdefault(number, []).append(parameter)
    return tuple(_row(code, by_code.get(code.number, [])) for code in register().values())


def _row(code: Code, parameters: list[Parameter]) -> Coverage:
    thresholds = tuple(
        _threshold(parameter, dated, dated.value)
        for parameter in parameters
        if parameter.unit in _COUNTED
        for dated in parameter.values
        if isinstance(dated.value, int)
    )
    sure = {dated.citation.confidence for parameter in parameters for dated in parameter.values}
    order = ("V1", "V2", "M-hi", "M-lo", "D")
    return Coverage(
        code=code,
        thresholds=thresholds,
        confidence=tuple(mark for mark in order if mark in sure),
        tested_by=f"{_BOUNDARY_TEST}[{code.number}]" if code.rule else _EXCLUDING_TEST,
    )


def _threshold(parameter: Parameter, dated: DatedValue, value: int) -> Threshold:
    return Threshold(
        rule=parameter.path.replace("/", "."),
        label=parameter.label,
        since=dated.since,
        value=value,
        unit=_COUNTED[parameter.unit],
        confidence=dated.citation.confidence,
        source=f"{dated.citation.title}, {dated.citation.locator}",
    )
