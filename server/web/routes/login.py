"""Log in, log out, start page, keep the session alive.

The answer to a wrong password and to an unknown login is the same, in words and in time.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from server.db import users
from server.db.audit import append_audit
from server.db.pool import async_transaction
from server.security import csrf, passwords, sessions, throttle
from server.security.identity import CurrentUser, Role
from server.web.deps import LOGIN_COOKIE, Now, State, User
from server.web.formatting import span
from server.web.htmx import is_fragment, redirect
from server.web.navigation import HOME
from server.web.pages import render
from server.web.state import WebState

router = APIRouter()
_WRONG = "This login name and password do not fit together."


@router.get("/")
async def start(request: Request, user: User) -> Response:
    return redirect(request, HOME[user.role])


@router.get("/login")
async def login_page(request: Request, state: State, next: str = "/", ended: int = 0) -> Response:  # noqa: A002 - the address says `next`
    if request.state.user is not None:
        return RedirectResponse("/", status_code=303)
    return _form(request, state, target=safe_target(next), message="Your session has ended." if ended else "")


@router.post("/login")
async def log_in(
    request: Request,
    state: State,
    now: Now,
    login: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=passwords.MAX_PASSWORD_CHARACTERS)] = "",
    next: Annotated[str, Form(max_length=500)] = "/",  # noqa: A002 - the form says `next`
) -> Response:
    login = login.strip().lower()
    login_hash = hashlib.sha256(login.encode()).digest()
    address = request.client.host if request.client else None
    target = safe_target(next)
    async with async_transaction(state.pool) as conn:
        by_account, by_address = await users.recent_failures(
            conn, login_hash=login_hash, address=address, now=now, window=throttle.WINDOW
        )
        account = await users.find_account(conn, login)
    wait = throttle.wait_before_login(account_failures=by_account, address_failures=by_address, now=now)
    if wait:
        seconds = int(wait.total_seconds()) + 1
        return _form(
            request,
            state,
            target=target,
            login=login,
            message=f"Too many attempts. Please wait {span(seconds)} and try again.",
            status=HTTPStatus.TOO_MANY_REQUESTS,
            headers={"retry-after": str(seconds)},
        )
    correct = await state.passwords.verify(account.password_hash if account else None, password)
    if account is None or account.disabled or not correct:
        async with async_transaction(state.pool) as conn:
            await users.record_login_attempt(conn, login_hash=login_hash, address=address, now=now, succeeded=False)
        return _form(request, state, target=target, login=login, message=_WRONG, status=HTTPStatus.UNAUTHORIZED)
    new_hash = await state.passwords.hash(password) if passwords.needs_rehash(account.password_hash) else None
    session_id = sessions.new_session_id()
    async with async_transaction(state.pool, account.practice_id) as conn:
        await users.record_login_attempt(conn, login_hash=login_hash, address=address, now=now, succeeded=True)
        if new_hash is not None:
            await users.store_password_hash(conn, account.id, new_hash)
        old_session: CurrentUser | None = request.state.user
        if old_session is not None:
            await users.revoke_session(conn, old_session.session_hash, now)
        await users.open_session(
            conn,
            token_hash=sessions.session_hash(session_id),
            account=account,
            csrf_token=csrf.new_token(),
            now=now,
            expires_at=now + state.settings.limits.absolute,
        )
        await append_audit(
            conn,
            practice_id=account.practice_id,
            actor=account.id,
            action="log-in",
            entity="app_user",
            entity_id=account.id,
        )
    answer = RedirectResponse(HOME[Role(account.role)] if target == "/" else target, status_code=303)
    answer.set_cookie(
        sessions.cookie_name(secure=state.settings.tls),
        session_id,
        path="/",
        secure=state.settings.tls,
        httponly=True,
        samesite="lax",
        max_age=int(state.settings.limits.absolute.total_seconds()),
    )
    answer.delete_cookie(LOGIN_COOKIE, path="/login")
    return answer


@router.post("/logout")
async def log_out(request: Request, state: State, user: User, now: Now) -> Response:
    async with async_transaction(state.pool, user.practice_id) as conn:
        await users.revoke_session(conn, user.session_hash, now)
        await append_audit(
            conn,
            practice_id=user.practice_id,
            actor=user.id,
            action="log-out",
            entity="app_user",
            entity_id=user.id,
        )
    answer = redirect(request, "/login")
    answer.delete_cookie(sessions.cookie_name(secure=state.settings.tls), path="/", secure=state.settings.tls)
    return answer


@router.post("/session/extend")
async def extend(request: Request, user: User) -> Response:
    """`authorize` has just moved the idle limit."""
    if is_fragment(request):
        return Response(status_code=204)
    return redirect(request, HOME[user.role])


def safe_target(target: str) -> str:
    """A path of ours, else the start page: a log-in link must not lead to another site."""
    harmless = target.startswith("/") and not target.startswith(("//", "/\\", "/login")) and target.isprintable()
    return target if harmless else "/"


def _form(
    request: Request,
    state: WebState,
    *,
    target: str,
    message: str,
    login: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
) -> Response:
    token = request.cookies.get(LOGIN_COOKIE) or csrf.new_token()
    answer = render(
        request,
        "login/page.html",
        status=status,
        headers=headers,
        token=token,
        target=target,
        login=login,
        message=message,
    )
    answer.set_cookie(
        LOGIN_COOKIE, token, path="/login", secure=state.settings.tls, httponly=True, samesite="strict", max_age=3600
    )
    return answer
