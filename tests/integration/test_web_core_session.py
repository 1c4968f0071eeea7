"""Log-in, sessions and CSRF over the real application and database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from fastapi import FastAPI

from tests.support import builders
from tests.support.web import MovableClock, browser, log_in, running_app, token_of


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def app(database: str, clock: MovableClock) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.staff(conn)
        builders.user(conn, "nurse", staff_id="st-1")
    async with running_app(database, clock) as running:
        yield running


async def test_right_password_opens_a_session(app: FastAPI) -> None:
    async with browser(app) as client:
        answer = await log_in(client, "nurse")

        assert answer.status_code == 303
        assert answer.headers["location"] == "/worklist"
        cookie = answer.headers["set-cookie"]
        assert "vw_session=" in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


async def test_wrong_password_and_unknown_login_get_the_same_answer(app: FastAPI) -> None:
    async with browser(app) as client:
        wrong = await log_in(client, "nurse", "not it")
        unknown = await log_in(client, "nobody", "not it")

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace('value="nurse"', "") == unknown.text.replace('value="nobody"', "")


async def test_session_ends_after_fifteen_idle_minutes(app: FastAPI, clock: MovableClock) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")

        clock.move(minutes=14, seconds=59)
        kept = await client.get("/")
        clock.move(minutes=15)
        ended = await client.get("/")

    assert kept.headers["location"] == "/worklist"
    assert ended.headers["location"] == "/login?next=/"


async def test_form_without_token_is_refused(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        refused = await client.post("/logout")
        still_in = await client.get("/")

    assert refused.status_code == 403
    assert still_in.headers["location"] == "/worklist"


async def test_form_from_another_site_is_refused_even_with_the_token(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        page = await client.get("/nowhere")
        answer = await client.post(
            "/logout", data={"csrf_token": token_of(page.text)}, headers={"sec-fetch-site": "cross-site"}
        )

    assert answer.status_code == 403


async def test_log_out_ends_the_session_on_the_server(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "nurse")
        kept_cookie = client.cookies["vw_session"]
        page = await client.get("/nowhere")
        await client.post("/logout", data={"csrf_token": token_of(page.text)})

        again = await client.get("/", headers={"cookie": f"vw_session={kept_cookie}"})

    assert again.headers["location"] == "/login?next=/"
