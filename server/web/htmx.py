"""The conversation with htmx 4: is this a fragment request, and which headers steer its answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a piece of the page. Every answer varies by this header."""
    return request.headers.get("hx-request") == "true"


def redirect(request: Request, url: str) -> Response:
    """After a form: 303 for a browser; htmx is told to load the page itself, else it would swap it into a piece."""
    if is_fragment(request):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, status_code=303)
