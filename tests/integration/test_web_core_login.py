"""Guessing passwords, disabled people, new ids at log-in, and who may see which patient."""

from __future__ import annotations

from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import argon2
import httpx
import psycopg
import pytest
from fastapi import FastAPI

from server.db.pool import async_transaction, open_async_pool
from server.security.identity import CurrentUser, Role
from server.security.phi import NotVisibleError, open_patient
from tests.support import builders
from tests.support.web import MovableClock, browser, log_in, running_app, token_of


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def app(database: str, clock: MovableClock) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.user(conn, "nurse")
        builders.patient(conn)
        builders.patient(conn, patient_id="pt-2", name="Luis Ortega")
    async with running_app(database, clock) as running:
        yield running


def execute(database: str, query: str) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(query)  # type: ignore[call-overload]


async def fail(client: httpx.AsyncClient, times: int, login: str = "nurse") -> list[int]:
    return [(await log_in(client, login, "wrong")).status_code for _ in range(times)]


async def test_sixth_guess_waits_and_the_owner_gets_in_after_it(app: FastAPI, clock: MovableClock) -> None:
    async with browser(app) as client:
        assert await fail(client, 5) == [401] * 5
        blocked = await log_in(client, "nurse")
        clock.move(seconds=2)
        right = await log_in(client, "nurse")

    assert blocked.status_code == 429
    assert "Please wait 3 s" in blocked.text
    assert right.status_code == 303


async def test_unknown_login_is_slowed_down_like_a_known_one(app: FastAPI) -> None:
    async with browser(app) as client:
        known = await fail(client, 6)
        unknown = await fail(client, 6, "nobody")

    assert known == unknown == [401] * 5 + [429]


async def test_success_forgives_earlier_failures(app: FastAPI, clock: MovableClock) -> None:
    async with browser(app) as client:
        await fail(client, 4)
        clock.move(seconds=1)
        await log_in(client, "nurse")
        client.cookies.clear()
        clock.move(seconds=1)
        assert await fail(client, 4) == [401] * 4


async def test_a_stranger_elsewhere_cannot_keep_the_owner_out(app: FastAPI, database: str, clock: MovableClock) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        client.cookies.clear()
        clock.move(seconds=1)
        execute(
            database,
            "INSERT INTO login_attempt (login_hash, address, at, succeeded)"
            f" SELECT sha256('nurse'), '203.0.113.9', '{clock.at.isoformat()}', false FROM generate_series(1, 50)",
        )
        assert (await log_in(client, "nurse")).status_code == 303


async def test_login_name_in_capitals_is_the_same_person(app: FastAPI) -> None:
    async with browser(app) as client:
        assert (await log_in(client, " NURSE ")).status_code == 303


async def test_disabled_person_is_out_at_once(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        execute(database, "UPDATE app_user SET disabled_at = now()")
        ended = await client.get("/worklist")
        again = await log_in(client, "nurse")

    assert ended.headers["location"] == "/login?next=/worklist"
    assert again.status_code == 401


async def test_log_in_gives_a_new_id_and_ends_the_old_session(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        old = client.cookies["vw_session"]
        token = token_of((await client.get("/worklist")).text)
        await client.post("/login", data={"login": "nurse", "password": builders.PASSWORD, "csrf_token": token})
        new = client.cookies["vw_session"]
    async with browser(app) as other:
        with_old = await other.get("/worklist", headers={"cookie": f"vw_session={old}"})
        with_new = await other.get("/worklist", headers={"cookie": f"vw_session={new}"})

    assert old != new
    assert (with_old.status_code, with_new.status_code) == (303, 200)


async def test_session_ends_after_twelve_hours_of_work(app: FastAPI, clock: MovableClock) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        for _ in range(71):
            clock.move(minutes=10)
            assert (await client.get("/worklist")).status_code == 200
        clock.move(minutes=9, seconds=59)
        last = await client.get("/worklist")
        clock.move(seconds=1)
        ended = await client.get("/worklist")

    assert (last.status_code, ended.status_code) == (200, 303)


async def test_log_in_form_from_another_site_is_refused(app: FastAPI) -> None:
    """Else an attacker could log a nurse in as somebody and read what she types."""
    async with browser(app) as client:
        page = await client.get("/login")
        form = {"login": "nurse", "password": builders.PASSWORD, "csrf_token": token_of(page.text)}
        foreign = await client.post("/login", data=form, headers={"sec-fetch-site": "cross-site"})
        client.cookies.clear()
        without_cookie = await client.post("/login", data=form)

    assert (foreign.status_code, without_cookie.status_code) == (403, 403)


async def test_password_of_older_parameters_is_hashed_again(app: FastAPI, database: str) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(builders.PASSWORD)
    execute(database, f"UPDATE app_user SET password_hash = '{weak}'")
    async with browser(app) as client:
        assert (await log_in(client, "nurse")).status_code == 303

    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT password_hash FROM app_user").fetchone()
    assert row is not None
    assert row[0].startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_database_keeps_no_session_id_and_no_login_name_of_a_failure(app: FastAPI, database: str) -> None:
    async with browser(app) as client:
        await fail(client, 1, "someone-typed-a-password-here")
        await log_in(client, "nurse")
        session_id = client.cookies["vw_session"]

    with psycopg.connect(database) as conn:
        kept = str(conn.execute("SELECT s::text FROM web_session s").fetchall())
        attempts = str(conn.execute("SELECT a::text FROM login_attempt a").fetchall())
    assert session_id not in kept
    assert "someone-typed" not in attempts


@pytest.mark.parametrize(("patient_id", "seen"), [("pt-1", True), ("pt-2", False), ("pt-none", False)])
async def test_a_patient_opens_only_their_own_record(app: FastAPI, database: str, patient_id: str, seen: bool) -> None:
    anna = CurrentUser(
        id="us-nurse", practice_id="pr-a", practice_name="A", zone=ZoneInfo("UTC"), is_simulated=False,
        role=Role.PATIENT, display_name="Anna", language="en", staff_id=None, practitioner_id=None, patient_id="pt-1",
        csrf_token="t", session_hash=b"", session_ends_at=MovableClock().at,
    )  # fmt: skip
    pool = await open_async_pool(database, "vw_web", max_size=1)
    try:
        async with async_transaction(pool, "pr-a") as conn:
            if seen:
                assert (await open_patient(conn, anna, patient_id, purpose="own")).name == "Anna Kowalska"
            else:
                with pytest.raises(NotVisibleError):
                    await open_patient(conn, anna, patient_id, purpose="own")
    finally:
        await pool.close()
