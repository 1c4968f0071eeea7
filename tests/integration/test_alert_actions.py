"""What people do to alerts, decided on the locked patient in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import psycopg
import pytest

from alerts.model import State
from alerts.rules import load_rule_set
from alerts.store import Acted, Refused, act
from alerts.worker import Worker, connect
from tests.support.alert_database import NOW, NURSE, OTHER_NURSE, PRACTICE, glucose, provision, rows, store_reading


async def open_alert(dsn: str, value: str = "48") -> str:
    provision(dsn)
    store_reading(dsn, glucose(value), kind="glucose")
    await tick(dsn, NOW)
    return str(rows(dsn, "SELECT id FROM alert WHERE family LIKE 'glucose%%'")[0][0])


async def tick(dsn: str, now: datetime) -> None:
    async with await connect(dsn) as conn:
        await Worker(dsn, load_rule_set(), now=lambda: now).once(conn)


async def do(
    dsn: str, alert: str, action: str, minute: int, actor: str = NURSE, practice: str = PRACTICE, **words: str | int
) -> Acted | Refused:
    async with await connect(dsn) as conn, conn.transaction():
        return await act(
            conn,
            practice_id=practice,
            alert_id=alert,
            actor_id=actor,
            action=action,
            at=NOW + timedelta(minutes=minute),
            **words,  # type: ignore[arg-type]
        )


async def test_two_nurses_claim_at_once_and_the_second_learns_who_won(database: str) -> None:
    alert = await open_alert(database)

    results = await asyncio.gather(do(database, alert, "claim", 1), do(database, alert, "claim", 1, actor=OTHER_NURSE))

    won = [r for r in results if isinstance(r, Acted)]
    lost = [r for r in results if isinstance(r, Refused)]
    assert (len(won), len(lost)) == (1, 1)
    assert won[0].state is State.CLAIMED
    assert lost[0] == Refused(reason="already_claimed", holder_id=won[0].owner_id)
    assert rows(database, "SELECT state, owner_id FROM alert") == [("claimed", won[0].owner_id)]


async def test_from_claim_to_close_every_step_is_in_the_log(database: str) -> None:
    alert = await open_alert(database)

    await do(database, alert, "claim", 1)
    await do(database, alert, "contact", 2, note="called")
    refused = await do(database, alert, "close", 3, disposition="advice-given")
    closed = await do(database, alert, "close", 4, disposition="advice-given", note="ate something")

    assert refused == Refused(reason="note_required", holder_id=NURSE)
    assert isinstance(closed, Acted)
    assert closed.state is State.CLOSED
    assert rows(database, "SELECT kind, actor_id FROM alert_event ORDER BY id") == [
        ("opened", None),
        ("claimed", NURSE),
        ("contact", NURSE),
        ("closed", NURSE),
    ]
    assert rows(database, "SELECT state, disposition, note, due_at FROM alert") == [
        ("closed", "advice-given", "ate something", None)
    ]
    assert await do(database, alert, "claim", 5) == Refused(reason="no_alert")


async def test_claim_stops_escalation_until_idle_too_long(database: str) -> None:
    alert = await open_alert(database)
    await do(database, alert, "claim", 1)

    await tick(database, NOW + timedelta(minutes=15, seconds=59))
    before = rows(database, "SELECT state, level FROM alert")
    await tick(database, NOW + timedelta(minutes=16))

    assert before == [("claimed", 0)]
    assert rows(database, "SELECT state, level, tags, owner_id FROM alert") == [("open", 1, ["claim_timeout"], None)]


@pytest.mark.parametrize(("minutes", "refused"), [(240, False), (241, True)])
async def test_p2_may_sleep_four_hours(database: str, minutes: int, *, refused: bool) -> None:
    alert = await open_alert(database, "310")

    result = await do(database, alert, "snooze", 1, minutes=minutes, reason="insulin given")

    assert isinstance(result, Refused) is refused


async def test_snooze_ends_by_itself_and_tells_again(database: str) -> None:
    alert = await open_alert(database, "310")
    await do(database, alert, "snooze", 1, minutes=30, reason="insulin given")

    await tick(database, NOW + timedelta(minutes=31))

    assert rows(database, "SELECT state FROM alert") == [("open",)]
    assert rows(database, "SELECT due_at FROM notification ORDER BY id") == [(NOW,), (NOW + timedelta(minutes=31),)]


async def test_escalation_by_hand_tells_the_next_level(database: str) -> None:
    alert = await open_alert(database)

    result = await do(database, alert, "escalate", 1, reason="no answer")

    assert isinstance(result, Acted)
    assert result.notifications == 1
    assert rows(database, "SELECT level FROM notification ORDER BY id") == [(0,), (1,)]
    assert rows(database, "SELECT due_at FROM alert") == [(NOW + timedelta(minutes=15),)]


async def test_another_practice_cannot_act(database: str) -> None:
    alert = await open_alert(database)
    with psycopg.connect(database) as conn:
        conn.execute("INSERT INTO practice (id, name, time_zone) VALUES ('pr-other', 'y', 'UTC')")

    assert await do(database, alert, "claim", 1, practice="pr-other") == Refused(reason="no_alert")
    assert rows(database, "SELECT state FROM alert") == [("open",)]


async def test_refusal_changes_nothing(database: str) -> None:
    alert = await open_alert(database)
    before = rows(database, "SELECT state FROM alert_patient_state")

    await do(database, alert, "snooze", 0, minutes=5, reason="x")

    assert rows(database, "SELECT state FROM alert_patient_state") == before


async def test_unknown_action_is_a_programming_error(database: str) -> None:
    alert = await open_alert(database)

    with pytest.raises(ValueError, match="unknown action"):
        await do(database, alert, "sing", 1)
