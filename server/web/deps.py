"""What routes ask for: the user, a connection that sees one practice, the present instant.

`authorize` runs before every route (it is a dependency of the whole app): session, policy table, CSRF. Nothing reaches
a handler that the table does not allow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, cast
from zoneinfo import ZoneInfo

from fastapi import Depends
from psycopg_pool import AsyncConnectionPool
from starlette.requests import Request

from server.db import users
from server.db.pool import AsyncConnection, async_transaction
from server.security import csrf, policy, sessions
from server.security.identity import CurrentUser, Role
from server.web.problems import Forbidden, LoginNeeded
from server.web.state import WebState


def web_state(request: Request) -> WebState:
    return cast("WebState", request.app.state.web)


def present(request: Request) -> datetime:
    """The instant of this request; one value for the whole of it."""
    if not hasattr(request.state, "now"):
        request.state.now = web_state(request).now()
    return cast("datetime", request.state.now)


async def authorize(request: Request) -> None:
    """Session, role and CSRF of one request. Raises a `Problem` unless the policy table allows it."""
    route = request.scope["route"]
    rule = policy.rule_for(request.method, route.path)
    if rule is not None and rule.sessionless:
        request.state.user = None
        return
    user = await session_user(request, background=rule is not None and rule.background)
    request.state.user = user
    if rule is None:
        raise Forbidden("This page is not open to anybody.")
    if rule.roles is not None:
        if user is None:
            raise LoginNeeded
        if not policy.may(rule, user.role):
            raise Forbidden(
                f"Your role ({user.role.value}) may not use this page.", audit=("refused", "route", route.path)
            )
    await _check_csrf(request, user)


async def _check_csrf(request: Request, user: CurrentUser | None) -> None:
    if request.method in csrf.SAFE_METHODS:
        return
    refusal = csrf.origin_refusal(request.headers)
    if refusal is None:
        expected = user.csrf_token if user else request.cookies.get(LOGIN_COOKIE, "")
        refusal = csrf.token_refusal(expected=expected, sent=await _sent_token(request))
    if refusal is not None:
        raise Forbidden(
            "This form did not come from a page of this session. Load the page again and repeat what you did.",
            audit=("refused-csrf", "route", request.scope["route"].path),
        )


async def _sent_token(request: Request) -> str | None:
    header = request.headers.get(csrf.HEADER)
    if header is not None:
        return header
    value = (await request.form()).get(csrf.FORM_FIELD)
    return value if isinstance(value, str) else None


# Before there is a session, the log-in form carries a token that must equal this cookie.
LOGIN_COOKIE = "vw_login"


async def session_user(request: Request, *, background: bool) -> CurrentUser | None:
    """The user of the request's cookie while the session lives; moves the idle limit unless in the background."""
    state = web_state(request)
    session_id = request.cookies.get(sessions.cookie_name(secure=state.settings.tls))
    if not session_id:
        return None
    now = present(request)
    token_hash = sessions.session_hash(session_id)
    async with async_transaction(state.pool) as conn:
        row = await users.find_session(conn, token_hash)
        if row is None:
            return None
        limits = state.settings.limits
        if not sessions.is_live(
            now=now,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            limits=limits,
        ):
            return None
        last_seen_at = row.last_seen_at
        if not background and not is_background(request):
            if sessions.needs_touch(now=now, last_seen_at=last_seen_at, limits=limits):
                await users.touch_session(conn, token_hash, now)
            last_seen_at = now
    return _user(
        row, session_ends_at=sessions.ends_at(last_seen_at=last_seen_at, expires_at=row.expires_at, limits=limits)
    )


def is_background(request: Request) -> bool:
    """A page that refreshes itself says so. Lying about it can only shorten one's own session."""
    return request.headers.get("vw-background") == "true"


def _user(row: users.SessionRow, *, session_ends_at: datetime) -> CurrentUser:
    return CurrentUser(
        id=row.user_id,
        practice_id=row.practice_id,
        practice_name=row.practice_name,
        zone=ZoneInfo(row.time_zone),
        is_simulated=row.is_simulated,
        role=Role(row.role),
        display_name=row.display_name,
        language=row.language,
        staff_id=row.staff_id,
        practitioner_id=row.practitioner_id,
        patient_id=row.patient_id,
        csrf_token=row.csrf_token,
        session_hash=row.token_hash,
        session_ends_at=session_ends_at,
    )


def current_user(request: Request) -> CurrentUser:
    """The logged-in person; `authorize` has already checked the role."""
    user: CurrentUser | None = request.state.user
    if user is None:
        raise LoginNeeded
    return user


async def tenant_connection(
    request: Request, user: Annotated[CurrentUser, Depends(current_user)]
) -> AsyncIterator[AsyncConnection]:
    """One transaction that sees the user's practice alone. Committed before the answer is sent."""
    async with async_transaction(web_state(request).pool, user.practice_id) as conn:
        yield conn


def web_pool(request: Request) -> AsyncConnectionPool[AsyncConnection]:
    return web_state(request).pool


State = Annotated[WebState, Depends(web_state)]
Now = Annotated[datetime, Depends(present)]
User = Annotated[CurrentUser, Depends(current_user)]
# "function": the commit happens when the handler returns; an answer that says "done" is then true.
Tenant = Annotated[AsyncConnection, Depends(tenant_connection, scope="function")]
