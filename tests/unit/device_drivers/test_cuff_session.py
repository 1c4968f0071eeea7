"""A cuff is subscribed to first, journalled at once, and its clock is set only when it is quiet."""

from datetime import datetime

import pytest

from device_drivers.driver import ClockPolicy, SessionPolicy
from device_drivers.drivers.indicating import BLOOD_PRESSURE, WEIGHT
from device_drivers.errors import AttError, LinkClosedError, UnsupportedFeature
from tests.unit.device_drivers.scripted_link import HANG_UP, SILENCE, RecordingContext, ScriptedLink, shown

FIRST = bytes.fromhex("128000 4e00 5f00 ea07 0302 0c0000 0000".replace(" ", ""))
SECOND = bytes.fromhex("128200 5000 6000 ea07 0302 0c0500 0000".replace(" ", ""))
CLOCK = bytes.fromhex("ea0703020c0000")  # 2026-03-02 12:00:00
SAME_MINUTE = shown("2026-03-02T12:00:59")
ONE_MINUTE_ON = shown("2026-03-02T12:01:00")
FAST = SessionPolicy(idle_timeout_seconds=3.0, clock_threshold_seconds=60)


def _cuff(*sends: tuple[str, bytes] | str, **values: bytes | AttError) -> ScriptedLink:
    known: dict[str, bytes | AttError] = {f"2A{name[1:]}": value for name, value in values.items()}
    return ScriptedLink(values=known, offers=["2A35"], sends=sends)


async def test_subscribing_is_the_first_act() -> None:
    link = _cuff(("2A35", FIRST), HANG_UP, c08=CLOCK, c19=b"\x50", c29=b"A&D\0")

    await BLOOD_PRESSURE.collect(link, RecordingContext(policy=FAST))

    assert link.log[0] == ("subscribe", "2A35")


async def test_stored_readings_are_journalled_in_order_until_the_cuff_hangs_up() -> None:
    link = _cuff(("2A35", FIRST), ("2A35", SECOND), HANG_UP)
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST, SECOND]


async def test_silence_ends_a_session_that_the_cuff_keeps_open() -> None:
    link = _cuff(("2A35", FIRST))
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST]
    assert link.up
    assert link.log[-1] == ("unsubscribe",)


async def test_a_reading_after_a_pause_shorter_than_the_idle_timeout_is_not_lost() -> None:
    """The timeout is 3 s; two pauses of 2 s are together longer than it."""
    link = _cuff(("2A35", FIRST), SILENCE, SILENCE, ("2A35", SECOND), SILENCE, SILENCE, ("2A35", FIRST), HANG_UP)
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST, SECOND, FIRST]


async def test_silence_as_long_as_the_idle_timeout_ends_the_session() -> None:
    link = _cuff(("2A35", FIRST), SILENCE, SILENCE, SILENCE, ("2A35", SECOND))
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST]


async def test_early_indications_are_journalled_while_the_chores_run() -> None:
    link = _cuff(*[("2A35", FIRST)] * 3, HANG_UP, c08=CLOCK, c19=b"\x50", c24=b"UA-651BLE", c29=b"A&D")
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST] * 3


async def test_a_link_that_drops_during_the_chores_is_a_normal_end() -> None:
    link = _cuff(("2A35", FIRST), HANG_UP, c08=CLOCK, c19=b"\x50", c24=b"x", c25=b"x", c26=b"x", c29=b"x")
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST]
    assert ctx.information == {}


async def test_truncated_and_doubled_packets_are_transported_as_they_are() -> None:
    link = _cuff(("2A35", FIRST), ("2A35", FIRST), ("2A35", FIRST[:5]), HANG_UP)
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST, FIRST, FIRST[:5]]


async def test_clock_battery_and_information_are_noted() -> None:
    link = _cuff(
        ("2A35", FIRST), c08=CLOCK, c19=b"\x50", c24=b"UA-651BLE\0\0", c26=b" 1.0.2 ", c29=b"A&D\xff", c25=b"\0"
    )
    ctx = RecordingContext(policy=FAST, clock=SAME_MINUTE)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.clocks == [shown("2026-03-02T12:00:00")]
    assert ctx.battery == 80
    assert ctx.information == {"model": "UA-651BLE", "firmware": "1.0.2", "manufacturer": "A&D\ufffd"}


