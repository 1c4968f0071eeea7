"""A meter's records are read from where the journal ends; nothing is skipped or deleted, a wiped memory is noticed."""

from collections.abc import Callable, Iterable

import pytest

from device_drivers.driver import SessionPolicy
from device_drivers.drivers.glucose import GLUCOSE, Progress
from device_drivers.errors import AttError, LinkClosedError, UnsupportedFeature
from device_drivers.gatt.stored_records import digest_of
from tests.unit.device_drivers.scripted_link import HANG_UP, SILENCE, RecordingContext, ScriptedLink, Sent, shown

SUCCESS = ("2A52", bytes.fromhex("06000101"))
NONE_FOUND = ("2A52", bytes.fromhex("06000106"))
OPERATOR_NOT_SUPPORTED = ("2A52", bytes.fromhex("06000104"))
ABORTED = ("2A52", bytes.fromhex("06000301"))
Stored = tuple[int, bytes, bytes | None]
POLICY = SessionPolicy(clock_threshold_seconds=60)


def record(number: int, *, mg_dl: int = 100, context: bool = False) -> bytes:
    """2A18: flags (concentration, context follows), sequence number, 2026-03-02 07:00:00, 10^-5 kg/L, finger."""
    return (
        bytes((0x12 if context else 0x02,))
        + number.to_bytes(2, "little")
        + bytes.fromhex("ea070302070000")
        + (0xB000 | mg_dl).to_bytes(2, "little")
        + b"\x11"
    )


def meal(number: int) -> bytes:
    """2A34: fasting."""
    return b"\x02" + number.to_bytes(2, "little") + b"\x03"


class Meter:
    """A meter by the book, as far as a test does not bend it. Records are (sequence number, payload, context)."""

    def __init__(self, records: Iterable[Stored], *, operators: Iterable[int] = range(1, 7)) -> None:
        self.records = list(records)
        self.operators = set(operators)
        self.counts = True
        self.cut_after: int | None = None
        self.order: Callable[[list[Stored]], list[Stored]] = list

    def answer(self, request: bytes) -> list[Sent]:
        op_code, operator = request[0], request[1]
        if op_code == 3:
            return [ABORTED]
        if op_code not in (1, 4):
            raise AssertionError(f"the session sent {request.hex()}")
        if op_code == 4 and not self.counts:
            return [("2A52", bytes((6, 0, 4, 2)))]
        if operator not in self.operators:
            return [("2A52", bytes((6, 0, op_code, 4)))]
        chosen = self._select(operator, request[3:])
        if op_code == 4:
            return [("2A52", bytes((5, 0)) + len(chosen).to_bytes(2, "little"))]
        if not chosen:
            return [NONE_FOUND]
        sent: list[Sent] = []
        for _, payload, context in self.order(chosen):
            sent.append(("2A18", payload))
            if context is not None:
                sent.append(("2A34", context))
        sent.append(SUCCESS)
        if self.cut_after is not None:
            sent = [*sent[: self.cut_after], HANG_UP]
        return sent

    def _select(self, operator: int, operand: bytes) -> list[Stored]:
        if operator == 6:
            return self.records[-1:]
        low, high = 0, 0xFFFF
        if operator in (3, 4):
            low = int.from_bytes(operand[:2], "little")
        if operator == 4:
            high = int.from_bytes(operand[2:4], "little")
        return [entry for entry in self.records if low <= entry[0] <= high]


def memory(*numbers: int, mg_dl: int = 100) -> list[Stored]:
    return [(number, record(number, mg_dl=mg_dl), None) for number in numbers]


def link_to(meter: Meter, **values: bytes) -> ScriptedLink:
    known: dict[str, bytes | AttError] = {f"2A{name[1:]}": value for name, value in values.items()}
    return ScriptedLink(values=known, offers=["2A18", "2A34", "2A52"], answers=meter.answer)


def known_up_to(number: int, *, mg_dl: int = 100) -> dict[str, object]:
    return {"sequence_number": number, "digest": digest_of(record(number, mg_dl=mg_dl))}


async def collect(meter: Meter, *, resume: dict[str, object] | None = None) -> tuple[ScriptedLink, RecordingContext]:
    link = link_to(meter)
    ctx = RecordingContext(resume=resume, policy=POLICY)
    await GLUCOSE.collect(link, ctx)
    return link, ctx


async def test_everything_is_enabled_before_the_first_request() -> None:
    link, _ = await collect(Meter(memory(1)))

    assert link.log[0] == ("subscribe", "2A18", "2A34", "2A52")


