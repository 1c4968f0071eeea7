"""What a scenario promised, compared with what the system holds. A scenario file is a test.

Input: the scenario, the ledger of everything its devices measured, a connection as the owner. Output: one verdict a
line, and readings that are missing or doubled.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from server import clock
from server.billing.determine import adjudicate
from server.billing.run import facts_for
from server.db.pool import Connection
from server.demo.scenario_run import patient_id_of
from simulators.ledger import LedgerEntry
from simulators.scenario import Expectation, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Ledger against database. A reading is its device and the octets it sent."""

    measured: int
    stored: int
    missing: tuple[tuple[str, str], ...]
    doubled: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One `expect` line: what was found, and whether it is what was promised."""

    line: str
    found: int
    holds: bool


def compare(conn: Connection, ledger: Iterable[LedgerEntry]) -> Comparison:
    """Every measurement of the ledger must be stored exactly once."""
    made = Counter((entry.device_id, entry.payload.lower()) for entry in ledger)
    devices = sorted({device for device, _ in made})
    kept: Counter[tuple[str, str]] = Counter()
    for device, raw in conn.execute("SELECT device_id, raw FROM observation WHERE device_id = ANY (%s)", (devices,)):
        measurement = raw.get("2A35") or raw.get("2A18") or ""
        kept[device, base64.b64decode(measurement).hex()] += 1
    return Comparison(
        measured=made.total(),
        stored=sum(count for reading, count in kept.items() if reading in made),
        missing=tuple(sorted((made - kept).elements())),
        doubled=tuple(sorted(reading for reading in made if kept[reading] > made[reading])),
    )


def judge(conn: Connection, scenario: Scenario) -> tuple[Verdict, ...]:
    """All `expect` lines of the scenario."""
    return tuple(_verdict(line, _found(conn, scenario, line)) for line in scenario.expect)


def _verdict(line: Expectation, found: int) -> Verdict:
    holds = found == line.exactly if line.exactly is not None else found >= (line.at_least or 0)
    words = [line.what, line.patient or line.device or "", line.rule or line.code or ""]
    promised = f"exactly {line.exactly}" if line.exactly is not None else f"at least {line.at_least}"
    return Verdict(line=" ".join(word for word in (*words, promised) if word), found=found, holds=holds)


def _found(conn: Connection, scenario: Scenario, line: Expectation) -> int:
    patient = patient_id_of(line.patient) if line.patient else None
    match line.what:
        case "readings":
            return _count(
                conn,
                "SELECT count(*) FROM reading_v1"
                " WHERE coalesce(device_id = %s, true) AND coalesce(patient_id = %s, true)",
                (line.device, patient),
            )
        case "reading-days":
            return _count(
                conn,
                "SELECT count(DISTINCT local_date) FROM reading_v1 WHERE patient_id = %s AND entry = 'automatic'",
                (patient,),
            )
        case "alert":
            return _count(
                conn,
                "SELECT count(*) FROM alert WHERE coalesce(patient_id = %s, true)"
                " AND coalesce(family = %s OR rule = %s, true)",
                (patient, line.rule, line.rule),
            )
        case "code":
            return _billable_units(conn, scenario, patient or "", line.code or "")
        case "warning":
            return _count(conn, "SELECT count(*) FROM gateway_status WHERE devices::text LIKE %s", (f"%{line.rule}%",))


def _billable_units(conn: Connection, scenario: Scenario, patient_id: str, code: str) -> int:
    facts = facts_for(conn, patient_id=patient_id, month=f"{scenario.start:%Y-%m}", as_of=clock.now())
    billable = cast("list[dict[str, Any]]", adjudicate(facts)["billable"])
    return sum(int(line["units"]) for line in billable if line["code"] == code)


def _count(conn: Connection, query: str, parameters: tuple[object, ...]) -> int:
    row = conn.execute(query.encode(), parameters).fetchone()
    return int(row[0]) if row else 0
