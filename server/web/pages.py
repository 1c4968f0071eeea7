"""Rendering: one Jinja environment, one function that makes an answer.

Input: a template and its view value. Output: an HTML response that carries the session's user, navigation and token.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from server.security.identity import CurrentUser
from server.web import formatting, navigation
from server.web.assets import Assets

TEMPLATES: Final = Path(__file__).with_name("templates")
# In this order; a page works for reading and claiming without any of them.
SCRIPTS: Final = ("vendor/htmx.min.js", "session.js")


def make_environment(assets: Assets) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = assets.url
    environment.globals["scripts"] = [name for name in SCRIPTS if assets.has(name)]
    environment.globals["has_asset"] = assets.has
    environment.filters["iso"] = formatting.iso
    return environment


def render(
    request: Request,
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: dict[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """A page or a piece of one; both get the same context, so a piece is the same markup."""
    state = request.app.state.web
    user: CurrentUser | None = getattr(request.state, "user", None)
    body = state.templates.get_template(template).render(
        **context,
        user=user,
        csrf_token=user.csrf_token if user else "",
        nav=navigation.items_for(user.role, request.app.state.paths) if user else (),
        path=request.url.path,
    )
    return HTMLResponse(body, status_code=status, headers=headers)
