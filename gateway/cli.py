"""`vitalwire gateway …`: run the home box, and look at it, in words an installer understands.

Input: command-line words, settings from `VITALWIRE_…`. Output: sentences, or JSON with `--json`; messages on stderr.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import msgspec
import structlog
import typer

from gateway.clock import SystemClock
from gateway.config import Settings, load_settings
from gateway.errors import GatewayError, SettingsError
from gateway.health import LocalStatus
from gateway.outbox import Outbox
from gateway.registry import Registry
from gateway.words import sentence

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The home box: reads Bluetooth devices and sends their readings to the practice.\n\n"
    "First time? 1. scan: is the device heard? 2. pair: put it on this home's list. 3. run: leave it running. "
    "4. status: is everything well? 5. outbox: what has not reached the server yet?",
)
outbox_app = typer.Typer(
    no_args_is_help=True, help="The journal: readings waiting for the server, refused ones, packets nobody could read."
)
app.add_typer(outbox_app, name="outbox")

DataOption = Annotated[
    Path, typer.Option("--data", envvar="VITALWIRE_GATEWAY_DATA", help="Folder with journal and device list.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of sentences.")]
AdapterOption = Annotated[
    str | None, typer.Option("--adapter", envvar="VITALWIRE_BLUETOOTH_ADAPTER", help="For example hci1; default hci0.")
]

_DEFAULT_DATA: Final = Path("/var/lib/vitalwire")
_STALE_AFTER: Final = timedelta(minutes=3)  # the file is written at least every minute


def _fail(message: str, *, kind: str, where: str, as_json: bool, code: int) -> NoReturn:
    if as_json:
        error = {"error": {"kind": kind, "message": message, "where": where}}
        print(json.dumps(error), file=sys.stderr)
    else:
        print(message, file=sys.stderr)
    raise typer.Exit(code)


def _run(work: Coroutine[Any, Any, T], *, as_json: bool = False) -> T:
    """Run to the end; an expected error becomes one message and exit code 1."""
    try:
        return asyncio.run(work)
    except GatewayError as error:
        _fail(str(error), kind=type(error).__name__, where="gateway", as_json=as_json, code=1)


def _settings(*, as_json: bool = False) -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        words = "The gateway cannot start:\n" + "\n".join(f"  - {problem}" for problem in error.problems)
        message = "; ".join(error.problems) if as_json else words
        _fail(message, kind="SettingsError", where="environment", as_json=as_json, code=2)


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(level=max(level, logging.WARNING), format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@app.command()
def run() -> None:
    """Read devices and send readings until stopped (SIGTERM or Ctrl-C).

    Settings come from the environment: VITALWIRE_GATEWAY_ID, VITALWIRE_MQTT_URL (mqtts://host:8883),
    VITALWIRE_MQTT_USERNAME and VITALWIRE_MQTT_PASSWORD_FILE or VITALWIRE_MQTT_CERT_FILE and …_KEY_FILE,
    VITALWIRE_TIME_ZONE (zone of this home), VITALWIRE_GATEWAY_DATA. Logs are JSON lines on stderr, ids only.

    Example: VITALWIRE_GATEWAY_ID=gw-0123456789 VITALWIRE_MQTT_URL=mqtts://broker.example.org vitalwire gateway run
    """
    settings = _settings()
    _log_to_stderr(logging.INFO)
    from gateway.runtime import Gateway

    async def work() -> None:
        await Gateway(settings).run()

    _run(work())


@app.command()
def scan(
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long to listen.")] = 15.0,
    data: DataOption = _DEFAULT_DATA,
    adapter: AdapterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which health devices are on the air. Reads nothing and changes nothing.

    Most devices are silent until they are used: take a measurement, or press the pairing button, then scan.

    Example: vitalwire gateway scan --seconds 30
    """
    _log_to_stderr(logging.CRITICAL)
    from gateway.enrol import Heard, describe, listen
    from gateway.radio import BleakRadio
    from gateway.scan import Sighting

    heard: dict[str, Heard] = {}
    others: set[str] = set()

    def on_sighting(sighting: Sighting) -> None:
        found = describe(sighting)
        if found.driver is None:
            others.add(found.address)
        else:
            heard[found.address] = found

    trouble = _run(listen(BleakRadio(adapter), seconds=seconds, on_sighting=on_sighting), as_json=as_json)
    if trouble is not None:
        _fail(sentence(trouble), kind="RadioError", where=adapter or "hci0", as_json=as_json, code=1)
    registry = Registry(data / "registry.json")
    known = {address: device.id for address in heard if (device := registry.device_at(address)) is not None}
    if as_json:
        print(json.dumps([{**dataclasses.asdict(h), "device_id": known.get(h.address)} for h in heard.values()]))
        return
    for item in sorted(heard.values(), key=lambda found: -(found.rssi or -127)):
        place = f"on the list as {known[item.address]}" if item.address in known else "not on the list"
        print(f"{item.address}  {item.name or '(no name)':<24} {item.rssi} dBm  {item.title}; {place}")
    if not heard:
        print("No health device was heard. Take a measurement, or press the pairing button, and scan again.")
    print(f"({len(others)} other Bluetooth devices were heard and ignored)")


@app.command()
def pair(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Address or name, as `scan` shows it.")],
    device_id: Annotated[str, typer.Option("--id", help="The device's id from the practice, for example bp-3c7d9e.")],
    seconds: Annotated[float, typer.Option(min=5, max=600, help="How long to wait for the device.")] = 60.0,
    time_zone: Annotated[str, typer.Option(envvar="VITALWIRE_TIME_ZONE", help="Zone of this home.")] = "UTC",
    data: DataOption = _DEFAULT_DATA,
    adapter: AdapterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a device on this home's list, bond with it, and read what it has.

    Stop the running gateway first (two programs cannot pair at once). Put the device in pairing mode; if it shows six
    digits, you are asked for them. The practice can do the same from its device page, without this command.

    Example: vitalwire gateway pair A&D_UA-651BLE --id bp-3c7d9e --time-zone America/New_York
    """
    if time_zone not in available_timezones():
        message = f"{time_zone!r} is not a time zone; for example America/New_York"
        _fail(message, kind="UsageError", where="--time-zone", as_json=as_json, code=2)
    _log_to_stderr(logging.CRITICAL)
    from gateway.enrol import pair_device
    from gateway.radio import BleakRadio

    result = _run(
        pair_device(
            data=data,
            zone=ZoneInfo(time_zone),
            radio=BleakRadio(adapter),
            clock=SystemClock(),
            wanted=device,
            device_id=device_id,
            ask_passkey=_ask_passkey,
            seconds=seconds,
            tell=lambda words: print(words, file=sys.stderr),
        ),
        as_json=as_json,
    )
    if result.problem is not None:
        _fail(sentence(result.problem), kind="PairingError", where=device_id, as_json=as_json, code=1)
    if as_json:
        print(json.dumps({"device_id": device_id, "bond": result.bond, "readings": result.readings}))
        return
    bond = "paired" if result.bond == "bonded" else "connected (it needs no pairing)"
    print(f"{device_id} is on the list and {bond}; {result.readings} readings were read from it.")


async def _ask_passkey(_address: str) -> int | None:
    try:
        text = await asyncio.to_thread(input, "Six digits shown by the device: ")
    except EOFError:  # nobody is there to read the display
        return None
    digits = text.replace(" ", "")
    return int(digits) if digits.isdecimal() and len(digits) == 6 else None


@app.command()
def status(data: DataOption = _DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Is everything well? What the running gateway last said about itself.

    Example: vitalwire gateway status
    """
    path = data / "status.json"
    try:
        raw = path.read_bytes()
        local = msgspec.json.decode(raw, type=LocalStatus)
    except FileNotFoundError:
        message = f"The gateway has not run yet with the data folder {data}. Start it: vitalwire gateway run"
        _fail(message, kind="NotFound", where=str(path), as_json=as_json, code=1)
    except msgspec.DecodeError:
        message = "The status file cannot be read; it is written anew within a minute."
        _fail(message, kind="Unreadable", where=str(path), as_json=as_json, code=1)
    if as_json:
        print(raw.decode())
        return
    age = SystemClock().now() - local.status.at
    print("\n".join(_status_lines(local, age)))


def _status_lines(local: LocalStatus, age: timedelta) -> list[str]:
    said = local.status
    stale = said.state != "online" or age > _STALE_AFTER
    state = "NOT RUNNING, last heard" if stale else "running, as of"
    lines = [
        f"Gateway: {state} {said.at:%Y-%m-%d %H:%M} UTC ({said.software})",
        f"Broker:  {sentence(local.broker)}",
        f"Outbox:  {_waiting(said.outbox_depth, said.oldest_pending_at)}",
    ]
    lines.extend(f"Attention: {sentence(word)}" for word in said.warnings)
    for device in said.devices:
        facts = [
            "never heard" if device.last_seen_at is None else f"heard {device.last_seen_at:%Y-%m-%d %H:%M} UTC",
            f"bond: {device.bond}",
            *([] if device.battery_percent is None else [f"battery {device.battery_percent} %"]),
            *([] if device.clock_offset_seconds is None else [f"clock off by {device.clock_offset_seconds} s"]),
        ]
        lines.append(f"Device {device.id}: {', '.join(facts)}")
        if device.warning is not None:
            lines.append(f"  Attention: {sentence(device.warning)}")
    if not said.devices:
        lines.append("No device is on this home's list yet: vitalwire gateway pair")
    return lines


def _waiting(depth: int, oldest: datetime | None) -> str:
    if depth == 0 or oldest is None:
        return "empty; every reading is confirmed by the server"
    return f"{depth} readings wait for the server, the oldest since {oldest:%Y-%m-%d %H:%M} UTC"


def _with_outbox(data: Path, work: Callable[[Outbox], Awaitable[T]], *, as_json: bool) -> T:
    path = data / "journal.sqlite"
    if not path.exists():
        message = f"There is no journal in {data}. Is VITALWIRE_GATEWAY_DATA (or --data) the gateway's folder?"
        _fail(message, kind="NotFound", where=str(path), as_json=as_json, code=1)

    async def opened() -> T:
        outbox = Outbox(path, clock=SystemClock())
        outbox.open()
        try:
            return await work(outbox)
        finally:
            await outbox.close()

    return _run(opened(), as_json=as_json)


@outbox_app.command("show")
def outbox_show(data: DataOption = _DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """What waits, what the server refused and why, what could not be read. Shows ids, never values.

    Example: vitalwire gateway outbox show
    """
    _log_to_stderr(logging.CRITICAL)

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

    found = _with_outbox(data, work, as_json=as_json)
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
def outbox_redecode(data: DataOption = _DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Read quarantined packets again, after an update of the drivers. Readings that were known stay as they are.

    Example: vitalwire gateway outbox redecode
    """
    _log_to_stderr(logging.CRITICAL)
    from gateway.history import read_again

    new = _with_outbox(data, lambda outbox: read_again(outbox, ("raw", "quarantined", "held")), as_json=as_json)
    print(json.dumps({"new": new}) if as_json else f"{new} new readings; the running gateway sends them.")


@outbox_app.command("send-again")
def outbox_send_again(
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")],
    data: DataOption = _DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Send once more what the server confirmed since then: after it was restored from an older backup. Harmless
    otherwise, the server knows every reading it has. Restart the gateway afterwards.

    Example: vitalwire gateway outbox send-again --since 2026-03-01
    """
    _log_to_stderr(logging.CRITICAL)
    moment = since.replace(tzinfo=UTC)
    count = _with_outbox(data, lambda outbox: outbox.send_again(settled_since=moment), as_json=as_json)
    print(json.dumps({"pending": count}) if as_json else f"{count} readings are sent again after a restart.")
