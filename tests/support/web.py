"""A web application of a test: real PostgreSQL, ASGI client, a clock the test moves. Log-in by the real form."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from fastapi import FastAPI

from alerts.batch import Rulebook, run_batch
from alerts.rules import load_rule_set
from alerts.worker import connect
from server.web.app import create_app
from server.web.config import WebSettings
from tests.support.builders import PASSWORD

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass(slots=True)
class MovableClock:
    """The present instant of a test."""

    at: datetime = field(default_factory=lambda: datetime(2026, 11, 22, 15, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def move(self, **span: float) -> None:
        self.at += timedelta(**span)


async def judge(dsn: str, now: datetime) -> None:
    """Let the alert engine judge what waits, as its worker would."""
    async with await connect(dsn) as conn, conn.transaction():
        await run_batch(conn, Rulebook(load_rule_set()), now=now)


@asynccontextmanager
async def running_app(dsn: str, clock: MovableClock, *, tls: bool = False) -> AsyncIterator[FastAPI]:
    """The application with its lifespan run."""
    app = create_app(WebSettings(dsn=dsn, tls=tls, pool_size=4), now=clock)
    async with app.router.lifespan_context(app):
        yield app


def browser(app: FastAPI, *, tls: bool = False) -> httpx.AsyncClient:
    """A client with a cookie jar of its own that follows no redirect."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url=f"{'https' if tls else 'http'}://testserver"
    )


async def log_in(client: httpx.AsyncClient, login: str, password: str = PASSWORD) -> httpx.Response:
    page = await client.get("/login")
    return await client.post("/login", data={"login": login, "password": password, "csrf_token": token_of(page.text)})


def token_of(html: str) -> str:
    """The CSRF token a page carries."""
    found = _TOKEN.search(html) or re.search(r'data-csrf="([^"]+)"', html)
    assert found, "the page carries no CSRF token"
    return found[1]
