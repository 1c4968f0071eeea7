"""The web application: composition of routes, shell and collaborators.

Input: settings. Output: an ASGI app. Routers are written out in order, so a reader sees every page there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import structlog
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from starlette.exceptions import HTTPException

from server import clock
from server.db.pool import AsyncConnection, Role, conninfo
from server.security.passwords import PasswordGate
from server.security.phi import NotVisibleError
from server.web import assets
from server.web.answers import on_http_exception, on_not_visible, on_problem, on_validation_error
from server.web.config import WebSettings
from server.web.deps import authorize
from server.web.pages import make_environment
from server.web.problems import Problem
from server.web.routes import (
    admin,
    alerts,
    billing,
    devices,
    events,
    health,
    login,
    me,
    operator,
    patients,
    registry,
    static,
    tester,
    time,
    worklist,
)
from server.web.shell import Shell
from server.web.sse import Hub
from server.web.state import WebState

_log = structlog.get_logger(__name__)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    static.router,
    login.router,
    worklist.router,
    alerts.router,
    patients.router,
    time.router,
    events.router,
    registry.router,
    devices.router,
    billing.router,
    me.router,
    operator.router,
    admin.router,
    tester.router,
)


def create_app(settings: WebSettings, *, now: Callable[[], datetime] = clock.now) -> FastAPI:
    """The application; its pools open and close with its lifespan. `now` is a parameter for tests and for simulated
    time."""
    loaded = assets.load_assets()
    if assets.missing():
        _log.warning("browser-libraries-missing", files=assets.missing(), remedy="python -m server.web.assets install")
    pool = _pool(settings, "vw_web", settings.pool_size)
    state = WebState(
        settings=settings,
        now=now,
        assets=loaded,
        templates=make_environment(loaded),
        passwords=PasswordGate(),
        pool=pool,
        alerts_pool=_pool(settings, "vw_alerts", settings.alerts_pool_size),
        hub=Hub(dsn=settings.dsn, pool=pool),
        billing_pool=ConnectionPool(
            conninfo(settings.dsn, "vw_billing", "vitalwire-web"),
            min_size=0,
            max_size=settings.billing_pool_size,
            open=False,
        ),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with state.pool, state.alerts_pool:
            await state.pool.wait(timeout=30)
            state.billing_pool.open()
            listener = asyncio.create_task(state.hub.run(), name="live-updates")
            try:
                yield
            finally:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)
                await asyncio.to_thread(state.billing_pool.close)

    app = FastAPI(
        lifespan=lifespan,
        dependencies=[Depends(authorize)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(NotVisibleError, on_not_visible)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_middleware(Shell, tls=settings.tls)
    app.state.web = state
    app.state.paths = frozenset(path for _method, path in routes())
    return app


def routes() -> list[tuple[str, str]]:
    """(method, template) of every route there is, as the policy table writes them. Routers carry no prefix."""
    return [
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


def _pool(settings: WebSettings, role: Role, size: int) -> AsyncConnectionPool[AsyncConnection]:
    """Waiting longer than five seconds for a connection helps nobody: the page says so instead."""
    return AsyncConnectionPool(
        conninfo(settings.dsn, role, "vitalwire-web"), min_size=1, max_size=size, timeout=5, open=False
    )
