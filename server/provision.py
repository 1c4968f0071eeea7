"""Test identities: gateways, devices, patients and credentials in a simulated practice, for any MQTT client.

Input: how many. Output: the list of the MQTT contract, `[{"gateway", "username", "password", "devices": [{"id", "kind",
"patient"}]}]`; rows in the database, and users in the broker's password file where there is one. What is provisioned
here can never bill: the practice is flagged as simulated.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, NoReturn

import psycopg
import typer

from server.broker import BrokerFiles, new_password, set_passwords
from server.config import SettingsError, load_settings
from server.db.pool import Connection, connect

PRACTICE_ID: Final = "pr-provisioned"
_PRACTICE_NAME: Final = "Simulated practice (provisioned)"
_ZONE: Final = "America/New_York"
_KINDS: Final = (("blood-pressure", "bp"), ("glucose", "gl"))
# Assignments reach back far enough for any replayed history.
_ASSIGNED_SINCE: Final = "2020-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedDevice:
    """One device and whose readings it brings."""

    id: str
    kind: str
    patient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedGateway:
    """One gateway and what it logs in with."""

    gateway: str
    username: str
    password: str
    devices: tuple[ProvisionedDevice, ...]


def plan(gateways: int, devices_per_gateway: int) -> list[ProvisionedGateway]:
    """Fresh random identities. A gateway's devices belong to one home: every two share a patient."""
    return [_plan_gateway(devices_per_gateway) for _ in range(gateways)]


def _plan_gateway(devices: int) -> ProvisionedGateway:
    name = f"gw-{secrets.token_hex(8)}"
    return ProvisionedGateway(
        gateway=name, username=name, password=new_password(), devices=tuple(_plan_devices(devices))
    )


def _plan_devices(count: int) -> Iterator[ProvisionedDevice]:
    patient = ""
    for number in range(count):
        kind, prefix = _KINDS[number % len(_KINDS)]
        if number % len(_KINDS) == 0:
            patient = f"pt-{secrets.token_hex(10)}"
        yield ProvisionedDevice(id=f"{prefix}-{secrets.token_hex(6)}", kind=kind, patient=patient)


def insert(conn: Connection, planned: list[ProvisionedGateway]) -> None:
    """All rows in one transaction, by COPY: thousands of gateways take seconds."""
    devices = [(home.gateway, device) for home in planned for device in home.devices]
    patients = dict.fromkeys(device.patient for _, device in devices)
    with conn.transaction():
        conn.execute(
            "INSERT INTO practice (id, name, time_zone, is_simulated) VALUES (%s, %s, %s, true) ON CONFLICT DO NOTHING",
            (PRACTICE_ID, _PRACTICE_NAME, _ZONE),
        )
        _copy(
            conn,
            "gateway (id, practice_id, label)",
            ((home.gateway, PRACTICE_ID, "provisioned") for home in planned),
        )
        _copy(
            conn,
            "patient (id, practice_id, name)",
            ((one, PRACTICE_ID, f"Simulated {one[-6:]}") for one in patients),
        )
        _copy(
            conn,
            "patient_zone (patient_id, practice_id, from_on, zone)",
            ((one, PRACTICE_ID, "2020-01-01", _ZONE) for one in patients),
        )
        _copy(
            conn,
            "device (id, practice_id, gateway_id, kind, model)",
            ((device.id, PRACTICE_ID, gateway, device.kind, "simulated") for gateway, device in devices),
        )
        _copy(
            conn,
            "device_assignment (practice_id, device_id, patient_id, valid)",
            ((PRACTICE_ID, device.id, device.patient, f"[{_ASSIGNED_SINCE},)") for _, device in devices),
        )
        _copy(
            conn,
            "gateway_config (gateway_id, practice_id, version)",
            ((home.gateway, PRACTICE_ID, "1") for home in planned),
        )
        conn.execute("SELECT pg_notify('vw_gateway_config', '')")


def _copy(conn: Connection, target: str, rows: Iterator[tuple[str, ...]]) -> None:
    with conn.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)


def provision_command(
    gateways: Annotated[int, typer.Option("--gateways", min=1, max=100_000, help="How many gateways.")],
    devices_per_gateway: Annotated[
        int, typer.Option("--devices-per-gateway", min=1, max=100, help="Cuffs and meters in turn.")
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the list here (readable by you only) instead of printing it.")
    ] = None,
) -> None:
    """Create gateways, devices, patients and credentials in a simulated practice, for any MQTT client.

    The database is the one of DATABASE_URL (else the embedded one of VITALWIRE_DATA); the broker's password file is
    looked for in VITALWIRE_BROKER_FOLDER (else VITALWIRE_DATA/broker). Without VITALWIRE_DATA a demo that runs in its
    usual folder is used. Prints a JSON list; passwords are shown once.

    Example: vitalwire simulate provision --gateways 3 --devices-per-gateway 2 --json identities.json
    """
    try:
        settings = load_settings(_of_running_demo())
    except SettingsError as error:
        _fail("SettingsError", str(error), "environment", code=2)
    planned = plan(gateways, devices_per_gateway)
    try:
        with connect(settings.resolve_database_url()) as conn:
            insert(conn, planned)
    except psycopg.OperationalError:
        _fail("DatabaseNotReached", "the database does not answer; check DATABASE_URL", "DATABASE_URL", code=1)
    files = BrokerFiles(settings.broker_files)
    if files.passwords.exists():
        set_passwords(files, {home.username: home.password for home in planned})
    else:
        typer.echo(
            f"no broker password file at {files.passwords}: enter the credentials in your broker yourself, "
            "or name its folder in VITALWIRE_BROKER_FOLDER",
            err=True,
        )
    text = json.dumps([asdict(home) for home in planned])
    if json_file is None:
        print(text)
    else:
        json_file.touch(mode=0o600)
        json_file.chmod(0o600)
        json_file.write_text(text + "\n", encoding="utf-8")


def _of_running_demo() -> dict[str, Path]:
    """The data folder of a demo that runs where demos run; nothing when the environment names a folder."""
    from server.demo.system import default_folder

    folder = default_folder().resolve()
    if "VITALWIRE_DATA" in os.environ or not BrokerFiles(folder / "broker").is_running:
        return {}
    typer.echo(f"using the demo that runs in {folder}", err=True)
    return {"data": folder}


def _fail(kind: str, message: str, where: str, *, code: int) -> NoReturn:
    print(json.dumps({"error": {"kind": kind, "message": message, "where": where}}), file=sys.stderr)
    raise typer.Exit(code)