async def test_current_time_is_read_before_date_time() -> None:
    link = _cuff(c08=CLOCK, c2B=CLOCK + b"\x01\x00\x00")
    ctx = RecordingContext(policy=FAST)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ("clock", "2A2B") in ctx.events
    assert ("read", "2A08") not in link.log


@pytest.mark.parametrize(
    ("policy", "desired", "written"),
    [
        (ClockPolicy.IF_OFF, SAME_MINUTE, []),
        (ClockPolicy.IF_OFF, ONE_MINUTE_ON, ["ea0703020c0100"]),
        (ClockPolicy.IF_OFF, shown("2026-03-02T11:59:00"), ["ea0703020b3b00"]),
        (ClockPolicy.IF_OFF, shown("2026-03-02T11:59:01"), []),
        (ClockPolicy.NEVER, shown("2026-04-01T00:00:00"), []),
        (ClockPolicy.ALWAYS, shown("2026-03-02T12:00:00"), ["ea0703020c0000"]),
        (ClockPolicy.ALWAYS, None, []),
    ],
)
async def test_clock_is_set_by_policy(policy: ClockPolicy, desired: datetime | None, written: list[str]) -> None:
    link = _cuff(c08=CLOCK)
    ctx = RecordingContext(policy=SessionPolicy(clock=policy, clock_threshold_seconds=60), clock=desired)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert link.writes("2A08") == written
    assert len(ctx.clocks_set) == len(written)


async def test_an_unknown_device_clock_is_set_and_the_old_one_noted_first() -> None:
    link = _cuff(c08=bytes(7))
    ctx = RecordingContext(policy=FAST, clock=ONE_MINUTE_ON)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.clocks == [None]
    assert ctx.events == [("clock", "2A08"), ("clock set", "2A08")]


async def test_the_clock_is_set_after_the_readings() -> None:
    link = _cuff(("2A35", FIRST), ("2A35", SECOND), c08=CLOCK)
    ctx = RecordingContext(policy=FAST, clock=ONE_MINUTE_ON)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert [name for name, _ in ctx.events if name != "clock"] == ["commit", "commit", "clock set"]


async def test_a_refused_clock_is_told() -> None:
    link = _cuff(c08=CLOCK)
    link.refuses["2A08"] = AttError("ignored", characteristic="2A08", code=0x80)
    ctx = RecordingContext(policy=FAST, clock=ONE_MINUTE_ON)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.warnings == ["clock-refused"]
    assert ctx.clocks_set == []


async def test_a_link_that_drops_while_the_clock_is_set_loses_nothing_heard_before() -> None:
    class DropsOnWrite(ScriptedLink):
        async def write(self, characteristic: str, payload: bytes, *, response: bool = True) -> None:
            self.on_air.extend([("2A35", SECOND), HANG_UP])
            raise LinkClosedError("dropped")

    link = DropsOnWrite(values={"2A08": CLOCK}, offers=["2A35"], sends=[("2A35", FIRST)])
    ctx = RecordingContext(policy=FAST, clock=ONE_MINUTE_ON)

    await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.payloads == [FIRST, SECOND]
    assert ctx.clocks_set == []


async def test_a_device_that_wants_pairing_says_so() -> None:
    link = _cuff()
    link.refuses["subscribe 2A35"] = AttError("insufficient authentication", characteristic="2A35", code=0x05)
    ctx = RecordingContext(policy=FAST)

    with pytest.raises(AttError):
        await BLOOD_PRESSURE.collect(link, ctx)

    assert ctx.warnings == ["pairing-needed"]


async def test_a_device_without_the_characteristic_is_refused_before_any_traffic() -> None:
    link = _cuff()

    with pytest.raises(UnsupportedFeature, match="2A9D"):
        await WEIGHT.collect(link, RecordingContext(policy=FAST))

    assert link.log == []


async def test_a_full_disk_ends_the_session_with_its_own_error() -> None:
    class FullDisk(RecordingContext):
        async def emit(self, packet: object) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await BLOOD_PRESSURE.collect(_cuff(("2A35", FIRST), c08=CLOCK), FullDisk(policy=FAST))
