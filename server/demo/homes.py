"""Who lives in the demo: the three homes, and the pattern of a care team's time for a scenario's patients. Pure values.

Input: nothing, or a home's number. Output: frozen specifications that `server.demo.seed` writes. Everybody is invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A device as its advertisement shows it. Addresses are random static ones (the two top bits are set)."""

    id: str
    kind: str
    model: str
    address: str
    local_name: str
    passkey: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One stretch of one person's time, at the practice's wall clock. `with_whom` set means live two-way talk."""

    at: time
    seconds: int
    program: str
    activity: str
    note: str
    with_whom: str | None = None
    by_assistant: bool = False
    working_days_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSpec:
    """One patient, one gateway, one or two devices."""

    patient_id: str
    name: str
    born: date
    sex: str
    phone: str
    zone: str
    goal: str
    conditions: tuple[str, ...]
    gateway_id: str
    devices: tuple[DeviceSpec, ...]
    language: str = "en"
    enrolled_days_before: int = 24
    alert_profile: Mapping[str, Any] = field(default_factory=dict)
    medication_changes: tuple[tuple[int, str], ...] = ()
    work: tuple[Work, ...] = ()


def _cuff(number: int, address: str) -> DeviceSpec:
    return DeviceSpec(
        id=f"bp-demo{number:02d}",
        kind="blood-pressure",
        model="VW-BP1",
        address=address,
        local_name=f"VW-BP-{number:04d}",
    )


def _meter(number: int, address: str, passkey: int) -> DeviceSpec:
    return DeviceSpec(
        id=f"gl-demo{number:02d}",
        kind="glucose",
        model="VW-GL1",
        address=address,
        local_name=f"VW-GL-{number:04d}",
        passkey=passkey,
    )


# Anna's month is complete, Luis's needs a little more care-management time, Ruth's was reviewed but nobody talked to
# her: the three columns of the billing board have content on the first day.
DEMO_HOMES: Final = (
    HomeSpec(
        patient_id="pt-demo01",
        name="Anna Berg",
        born=date(1950, 3, 14),
        sex="female",
        phone="+1 555 0101",
        zone="America/New_York",
        goal="Walk to the church and back without a break",
        conditions=("I10", "E11.9"),
        gateway_id="gw-demohome00001",
        devices=(_cuff(1, "F0:57:1E:00:01:01"), _meter(1, "F0:57:1E:00:01:02", 120_101)),
        enrolled_days_before=24,
        medication_changes=((16, "Lisinopril 10 mg to 20 mg daily"), (40, "Metformin 500 mg twice daily started")),
        work=(
            Work(
                working_days_before=2,
                at=time(9, 30),
                seconds=12 * 60 + 40,
                program="rpm",
                activity="live-call",
                with_whom="patient",
                note="Home readings since the dose change; no dizziness; keeps measuring in the morning.",
            ),
            Work(
                working_days_before=4,
                at=time(11, 5),
                seconds=9 * 60 + 10,
                program="rpm",
                activity="data-review",
                note="Two weeks of readings against the goal; pattern sent to the doctor.",
            ),
            Work(
                working_days_before=3,
                at=time(14, 0),
                seconds=14 * 60 + 25,
                program="ccm",
                activity="medication",
                with_whom="patient",
                note="Medicine list checked item by item; refill of metformin asked for.",
            ),
            Work(
                working_days_before=6,
                at=time(10, 15),
                seconds=8 * 60 + 50,
                program="ccm",
                activity="coordination",
                with_whom="other-clinician",
                note="Eye examination agreed with the ophthalmology office.",
            ),
            Work(
                working_days_before=6,
                at=time(15, 40),
                seconds=2 * 60 + 10,
                program="ccm",
                activity="voicemail",
                note="Left a message about the eye appointment.",
            ),
        ),
    ),
    HomeSpec(
        patient_id="pt-demo02",
        name="Luis Ortega",
        born=date(1957, 11, 2),
        sex="male",
        phone="+1 555 0102",
        zone="America/Chicago",
        language="es",
        goal="Jugar con mis nietos los domingos",
        conditions=("E11.9", "I10"),
        gateway_id="gw-demohome00002",
        devices=(_cuff(2, "F0:57:1E:00:02:01"), _meter(2, "F0:57:1E:00:02:02", 220_202)),
        enrolled_days_before=20,
        medication_changes=((9, "Glipizide 5 mg daily started"),),
        work=(
            Work(
                working_days_before=1,
                at=time(10, 0),
                seconds=11 * 60 + 5,
                program="rpm",
                activity="live-call",
                with_whom="patient",
                note="Morning values after the new tablet; signs of low sugar explained, in Spanish.",
            ),
            Work(
                working_days_before=2,
                at=time(13, 20),
                seconds=9 * 60 + 15,
                program="ccm",
                activity="care-plan",
                with_whom="patient",
                note="Meal plan for evenings agreed.",
            ),
            Work(
                working_days_before=5,
                at=time(9, 10),
                seconds=5 * 60 + 5,
                program="ccm",
                activity="coordination",
                with_whom="caregiver",
                note="Daughter asked about the pill organiser.",
            ),
        ),
    ),
    HomeSpec(
        patient_id="pt-demo03",
        name="Ruth Coleman",
        born=date(1944, 7, 27),
        sex="female",
        phone="+1 555 0103",
        zone="America/New_York",
        goal="Keep living in my own house",
        conditions=("I10", "I50.9"),
        gateway_id="gw-demohome00003",
        devices=(_cuff(3, "F0:57:1E:00:03:01"),),
        enrolled_days_before=12,
        medication_changes=((30, "Furosemide 20 mg to 40 mg daily"),),
        work=(
            Work(
                working_days_before=1,
                at=time(11, 30),
                seconds=13 * 60 + 20,
                program="rpm",
                activity="data-review",
                note="First week of readings; evening values higher than morning values.",
            ),
            Work(
                working_days_before=3,
                at=time(9, 45),
                seconds=9 * 60 + 30,
                program="rpm",
                activity="data-review",
                note="Readings of the last days; a call is planned.",
            ),
            Work(
                working_days_before=3,
                at=time(9, 50),
                seconds=6 * 60,
                program="rpm",
                activity="data-review",
                by_assistant=True,
                note="Looked at the same readings together with the nurse.",
            ),
            Work(
                working_days_before=2,
                at=time(15, 0),
                seconds=16 * 60 + 45,
                program="ccm",
                activity="coordination",
                with_whom="other-clinician",
                note="Home-safety visit arranged; cardiology letter read and filed in the plan.",
            ),
        ),
    ),
)


def month_work(number: int, *, first_day: date, days: int) -> list[tuple[date, Work]]:
    """The team's time for home `number`: a weekly review, a talk in the second week, care management in the third.

    Each home has its own half hour on its own weekday, so that nobody is in two places; the lengths differ from home to
    home, and every fourth home gets no talk, as it happens.
    """
    weekday, slot = number % 5, (number - 1) // 5
    at = time(9 + slot // 2, 30 * (slot % 2))
    planned: list[tuple[date, Work]] = []
    week = 0
    for offset in range(days):
        day = first_day + timedelta(days=offset)
        if day.weekday() != weekday:
            continue
        week += 1
        kind = _WEEKS[(week - 1) % len(_WEEKS)]
        seconds = kind.seconds + (number * 37 + week * 53) % 240
        if kind.with_whom and kind.program == "rpm" and number % 4 == 0:
            continue
        planned.append(
            (
                day,
                Work(
                    at=at,
                    seconds=seconds,
                    program=kind.program,
                    activity=kind.activity,
                    with_whom=kind.with_whom,
                    note=kind.note,
                ),
            )
        )
    return planned


_WEEKS: Final = (
    Work(
        at=time(9), seconds=7 * 60, program="rpm", activity="data-review", note="Readings of the week against the goal."
    ),
    Work(
        at=time(9),
        seconds=11 * 60,
        program="rpm",
        activity="live-call",
        with_whom="patient",
        note="Talked about the readings and about technique.",
    ),
    Work(
        at=time(9),
        seconds=13 * 60,
        program="ccm",
        activity="medication",
        with_whom="patient",
        note="Medicine list and side effects.",
    ),
    Work(
        at=time(9),
        seconds=8 * 60,
        program="ccm",
        activity="coordination",
        note="Specialist report read; plan brought up to date.",
    ),
)
