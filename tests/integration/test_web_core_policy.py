"""The policy table against the real application: every route, every role, and nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from server.security import policy
from server.security.identity import Role
from server.web.app import ROUTERS, routes
from tests.support import builders
from tests.support.web import MovableClock, browser, log_in, running_app, token_of

# Any well-formed value: the row does not exist, so an allowed role sees 404 or a form problem, never 403.
SAMPLE = "zz-does-not-exist"


@pytest.fixture
async def app(database: str) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        builders.practice(conn, simulated=True)
        builders.practitioner(conn)
        builders.staff(conn)
        builders.patient(conn)
        for role in Role:
            builders.user(
                conn,
                role.value,
                staff_id="st-1" if role is Role.NURSE else None,
                practitioner_id="dr-1" if role is Role.PRACTITIONER else None,
                patient_id="pt-1" if role is Role.PATIENT else None,
            )
    async with running_app(database, MovableClock()) as running:
        yield running


def address(template: str) -> str:
    parts = [SAMPLE if part.startswith("{") else part for part in template.split("/")]
    return "/".join(parts)


def test_every_route_is_in_the_table_and_every_line_has_a_route() -> None:
    assert set(routes()) == {(rule.method, rule.path) for rule in policy.RULES}


def test_no_route_outside_the_listed_routers(app: FastAPI) -> None:
    assert len(app.routes) == len(ROUTERS)


def test_no_line_is_written_twice() -> None:
    lines = [(rule.method, rule.path) for rule in policy.RULES]

    assert len(lines) == len(set(lines))


async def test_without_a_session_only_public_routes_answer(app: FastAPI) -> None:
    wrong: list[tuple[str, str, int]] = []
    async with browser(app) as client:
        for rule in policy.RULES:
            if rule.roles is None:
                continue
            answer = await client.request(rule.method, address(rule.path))
            to_login = answer.status_code == 303 and answer.headers["location"].startswith("/login")
            if not to_login:
                wrong.append((rule.method, rule.path, answer.status_code))

    assert wrong == []


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_a_role_gets_403_exactly_where_the_table_says(app: FastAPI, role: Role) -> None:
    wrong: list[tuple[str, str, int]] = []
    async with browser(app) as client:
        await log_in(client, role.value)
        token = token_of((await client.get("/nowhere")).text)
        for rule in sorted(policy.RULES, key=lambda rule: rule.path == "/logout"):
            if rule.path in {"/events", "/logout"} and policy.may(rule, role):
                continue  # a stream without end, and the end of the session: tested by themselves
            refused = await _refused(client, rule, token)
            if refused is policy.may(rule, role):
                wrong.append((rule.method, rule.path, 403 if refused else 200))

    assert wrong == []


async def _refused(client: httpx.AsyncClient, rule: policy.Rule, token: str) -> bool:
    answer = await client.request(rule.method, address(rule.path), headers={"x-csrf-token": token})
    assert answer.status_code < 500, (rule, answer.text)
    return answer.status_code == 403


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.value)
async def test_every_post_is_refused_without_the_token(app: FastAPI, role: Role) -> None:
    """403 for all roles: forbidden or forged, nothing runs."""
    wrong: list[tuple[str, int]] = []
    async with browser(app) as client:
        await log_in(client, role.value)
        for rule in policy.RULES:
            if rule.method != "POST":
                continue
            answer = await client.post(address(rule.path))
            if answer.status_code != 403:
                wrong.append((rule.path, answer.status_code))

    assert wrong == []


async def test_headers_on_a_page_a_problem_and_a_file(app: FastAPI) -> None:
    async with browser(app) as client:
        page = await client.get("/login")
        missing = await client.get("/nowhere")
        name = page.text.split('href="/static/')[1].split('"')[0]
        file = await client.get(f"/static/{name}")
        stale = await client.get(f"/static/0000000000000000/{name.split('/', 1)[1]}")

    for answer in (page, missing, file):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "strict-transport-security" not in answer.headers
    assert page.headers["cache-control"] == missing.headers["cache-control"] == "no-store"
    assert "immutable" in file.headers["cache-control"]
    assert stale.status_code == 404


async def test_under_tls_the_cookie_is_host_bound_and_hsts_is_sent(database: str, app: FastAPI) -> None:
    async with running_app(database, MovableClock(), tls=True) as secure, browser(secure, tls=True) as client:
        answer = await log_in(client, "nurse")

    cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-vw_session="))
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")


async def test_problem_json_for_clients_that_ask_for_it(app: FastAPI) -> None:
    async with browser(app) as client:
        await log_in(client, "biller")
        answer = await client.get("/worklist", headers={"accept": "application/json"})

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "title": "Not allowed",
        "status": 403,
        "detail": "Your role (biller) may not use this page.",
    }
