"""Raw sessions as lines, and back: nothing a decoder or a bug report needs is lost, nobody is named."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from device_drivers.catalog import driver_by_id
from device_drivers.driver import Packet
from gateway import contract
from gateway.cli import app
from gateway.clock import ClockReading, SystemClock
from gateway.derive import derive
from gateway.errors import TraceError
from gateway.journal_rows import StoredSession
from gateway.outbox import Outbox
from gateway.trace import record, replay
from tests.unit.gateway.test_derive_readings import CUFF_128, HEARD

runner = CliRunner()
# As somebody may write them by hand: 2A35, 128/78, 2026-03-02 07:00:00, pulse 64; the cuff's clock is 7 s slow.
BY_HAND = """\
{"line":"session","schema":"vitalwire.trace/1","device":"device-1","driver":"std.blood_pressure","home_zone":"America/New_York"}

{"line":"clock","at":"2026-03-02T12:00:09Z","device_time":"2026-03-02T07:00:02","characteristic":"2A08"}
{"line":"packet","at":"2026-03-02T12:00:09Z","monotonic":0,"characteristic":"2A35",\
"hex":"06 80004e00ff07 ea070302070000 4000"}
"""


def session(*payloads: bytes, device: str = "bp-3c7d9e", clock: datetime | None = None) -> StoredSession:
    return StoredSession(
        id=7,
        device_id=device,
        driver="std.blood_pressure",
        home_zone="America/New_York",
        model="UA-651BLE",
        firmware=None,
        ended=True,
        packet_ids=tuple(range(41, 41 + len(payloads))),
        packets=tuple(
            Packet(
                characteristic="2A35",
                payload=payload,
                received_at=HEARD + timedelta(milliseconds=30 * n),
                monotonic=5000.25 + n,
            )
            for n, payload in enumerate(payloads)
        ),
        clock_readings=(ClockReading(gateway_at=HEARD, device_time=clock, characteristic="2A08"),),
    )


NAIVE = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2099, 1, 1))  # noqa: DTZ001 - a device's


@given(payloads=st.lists(st.binary(max_size=20), max_size=5), clock=st.none() | NAIVE)
def test_what_is_recorded_is_replayed(payloads: list[bytes], clock: datetime | None) -> None:
    original = session(*payloads, clock=clock)

    (again,) = replay(record([original]))

    assert again == replace(
        original,
        id=1,
        device_id="device-1",
        packet_ids=tuple(range(1, len(payloads) + 1)),
        packets=tuple(replace(packet, monotonic=packet.monotonic - 5000.25) for packet in original.packets),
    )


def test_trace_written_by_hand_is_read_by_the_driver_it_names() -> None:
    (found,) = replay(BY_HAND.splitlines())
    driver = driver_by_id(found.driver)
    assert driver is not None

    (entry,) = derive(found, driver).entries

    reading = contract.decode_reading(entry.envelope)
    assert reading.measured_at == datetime(2026, 3, 2, 12, 0, 7, tzinfo=UTC)
    assert [str(part.value) for part in reading.components if part.value is not None] == ["128", "78", "64"]


def test_devices_are_numbered_and_named_nowhere() -> None:
    first, second = session(CUFF_128), session(CUFF_128, device="bp-other")

    lines = list(record([first, second, first]))

    heads = [json.loads(line)["device"] for line in lines if '"session"' in line]
    assert heads == ["device-1", "device-2", "device-1"]
    assert "bp-" not in "".join(lines)


HEAD = BY_HAND.splitlines()[0]


@pytest.mark.parametrize(
    ("lines", "number", "says"),
    [
        (["{"], 1, "not a line of a trace"),
        (['{"line":"photo"}'], 1, "not a line of a trace"),
        ([HEAD.replace("}", ',"patient":"x"}')], 1, "unknown field"),
        ([HEAD.replace("trace/1", "trace/2")], 1, "vitalwire.trace/2"),
        (BY_HAND.splitlines()[2:], 1, "before any session"),
        ([HEAD, BY_HAND.splitlines()[3].replace("06 80", "06 8g")], 2, "hexadecimal"),
        ([HEAD, "", BY_HAND.splitlines()[2].replace('09Z"', '09"')], 3, "without a zone"),
        ([HEAD, BY_HAND.splitlines()[2].replace('02",', '02Z",')], 2, "does not know its zone"),
        ([b"\xff"], 1, "not a line of a trace"),
    ],
)
def test_line_that_is_none_is_named(lines: list[str | bytes], number: int, says: str) -> None:
    with pytest.raises(TraceError, match=says) as caught:
        replay(lines)
    assert caught.value.line == number
    assert str(caught.value).startswith(f"line {number} ")


def journal(folder: Path) -> None:
    async def fill() -> None:
        outbox = Outbox(folder / "journal.sqlite", clock=SystemClock())
        outbox.open()
        for device in ("bp-1", "bp-2", "bp-1"):
            number = await outbox.begin_session(device_id=device, driver="std.blood_pressure", home_zone="UTC")
            packet = Packet(characteristic="2A35", payload=CUFF_128, received_at=HEARD, monotonic=1.0)
            await asyncio.wrap_future(outbox.append(number, packet))
        await outbox.close()

    asyncio.run(fill())


def test_commands_export_and_read_again(tmp_path: Path) -> None:
    journal(tmp_path)
    one = runner.invoke(app, ["trace", "export", "2", "--data", str(tmp_path)])
    device = runner.invoke(app, ["trace", "export", "--device", "bp-1", "--data", str(tmp_path)])
    file = tmp_path / "trace.jsonl"
    file.write_text(device.stdout, encoding="utf-8")

    read = runner.invoke(app, ["trace", "read", str(file)])

    assert (one.exit_code, device.exit_code, read.exit_code) == (0, 0, 0)
    assert [len(replay(done.stdout.splitlines())) for done in (one, device)] == [1, 2]
    assert [json.loads(line)["kind"] for line in read.stdout.splitlines()] == ["blood-pressure"] * 2
    assert "session 2: 1 readings" in read.stderr


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["trace", "export"], "UsageError"),
        (["trace", "export", "1", "--device", "bp-1"], "UsageError"),
        (["trace", "export", "9"], "NotFound"),
        (["trace", "export", "--device", "bp-9"], "NotFound"),
    ],
)
def test_export_of_nothing_is_one_json_error(tmp_path: Path, words: list[str], kind: str) -> None:
    journal(tmp_path)

    done = runner.invoke(app, [*words, "--data", str(tmp_path)])

    assert (done.exit_code, done.stdout) == (2, "")
    assert json.loads(done.stderr)["error"]["kind"] == kind


def test_reading_a_file_that_is_no_trace_is_one_json_error(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(HEAD + "\n{}\n", encoding="utf-8")

    done = runner.invoke(app, ["trace", "read", str(file)])

    assert (done.exit_code, done.stdout) == (2, "")
    assert json.loads(done.stderr)["error"]["where"] == "x.jsonl:2"
