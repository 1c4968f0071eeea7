"""`vitalwire gateway outbox …` and `vitalwire gateway trace …`: what the journal holds, for installers and engineers.

Input: command-line words and the gateway's data folder. Output: sentences or JSON; messages on stderr.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gateway.cli_common import DEFAULT_DATA, DataOption, JsonOption, fail, log_to_stderr, with_outbox
from gateway.errors import TraceError
from gateway.journal_rows import StoredSession
from gateway.outbox import Outbox

outbox_app = typer.Typer(
    no_args_is_help=True, help="The journal: readings waiting for the server, refused ones, packets nobody could read."
)
trace_app = typer.Typer(no_args_is_help=True, help="What devices sent, octet by octet: for bug reports and tests.")


@outbox_app.command("show")
def outbox_show(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """What waits, what the server refused and why, what could not be read. Shows ids, never values.

    Example: vitalwire gateway outbox show
    """
    log_to_stderr(logging.CRITICAL)

    async def work(outbox: Outbox) -> dict[str, Any]:
        counts = await outbox.counts()
        room = await outbox.space()
        return {
            **dataclasses.asdict(counts),
            "depth": counts.depth,
            "used_bytes": room.used_bytes,
            "free_bytes": room.free_bytes,
            "rejected_readings": [dataclasses.asdict(item) for item in await outbox.rejected()],
            "unreadable_packets": [dataclasses.asdict(item) for item in await outbox.unreadable()],
        }

    found = with_outbox(data, work, as_json=as_json)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    print(
        f"Waiting for the server: {found['depth']} ({found['pending']} never sent, {found['sent']} without a receipt)"
    )
    print(f"Confirmed by the server: {found['stored']} (kept for 30 days)")
    print(f"Refused by the server: {found['rejected']}")
    for item in found["rejected_readings"]:
        print(f"  {item['id']}  device {item['device_id']}  {item['at']:%Y-%m-%d %H:%M} UTC  {item['reason']}")
    print(f"Packets that could not be read: {found['quarantined']}; kept back as nobody's reading: {found['held']}")
    for item in found["unreadable_packets"]:
        print(f"  packet {item['id']}  device {item['device_id']}  {item['at']:%Y-%m-%d %H:%M} UTC  {item['reason']}")
    print(f"Disk: {found['used_bytes'] / 2**20:.1f} MiB used, {found['free_bytes'] / 2**20:.0f} MiB free")


@outbox_app.command("redecode")
def outbox_redecode(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Read quarantined packets again, after an update of the drivers. Readings that were known stay as they are.

    Example: vitalwire gateway outbox redecode
    """
    log_to_stderr(logging.CRITICAL)
    from gateway.history import read_again

    new = with_outbox(data, lambda outbox: read_again(outbox, ("raw", "quarantined", "held")), as_json=as_json)
    print(json.dumps({"new": new}) if as_json else f"{new} new readings; the running gateway sends them.")


@outbox_app.command("send-again")
def outbox_send_again(
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")],
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Send once more what the server confirmed since then: after it was restored from an older backup. Harmless
    otherwise, the server knows every reading it has. Restart the gateway afterwards.

    Example: vitalwire gateway outbox send-again --since 2026-03-01
    """
    log_to_stderr(logging.CRITICAL)
    moment = since.replace(tzinfo=UTC)
    count = with_outbox(data, lambda outbox: outbox.send_again(settled_since=moment), as_json=as_json)
    print(json.dumps({"pending": count}) if as_json else f"{count} readings are sent again after a restart.")


@trace_app.command("export")
def trace_export(
    session: Annotated[int | None, typer.Argument(help="Number of one session, as the log names it.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="All sessions of this device id.")] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write sessions of the journal as JSON lines. No names, addresses or ids are in them; measured values are.

    Example: vitalwire gateway trace export --device bp-3c7d9e > cuff.jsonl
    """
    if (session is None) == (device is None):
        message = "say which sessions: a number, or --device with a device id; see --help"
        fail(message, kind="UsageError", where="SESSION", as_json=True, code=2)
    log_to_stderr(logging.CRITICAL)
    from gateway.trace import record

    async def work(outbox: Outbox) -> list[StoredSession]:
        numbers = [session] if session is not None else await outbox.sessions_of(device or "")
        return [await outbox.load_session(number) for number in numbers]

    try:
        found = with_outbox(data, work, as_json=True)
    except ValueError as error:
        fail(str(error), kind="NotFound", where="SESSION", as_json=True, code=2)
    if not found:
        message = f"the journal has no session of {device}"
        fail(message, kind="NotFound", where="--device", as_json=True, code=2)
    for line in record(found):
        print(line)


@trace_app.command("read")
def trace_read(
    file: Annotated[Path, typer.Argument(help="Lines as `trace export` writes them.", exists=True, dir_okay=False)],
) -> None:
    """Read a trace with the drivers of this version: one JSON object a reading. Sends and stores nothing.

    Example: vitalwire gateway trace read cuff.jsonl
    """
    from device_drivers.catalog import driver_by_id
    from gateway.derive import derive
    from gateway.trace import replay

    try:
        sessions = replay(file.read_bytes().splitlines())
    except TraceError as error:
        fail(str(error), kind="TraceError", where=f"{file.name}:{error.line}", as_json=True, code=2)
    for session in sessions:
        driver = driver_by_id(session.driver)
        if driver is None:
            message = f"no driver {session.driver!r} in this version"
            fail(message, kind="TraceError", where=file.name, as_json=True, code=2)
        derived = derive(session, driver)
        for entry in derived.entries:
            print(entry.envelope.decode())
        held = ", ".join(derived.held) or "nothing"
        counts = f"{len(derived.entries)} readings; {derived.quarantined} packets not understood; held back: {held}"
        print(f"session {session.id}: {counts}", file=sys.stderr)
