"""A tester's hand on a device: JSON lines in, JSON lines out, over TCP or a unix socket.

Input: `{"do": "measure", ...}` and the other acts below. Output: `{"ok": true, ...}` or `{"ok": false, "error": "…"}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from simulators.devices.blood_pressure_monitor import FAILED_READING, BloodPressureMonitor, BloodPressureReading
from simulators.devices.glucose_meter import GlucoseMeter, GlucoseReading
from simulators.encoding import (
    BloodPressureStatus,
    EncodingError,
    GlucoseStatus,
    Meal,
    PressureUnit,
    SampleLocation,
    SampleType,
)
from simulators.faults import clear_faults, set_fault
from simulators.ledger import LedgerEntry
from simulators.link import parse_tcp
from simulators.peripheral import Peripheral
from simulators.physiology import VirtualPatient


class ControlError(ValueError):
    """A request cannot be done; the text goes back to the tester."""


class DeviceControl:
    """Carries out the acts of a tester or a scenario on one device."""

    def __init__(self, device: Peripheral) -> None:
        self._device = device
        self._patient = VirtualPatient(device.settings.seed)

    async def perform(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do one act. Raises ControlError with what is wrong."""
        device = self._device
        try:
            match request.get("do"):
                case "measure":
                    return {"measured": (await self.measure(request)).to_json()}
                case "status":
                    return await self.status()
                case "set-clock":
                    device.set_clock(datetime.fromisoformat(_text(request, "time")).replace(tzinfo=None))
                case "reset-clock":
                    device.set_clock(device.right_time())
                case "change-batteries":
                    device.change_batteries()
                case "jump-clock":
                    device.jump_clock(float(request["seconds"]))
                case "set-battery":
                    device.memory.battery_percent = int(request["percent"])
                    device.memory.save()
                case "drop-link":
                    device.drop_link()
                case "lose-bond":
                    await device.lose_bonds()
                case "pairing-mode":
                    await device.open_window(request.get("seconds"), pairing=True)
                case "advertise":
                    await device.open_window(request.get("seconds"))
                case "power-off":
                    await device.power_off()
                case "power-on":
                    await device.power_on()
                case "fault":
                    set_fault(device.faults, _text(request, "name"), request.get("number"))
                    device.apply_faults()
                case "clear-faults":
                    clear_faults(device.faults)
                    device.apply_faults()
                case other:
                    raise ControlError(f"no act {other!r}")
        except (KeyError, TypeError, InvalidOperation) as error:
            raise ControlError(f"{request.get('do')}: missing or wrong field {error}") from error
        except EncodingError as error:
            raise ControlError(str(error)) from error
        return await self.status()

    async def measure(self, request: dict[str, Any]) -> LedgerEntry:
        """Measure with the given values, or with the patient's physiology at the device's place and hour."""
        device = self._device
        local = device.true_now().astimezone(ZoneInfo(device.settings.zone))
        if isinstance(device, BloodPressureMonitor):
            return await device.measure(blood_pressure_reading(request, self._patient, local))
        if isinstance(device, GlucoseMeter):
            return await device.measure(glucose_reading(request, self._patient, local))
        raise ControlError(f"a {device.kind} cannot measure")

    async def status(self) -> dict[str, Any]:
        device = self._device
        return {
            "id": device.settings.device_id,
            "kind": device.kind,
            "address": device.settings.address,
            "on": device.is_on,
            "advertising": device.is_advertising,
            "connected": device.is_connected,
            "sessions": device.sessions,
            "shown_time": device.shown_time().isoformat(),
            "records": len(device.memory.records),
            "undelivered": device.undelivered,
            "battery_percent": device.memory.battery_percent,
            "bonds": await device.bonded_with(),
            "passkey": device.displayed_passkey,
        }


def _text(request: dict[str, Any], name: str) -> str:
    value = request[name]
    if not isinstance(value, str):
        raise ControlError(f"{name} must be text")
    return value


def _status_flags(request: dict[str, Any], names: type[BloodPressureStatus | GlucoseStatus]) -> Any:
    flags = request.get("flags")
    if not flags:
        return None
    total = names.NONE
    for flag in flags:
        try:
            total |= names[str(flag).upper().replace("-", "_")]
        except KeyError as error:
            raise ControlError(f"no flag {flag!r}") from error
    return total


def blood_pressure_reading(request: dict[str, Any], patient: VirtualPatient, local: datetime) -> BloodPressureReading:
    if request.get("failed"):
        return FAILED_READING
    values = request.get("values")
    lived = patient.blood_pressure(local)
    if values is None:
        values = {"systolic": lived.systolic, "diastolic": lived.diastolic, "mean": lived.mean, "pulse": lived.pulse}
    systolic, diastolic = Decimal(str(values["systolic"])), Decimal(str(values["diastolic"]))
    # No mean given: a third of the way up, as cuffs estimate it.
    mean = values.get("mean", round(diastolic + (systolic - diastolic) / 3))
    return BloodPressureReading(
        systolic=systolic,
        diastolic=diastolic,
        mean=Decimal(str(mean)),
        pulse=Decimal(str(values["pulse"])) if values.get("pulse") is not None else None,
        unit=PressureUnit(request.get("unit", PressureUnit.MMHG.value)),
        user=request.get("user"),
        status=_status_flags(request, BloodPressureStatus),
    )


def glucose_reading(request: dict[str, Any], patient: VirtualPatient, local: datetime) -> GlucoseReading:
    values = request.get("values")
    value = patient.glucose(local) if values is None else Decimal(str(values["glucose"]))
    control = bool(request.get("control_solution"))
    meal = request.get("meal")
    return GlucoseReading(
        glucose=value,
        unit=request.get("unit", "mg/dL"),
        meal=None if meal is None else Meal[str(meal).upper()],
        sample_type=SampleType.CONTROL_SOLUTION if control else SampleType.CAPILLARY_PLASMA,
        location=SampleLocation.CONTROL_SOLUTION if control else SampleLocation.FINGER,
        status=_status_flags(request, GlucoseStatus),
    )


class ControlServer:
    """Serves a DeviceControl on a socket. Requests of all connections are done one after the other."""

    def __init__(self, control: DeviceControl) -> None:
        self._control = control
        self._one_at_a_time = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self, address: str) -> str:
        """Listen on `tcp://HOST:PORT` or `unix:PATH`; returns the address testers use."""
        if address.startswith("unix:"):
            path = Path(address.removeprefix("unix://").removeprefix("unix:"))
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at the start
            self._server = await asyncio.start_unix_server(self._serve, path)
            return f"unix:{path}"
        host, port = parse_tcp(address)
        self._server = await asyncio.start_server(self._serve, host, port)
        bound = self._server.sockets[0].getsockname()
        return f"tcp://{bound[0]}:{bound[1]}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            return  # the tester is gone, or sent a line beyond the stream's limit
        finally:
            self._writers.discard(writer)
            writer.close()

    async def answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ControlError("a request is one JSON object on one line")
            async with self._one_at_a_time:
                return {"ok": True, **await self._control.perform(request)}
        except ValueError as error:
            return {"ok": False, "error": str(error)}


async def control_request(address: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask a device's control address for one act and return its answer."""
    if address.startswith("unix:"):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix://").removeprefix("unix:"))
    else:
        reader, writer = await asyncio.open_connection(*parse_tcp(address))
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        answer: dict[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
