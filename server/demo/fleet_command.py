"""`vitalwire simulate fleet`: thousands of gateways against this installation; their ledger against its database.

Input: identities of `simulate provision`, the broker and database of the environment or of the running demo. Output:
one JSON object on standard output; exit 1 when a reading was lost, refused, doubled or changed on its way.
"""

from __future__ import annotations

import json
import math
import os
import resource
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import psycopg
import typer

from server import clock
from server.broker import BrokerFiles
from server.config import ServerSettings, SettingsError, load_settings
from server.db.pool import Connection, connect
from server.demo.layout import Layout, Memory
from server.demo.system import default_folder
from simulators.fleet import Bounds, Fleet, FleetBroker, FleetResult
from simulators.fleet_pattern import FleetError, FleetHome, Pattern, digest, read_homes

_DEFAULT_SECONDS: Final = 60.0
_POWER_BACK: Final = timedelta(hours=12)
_READINGS_A_DEVICE_DAY: Final = 1.4
_OTHER_FILES: Final = 100  # open beside one socket a gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerComparison:
    """The ledger beside the database: message ids of what is wrong, at most ten of each kind, and all counts."""

    stored: int
    missing: int
    doubled: int
    changed: int
    unexpected: int
    examples: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not (self.missing or self.doubled or self.changed or self.unexpected)


def compare_ledger(conn: Connection, ledger: Path, gateways: Sequence[str], *, since: datetime) -> LedgerComparison:
    """Every reading of the ledger is stored once, as it was made; nothing else of these gateways was stored `since`."""
    with ledger.open(encoding="utf-8") as lines:
        expected = {entry["message_id"]: bytes.fromhex(entry["digest"]) for entry in map(json.loads, lines)}
    seen: set[str] = set()
    wrong: dict[str, list[str]] = {"missing": [], "doubled": [], "changed": [], "unexpected": []}
    with conn.transaction(), conn.cursor("fleet_readings") as cursor:
        cursor.itersize = 5_000
        cursor.execute(
            "SELECT message_id::text, device_id, kind, measured_at, components, stored_at >= %s FROM observation"
            " WHERE gateway_id = ANY(%s)",
            (since, list(gateways)),
        )
        for message_id, device, kind, measured_at, components, is_new in cursor:
            if message_id in seen:
                wrong["doubled"].append(message_id)
            elif message_id not in expected:
                if is_new:
                    wrong["unexpected"].append(message_id)
                continue
            elif _digest_of(device, kind, measured_at, components) != expected[message_id]:
                wrong["changed"].append(message_id)
            seen.add(message_id)
    wrong["missing"] = [name for name in expected if name not in seen]
    return LedgerComparison(
        stored=len(seen),
        **{kind: len(names) for kind, names in wrong.items()},
        examples=tuple(f"{kind} {name}" for kind, names in wrong.items() for name in names[:10]),
    )


def _digest_of(device: str, kind: str, measured_at: datetime, components: list[dict[str, Any]]) -> bytes:
    values = [(item["metric"], str(item["value"]), item["unit"]) for item in components]
    return bytes.fromhex(digest(device, kind, measured_at, values))


