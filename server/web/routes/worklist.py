"""`/worklist`: the nurse's one page. Rows refresh by themselves; the panel of the selected alert is beside them."""

from __future__ import annotations

from typing import Annotated, Final, get_args

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from server.db import alerts as alert_rows
from server.security.phi import NotVisibleError, note_list
from server.web.deps import Now, State, Tenant, User
from server.web.pages import render
from server.web.patient_panel import gather_panel
from server.web.views.worklist import Show, worklist_view

router = APIRouter()
# A nurse finds the filter as she left it. No secret and nobody's data: one of three words.
_FILTER_COOKIE: Final = "vw_show"


def _remembered(request: Request) -> Show:
    kept = request.cookies.get(_FILTER_COOKIE)
    return next((show for show in get_args(Show) if show == kept), "all")


@router.get("/worklist")
async def worklist(
    request: Request,
    conn: Tenant,
    user: User,
    state: State,
    now: Now,
    show: Show | None = None,
    alert: Annotated[str, Query()] = "",
) -> Response:
    """Without script this is everything: the links select, the forms act."""
    alerts = await alert_rows.live_alerts(conn)
    panel = None
    if alert:
        selected = await alert_rows.alert(conn, alert)
        if selected is None:
            raise NotVisibleError("alert", alert)
        panel = await gather_panel(conn, user, patient_id=selected.patient_id, alert=selected, now=now, purpose="alert")
    await note_list(conn, user, page="worklist", patient_ids=[row.patient_id for row in alerts])
    shown = show or _remembered(request)
    view = worklist_view(alerts, user=user, now=now, show=shown, selected_id=alert or None)
    answer = render(request, "worklist/page.html", view=view, panel=panel)
    if show is not None:
        answer.set_cookie(
            _FILTER_COOKIE, show, path="/worklist", secure=state.settings.tls, httponly=True, samesite="lax"
        )
    return answer


@router.get("/worklist/rows")
async def rows(
    request: Request, conn: Tenant, user: User, now: Now, show: Show = "all", alert: Annotated[str, Query()] = ""
) -> Response:
    """The rows alone, for the live update; what they name was audited when the page was opened."""
    view = worklist_view(await alert_rows.live_alerts(conn), user=user, now=now, show=show, selected_id=alert or None)
    return render(request, "worklist/_refresh.html", view=view)
