"""`/health/live`: the process answers. `/health/ready`: it also reaches its database."""

from __future__ import annotations

import asyncio
from typing import Literal

import psycopg
from fastapi import APIRouter
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from server.web.deps import State

router = APIRouter()
_PATIENCE_SECONDS = 2


class Health(BaseModel):
    """What the process says of itself; `why` only when it is not ready."""

    status: Literal["live", "ready", "not ready"]
    why: str | None = None


@router.get("/health/live", response_model=Health)
async def live() -> Response:
    return JSONResponse({"status": "live"})


@router.get("/health/ready", response_model=Health, responses={503: {"model": Health}})
async def ready(state: State) -> Response:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), state.pool.connection(timeout=_PATIENCE_SECONDS) as conn:
            await conn.execute("SELECT 1")
    except (TimeoutError, PoolTimeout, psycopg.Error):
        return JSONResponse({"status": "not ready", "why": "the database does not answer"}, status_code=503)
    return JSONResponse({"status": "ready"})
