"""A reading that comes 20 days late: it counts on the patient's own calendar day of its measurement and pages nobody.

Through a real broker, the ingest process, the alert worker and the facts of billing. A fresh reading of the same
values shows that the alert engine was awake.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from alerts.rules import load_rule_set
from alerts.worker import Worker, connect
from server.billing import run
from server.billing.determine import adjudicate
from tests.support import builders
from tests.support.broker import mosquitto
from tests.support.ingest import Home, component, home, ingest, reading, rows

GATEWAY = "gw-0000000001"
NEW_YORK = ZoneInfo("America/New_York")
CRISIS = [component("systolic", "228"), component("diastolic", "124")]


async def judge(dsn: str, now: datetime) -> None:
    async with await connect(dsn) as conn:
        worker = Worker(dsn, load_rule_set(), now=lambda: now)
        while (await worker.once(conn)).readings:
            pass


def send(client: Home, at: datetime) -> str:
    """A crisis measured then and handed over now."""
    now = datetime.now(UTC)
    one = reading(
        "dev-cuff-1", measured_at=at.astimezone(UTC).isoformat(), received_at=now.isoformat(), components=CRISIS
    )
    client.publish(one)
    client.wait_for([one["message_id"]])
    assert client.rejected == {}
    return str(one["message_id"])


def days_counted(dsn: str, first: date) -> tuple[str, list[str]]:
    """The device period that begins on that day, with its dates, as billing decides it on the period's last day."""
    last = first + timedelta(days=29)
    as_of = datetime.combine(last + timedelta(days=2), time(12), tzinfo=UTC)
    facts = run.read_facts(dsn, patient_id="pt-1", month=f"{last:%Y-%m}", as_of=as_of)
    answer: dict[str, Any] = adjudicate(facts)
    period = answer["days"][0]
    return period["period"]["from"], period["dates"]


async def test_late_reading_counts_on_its_own_day_and_pages_nobody(database: str, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    # Half past eleven in the evening: in UTC it is the next day already.
    measured = datetime.combine((now - timedelta(days=20)).date(), time(23, 30), tzinfo=NEW_YORK)
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.practitioner(conn)
        builders.patient(conn)
        builders.enrollment(conn)
        builders.consent(conn)
        builders.device(conn, gateway_id=GATEWAY)
    with mosquitto(tmp_path) as broker, ingest(database, broker, tmp_path), home(broker, GATEWAY) as client:
        late = send(client, measured)
        await judge(database, datetime.now(UTC))

        assert rows(database, "SELECT local_date::text FROM observation WHERE message_id = %s", late) == [
            (measured.date().isoformat(),)
        ]
        assert rows(database, "SELECT family, severity, tags FROM alert") == [("bp.high", "P3", ["late"])]
        assert rows(database, "SELECT count(*) FROM notification") == [(0,)]

        assert days_counted(database, measured.date()) == (measured.date().isoformat(), [measured.date().isoformat()])

        fresh = now - timedelta(minutes=1)
        send(client, fresh)
        await judge(database, datetime.now(UTC))

        assert rows(database, "SELECT count(*) > 0 FROM notification") == [(True,)]
        both = [measured.date().isoformat(), fresh.astimezone(NEW_YORK).date().isoformat()]
        assert days_counted(database, measured.date()) == (both[0], both)
