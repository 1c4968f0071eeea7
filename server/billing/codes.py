"""The register of codes: what each is, when it may be billed, what it must stand on.

Input: `codes.yaml`. Output: `Code` values by number; numbers are text, labels are our own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final

from server.billing.parameter_tree import ParameterError, read_yaml

_KEYS: Final = frozenset(
    {"label", "program", "group", "period", "from", "to", "rule", "bases", "status", "verified_from"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code of the register; `bases` is empty for a code that stands alone."""

    number: str
    label: str
    program: str | None
    group: str | None
    period: str
    first: date
    last: date | None
    rule: str | None
    bases: tuple[str, ...]
    status: str
    verified_from: date | None

    def in_force(self, day: date) -> bool:
        return self.first <= day and (self.last is None or day <= self.last)


@lru_cache(maxsize=1)
def register() -> Mapping[str, Code]:
    """Every code the product knows, read once."""
    path = Path(__file__).parent / "codes.yaml"
    found: dict[str, Code] = {}
    for number, body in read_yaml(path)["codes"].items():
        unknown = sorted(body.keys() - _KEYS)
        if unknown or not isinstance(number, str):
            raise ParameterError(f"codes.yaml: {number}: write the number as text, unknown keys: {', '.join(unknown)}")
        found[number] = Code(
            number=number,
            label=body["label"],
            program=body.get("program"),
            group=body.get("group"),
            period=body["period"],
            first=body["from"],
            last=body.get("to"),
            rule=body.get("rule"),
            bases=tuple(body.get("bases", ())),
            status=body["status"],
            verified_from=body.get("verified_from"),
        )
    for code in found.values():
        strangers = [base for base in code.bases if base not in found]
        if strangers:
            raise ParameterError(f"codes.yaml: {code.number}: base {', '.join(strangers)} is not in the register")
    return found
