"""Problems as answers: a friendly page, a piece for htmx, or problem JSON (RFC 9457). Never a traceback."""

from __future__ import annotations

from http import HTTPStatus
from typing import cast
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from server.db.audit import append_audit
from server.db.pool import async_transaction
from server.security.identity import CurrentUser
from server.security.phi import NotVisibleError
from server.web.deps import session_user
from server.web.htmx import is_fragment
from server.web.pages import render
from server.web.problems import LoginNeeded, Malformed, NotFound, Problem


async def on_problem(request: Request, error: Exception) -> Response:
    problem = cast("Problem", error)
    await _audit_refusal(request, problem)
    if isinstance(problem, LoginNeeded) and not wants_json(request):
        return _to_login(request)
    return problem_answer(request, problem)


async def on_not_visible(request: Request, error: Exception) -> Response:
    """Another practice's or another person's row: the same answer as for one that does not exist."""
    hidden = cast("NotVisibleError", error)
    what = f"This {hidden.entity}"
    return await on_problem(request, NotFound(what, audit=("refused", hidden.entity, hidden.entity_id)))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own: unknown address, wrong method. No route ran, so the session is looked up here."""
    if not hasattr(request.state, "user"):
        request.state.user = await session_user(request, background=True)
    status = HTTPStatus(cast("HTTPException", error).status_code)
    words = {
        HTTPStatus.NOT_FOUND: "There is no page at this address.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This address cannot be used in that way.",
    }
    return problem_answer(request, Problem(status, words.get(status, status.description)))


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Malformed input. Names the fields; what was sent is not repeated."""
    fields = {str(item["loc"][-1]) for item in cast("RequestValidationError", error).errors() if item.get("loc")}
    return problem_answer(request, Malformed(f"Please check: {', '.join(sorted(fields))}."))


def problem_answer(request: Request, problem: Problem) -> Response:
    if wants_json(request):
        return JSONResponse(
            {"title": problem.title, "status": int(problem.status), "detail": problem.detail},
            status_code=problem.status,
            media_type="application/problem+json",
        )
    if is_fragment(request):
        # The piece that was asked for stays as it is; the message goes to the page's message place.
        headers = {"HX-Retarget": "#messages", "HX-Reswap": "innerHTML"}
        return render(request, "_problem.html", status=problem.status, headers=headers, problem=problem)
    return render(request, "problem.html", status=problem.status, problem=problem)


def wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "json" in accept and "text/html" not in accept


def _to_login(request: Request) -> Response:
    """A page request comes back to the same page after the log-in; a piece reloads the whole page."""
    if is_fragment(request):
        return Response(status_code=401, headers={"HX-Redirect": "/login?ended=1"})
    target = f"/login?next={quote(request.url.path)}" if request.method == "GET" else "/login?ended=1"
    return RedirectResponse(target, status_code=303)


async def _audit_refusal(request: Request, problem: Problem) -> None:
    """In a transaction of its own: the refused one was rolled back."""
    user: CurrentUser | None = getattr(request.state, "user", None)
    if problem.audit is None or user is None:
        return
    action, entity, entity_id = problem.audit
    async with async_transaction(request.app.state.web.pool, user.practice_id) as conn:
        await append_audit(
            conn, practice_id=user.practice_id, actor=user.id, action=action, entity=entity, entity_id=entity_id
        )
