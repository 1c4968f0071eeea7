"""From a stored session to envelopes and packet states. Payloads written by hand from the specifications."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from device_drivers.catalog import driver_by_id
from device_drivers.driver import Driver, Packet, SessionReadings
from gateway import contract
from gateway.clock import ClockReading
from gateway.derive import Derived, derive
from gateway.journal_rows import StoredSession

HEARD = datetime(2026, 3, 2, 12, 0, 9, tzinfo=UTC)
# 2A35: flags 0x06 (time stamp, pulse), 128/78, MAP NaN, 2026-03-02 07:00:00, pulse 64; all SFLOAT exponent 0
CUFF_128 = bytes.fromhex("06 8000 4e00 ff07 ea07 03 02 07 00 00 4000".replace(" ", ""))
# 2A18: flags 0x03 (offset, concentration kg/L), sequence 12, base 2026-03-02 05:00:00, offset +120 min,
# 105 mg/dL = 105e-5 kg/L = SFLOAT 0xB069, capillary plasma 2, finger 1
METER_105 = bytes.fromhex("03 0c00 ea07 03 02 05 00 00 7800 69b0 12".replace(" ", ""))
# the same with type 10 control solution, location 4
CONTROL = bytes.fromhex("03 0d00 ea07 03 02 05 00 00 7800 69b0 4a".replace(" ", ""))


def driver(name: str) -> Driver:
    found = driver_by_id(name)
    assert found is not None
    return found


def session(name: str, *payloads: tuple[str, bytes], clock: str | None = None, seconds: int = 1) -> StoredSession:
    packets = tuple(
        Packet(
            characteristic=characteristic,
            payload=payload,
            received_at=HEARD + timedelta(seconds=seconds * index),
            monotonic=1.0 + index,
        )
        for index, (characteristic, payload) in enumerate(payloads)
    )
    reading = ClockReading(gateway_at=HEARD, device_time=None if clock is None else datetime.fromisoformat(clock))
    return StoredSession(
        id=1,
        device_id="bp-3c7d9e",
        driver=name,
        home_zone="America/New_York",
        model="UA-651BLE",
        firmware="1.0.2",
        ended=True,
        packet_ids=tuple(range(11, 11 + len(packets))),
        packets=packets,
        clock_readings=() if clock is None else (reading,),
    )


def readings(derived: Derived) -> list[contract.Reading]:
    return [contract.decode_reading(entry.envelope) for entry in derived.entries]


def states(derived: Derived) -> list[str]:
    return [packet.state for packet in derived.packets]


def test_cuff_reading_becomes_the_envelope_of_the_contract() -> None:
    stored = session("std.blood_pressure", ("2A35", CUFF_128), clock="2026-03-02T07:00:02")

    derived = derive(stored, driver("std.blood_pressure"))

    (reading,) = readings(derived)
    assert reading.measured_at == datetime(2026, 3, 2, 12, 0, 7, tzinfo=UTC)
    assert (reading.clock_offset_seconds, reading.time_quality, reading.memory) == (Decimal(7), "corrected", "live")
    assert (reading.device_time, reading.received_at) == ("2026-03-02T07:00:00", HEARD)
    assert (reading.device.id, reading.device.model, reading.device.firmware) == ("bp-3c7d9e", "UA-651BLE", "1.0.2")
    assert {c.metric: (c.value, c.unit) for c in reading.components if c.value is not None} == {
        "systolic": (Decimal(128), "mm[Hg]"),
        "diastolic": (Decimal(78), "mm[Hg]"),
        "pulse-rate": (Decimal(64), "/min"),
    }
    assert reading.raw == {"2A35": "BoAATgD/B+oHAwIHAABAAA=="}
    assert (derived.entries[0].message_id, states(derived)) == (str(reading.message_id), ["read"])


def test_same_record_has_the_same_id_at_every_contact() -> None:
    first = derive(session("std.blood_pressure", ("2A35", CUFF_128)), driver("std.blood_pressure"))
    later = derive(
        session("std.blood_pressure", ("2A2B", b""), ("2A35", CUFF_128), clock="2026-03-02T07:00:00"),
        driver("std.blood_pressure"),
    )

    assert first.entries[0].message_id == later.entries[0].message_id


def test_meter_time_is_base_time_plus_offset() -> None:
    derived = derive(session("std.glucose", ("2A18", METER_105)), driver("std.glucose"))

    (reading,) = readings(derived)
    assert (reading.device_time, reading.sequence_number) == ("2026-03-02T07:00:00", 12)
    assert reading.measured_at == datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    assert [(c.metric, c.value, c.unit) for c in reading.components] == [("glucose", Decimal(105), "mg/dL")]


def test_control_solution_is_sent_with_its_mark_for_the_server_to_judge() -> None:
    derived = derive(session("std.glucose", ("2A18", CONTROL)), driver("std.glucose"))

    (reading,) = readings(derived)
    assert reading.context["sample_type"] == "control-solution"
    assert (states(derived), derived.held) == (["read"], ())


def test_demonstration_of_an_oximeter_is_nobodys_reading_and_stays_here() -> None:
    # 2A5E: flags 0x02 (measurement status), SpO2 98 %, pulse 60/min, status bit 10 "demonstration data"
    demonstration = bytes.fromhex("0262003c000004")

    derived = derive(session("std.pulse_oximeter", ("2A5E", demonstration)), driver("std.pulse_oximeter"))

    assert derived.entries == ()
    assert states(derived) == ["held"]
    assert len(derived.held) == 1


def test_packet_that_cannot_be_read_goes_to_quarantine_and_its_neighbours_do_not() -> None:
    stored = session("std.blood_pressure", ("2A35", CUFF_128[:5]), ("2A35", CUFF_128))

    derived = derive(stored, driver("std.blood_pressure"))

    assert states(derived) == ["quarantined", "read"]
    assert (len(derived.entries), derived.quarantined) == (1, 1)


def test_only_the_newest_reading_without_a_time_is_live() -> None:
    timeless = bytes.fromhex("0080004e00ff07")
    other = bytes.fromhex("0081004e00ff07")

    derived = derive(session("std.blood_pressure", ("2A35", timeless), ("2A35", other)), driver("std.blood_pressure"))

    assert [entry.memory for entry in derived.entries] == ["stored", "live"]
    assert [reading.time_quality for reading in readings(derived)] == ["received-at"] * 2


class Broken:
    """A third party's driver with a mistake."""

    def __init__(self, *, forgets: bool) -> None:
        self._forgets = forgets

    def decode(self, packets: object, *, model: str | None = None, ended: bool = True) -> SessionReadings:
        if self._forgets:
            return SessionReadings()
        raise ZeroDivisionError


def test_driver_that_fails_or_forgets_loses_nothing() -> None:
    stored = session("vendor.x", ("2A35", CUFF_128))

    for broken in (Broken(forgets=False), Broken(forgets=True)):
        derived = derive(stored, broken)  # type: ignore[arg-type]
        assert (derived.entries, states(derived)) == ((), ["quarantined"])
