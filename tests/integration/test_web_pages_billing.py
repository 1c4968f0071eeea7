"""The biller's pages over the real engine and database: board, proof, freeze."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.support import builders
from tests.support.demo_month import ANNA, LUIS, NOW, fill
from tests.support.web import MovableClock, browser, log_in, running_app, token_of

MONTH = f"/billing/2026-11/{ANNA}"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(at=NOW)


@pytest.fixture
async def app(database: str, clock: MovableClock) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        fill(conn)
        builders.practice(conn, "pr-b")
        builders.practitioner(conn, "pr-b", "dr-b")
        builders.patient(conn, "pr-b", patient_id="pt-other", name="Other Person")
        builders.enrollment(conn, "pt-other", "ccm", practice_id="pr-b", practitioner_id="dr-b")
        builders.user(conn, "biller", practice_id="pr-b", login="biller-b")
    async with running_app(database, clock) as running:
        yield running


def as_of(html: str) -> str:
    return html.split('name="as_of" value="')[1].split('"')[0]


async def freeze(client: httpx.AsyncClient, path: str = MONTH, **fields: str) -> httpx.Response:
    page = await client.get(path)
    data = {"csrf_token": token_of(page.text), "as_of": as_of(page.text), **fields}
    return await client.post(f"{path}/freeze", data=data)


def rows(database: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as conn:
        return conn.execute(
            "SELECT id, supersedes, frozen_by, result ->> 'watermark', facts ->> 'as_of' FROM adjudication"
            " ORDER BY frozen_at"
        ).fetchall()


async def test_board_has_one_patient_in_each_column(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        page = (await client.get("/billing/2026-11")).text

    ready, almost, blocked = page.split('<section class="column')[1:]
    assert "Anna Berg" in ready
    assert "Luis Ortega" in almost
    assert "Ruth Coleman" in blocked
    assert "21:50 of 40:00" in ready  # 12:40 + 9:10
    assert "14:20 of 20:00" in almost  # 9:15 + 5:05
    assert "no live" in blocked
    assert "Demo data cannot bill" in page


async def test_month_page_opens_every_proof(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        page = (await client.get(MONTH)).text

    for code in ("99457", "99490"):
        assert f'id="code-{code}"' in page
    assert 'id="held-99454"' in page  # sixteen days are there, the thirtieth day is not over
    assert "19 reading days" in page  # 18 of the days before, and today
    assert "2:10 not counted" in page  # the voicemail
    assert page.count("<details>") >= 10


async def test_biller_sees_days_and_minutes_never_values(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        pages = [(await client.get(path)).text for path in ("/billing/2026-11", MONTH)]

    for page in pages:
        for word in ("mmHg", "mm[Hg]", "mg/dL", "systolic", "128/78", "186/112"):
            assert word not in page


async def test_start_page_of_a_biller_is_the_running_month(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")

        assert (await client.get("/billing")).headers["location"] == "/billing/2026-11"


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "november", "1999-01"])
async def test_a_month_that_is_none(app: FastAPI, month: str) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")

        assert (await client.get(f"/billing/{month}")).status_code == 404


async def test_simulated_month_is_frozen_only_as_a_demo(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        refused = await freeze(client)
        done = await freeze(client, demo="yes")
        page = (await client.get(MONTH)).text

    assert (refused.status_code, done.status_code) == (409, 303)
    assert [row[2:4] for row in rows(database)] == [("us-demobiller", "DEMONSTRATION: simulated patients, not a claim")]
    assert "by Sam Reed. The result is still the same. It is a demo" in page


async def test_frozen_twice_the_same_is_refused_and_a_change_supersedes(
    app: FastAPI, database: str, clock: MovableClock
) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        await freeze(client, demo="yes")
        again = await freeze(client, demo="yes")
        with psycopg.connect(database) as conn:
            conn.execute(
                "INSERT INTO time_entry (practice_id, patient_id, program, performer_id, started_at, ended_at,"
                " activity, note, recorded_at) VALUES ('pr-demo', %s, 'ccm', 'st-demorn', '2026-11-21T14:00Z',"
                " '2026-11-21T14:20Z', 'care-plan', 'n', '2026-11-21T14:21Z')",
                (ANNA,),
            )
        clock.move(minutes=1)
        board = (await client.get("/billing/2026-11")).text
        page = (await client.get(MONTH)).text
        changed = await freeze(client, demo="yes")
        after = (await client.get(MONTH)).text

    assert (again.status_code, changed.status_code) == (409, 303)
    assert "Changed since it was frozen" in board
    assert "What changed since" not in after
    assert "Accept: freeze the new version" in page
    # 21:50 of chronic care and twenty minutes more: a further block, 50.44 in 2026.
    assert "99439 (CCM by staff, each further 20 minutes) is new: +$50.44." in page
    first, second = rows(database)
    assert (first[1], second[1]) == (None, first[0])


async def test_what_was_seen_is_what_is_frozen(app: FastAPI, database: str, clock: MovableClock) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        page = await client.get(MONTH)
        clock.move(minutes=10)
        await client.post(
            f"{MONTH}/freeze",
            data={"csrf_token": token_of(page.text), "as_of": as_of(page.text), "demo": "yes"},
        )

    frozen = str(rows(database)[0][4])
    assert datetime.fromisoformat(frozen) == datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("yesterday", 422),
        ("2026-11-22T15:00:00", 409),
        ("2026-11-22T15:00:01+00:00", 409),
        ("2026-11-22T02:59:59+00:00", 409),
    ],
)
async def test_freezing_needs_a_moment_that_was_seen(app: FastAPI, sent: str, status: int) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")

        assert (await freeze(client, demo="yes", as_of=sent)).status_code == status


async def test_frozen_month_can_not_be_changed_by_any_process(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        await freeze(client, demo="yes")

    for role in ("vw_billing", "vw_web", "vw_ingest", "vw_alerts"):
        with psycopg.connect(database) as conn:
            conn.execute(f"SET ROLE {role}")  # type: ignore[arg-type]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute("UPDATE adjudication SET result = '{}'")


async def test_freezing_leaves_an_audit_row(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        await freeze(client, demo="yes")

    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT actor, detail FROM audit WHERE action = 'freeze-month'").fetchone()
        broken = conn.execute("SELECT * FROM audit_verify('pr-demo')").fetchall()
    assert row == ("us-demobiller", {"month": "2026-11", "patient": ANNA})
    assert broken == []


async def test_practitioner_reads_but_does_not_freeze(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "doctor")
        page = await client.get(MONTH)
        fields = {"csrf_token": token_of(page.text), "as_of": NOW.isoformat(), "demo": "yes"}
        answer = await client.post(f"{MONTH}/freeze", data=fields)

    assert page.status_code == 200
    assert "Freeze this month" not in page.text
    assert answer.status_code == 403
    assert rows(database) == []


async def test_another_practices_patient_does_not_exist_here(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "biller-b")
        own = await client.get("/billing/2026-11/pt-other")
        foreign = await client.get(MONTH)
        board = await client.get("/billing/2026-11")

    assert (own.status_code, foreign.status_code) == (200, 404)
    assert "Anna" not in foreign.text + board.text
    assert "Other Person" in board.text


async def test_real_practice_freezes_without_the_demo_word(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "biller-b")
        done = await freeze(client, "/billing/2026-11/pt-other")

    assert done.status_code == 303
    assert rows(database)[0][2:4] == ("us-biller-b", None)


async def test_coverage_page_lists_every_code_and_no_patient(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        answer = await client.get("/billing/coverage")
        board = (await client.get("/billing/2026-11")).text

    assert answer.status_code == 200
    assert 'id="code-99470"' in answer.text
    assert "Held until somebody has read the rule" in answer.text
    assert "Anna Berg" not in answer.text
    assert 'href="/billing/coverage"' in board


def untagged(database: str) -> None:
    """Six minutes of the nurse for Luis that nobody gave to a program."""
    with psycopg.connect(database) as conn:
        conn.execute(
            "INSERT INTO time_entry (id, practice_id, patient_id, program, candidates, performer_id, started_at,"
            " ended_at, activity, note, recorded_at)"
            " SELECT 'te-loose', practice_id, patient_id, NULL, '{rpm,ccm}', performer_id,"
            " timestamptz '2026-11-19 03:00Z', timestamptz '2026-11-19 03:06Z', 'coordination', 'Letter.',"
            " timestamptz '2026-11-19 04:00Z' FROM time_entry WHERE patient_id = %s AND program = 'ccm' LIMIT 1",
            (LUIS,),
        )


async def test_person_accepts_a_proposal_with_a_reason(app: FastAPI, database: str) -> None:
    untagged(database)
    path = f"/billing/2026-11/{LUIS}"
    async with browser(app) as client:
        await log_in(client, "biller")
        page = (await client.get(path)).text
        form = {"csrf_token": token_of(page), "choice": "te-loose=ccm", "reason": "Letter to the kidney clinic."}
        silent = await client.post(f"{path}/allocate", data={**form, "reason": " "})
        broken = await client.post(f"{path}/allocate", data={**form, "choice": "te-loose"})
        done = await client.post(f"{path}/allocate", data=form)
        again = await client.post(f"{path}/allocate", data=form)
        after = (await client.get(path)).text

    assert 'value="te-loose=ccm"' in page
    assert "adds 1 \u00d7 99490" in page
    assert (silent.status_code, broken.status_code, done.status_code, again.status_code) == (409, 422, 303, 409)
    assert "Time nobody has allocated" not in after
    assert 'id="code-99490"' in after
    with psycopg.connect(database) as conn:
        rows = conn.execute("SELECT program, reason FROM time_entry WHERE supersedes = 'te-loose'").fetchall()
    assert rows == [("ccm", "Letter to the kidney clinic.")]


async def test_nobody_allocates_in_another_practice(app: FastAPI, database: str) -> None:
    untagged(database)
    async with browser(app) as client:
        await log_in(client, "biller-b")
        page = (await client.get("/billing/2026-11")).text
        form = {"csrf_token": token_of(page), "choice": "te-loose=ccm", "reason": "Mine."}
        answer = await client.post(f"/billing/2026-11/{LUIS}/allocate", data=form)

    assert answer.status_code == 404
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM time_entry WHERE supersedes = 'te-loose'").fetchone() == (0,)
