"""`/health/live`: the process answers. `/health/ready`: it also reaches its database."""

from __future__ import annotations

import asyncio

import psycopg
from fastapi import APIRouter
from psycopg_pool import PoolTimeout
from starlette.responses import JSONResponse, Response

from server.web.deps import State

router = APIRouter()
_PATIENCE_SECONDS = 2


@router.get("/health/live")
async def live() -> Response:
    return JSONResponse({"status": "live"})


@router.get("/health/ready")
async def ready(state: State) -> Response:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), state.pool.connection(timeout=_PATIENCE_SECONDS) as conn:
            await conn.execute("SELECT 1")
    except (TimeoutError, PoolTimeout, psycopg.Error):
        return JSONResponse({"status": "not ready", "why": "the database does not answer"}, status_code=503)
    return JSONResponse({"status": "ready"})
