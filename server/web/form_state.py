"""What a form holds between two tries: the text as it was typed, and one sentence for each field that is wrong. Pure.

Input: field texts. Output: checked values, or errors by field; nothing typed is ever lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_ICD10: Final = re.compile(r"^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormState:
    """Texts by field name and errors by field name, as templates show them."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One entry of a list to choose from."""

    value: str
    label: str


class FieldReader:
    """Reads typed texts and collects every error, so that a person corrects all of them at once."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = {name: value.strip() for name, value in values.items()}
        self.errors: dict[str, str] = {}

    @property
    def state(self) -> FormState:
        return FormState(values=self.values, errors=self.errors)

    def fail(self, name: str, text: str) -> None:
        self.errors.setdefault(name, text)

    def text(self, name: str, label: str, *, required: bool = True, longest: int = 200) -> str:
        found = self.values.get(name, "")
        if required and not found:
            self.fail(name, f"{label}: please fill this in.")
        elif len(found) > longest:
            self.fail(name, f"{label}: at most {longest} characters.")
        elif not found.isprintable():
            self.fail(name, f"{label}: remove line breaks and control characters.")
        return found

    def choice(self, name: str, label: str, allowed: Iterable[str]) -> str:
        found = self.values.get(name, "")
        if found not in set(allowed):
            self.fail(name, f"{label}: choose one of the list.")
        return found

    def day(
        self, name: str, label: str, *, required: bool = True, earliest: date | None = None, latest: date | None = None
    ) -> date | None:
        found = self.values.get(name, "")
        if not found:
            if required:
                self.fail(name, f"{label}: please give a date.")
            return None
        try:
            value = date.fromisoformat(found)
        except ValueError:
            self.fail(name, f"{label}: write the date as YYYY-MM-DD.")
            return None
        if latest is not None and value > latest:
            self.fail(name, f"{label}: not after {latest.isoformat()}.")
        elif earliest is not None and value < earliest:
            self.fail(name, f"{label}: not before {earliest.isoformat()}.")
        return value

    def moment(self, name: str, label: str, zone: ZoneInfo, *, latest: datetime) -> datetime | None:
        """A wall-clock moment of the viewer's zone, as `<input type="datetime-local">` sends it."""
        found = self.values.get(name, "")
        if not found:
            self.fail(name, f"{label}: please give date and time.")
            return None
        try:
            value = datetime.fromisoformat(found)
        except ValueError:
            self.fail(name, f"{label}: write it as YYYY-MM-DD HH:MM.")
            return None
        if value.tzinfo is None:
            value = value.replace(tzinfo=zone)
        # The field has minutes only: the current minute is not the future.
        if value > latest + timedelta(minutes=1):
            self.fail(name, f"{label}: this is in the future.")
        return value

    def diagnosis(self, name: str, label: str, *, required: bool = True) -> str:
        found = self.text(name, label, required=required, longest=8).upper()
        if found and not _ICD10.match(found):
            self.fail(name, f"{label}: write an ICD-10-CM code such as I10 or E11.9.")
        return found

    def zone(self, name: str, label: str) -> str:
        found = self.values.get(name, "")
        try:
            ZoneInfo(found)
        except (KeyError, ValueError, OSError):
            self.fail(name, f"{label}: write an IANA zone such as America/New_York.")
        return found
