"""The outermost shell of every request: headers, size limit, one log line, and no traceback to anybody.

A pure ASGI layer, so that it also covers static files, streams and the framework's own errors.
"""

from __future__ import annotations

import secrets
import time
import traceback
from typing import Final

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.security.headers import security_headers

_log = structlog.get_logger(__name__)
_MAX_BODY_BYTES: Final = 1024 * 1024  # the largest form is a note; more is a mistake or an attack


class Shell:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        self._app = app
        self._headers = security_headers(tls=tls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                answered = True
                status = int(message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in self._headers:
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                headers.add_vary_header("HX-Request")
            await send(message)

        try:
            if _too_large(scope):
                await _plain(send_with_headers, 413, "The request is larger than this page accepts (1 MiB).")
                return
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - outermost shell: a crash becomes a number a person can report
            incident = secrets.token_hex(4)
            # Where, never what: the text of a database error carries the row's values.
            frames = traceback.extract_tb(error.__traceback__)[-4:]
            _log.error(
                "request-crashed",
                incident=incident,
                error=type(error).__name__,
                at=[f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames],
            )
            if not answered:
                away = isinstance(error, PoolTimeout | psycopg.OperationalError)
                words = "The database does not answer; try again in a minute." if away else "This failed on our side."
                await _plain(send_with_headers, 503 if away else 500, f"{words} Incident {incident}.")
        finally:
            route = scope.get("route")
            _log.info(
                "request",
                method=scope["method"],
                route=getattr(route, "path", None),  # the template, without ids
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
            )


def _too_large(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return not value.isdigit() or int(value) > _MAX_BODY_BYTES
    return False


async def _plain(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
