"""What a device keeps over a power cut, fault switches, and the tester's requests as readings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from simulators.clock import DeviceClock, GlucoseClock
from simulators.control import ControlError, blood_pressure_reading, glucose_reading
from simulators.devices.glucose_meter import GlucoseReading, out_of_range, to_wire
from simulators.encoding import BloodPressureStatus, GlucoseStatus, GlucoseUnit, Meal, SampleType, Special
from simulators.faults import FAULTS, FaultSwitches, clear_faults, set_fault
from simulators.memory import DeviceMemory, StoredRecord
from simulators.physiology import VirtualPatient

NOON = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
SHOWN = datetime(2026, 10, 1, 8, 0)  # noqa: DTZ001 - device clocks have no zone


def record(sequence: int) -> StoredRecord:
    return StoredRecord(sequence=sequence, user_time=SHOWN, payload=b"\x01\x02", context=b"\x03")


def test_everything_survives_the_process(tmp_path: Path) -> None:
    memory = DeviceMemory(tmp_path)
    memory.clock = GlucoseClock(
        base=DeviceClock(anchor=NOON, offset=timedelta(hours=-4), drift_ppm=12.5), offset_minutes=60
    )
    memory.battery_percent = 42
    memory.add(record(1))
    memory.add(record(2))
    memory.erase({1})

    again = DeviceMemory(tmp_path)

    assert again.records == [record(2)]
    assert again.next_sequence == 3
    assert again.battery_percent == 42
    assert again.clock == memory.clock
    assert again.irk == memory.irk


def test_a_full_memory_loses_its_oldest_record() -> None:
    memory = DeviceMemory(capacity=3)
    for sequence in range(1, 6):
        memory.add(record(sequence))

    assert [kept.sequence for kept in memory.records] == [3, 4, 5]


def test_sequence_numbers_wrap_to_one() -> None:
    memory = DeviceMemory()
    memory.add(record(0xFFFE))
    assert memory.next_sequence == 0xFFFF
    memory.add(record(0xFFFF))
    assert memory.next_sequence == 1


def test_a_foreign_state_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 99}', encoding="utf-8")

    with pytest.raises(ValueError, match="state version 99"):
        DeviceMemory(tmp_path)


def test_every_fault_can_be_switched_on_and_off() -> None:
    for name, fault in FAULTS.items():
        switches = FaultSwitches()
        set_fault(switches, name, 23 if fault.takes_number else None)
        assert switches != FaultSwitches()
        clear_faults(switches)
        assert switches == FaultSwitches()


@pytest.mark.parametrize(
    ("name", "number"), [("gremlin", None), ("drop-at-notification", None), ("drop-at-notification", 0)]
)
def test_wrong_faults_are_refused(name: str, number: int | None) -> None:
    with pytest.raises(ValueError, match="fault"):
        set_fault(FaultSwitches(), name, number)


@pytest.mark.parametrize(
    ("glucose", "unit", "sent", "status"),
    [
        ("19", "mg/dL", Special.NEGATIVE_INFINITY, GlucoseStatus.BELOW_RANGE),
        ("20", "mg/dL", Decimal("0.00020"), None),
        ("600", "mg/dL", Decimal("0.00600"), None),
        ("601", "mg/dL", Special.POSITIVE_INFINITY, GlucoseStatus.ABOVE_RANGE),
        ("5.6", "mmol/L", Decimal("0.0056"), None),
        ("33.4", "mmol/L", Special.POSITIVE_INFINITY, GlucoseStatus.ABOVE_RANGE),
    ],
)
def test_a_meter_says_hi_and_lo_beyond_its_range(
    glucose: str, unit: str, sent: Decimal | Special, status: GlucoseStatus | None
) -> None:
    reading = out_of_range(GlucoseReading(glucose=Decimal(glucose), unit=unit))

    value, wire_unit = to_wire(reading)

    assert value == sent
    assert reading.status == status
    assert wire_unit is (GlucoseUnit.MOL_PER_L if unit == "mmol/L" else GlucoseUnit.KG_PER_L)


def test_explicit_blood_pressure_request() -> None:
    reading = blood_pressure_reading(
        {"values": {"systolic": 192, "diastolic": "112"}, "flags": ["body-movement", "cuff-too-loose"], "user": 2},
        VirtualPatient(1),
        NOON,
    )

    assert (reading.systolic, reading.diastolic, reading.mean) == (Decimal(192), Decimal(112), Decimal(139))
    assert reading.pulse is None
    assert reading.user == 2
    assert reading.status == BloodPressureStatus.BODY_MOVEMENT | BloodPressureStatus.CUFF_TOO_LOOSE


def test_control_solution_request() -> None:
    reading = glucose_reading(
        {"values": {"glucose": "104"}, "control_solution": True, "meal": "fasting"}, VirtualPatient(1), NOON
    )

    assert reading.sample_type is SampleType.CONTROL_SOLUTION
    assert reading.meal is Meal.FASTING


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(ControlError, match="no flag 'gremlin'"):
        blood_pressure_reading({"flags": ["gremlin"]}, VirtualPatient(1), NOON)