async def test_the_first_contact_reads_the_whole_memory() -> None:
    link, ctx = await collect(Meter(memory(1, 2, 3)))

    assert link.writes("2A52") == ["0401", "0101"]
    assert ctx.payloads == [record(1), record(2), record(3)]
    assert ctx.resume == known_up_to(3)
    assert ctx.warnings == []


async def test_a_later_contact_asks_from_the_record_after_the_last_and_checks_the_last() -> None:
    link, ctx = await collect(Meter(memory(122, 123, 124, 125)), resume=known_up_to(123))

    assert link.writes("2A52") == ["0403017c00", "0103017c00", "0104017b007b00"]
    assert ctx.payloads == [record(124), record(125)]
    assert ctx.resume == known_up_to(125)
    assert ctx.warnings == []


async def test_nothing_new_is_a_normal_answer_and_costs_no_resume() -> None:
    link, ctx = await collect(Meter(memory(4, 5)), resume=known_up_to(5))

    assert link.writes("2A52") == ["0403010600", "0104010500" + "0500"]
    assert ctx.events == []
    assert ctx.warnings == []


async def test_an_empty_memory_is_a_normal_answer() -> None:
    _, ctx = await collect(Meter([]))

    assert ctx.payloads == []
    assert ctx.resume == {}
    assert ctx.warnings == []


async def test_a_wiped_memory_is_read_from_its_new_beginning() -> None:
    _, ctx = await collect(Meter(memory(0, 1, mg_dl=90)), resume=known_up_to(123))

    assert ctx.payloads == [record(0, mg_dl=90), record(1, mg_dl=90)]
    assert ctx.resume == known_up_to(1, mg_dl=90)
    assert ctx.warnings == ["memory-reset"]


async def test_a_wiped_memory_that_has_grown_past_the_old_end_is_noticed() -> None:
    """Asking from 3 on alone would lose the new records 0, 1 and 2."""
    _, ctx = await collect(Meter(memory(0, 1, 2, 3, 4, mg_dl=90)), resume=known_up_to(2))

    assert {record(number, mg_dl=90) for number in range(5)} <= set(ctx.payloads)
    assert ctx.resume == known_up_to(4, mg_dl=90)
    assert ctx.warnings == ["memory-reset"]


async def test_a_meter_without_greater_or_equal_is_read_whole() -> None:
    link, ctx = await collect(Meter(memory(1, 2, 3), operators=[1]), resume=known_up_to(2))

    assert link.writes("2A52") == ["0403010300", "0103010300", "0101"]
    assert ctx.payloads == [record(1), record(2), record(3)]
    assert ctx.resume == known_up_to(3)


async def test_a_meter_without_ranges_shows_its_last_record_for_the_check() -> None:
    meter = Meter(memory(1, 2), operators=[1, 3, 6])

    link, ctx = await collect(meter, resume=known_up_to(2))

    assert link.writes("2A52")[-1] == "0106"
    assert ctx.payloads == []


async def test_a_meter_without_ranges_whose_last_record_differs_is_read_whole() -> None:
    meter = Meter(memory(0, 1, mg_dl=90), operators=[1, 3, 6])

    _, ctx = await collect(meter, resume=known_up_to(2))

    assert set(ctx.payloads) == {record(0, mg_dl=90), record(1, mg_dl=90)}
    assert ctx.warnings == ["memory-reset"]


async def test_a_meter_that_does_not_count_is_asked_for_its_records() -> None:
    meter = Meter(memory(1, 2))
    meter.counts = False

    link, ctx = await collect(meter)

    assert link.writes("2A52") == ["0401", "0101"]
    assert ctx.payloads == [record(1), record(2)]


async def test_after_the_last_sequence_number_everything_is_read() -> None:
    link, ctx = await collect(Meter(memory(65534, 65535, 0)), resume=known_up_to(65535))

    assert link.writes("2A52") == ["0401", "0101"]
    assert ctx.resume == known_up_to(0)


async def test_the_resume_point_moves_only_behind_committed_records() -> None:
    _, ctx = await collect(Meter(memory(*range(60))))

    committed = -1
    for name, value in ctx.events:
        if name == "commit":
            committed += 1
        elif name == "resume":
            assert value is not None
            assert value <= committed  # type: ignore[operator]
    assert [value for name, value in ctx.events if name == "resume"] == [24, 49, 59]


