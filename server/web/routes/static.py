"""Static files under a path that holds the digest of their content: kept by browsers for ever."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from server.security.headers import IMMUTABLE
from server.web.deps import State
from server.web.problems import NotFound

router = APIRouter()


@router.get("/static/{digest}/{name:path}")
async def static_file(request: Request, digest: str, name: str, state: State) -> Response:
    asset = state.assets.find(digest, name)
    if asset is None:
        raise NotFound("This file")
    headers = {"cache-control": IMMUTABLE, "vary": "Accept-Encoding"}
    body = asset.body
    if asset.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        body = asset.gzipped
        headers["content-encoding"] = "gzip"
    return Response(body, media_type=asset.media_type, headers=headers)