def fleet_command(
    identities: Annotated[Path, typer.Option("--identities", help="The list `vitalwire simulate provision` wrote.")],
    gateways: Annotated[
        int | None, typer.Option("--gateways", min=1, help="Only the first so many [default: all of the file].")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", min=1, max=100_000, help="Simulated seconds in a second.")] = 1440,
    duration: Annotated[
        float | None,
        typer.Option("--duration", min=1, help="Stop making readings after so many seconds [default: 60]."),
    ] = None,
    readings: Annotated[int | None, typer.Option("--readings", min=1, help="Stop after so many readings.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed, identities and start give the same days.")] = 1,
    start: Annotated[
        datetime | None, typer.Option("--start", help="First simulated moment, UTC [default: the days up to today].")
    ] = None,
    offline: Annotated[
        float, typer.Option("--offline", min=0, max=1, help="Share of homes whose power comes back in the run.")
    ] = 0.1,
    offline_days: Annotated[
        float, typer.Option("--offline-days", min=0, max=365, help="Days those homes were without power.")
    ] = 10,
    ledger: Annotated[Path, typer.Option("--ledger", help="Write every reading made here.")] = Path("fleet.jsonl"),
    verify: Annotated[bool, typer.Option("--verify", help="Hold the ledger against the database at the end.")] = False,
) -> None:
    """Let thousands of gateways live through days in minutes, at MQTT level, and account for every reading.

    Homes measure in the morning and evening of their zone, some less faithfully than others; some have been without
    power and come back together with batches of stored readings. A reading counts as delivered with the server's
    receipt and is sent again until then. The broker is the one of VITALWIRE_MQTT_URL, else of the demo that runs in its
    usual folder; --verify needs DATABASE_URL or that demo. Exit 1 when a reading is lost, refused or doubled.

    Example: vitalwire simulate fleet --gateways 2000 --identities identities.json --duration 60 --verify
    """
    homes = _homes(identities, gateways)
    settings = _settings(verify=verify)
    _allow_files(len(homes))
    bounds = Bounds(
        speed=speed, duration=_DEFAULT_SECONDS if duration is None and readings is None else duration, readings=readings
    )
    pattern = _pattern(bounds, homes, start, seed=seed, offline=offline, offline_days=offline_days)
    conn = _database(settings) if verify else None
    since = clock.now() if conn is None else _database_now(conn)
    try:
        with ledger.open("w", encoding="utf-8") as lines:
            result = Fleet(_broker(settings), homes, pattern, bounds, lines, _progress()).run()
    except FleetError as error:
        _fail("FleetError", str(error), "VITALWIRE_MQTT_URL", code=1)
    except OSError as error:
        _fail("LedgerError", f"{ledger} cannot be written: {error.strerror}", "--ledger", code=2)
    summary = _summary(result, pattern, bounds) | {"ledger": str(ledger)}
    holds = result.receipted == result.made
    if conn is not None:
        with conn:
            comparison = compare_ledger(conn, ledger, [home.gateway for home in homes], since=since)
        summary["database"] = asdict(comparison)
        holds = holds and comparison.holds
    print(json.dumps(summary | {"holds": holds}, indent=1))
    raise typer.Exit(0 if holds else 1)


def _homes(identities: Path, gateways: int | None) -> tuple[FleetHome, ...]:
    try:
        return read_homes(json.loads(identities.read_text(encoding="utf-8")), gateways)
    except OSError:
        _fail("FileNotRead", f"{identities} cannot be read; write it with simulate provision", "--identities", code=2)
    except FleetError as error:
        _fail("FleetError", str(error), "--identities", code=2)
    except ValueError:
        _fail("InvalidJson", f"{identities} is not JSON; write it with simulate provision", "--identities", code=2)


def _settings(*, verify: bool) -> ServerSettings:
    """The environment's; where it names no broker, those of the demo that runs here."""
    given: dict[str, Any] = {}
    layout = Layout(Path(os.environ.get("VITALWIRE_DATA") or default_folder()).expanduser().resolve())
    if BrokerFiles(layout.broker).is_running:
        given["data"] = layout.root
        if not os.environ.get("VITALWIRE_MQTT_URL"):
            given["mqtt_url"] = f"mqtt://127.0.0.1:{Memory.read(layout).broker_port}"
    elif verify and not (os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE")):
        _fail("NoDatabase", "--verify needs a database: set DATABASE_URL, or start the demo", "DATABASE_URL", code=2)
    try:
        return load_settings(given)
    except SettingsError as error:
        _fail("SettingsError", str(error), "environment", code=2)


def _allow_files(gateways: int) -> None:
    """One socket a gateway: raise this process's bound as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = gateways + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            message = (
                f"{gateways} gateways need {wanted} open files, this user may have {hard}; raise it with ulimit -n"
            )
            _fail("TooFewFiles", message, "--gateways", code=2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _pattern(
    bounds: Bounds,
    homes: Sequence[FleetHome],
    start: datetime | None,
    *,
    seed: int,
    offline: float,
    offline_days: float,
) -> Pattern:
    """The simulated days end today unless a start is given; the power is back at noon of the first, or half-way."""
    if bounds.duration is not None:
        window = timedelta(seconds=bounds.duration * bounds.speed)
    else:
        devices = sum(len(home.devices) for home in homes)
        window = timedelta(days=1 + (bounds.readings or 0) / (devices * _READINGS_A_DEVICE_DAY))
    if start is None:
        days = math.ceil(window / timedelta(days=1))
        begin = datetime.combine(clock.now().date() - timedelta(days=days), time(), UTC)
    else:
        begin = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    return Pattern(
        seed=seed,
        begin=begin,
        power_back=begin + min(_POWER_BACK, window / 2),
        offline_share=offline,
        offline_days=offline_days,
    )


def _broker(settings: ServerSettings) -> FleetBroker:
    context = None
    if settings.mqtt_tls:
        context = ssl.create_default_context(cafile=settings.mqtt_ca_file)
    return FleetBroker(host=settings.mqtt_host, port=settings.mqtt_port, version=settings.mqtt_version, tls=context)


def _database(settings: ServerSettings) -> Connection:
    try:
        conn = connect(settings.resolve_database_url(), application_name="vitalwire-fleet")
    except psycopg.OperationalError:
        _fail("DatabaseNotReached", "the database does not answer; check DATABASE_URL", "DATABASE_URL", code=1)
    conn.autocommit = True
    return conn


def _database_now(conn: Connection) -> datetime:
    """By the clock that stamps what is stored."""
    [(now,)] = conn.execute("SELECT clock_timestamp()").fetchall()
    return datetime.fromisoformat(str(now))


def _progress() -> Callable[[FleetResult], None]:
    """A line every ten calls or so: the fleet calls about once a second."""
    calls = 0

    def say(result: FleetResult) -> None:
        nonlocal calls
        calls += 1
        if calls % 10 == 1:
            line = f"  {result.connected} of {result.gateways} gateways, {result.receipted} of {result.made} receipted"
            print(line, file=sys.stderr, flush=True)

    return say


def _summary(result: FleetResult, pattern: Pattern, bounds: Bounds) -> dict[str, Any]:
    return {
        "gateways": result.gateways,
        "connected": result.connected,
        "refused": result.refused,
        "lost_connections": result.lost_connections,
        "seed": pattern.seed,
        "start": pattern.begin.isoformat(),
        "speed": bounds.speed,
        "made": result.made,
        "receipted": result.receipted,
        "rejected": result.rejected,
        "unreceipted": result.unreceipted,
        "sent_again": result.sent_again,
        "batches": result.stored_batches,
        "seconds": round(result.seconds, 1),
        "readings_per_second": round(result.receipted / result.seconds, 1) if result.seconds else 0,
        "receipt_ms": {"p50": result.delay_ms(0.5), "p99": result.delay_ms(0.99)},
    }


def _fail(kind: str, message: str, where: str, *, code: int) -> NoReturn:
    print(json.dumps({"error": {"kind": kind, "message": message, "where": where}}), file=sys.stderr)
    raise typer.Exit(code)
