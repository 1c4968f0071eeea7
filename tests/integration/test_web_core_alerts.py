"""Acts on alerts over the real pages, engine and database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.support import builders
from tests.support.web import MovableClock, browser, judge, log_in, running_app, token_of


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def app(database: str, clock: MovableClock) -> AsyncIterator[FastAPI]:
    """Two nurses; two patients of whom Anna has a confirmed severe pressure; another practice with a patient."""
    with psycopg.connect(database) as conn:
        for practice in ("pr-a", "pr-b"):
            builders.practice(conn, practice)
        builders.practitioner(conn)
        builders.staff(conn)
        builders.staff(conn, staff_id="st-2", name="Milo Ruiz")
        builders.user(conn, "nurse", staff_id="st-1", name="Nora Field")
        builders.user(conn, "nurse", login="milo", staff_id="st-2", name="Milo Ruiz")
        builders.user(conn, "nurse", login="foreign", practice_id="pr-b")
        builders.patient(conn)
        builders.enrollment(conn)
        builders.device(conn)
        builders.patient(conn, "pr-b", "pt-b", name="Foreign Person")
        builders.blood_pressure(conn, 192, 124, clock.at - timedelta(minutes=8), judged=None)
        builders.blood_pressure(conn, 190, 122, clock.at - timedelta(minutes=2), judged=None)
    await judge(database, clock.at)
    async with running_app(database, clock) as running:
        yield running


async def alert_of(database: str) -> str:
    async with await psycopg.AsyncConnection.connect(database) as conn:
        row = await (await conn.execute("SELECT id FROM alert WHERE patient_id = 'pt-1'")).fetchone()
    assert row is not None
    return str(row[0])


async def state_of(database: str, alert_id: str) -> tuple[str, str | None]:
    async with await psycopg.AsyncConnection.connect(database) as conn:
        row = await (await conn.execute("SELECT state, owner_id FROM alert WHERE id = %s", (alert_id,))).fetchone()
    assert row is not None
    return row[0], row[1]


async def page_token(client: httpx.AsyncClient) -> str:
    return token_of((await client.get("/worklist")).text)


async def test_worklist_names_patient_reason_and_counts(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        page = await client.get("/worklist")

    assert page.status_code == 200
    assert "<title>(1 critical) Worklist" in page.text
    assert "Anna Kowalska" in page.text
    assert "Foreign Person" not in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_claim_by_plain_form_and_loser_sees_who_won(app: FastAPI, database: str) -> None:
    alert_id = await alert_of(database)
    async with browser(app) as nora, browser(app) as milo:
        await log_in(nora, "nurse")
        await log_in(milo, "milo")
        token_nora, token_milo = await page_token(nora), await page_token(milo)

        won = await nora.post(f"/alerts/{alert_id}/claim", data={"csrf_token": token_nora})
        lost = await milo.post(f"/alerts/{alert_id}/claim", data={"csrf_token": token_milo})

    assert (won.status_code, won.headers["location"]) == (303, f"/worklist?alert={alert_id}&show=all")
    assert lost.status_code == 409
    assert "Nora Field has claimed this alert first." in lost.text
    assert await state_of(database, alert_id) == ("claimed", "us-nurse")


async def test_close_needs_a_note_and_keeps_what_the_checklist_said(app: FastAPI, database: str) -> None:
    alert_id = await alert_of(database)
    headers = {"hx-request": "true"}
    async with browser(app) as client:
        await log_in(client, "nurse")
        headers["x-csrf-token"] = await page_token(client)
        await client.post(f"/alerts/{alert_id}/claim", headers=headers)

        bare = await client.post(f"/alerts/{alert_id}/close", data={"disposition": "educated"}, headers=headers)
        full = await client.post(
            f"/alerts/{alert_id}/close",
            data={
                "disposition": "emergency",
                "family": "bp.high",
                "went_through": "true",
                "ticked": ["vision", "speech"],
                "note": "Daughter drives her in.",
            },
            headers=headers,
        )

    assert "Write a note before closing" in bare.text
    assert "Closed." in full.text
    async with await psycopg.AsyncConnection.connect(database) as conn:
        row = await (
            await conn.execute("SELECT state, disposition, note FROM alert WHERE id = %s", (alert_id,))
        ).fetchone()
    assert row == (
        "closed",
        "emergency",
        "Asked about symptoms of severe blood pressure: change of vision, trouble speaking. Daughter drives her in.",
    )


async def test_snooze_of_a_critical_alert_is_refused(app: FastAPI, database: str) -> None:
    alert_id = await alert_of(database)
    async with browser(app) as client:
        await log_in(client, "nurse")
        answer = await client.post(
            f"/alerts/{alert_id}/snooze",
            data={"csrf_token": await page_token(client), "minutes": "30", "reason": "call-back"},
        )

    assert answer.status_code == 409
    assert (await state_of(database, alert_id))[0] == "open"


@pytest.mark.parametrize("minutes", ["", "0", "43201", "ten", "-5"])
async def test_snooze_names_the_field_that_is_wrong(app: FastAPI, database: str, minutes: str) -> None:
    alert_id = await alert_of(database)
    async with browser(app) as client:
        await log_in(client, "nurse")
        answer = await client.post(
            f"/alerts/{alert_id}/snooze",
            data={"csrf_token": await page_token(client), "minutes": minutes, "reason": "call-back"},
        )

    assert answer.status_code == 422
    assert "Minutes: write a whole number from 1 to 43200" in answer.text


async def test_another_practice_sees_and_does_nothing(app: FastAPI, database: str) -> None:
    alert_id = await alert_of(database)
    async with browser(app) as client:
        await log_in(client, "foreign")
        token = await page_token(client)
        answers = [
            await client.get(f"/worklist?alert={alert_id}"),
            await client.get(f"/alerts/{alert_id}/panel", headers={"hx-request": "true"}),
            await client.get("/patients/pt-1"),
            *[
                await client.post(f"/alerts/{alert_id}/{act}", data={"csrf_token": token, **form})
                for act, form in {
                    "claim": {},
                    "contact": {"outcome": "reached"},
                    "snooze": {"minutes": "5", "reason": "treated"},
                    "escalate": {"note": "x"},
                    "close": {"disposition": "expected", "note": "x"},
                }.items()
            ],
        ]

    assert {answer.status_code for answer in answers} == {404}
    assert not [answer for answer in answers if "Anna" in answer.text]
    assert await state_of(database, alert_id) == ("open", None)
    async with await psycopg.AsyncConnection.connect(database) as conn:
        row = await (
            await conn.execute("SELECT count(*) FROM audit WHERE practice_id = 'pr-b' AND action = 'refused'")
        ).fetchone()
    assert row == (len(answers),)


async def test_opening_a_patient_leaves_an_audit_row_without_names(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        await client.get("/patients/pt-1")

    async with await psycopg.AsyncConnection.connect(database) as conn:
        row = await (
            await conn.execute(
                "SELECT actor, entity_id, detail FROM audit WHERE action = 'open' ORDER BY seq DESC LIMIT 1"
            )
        ).fetchone()
        broken = await (await conn.execute("SELECT count(*) FROM audit_verify('pr-a')")).fetchone()
        text = await (await conn.execute("SELECT string_agg(detail::text, '') FROM audit")).fetchone()
    assert row == ("us-nurse", "pt-1", {"purpose": "care"})
    assert broken == (0,)
    assert text is not None
    assert "Anna" not in text[0]


async def test_fragment_and_page_carry_the_same_rows(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        page = await client.get("/worklist")
        piece = await client.get("/worklist/rows", headers={"hx-request": "true"})

    start = page.text.index('<div id="rows"')
    assert piece.text[piece.text.index('<div id="rows"') :].split("</ol>")[0] == page.text[start:].split("</ol>")[0]


async def test_filter_is_found_as_it_was_left(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        first = await client.get("/worklist")
        await client.get("/worklist?show=mine")
        again = await client.get("/worklist")
        client.cookies.clear()
        await log_in(client, "nurse")
        client.cookies.set("vw_show", "everything")
        forged = await client.get("/worklist")

    assert "Anna Kowalska" in first.text
    assert "Anna Kowalska" not in again.text
    assert "Anna Kowalska" in forged.text
