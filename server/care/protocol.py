"""What to ask and what to write down, by kind of alert: checklists that become a note, reasons and dispositions.

Input: an alert family and the boxes a nurse ticked. Output: sentences. Pure. The questions follow the sources named
beside them; a practice's medical director confirms them before use.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One box. `red` means: if it is so, the patient needs an ambulance."""

    code: str
    label: str
    red: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """A structured call note."""

    title: str
    guidance: str
    asked: str
    none_found: str
    items: tuple[Item, ...]


# NHLBI, "High blood pressure: symptoms": above 180/120 with any of these means 911; without them rest, measure again.
_SEVERE_PRESSURE: Final = Checklist(
    title="Symptoms with severe blood pressure",
    guidance="Any of these: tell the patient to call 911 now. None: five minutes of rest, then a second reading.",
    asked="Asked about symptoms of severe blood pressure",
    none_found="none present",
    items=(
        Item(code="chest-pain", label="Chest or back pain", red=True),
        Item(code="breathless", label="Short of breath", red=True),
        Item(code="numb-weak", label="Numbness or weakness", red=True),
        Item(code="vision", label="Change of vision", red=True),
        Item(code="speech", label="Trouble speaking", red=True),
        Item(code="confusion", label="Confusion or severe headache", red=True),
    ),
)
# ADA Standards of Care, section 6: 15 g of fast carbohydrate, measure again after 15 minutes, repeat while low.
_LOW_SUGAR: Final = Checklist(
    title="Rule of 15 for low glucose",
    guidance="Cannot swallow or does not wake: 911, and glucagon if it is there. Else 15 g now, measure in 15 minutes.",
    asked="Rule of 15 gone through",
    none_found="nothing ticked",
    items=(
        Item(code="cannot-swallow", label="Cannot swallow or hard to wake", red=True),
        Item(code="carbohydrate", label="Took 15 g of fast sugar"),
        Item(code="remeasured", label="Measured again after 15 minutes"),
        Item(code="above-70", label="Now above 70 mg/dL"),
        Item(code="meal", label="Ate a snack or meal after"),
        Item(code="cause", label="Cause found (dose, meal, activity)"),
    ),
)
# ADA, diabetic ketoacidosis: check ketones above 240-250 mg/dL, when ill, or on an SGLT2 inhibitor.
_HIGH_SUGAR: Final = Checklist(
    title="High glucose: ketones and illness",
    guidance="Vomiting, fast breathing, or blood ketones above 3.0 mmol/L: send to emergency care now.",
    asked="Asked about ketones and illness",
    none_found="none present",
    items=(
        Item(code="vomiting", label="Vomiting or cannot keep fluids", red=True),
        Item(code="breathing", label="Fast or deep breathing", red=True),
        Item(code="ketones-high", label="Ketones moderate or large", red=True),
        Item(code="ketones-checked", label="Ketones were checked"),
        Item(code="missed-dose", label="Missed insulin or tablets"),
        Item(code="ill", label="Fever or infection"),
    ),
)
_CHECKLISTS: Final = {"bp.high": _SEVERE_PRESSURE, "glucose.low": _LOW_SUGAR, "glucose.high": _HIGH_SUGAR}

DISPOSITIONS: Final[dict[str, str]] = {
    "educated": "Advice given, patient follows it",
    "retake-normal": "Repeat reading is in range",
    "treatment-changed": "Practitioner changed the treatment",
    "emergency": "Sent to emergency care",
    "visit-booked": "Visit booked",
    "not-reached": "Not reached after attempts",
    "technique": "Measuring technique corrected",
    "device": "Device or connection mended",
    "expected": "Known and accepted by the practitioner",
}
SNOOZE_REASONS: Final[dict[str, str]] = {
    "awaiting-retake": "Waiting for a repeat reading",
    "awaiting-practitioner": "Waiting for the practitioner",
    "call-back": "Patient asked to be called later",
    "treated": "Treated, effect to be seen",
}
CONTACT_OUTCOMES: Final[dict[str, str]] = {
    "reached": "Reached",
    "caregiver-reached": "Caregiver reached",
    "voicemail": "Voicemail left",
    "no-answer": "No answer",
    "retake-asked": "Asked to measure again",
}


def checklist_for(family: str) -> Checklist | None:
    return _CHECKLISTS.get(family)


def compose_note(family: str, *, went_through: bool, ticked: Collection[str], words: str) -> str:
    """One note from the boxes and the nurse's own words. Boxes nobody went through leave no trace."""
    checklist = _CHECKLISTS.get(family)
    parts: list[str] = []
    if checklist is not None and (went_through or ticked):
        present = [item.label.lower() for item in checklist.items if item.code in ticked]
        parts.append(f"{checklist.asked}: {', '.join(present) if present else checklist.none_found}.")
    if words.strip():
        parts.append(words.strip())
    return " ".join(parts)
