"""`vitalwire simulate scenario FILE`: live through a scenario in minutes, on the running demo or its own server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from server import clock
from server.db.pool import connect
from server.demo import install
from server.demo.expectations import compare, judge
from server.demo.layout import Layout
from server.demo.scenario_run import GatewayAccess, assignments, gateway_id_of, household, live, patient_id_of
from server.demo.seed import PRACTICE_ID, record_month_work
from server.demo.system import DemoSystem, default_folder
from simulators.scenario import SCENARIO_FOLDER, Scenario, ScenarioError, expand, planned_readings, read_scenario

_JUDGED_SECONDS = 120.0


def scenario_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file, or the name of one that comes with us.")],
    validate: Annotated[bool, typer.Option("--validate", help="Only check the file; print what it holds.")] = False,
    acts: Annotated[bool, typer.Option("--acts", help="Only print every act, one JSON object a line.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder of the demo to fill [default: as `vitalwire demo`].")
    ] = None,
) -> None:
    """Live through a scenario in accelerated time and check its `expect` lines.

    Readings take the production way: device memory, Bluetooth, gateway journal, MQTT, ingest. A demo that runs in the
    same data folder is filled; otherwise database, broker and server are started for the run. Prints one JSON object;
    exit 1 when a reading is missing or doubled or an expectation fails.

    Example: vitalwire simulate scenario month-20-patients
    """
    _quiet()
    scenario = _read(file)
    if acts:
        for act in expand(scenario):
            line = {"at": act.at.isoformat(), "home": act.home, "device": act.device, "request": act.request}
            print(json.dumps({**line, "patient": act.patient}))
        return
    planned = planned_readings(expand(scenario)).total()
    if validate:
        devices = sum(len(home.devices) for home in scenario.homes)
        summary = {"scenario": scenario.scenario, "homes": len(scenario.homes), "devices": devices}
        print(json.dumps({**summary, "days": scenario.days, "readings": planned, "expectations": len(scenario.expect)}))
        return
    raise typer.Exit(_run(scenario, Layout((data or default_folder()).resolve())))


def _read(file: Path) -> Scenario:
    shipped = SCENARIO_FOLDER / f"{file}.yaml"
    try:
        return read_scenario(shipped if not file.exists() and shipped.exists() else file)
    except (ScenarioError, UnicodeDecodeError, IsADirectoryError) as error:
        said = str(error) if isinstance(error, ScenarioError) else f"{file} is not a YAML text file"
        problem = {"kind": "ScenarioError", "message": said, "where": str(file)}
        print(json.dumps({"error": problem}), file=sys.stderr)
        raise typer.Exit(2) from error


def _run(scenario: Scenario, layout: Layout) -> int:
    system = DemoSystem(layout, _say, database_url=os.environ.get("DATABASE_URL") or None)
    try:
        if not system.attach():
            system.start_server()
        _install(system, scenario)
        folder = layout.root / "scenarios" / scenario.scenario
        lived = asyncio.run(live(scenario, lambda user: _access(system, user), folder, progress=_progress))
        with connect(system.dsn) as conn:
            judged = _wait_until_judged(system)
            comparison = compare(conn, lived.ledger)
            verdicts = judge(conn, scenario)
    finally:
        system.stop()
    holds = judged and not comparison.missing and not comparison.doubled and all(verdict.holds for verdict in verdicts)
    result = {
        "scenario": scenario.scenario,
        "seconds": round(lived.seconds, 1),
        "measured": comparison.measured,
        "stored": comparison.stored,
        "missing": [f"{device} {payload}" for device, payload in comparison.missing],
        "doubled": [f"{device} {payload}" for device, payload in comparison.doubled],
        "all_judged": judged,
        "expectations": [{"line": v.line, "found": v.found, "holds": v.holds} for v in verdicts],
        "holds": holds,
    }
    print(json.dumps(result, indent=2))
    return 0 if holds else 1


def _install(system: DemoSystem, scenario: Scenario) -> None:
    """Identities of the scenario's people and devices; what is there already stays as it is."""
    with connect(system.dsn) as conn:
        conn.execute("SELECT set_config('app.practice_id', %s, true)", (PRACTICE_ID,))
        new: list[str] = []
        for home in scenario.homes:
            gateway_id = gateway_id_of(scenario.scenario, home.id)
            if conn.execute("SELECT 1 FROM gateway WHERE id = %s", (gateway_id,)).fetchone():
                continue
            now = clock.now()
            specs = household(scenario, home)
            new.extend(spec.patient_id for spec in specs)
            for spec in specs:
                install.enrol_patient(conn, PRACTICE_ID, spec, monitored_from=scenario.start, now=now)
            install.install_gateway(conn, PRACTICE_ID, specs[0], monitored_from=scenario.start, now=now)
            of_patient = {spec.patient_id: spec for spec in specs}
            for (device, slot), patient in assignments(home).items():
                spec = of_patient[patient_id_of(patient)]
                install.assign(conn, PRACTICE_ID, spec, device, monitored_from=scenario.start, user_slot=slot)
        record_month_work(
            conn,
            patients=new,
            nurse_id=f"st-{scenario.scenario}",
            first_day=scenario.start,
            days=scenario.days,
            until=clock.now(),
        )
    system.admit(gateway_id_of(scenario.scenario, home.id) for home in scenario.homes)


def _access(system: DemoSystem, user: str) -> GatewayAccess:
    environment = system.mqtt(user)
    return GatewayAccess(
        url=environment["VITALWIRE_MQTT_URL"],
        username=user,
        password_file=Path(environment["VITALWIRE_MQTT_PASSWORD_FILE"]),
        version=environment["VITALWIRE_MQTT_VERSION"],
    )


def _wait_until_judged(system: DemoSystem) -> bool:
    """Every accepted reading leaves a work row until the alert engine has judged it."""
    deadline = time.monotonic() + _JUDGED_SECONDS
    while time.monotonic() < deadline:
        with connect(system.dsn) as conn:
            row = conn.execute("SELECT count(*) FROM alert_work").fetchone()
        if row is not None and row[0] == 0:
            return True
        time.sleep(0.2)
    return False


def _quiet() -> None:
    """Twenty gateways in one process: their everyday lines would bury the progress."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _progress(done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        print(f"  {done} of {total} acts", file=sys.stderr, flush=True)
