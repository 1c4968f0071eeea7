"""Live hints: from a committed event to a browser's queue and over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest

from server.db.pool import open_async_pool
from server.web.app import create_app
from server.web.config import WebSettings
from server.web.sse import QUEUE_LIMIT, Hint, Hub, Subscription
from tests.support import builders
from tests.support.browser import served
from tests.support.web import log_in


def emit(database: str, practice: str, ref: str) -> int:
    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT emit_ui_event(%s, 'alert', %s)", (practice, ref)).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
async def hub(database: str) -> AsyncIterator[Hub]:
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.practice(conn, "pr-b")
    pool = await open_async_pool(database, "vw_web", max_size=2)
    hub = Hub(dsn=database, pool=pool)
    task = asyncio.create_task(hub.run())
    await asyncio.wait_for(hub.listening.wait(), 10)
    yield hub
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await pool.close()


async def next_hint(subscription: Subscription) -> Hint:
    return await asyncio.wait_for(subscription.queue.get(), 10)


async def test_only_the_events_own_practice_is_told(hub: Hub, database: str) -> None:
    async with hub.subscribe("pr-a") as ours, hub.subscribe("pr-b") as theirs:
        number = emit(database, "pr-a", "al-1")

        assert await next_hint(ours) == Hint(id=number, kind="alert", ref="al-1")
        assert theirs.queue.empty()


async def test_what_was_shown_already_is_not_handed_out_again(hub: Hub, database: str) -> None:
    emit(database, "pr-a", "al-old")
    async with hub.subscribe("pr-a") as subscription:
        number = emit(database, "pr-a", "al-new")

        assert (await next_hint(subscription)).id == number
        assert subscription.queue.empty()


async def test_a_browser_that_was_away_gets_what_it_missed(hub: Hub, database: str) -> None:
    first = emit(database, "pr-a", "al-1")
    second = emit(database, "pr-a", "al-2")
    async with hub.subscribe("pr-a", after=first) as subscription:
        assert (await next_hint(subscription)).id == second


async def test_number_that_commits_late_is_handed_out_too(hub: Hub, database: str) -> None:
    async with hub.subscribe("pr-a") as subscription:
        with psycopg.connect(database) as slow:
            row = slow.execute("SELECT emit_ui_event('pr-a', 'alert', 'al-slow')").fetchone()
            quick = emit(database, "pr-a", "al-quick")
            assert (await next_hint(subscription)).id == quick
        assert row is not None
        assert row[0] < quick
        assert (await next_hint(subscription)).id == row[0]


async def test_full_queue_becomes_one_refresh(hub: Hub) -> None:
    async with hub.subscribe("pr-a") as subscription:
        for number in range(QUEUE_LIMIT + 1):
            subscription.offer(Hint(id=number, kind="alert"))

        assert subscription.queue.qsize() == 1
        assert subscription.queue.get_nowait().kind == "refresh"


async def test_lost_database_connection_is_made_again_and_pages_are_told(hub: Hub, database: str) -> None:
    async with hub.subscribe("pr-a") as subscription:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vitalwire-web-live'"
            )
        assert (await next_hint(subscription)).kind == "refresh"
        number = emit(database, "pr-a", "al-1")
        assert (await next_hint(subscription)).id == number


async def test_event_reaches_the_wire_with_its_id(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.user(conn, "nurse")
    with served(create_app(WebSettings(dsn=database))) as base:
        async with httpx.AsyncClient(base_url=base) as client:
            await log_in(client, "nurse")
            async with client.stream("GET", "/events", timeout=20) as answer:
                lines = answer.aiter_lines()
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert await anext(lines) == "retry: 2000"
                number = emit(database, "pr-a", "al-7")
                seen = [line async for line in _until_blank(lines, f"id: {number}")]

    assert seen[0] == "event: hint"
    assert json.loads(seen[1].removeprefix("data: ")) == {"kind": "alert", "ref": "al-7"}


async def _until_blank(lines: AsyncIterator[str], first: str) -> AsyncIterator[str]:
    found = False
    async for line in lines:
        if found and not line:
            return
        if found:
            yield line
        found = found or line == first
