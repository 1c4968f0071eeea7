"""Virtual patients: reproducible, plausible, different from each other."""

from __future__ import annotations

from datetime import datetime, timedelta

from simulators.physiology import VirtualPatient

DAY = datetime(2026, 10, 1)  # noqa: DTZ001 - local time of a home


def test_the_same_seed_and_minute_give_the_same_values_in_any_order() -> None:
    first, second = VirtualPatient(7), VirtualPatient(7)
    hours = [DAY + timedelta(hours=h) for h in range(24)]

    forwards = [(first.blood_pressure(at), first.glucose(at)) for at in hours]
    backwards = [(second.blood_pressure(at), second.glucose(at)) for at in reversed(hours)]

    assert forwards == backwards[::-1]


def test_values_are_what_a_cuff_and_a_meter_can_show() -> None:
    for seed in range(30):
        patient = VirtualPatient(seed)
        for step in range(0, 24 * 7, 5):
            at = DAY + timedelta(hours=step)
            pressure = patient.blood_pressure(at)
            assert 70 <= pressure.systolic <= 240
            assert 30 <= pressure.diastolic < pressure.mean < pressure.systolic
            assert 40 <= pressure.pulse <= 160
            assert 25 <= patient.glucose(at) <= 550


def test_night_is_lower_than_late_morning_on_average() -> None:
    patient = VirtualPatient(3)

    night = [patient.blood_pressure(DAY + timedelta(days=d, hours=3)).systolic for d in range(60)]
    morning = [patient.blood_pressure(DAY + timedelta(days=d, hours=10)).systolic for d in range(60)]

    assert sum(morning) / 60 - sum(night) / 60 > 8


def test_a_diabetic_is_higher_after_breakfast_than_before() -> None:
    patient = VirtualPatient(3, diabetic=True)

    before = [patient.glucose(DAY + timedelta(days=d, hours=7)) for d in range(60)]
    after = [patient.glucose(DAY + timedelta(days=d, hours=8, minutes=30)) for d in range(60)]

    assert sum(after) / 60 - sum(before) / 60 > 25


def test_people_differ() -> None:
    assert len({VirtualPatient(seed).blood_pressure(DAY).systolic for seed in range(20)}) > 8