@pytest.mark.parametrize(("cut_after", "resume_at"), [(123, 122), (124, 123), (125, 124)])
async def test_after_a_cut_the_next_contact_goes_on_with_the_next_record(cut_after: int, resume_at: int) -> None:
    meter = Meter(memory(*range(200)))
    meter.cut_after = cut_after

    _, ctx = await collect(meter)
    meter.cut_after = None
    link, rest = await collect(meter, resume=dict(ctx.resume))

    assert ctx.warnings == ["transfer-incomplete"]
    assert ctx.resume["sequence_number"] == resume_at
    assert link.writes("2A52")[1] == "010301" + (resume_at + 1).to_bytes(2, "little").hex()
    assert ctx.payloads + rest.payloads == [record(number) for number in range(200)]


async def test_a_link_that_drops_while_a_request_is_written_loses_nothing_heard_before() -> None:
    """The check after the transfer is never sent; a record still waits in the stream."""

    class DropsOnCheck(ScriptedLink):
        async def write(self, characteristic: str, payload: bytes, *, response: bool = True) -> None:
            if payload[:2] == b"\x01\x04":
                self.on_air.extend([("2A18", record(9)), HANG_UP])
                raise LinkClosedError("dropped")
            await super().write(characteristic, payload, response=response)

    link = DropsOnCheck(offers=["2A18", "2A52"], answers=Meter(memory(7, 8)).answer)
    ctx = RecordingContext(resume=known_up_to(6), policy=POLICY)

    await GLUCOSE.collect(link, ctx)

    assert ctx.payloads == [record(7), record(8), record(9)]
    assert ctx.resume == known_up_to(8)
    assert ctx.warnings == []


async def test_a_record_cut_off_from_its_context_is_read_again() -> None:
    entries = [(number, record(number, context=True), meal(number)) for number in range(3)]
    meter = Meter(entries)
    meter.cut_after = 5  # record 2 has come, its context has not

    _, ctx = await collect(meter)

    assert ctx.resume["sequence_number"] == 1


async def test_newest_first_moves_no_resume_point_before_the_end() -> None:
    meter = Meter(memory(*range(60)))
    meter.order = lambda records: records[::-1]
    meter.cut_after = 40

    _, ctx = await collect(meter)

    assert ctx.resume == {}


async def test_newest_first_ends_at_the_highest_number() -> None:
    meter = Meter(memory(7, 8, 9))
    meter.order = lambda records: records[::-1]

    _, ctx = await collect(meter)

    assert ctx.resume == known_up_to(9)


async def test_a_resume_point_saved_too_early_is_taken_back() -> None:
    """Ascending for 30 records, then an older one: what lies between may be missing after a cut."""
    meter = Meter(memory(*range(100, 140)))
    meter.order = lambda records: [*records[5:], *records[:5]]
    meter.cut_after = 36

    _, ctx = await collect(meter)

    assert ("resume", 129) in ctx.events
    assert ctx.resume == {}


async def test_missing_records_are_told_and_asked_for_again() -> None:
    def answer(request: bytes) -> list[Sent]:
        return (
            [("2A52", b"\x05\x00\x03\x00")] if request[0] == 4 else [("2A18", record(1)), ("2A18", record(1)), SUCCESS]
        )

    ctx = RecordingContext(policy=POLICY)
    await GLUCOSE.collect(ScriptedLink(offers=["2A18", "2A52"], answers=answer), ctx)

    assert ctx.warnings == ["records-missing"]
    assert ctx.resume == {}


async def test_silence_aborts_the_procedure_and_keeps_what_came() -> None:
    meter = Meter(memory(1, 2, 3))
    stalled: list[Sent] = [("2A18", record(1)), ("2A18", record(2)), SILENCE]

    link = link_to(meter)
    link.answers = lambda request: stalled if request == b"\x01\x01" else meter.answer(request)
    ctx = RecordingContext(policy=POLICY)
    await GLUCOSE.collect(link, ctx)

    assert link.writes("2A52") == ["0401", "0101", "0300"]
    assert ctx.resume == known_up_to(2)
    assert ctx.warnings == ["transfer-incomplete"]


async def test_a_meter_that_never_answers_ends_after_one_abort() -> None:
    link = ScriptedLink(offers=["2A18", "2A52"], answers=lambda _: [])

    await GLUCOSE.collect(link, ctx := RecordingContext(policy=POLICY))

    assert link.writes("2A52") == ["0401", "0300"]
    assert ctx.warnings == ["transfer-incomplete"]


