"""`/events`: Server-Sent Events of one practice. Ids come from `ui_event`; `Last-Event-ID` replays what was missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from server.db import users
from server.db.pool import async_transaction
from server.security.identity import CurrentUser
from server.security.sessions import is_live
from server.web.deps import State, User
from server.web.sse import Hint
from server.web.state import WebState

router = APIRouter()
# Proxies close silent connections after 30 to 60 s, and a page calls the stream dead after 45 s.
_COMMENT_SECONDS = 15
_SESSION_ENDED = Hint(id=None, kind="session-ended")


@router.get("/events")
async def events(request: Request, state: State, user: User) -> Response:
    return StreamingResponse(
        _stream(state, user, _last_event_id(request)),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _stream(state: WebState, user: CurrentUser, after: int | None) -> AsyncIterator[bytes]:
    """Ends with the session: a log-out in another tab closes this stream within one comment."""
    async with state.hub.subscribe(user.practice_id, after=after) as subscription:
        yield b"retry: 2000\n: connected\n\n"
        while True:
            try:
                hint = await asyncio.wait_for(subscription.queue.get(), timeout=_COMMENT_SECONDS)
            except TimeoutError:
                if not await _still_logged_in(state, user):
                    yield _SESSION_ENDED.encode()
                    return
                yield b": alive\n\n"
            else:
                yield hint.encode()


async def _still_logged_in(state: WebState, user: CurrentUser) -> bool:
    async with async_transaction(state.pool) as conn:
        row = await users.find_session(conn, user.session_hash)
    return row is not None and is_live(
        now=state.now(),
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        limits=state.settings.limits,
    )


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isdecimal() and len(text) <= 18 else None
