"""`vitalwire gateway …`: run the home box, and look at it, in words an installer understands.

Input: command-line words, settings from `VITALWIRE_…`. Output: sentences, or JSON with `--json`; messages on stderr.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sys
from datetime import datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo, available_timezones

import msgspec
import typer

from gateway.cli_common import DEFAULT_DATA, DataOption, JsonOption, fail, log_to_stderr, run_to_end
from gateway.cli_journal import outbox_app, trace_app
from gateway.clock import SystemClock
from gateway.config import Settings, load_settings
from gateway.errors import SettingsError
from gateway.health import LocalStatus
from gateway.registry import Registry
from gateway.words import sentence

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The home box: reads Bluetooth devices and sends their readings to the practice.\n\n"
    "First time? 1. scan: is the device heard? 2. pair: put it on this home's list. 3. run: leave it running. "
    "4. status: is everything well? 5. outbox: what has not reached the server yet?",
)
app.add_typer(outbox_app, name="outbox")
app.add_typer(trace_app, name="trace")

AdapterOption = Annotated[
    str | None, typer.Option("--adapter", envvar="VITALWIRE_BLUETOOTH_ADAPTER", help="For example hci1; default hci0.")
]

_STALE_AFTER: Final = timedelta(minutes=3)  # the file is written at least every minute


def _settings(*, as_json: bool = False) -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        words = "The gateway cannot start:\n" + "\n".join(f"  - {problem}" for problem in error.problems)
        message = "; ".join(error.problems) if as_json else words
        fail(message, kind="SettingsError", where="environment", as_json=as_json, code=2)


@app.command()
def run() -> None:
    """Read devices and send readings until stopped (SIGTERM or Ctrl-C).

    Settings come from the environment: VITALWIRE_GATEWAY_ID, VITALWIRE_MQTT_URL (mqtts://host:8883),
    VITALWIRE_MQTT_USERNAME and VITALWIRE_MQTT_PASSWORD_FILE or VITALWIRE_MQTT_CERT_FILE and …_KEY_FILE,
    VITALWIRE_TIME_ZONE (zone of this home), VITALWIRE_GATEWAY_DATA. Logs are JSON lines on stderr, ids only.

    Example: VITALWIRE_GATEWAY_ID=gw-0123456789 VITALWIRE_MQTT_URL=mqtts://broker.example.org vitalwire gateway run
    """
    settings = _settings()
    log_to_stderr(logging.INFO)
    from gateway.runtime import Gateway

    async def work() -> None:
        await Gateway(settings).run()

    run_to_end(work())


@app.command()
def scan(
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long to listen.")] = 15.0,
    data: DataOption = DEFAULT_DATA,
    adapter: AdapterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which health devices are on the air. Reads nothing and changes nothing.

    Most devices are silent until they are used: take a measurement, or press the pairing button, then scan.

    Example: vitalwire gateway scan --seconds 30
    """
    log_to_stderr(logging.CRITICAL)
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

    trouble = run_to_end(listen(BleakRadio(adapter), seconds=seconds, on_sighting=on_sighting), as_json=as_json)
    if trouble is not None:
        fail(sentence(trouble), kind="RadioError", where=adapter or "hci0", as_json=as_json, code=1)
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
    data: DataOption = DEFAULT_DATA,
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
        fail(message, kind="UsageError", where="--time-zone", as_json=as_json, code=2)
    log_to_stderr(logging.CRITICAL)
    from gateway.enrol import pair_device
    from gateway.radio import BleakRadio

    result = run_to_end(
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
        fail(sentence(result.problem), kind="PairingError", where=device_id, as_json=as_json, code=1)
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
def status(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Is everything well? What the running gateway last said about itself.

    Example: vitalwire gateway status
    """
    path = data / "status.json"
    try:
        raw = path.read_bytes()
        local = msgspec.json.decode(raw, type=LocalStatus)
    except FileNotFoundError:
        message = f"The gateway has not run yet with the data folder {data}. Start it: vitalwire gateway run"
        fail(message, kind="NotFound", where=str(path), as_json=as_json, code=1)
    except msgspec.DecodeError:
        message = "The status file cannot be read; it is written anew within a minute."
        fail(message, kind="Unreadable", where=str(path), as_json=as_json, code=1)
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
