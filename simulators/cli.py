"""`vitalwire simulate …`: the radio laboratory at the command line.

Input: words. Output: JSON on stdout, messages on stderr; exit 0 done, 2 input wrong, 1 anything else.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from simulators.scenario import Scenario

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Real Bluetooth peripherals without hardware: an air for processes, devices on it, and scenarios.",
)
scenario_app = typer.Typer(no_args_is_help=True, help="Scenario files: who measures what, when, and what breaks.")
app.add_typer(scenario_app, name="scenario")

_ADDRESS = re.compile(r"^([0-9A-F]{2}:){5}[0-9A-F]{2}$")


def _fail(kind: str, message: str, where: str, *, code: int = 2) -> NoReturn:
    sys.stderr.write(json.dumps({"error": {"kind": kind, "message": message, "where": where}}) + "\n")
    raise typer.Exit(code)


def _run(work: Coroutine[Any, Any, None], where: str) -> None:
    from simulators.service import RadioGoneError

    try:
        asyncio.run(work)
    except RadioGoneError as error:
        _fail("radio-gone", str(error), where, code=1)
    except (OSError, ValueError) as error:
        _fail("cannot-start", str(error), where, code=2 if isinstance(error, ValueError) else 1)


def _checked_address(address: str) -> str:
    if not _ADDRESS.match(address.upper()):
        _fail("bad-address", f"{address!r} is no Bluetooth address; write C1:00:00:00:00:01", "--address")
    return address.upper()


def _radio(hub: str | None, transport: str | None) -> str:
    if (hub is None) == (transport is None):
        _fail("bad-radio", "name one of --hub tcp://HOST:PORT and --transport usb:0", "--hub")
    return hub or transport or ""


@app.command()
def hub(
    listen: Annotated[
        str, typer.Option(help="tcp://HOST:PORT (port 0: a free one) or unix:PATH")
    ] = "tcp://127.0.0.1:0",
    fast_connect: Annotated[
        bool, typer.Option(help="connect at once to a device on the air, not at its next advertisement")
    ] = True,
) -> None:
    """The air: all radios that join it hear each other. Prints {"ready": true, "address": …}.

    Example: vitalwire simulate hub --listen tcp://127.0.0.1:40001
    """
    from simulators.service import run_hub

    _run(run_hub(listen, fast_connect=fast_connect), "--listen")


@app.command()
def device(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="blood-pressure or glucose")],
    device_id: Annotated[str, typer.Option("--id", help="its name in the ledger")],
    address: Annotated[str, typer.Option(help="Bluetooth address, as C1:00:00:00:00:01")],
    state: Annotated[Path, typer.Option(help="folder of its memory and bonds")],
    hub: Annotated[str | None, typer.Option(help="address of the air")] = None,
    transport: Annotated[
        str | None, typer.Option(help="a real controller instead: usb:0, hci-socket:0, serial:/dev/ttyACM0")
    ] = None,
    ledger: Annotated[Path | None, typer.Option(help="append every measurement here, one JSON object a line")] = None,
    every: Annotated[float | None, typer.Option(help="measure by itself every so many seconds")] = None,
    seed: Annotated[int, typer.Option(help="whose body it measures")] = 0,
    history_days: Annotated[
        int, typer.Option(min=0, max=400, help="days before today that a new device already remembers")
    ] = 0,
    passkey: Annotated[
        int | None,
        typer.Option(
            envvar="VITALWIRE_SIM_PASSKEY",
            help="the six digits a meter shows (named in the environment, `ps` does "
            "not show them); else new ones each time",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="name it advertises")] = None,
    model: Annotated[str | None, typer.Option(help="model it reports")] = None,
    serial: Annotated[str | None, typer.Option(help="serial number it reports")] = None,
    zone: Annotated[str, typer.Option(help="time zone its clock was set in")] = "UTC",
    clock_offset: Annotated[float, typer.Option(help="seconds its clock is ahead (only when its memory is new)")] = 0.0,
    window: Annotated[float, typer.Option(help="seconds it advertises after a measurement")] = 60.0,
    idle: Annotated[float, typer.Option(help="seconds it waits before it hangs up")] = 2.0,
    interval: Annotated[float, typer.Option(help="milliseconds between advertisements")] = 100.0,
    control: Annotated[str, typer.Option(help="where testers reach it: tcp://… or unix:PATH")] = "tcp://127.0.0.1:0",
) -> None:
    """One device. Prints {"ready": true, "control": …}; measure, break and mend it there by JSON lines.

    Example: vitalwire simulate device blood-pressure --id cuff-1 --address C1:57:1E:00:00:01 --hub
    tcp://127.0.0.1:40001 --state /tmp/cuff-1
    """
    from simulators.device_settings import DeviceSettings
    from simulators.service import DEVICE_KINDS, run_device

    if kind not in DEVICE_KINDS:
        _fail("bad-kind", f"no device {kind!r}; there are {', '.join(DEVICE_KINDS)}", "KIND")
    if passkey is not None and not 0 <= passkey <= 999_999:
        _fail("bad-passkey", "a passkey has six digits", "--passkey")
    if every is not None and every <= 0:
        _fail("bad-interval", "--every must be more than 0 seconds", "--every")
    settings = DeviceSettings(
        device_id=device_id,
        address=_checked_address(address),
        name=name or ("SIM BP" if kind == "blood-pressure" else "SIM METER"),
        model=model or ("SIM-BP-1" if kind == "blood-pressure" else "SIM-GL-1"),
        serial=serial or device_id,
        zone=zone,
        clock_offset_seconds=clock_offset,
        advertising_interval_ms=interval,
        window_seconds=window,
        idle_seconds=idle,
        passkey=passkey,
        seed=seed,
    )
    work = run_device(
        kind,
        settings,
        radio=_radio(hub, transport),
        state=state,
        ledger_path=ledger,
        every_seconds=every,
        control_address=control,
        history_days=history_days,
    )
    _run(work, "device")


@app.command()
def bluez(
    address: Annotated[str, typer.Option(help="Bluetooth address of this adapter, as C0:00:00:00:00:01")],
    state: Annotated[Path, typer.Option(help="folder of its bonds")],
    hub: Annotated[str | None, typer.Option(help="address of the air")] = None,
    transport: Annotated[str | None, typer.Option(help="a real controller instead: usb:0, hci-socket:0")] = None,
    authorise: Annotated[bool, typer.Option(help="ask the agent also at Just Works pairings")] = False,
) -> None:
    """An org.bluez for one gateway on a private D-Bus. Prints {"ready": true, "bus_address": …}.

    Start the gateway with DBUS_SYSTEM_BUS_ADDRESS set to that address: bleak then works on it unchanged.

    Example: vitalwire simulate bluez --hub tcp://127.0.0.1:40001 --address C0:57:1E:00:00:01 --state /tmp/bluez
    """
    from simulators.service import run_bluez

    work = run_bluez(_radio(hub, transport), _checked_address(address), state=state, authorise_just_works=authorise)
    _run(work, "bluez")


@app.command()
def faults() -> None:
    """What can be broken, the requests for a device's control line, and what a good gateway shows then.

    Example: vitalwire simulate faults
    """
    from simulators.faults import FAULTS, FAULTY_ACTS

    for name, switch in FAULTS.items():
        request = {"do": "fault", "name": name} | ({"number": "N"} if switch.takes_number else {})
        _print_fault(name, switch.summary, switch.expected, [request])
    for name, act in FAULTY_ACTS.items():
        _print_fault(name, act.summary, act.expected, list(act.requests))


def _print_fault(name: str, summary: str, expected: str, requests: list[dict[str, Any]]) -> None:
    line = {"fault": name, "summary": summary, "expected": expected, "requests": requests}
    sys.stdout.write(json.dumps(line) + "\n")


@scenario_app.command()
def validate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="a scenario file, or the name of one that comes with us")
    ],
) -> None:
    """Check a scenario file; prints what it holds, or every problem with its place."""
    from simulators.scenario import expand, planned_readings

    scenario = _read_scenario(file)
    acts = expand(scenario)
    summary = {
        "scenario": scenario.scenario,
        "homes": len(scenario.homes),
        "devices": sum(len(home.devices) for home in scenario.homes),
        "days": scenario.days,
        "acts": len(acts),
        "readings": planned_readings(acts).total(),
        "expectations": len(scenario.expect),
    }
    sys.stdout.write(json.dumps(summary) + "\n")


@scenario_app.command("expand")
def expand_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="a scenario file, or the name of one that comes with us")
    ],
) -> None:
    """Print every act of a scenario, one JSON object a line, in time order."""
    from simulators.scenario import expand

    for act in expand(_read_scenario(file)):
        line = {
            "at": act.at.isoformat(),
            "home": act.home,
            "device": act.device,
            "patient": act.patient,
            "request": act.request,
        }
        sys.stdout.write(json.dumps(line) + "\n")


def _read_scenario(file: Path) -> Scenario:
    from simulators.scenario import SCENARIO_FOLDER, ScenarioError, read_scenario

    shipped = SCENARIO_FOLDER / f"{file}.yaml"
    try:
        return read_scenario(shipped if not file.exists() and shipped.exists() else file)
    except ScenarioError as error:
        _fail("bad-scenario", str(error), str(file))
    except (UnicodeDecodeError, IsADirectoryError):
        _fail("bad-scenario", f"{file} is not a YAML text file", str(file))
