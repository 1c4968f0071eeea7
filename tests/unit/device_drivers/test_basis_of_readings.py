"""Readings may leave early only when clock, model and firmware are noted: each driver says so at the right moment."""

from device_drivers.driver import SessionPolicy
from device_drivers.drivers.glucose import GLUCOSE
from device_drivers.drivers.indicating import BLOOD_PRESSURE
from device_drivers.errors import AttError
from tests.unit.device_drivers.scripted_link import HANG_UP, SILENCE, RecordingContext, ScriptedLink, shown

READING = bytes.fromhex("128000 4e00 5f00 ea07 0302 0c0000 0000".replace(" ", ""))
CLOCK = bytes.fromhex("ea0703020c0000")  # 2026-03-02 12:00:00
KNOWN = {"model": "UA-651BLE", "firmware": "1.0.2"}
STRINGS = {"2A24": b"UA-651BLE", "2A26": b"1.0.2", "2A25": b"123", "2A19": b"\x50"}
FAST = SessionPolicy(idle_timeout_seconds=3.0)


async def test_cuff_says_so_after_clock_and_model_and_before_the_rest() -> None:
    link = ScriptedLink(values={"2A08": CLOCK, **STRINGS}, offers=["2A35"], sends=[("2A35", READING)])
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.basis == ((shown("2026-03-02T12:00:00"),), KNOWN)
    reads = [entry[1] for entry in link.log if entry[0] == "read"]
    assert reads[:3] == ["2A08", "2A24", "2A26"]
    assert sorted(reads[3:]) == ["2A19", "2A25"]


async def test_cuff_without_clock_and_strings_says_so_too() -> None:
    link = ScriptedLink(offers=["2A35"], sends=[("2A35", READING), SILENCE])
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.basis == ((), {})


async def test_clock_that_refuses_to_be_read_does_not_hold_readings_back() -> None:
    refusal = AttError("refused", characteristic="2A08", code=0x02)
    link = ScriptedLink(values={"2A08": refusal, "2A24": b"UA-651BLE"}, offers=["2A35"], sends=[("2A35", READING)])
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.basis == ((), {"model": "UA-651BLE"})


async def test_cuff_that_hangs_up_before_its_clock_was_read_says_nothing() -> None:
    link = ScriptedLink(values={"2A08": CLOCK, **STRINGS}, offers=["2A35"], sends=[HANG_UP])
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.basis is None


async def test_meter_says_so_before_it_is_asked_for_records() -> None:
    link = ScriptedLink(values={"2A08": CLOCK, **STRINGS}, offers=["2A18", "2A52"], sends=[])
    ctx = RecordingContext(policy=FAST)
    asked: list[object] = []

    def answers(_payload: bytes) -> list[tuple[str, bytes]]:
        asked.append(ctx.basis)
        return [("2A52", bytes.fromhex("06000106"))]  # no records found

    link.answers = answers
    await GLUCOSE.collect(link, ctx)

    assert asked[0] == ((shown("2026-03-02T12:00:00"),), KNOWN)