async def test_a_procedure_left_running_is_aborted_once_and_begun_again() -> None:
    class Busy(ScriptedLink):
        refusals = 1

        async def write(self, characteristic: str, payload: bytes, *, response: bool = True) -> None:
            if payload[0] == 4 and self.refusals:
                self.refusals -= 1
                self.log.append(("write", characteristic, payload.hex()))
                raise AttError("procedure already in progress", characteristic="2A52", code=0xFE)
            await super().write(characteristic, payload, response=response)

    link = Busy(offers=["2A18", "2A52"], answers=Meter(memory(1)).answer)
    await GLUCOSE.collect(link, ctx := RecordingContext(policy=POLICY))

    assert link.writes("2A52") == ["0401", "0300", "0401", "0101"]
    assert ctx.payloads == [record(1)]


async def test_answers_to_somebody_elses_request_are_passed_over() -> None:
    def answer(request: bytes) -> list[Sent]:
        if request[0] == 4:
            return [("2A52", bytes.fromhex("06000201")), ("2A52", b"\x06"), ("2A52", b"\x05\x00\x01\x00")]
        return [("2A52", b"\x05\x00\x09\x00"), ("2A18", record(1)), SUCCESS]

    ctx = RecordingContext(policy=POLICY)
    await GLUCOSE.collect(ScriptedLink(offers=["2A18", "2A52"], answers=answer), ctx)

    assert ctx.payloads == [record(1)]
    assert ctx.warnings == []


async def test_a_meter_without_stored_records_is_refused() -> None:
    link = ScriptedLink(offers=["2A18", "2A52"], answers=lambda request: [("2A52", bytes((6, 0, request[0], 2)))])

    with pytest.raises(UnsupportedFeature):
        await GLUCOSE.collect(link, RecordingContext(policy=POLICY))


async def test_a_request_that_needs_pairing_says_so() -> None:
    link = ScriptedLink(
        offers=["2A18", "2A52"], refuses={"2A52": AttError("encryption", characteristic="2A52", code=0x0F)}
    )
    ctx = RecordingContext(policy=POLICY)

    with pytest.raises(AttError):
        await GLUCOSE.collect(link, ctx)

    assert ctx.warnings == ["pairing-needed"]


async def test_truncated_measurements_are_journalled_and_do_not_stop_the_transfer() -> None:
    def answer(request: bytes) -> list[Sent]:
        if request[0] == 4:
            return [("2A52", b"\x05\x00\x02\x00")]
        return [("2A18", b"\x02\x01"), ("2A18", record(1)), ("2A18", record(2)), SUCCESS]

    ctx = RecordingContext(policy=POLICY)
    await GLUCOSE.collect(ScriptedLink(offers=["2A18", "2A52"], answers=answer), ctx)

    assert ctx.payloads == [b"\x02\x01", record(1), record(2)]
    assert ctx.resume == known_up_to(2)


async def test_the_clock_is_read_before_the_records_and_set_after_them() -> None:
    link = link_to(Meter(memory(1)), c08=bytes.fromhex("ea0703020c0000"), c19=b"\x64", c24=b"M1")
    ctx = RecordingContext(policy=POLICY, clock=shown("2026-03-02T13:00:00"))

    await GLUCOSE.collect(link, ctx)

    assert [name for name, _ in ctx.events] == ["clock", "commit", "resume", "clock set"]
    assert link.writes("2A08") == ["ea0703020d0000"]
    assert ctx.battery == 100
    assert ctx.information == {"model": "M1"}


async def test_a_meter_with_reversed_numbers_is_always_read_whole() -> None:
    link = link_to(Meter(memory(0, 1, 2)), c24=b"TD-4272")

    await GLUCOSE.collect(link, RecordingContext(policy=POLICY, resume=known_up_to(2)))

    assert link.writes("2A52") == ["0401", "0101"]


async def test_a_damaged_resume_point_reads_everything() -> None:
    for damaged in (
        {"sequence_number": 70000, "digest": "x"},
        {"sequence_number": "5", "digest": "x"},
        {"digest": "x"},
    ):
        link, _ = await collect(Meter(memory(1)), resume=damaged)
        assert link.writes("2A52") == ["0401", "0101"]


def test_progress_needs_two_records_to_know_the_order() -> None:
    progress = Progress()

    progress.on_measurement(5, record(5))
    after_one = progress.safe()
    progress.on_measurement(6, record(6))
    after_two = progress.safe()

    assert after_one is None
    assert after_two is not None
    assert after_two.sequence_number == 6


def test_progress_goes_on_over_the_wrap() -> None:
    progress = Progress()

    for number in (65534, 65535, 0, 1):
        progress.on_measurement(number, record(number))

    final = progress.final()
    assert final is not None
    assert final.sequence_number == 1
