"""The biller's pages: the board of a month, one patient's month with every proof, allocating and freezing it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from server.billing.coverage import coverage
from server.billing.difference import difference, sentences
from server.billing.locked_years import locked_years
from server.db import accounts, determinations, enrollments
from server.db.allocations import AllocationRefusedError, accept_allocation
from server.db.pool import AsyncConnection, async_transaction
from server.security.identity import CurrentUser, Role
from server.security.phi import note_list, open_patient
from server.web import formatting
from server.web.deps import Now, State, Tenant, User
from server.web.htmx import redirect
from server.web.months import Month, day_steps, ladders, read_months, result_digest
from server.web.pages import render
from server.web.problems import Conflict, Malformed, NotFound
from server.web.state import WebState
from server.web.views.billing import PatientMonth, board, last_day
from server.web.views.coverage import coverage_page
from server.web.views.month import month_page

router = APIRouter()
_MONTH: Final = re.compile(r"^20[0-9]{2}-(0[1-9]|1[0-2])$")
# A page left open longer than a working day is read again before it is frozen.
_LONGEST_LOOK: Final = timedelta(hours=12)


@router.get("/billing")
async def this_month(request: Request, user: User, now: Now) -> Response:
    return redirect(request, f"/billing/{now.astimezone(user.zone):%Y-%m}")


@router.get("/billing/coverage")
async def coverage_register(request: Request) -> Response:
    """What the product knows of each code. No patient is in it."""
    return render(request, "billing/coverage.html", page=coverage_page(coverage(), locked_years().values()))


@router.get("/billing/{month}")
async def month_board(request: Request, state: State, conn: Tenant, user: User, now: Now, month: str) -> Response:
    _check(month)
    last = last_day(month)
    people = await enrollments.enrolled_patients(conn, first=last.replace(day=1), last=last)
    found = await _months(state, user, [person.patient_id for person in people], month, now)
    frozen = {item.patient_id: item.result_digest for item in await determinations.frozen_patients(conn, month)}
    rows = [
        PatientMonth(
            patient_id=person.patient_id,
            name=person.name,
            programs=tuple(person.programs),
            adjudication=found[person.patient_id].adjudication,
            outlook=found[person.patient_id].outlook,
            frozen=person.patient_id in frozen,
            changed_since_frozen=frozen.get(person.patient_id) != result_digest(found[person.patient_id].adjudication),
        )
        for person in people
        if person.patient_id in found
    ]
    await note_list(conn, user, page=f"billing {month}", patient_ids=[row.patient_id for row in rows])
    today = now.astimezone(user.zone).date()
    page = board(month, rows, today=today, ladders=ladders(last), days=day_steps(last))
    return render(request, "billing/board.html", board=page)


@router.get("/billing/{month}/{patient_id}")
async def patient_month(
    request: Request, state: State, conn: Tenant, user: User, now: Now, month: str, patient_id: str
) -> Response:
    _check(month)
    # Read first: the audit row locks the head of the practice's log until this transaction ends.
    months = await _months(state, user, [patient_id], month, now)
    patient = await open_patient(conn, user, patient_id, purpose=f"billing {month}")
    found = months[patient_id]
    names = {person.id: f"{person.name}, {person.credential}" for person in await accounts.care_team(conn)}
    page = month_page(
        patient_name=patient.name,
        adjudication=found.adjudication,
        facts=found.facts,
        names=names,
        zone=user.zone,
        today=now.astimezone(user.zone).date(),
    )
    return render(
        request,
        "billing/month.html",
        page=page,
        frozen=await _frozen_words(conn, user, patient_id, month, found, now),
        changes=await _changes_since(conn, patient_id, month, found),
        as_of=now.isoformat(),
        can_freeze=user.role is Role.BILLER,
    )


@router.post("/billing/{month}/{patient_id}/freeze")
async def freeze(
    request: Request,
    state: State,
    user: User,
    now: Now,
    month: str,
    patient_id: str,
    as_of: Annotated[str, Form(max_length=40)],
    demo: Annotated[str, Form(max_length=5)] = "",
) -> Response:
    """Freezes what the page showed: the facts as they stood when it was made."""
    _check(month)
    if user.is_simulated and demo != "yes":
        raise Conflict("A simulated practice cannot bill. Confirm that this is demo data to freeze it as a demo.")
    seen_at = _seen_at(as_of, now)
    months = await _months(state, user, [patient_id], month, seen_at)
    # A transaction of its own: the billing role's, which follows, writes to the same audit log.
    async with async_transaction(state.pool, user.practice_id) as conn:
        await open_patient(conn, user, patient_id, purpose=f"freeze {month}")
        last = await determinations.latest_frozen(conn, patient_id, month)
    found = months[patient_id]
    digest = result_digest(found.adjudication)
    if last is not None and last.result_digest == digest:
        raise Conflict("This month is frozen with the same result already. Nothing changed.")
    await determinations.freeze(
        state.billing_pool,
        practice_id=user.practice_id,
        patient_id=patient_id,
        month=month,
        as_of=seen_at,
        facts=found.facts,
        facts_digest=str(found.adjudication["facts_digest"]),
        pack_digest=str(found.adjudication["pack"]["digest"]),
        result=found.adjudication,
        result_digest=digest,
        frozen_at=now,
        frozen_by=user.id,
    )
    return redirect(request, f"/billing/{month}/{patient_id}#freeze")


@router.post("/billing/{month}/{patient_id}/allocate")
async def allocate(
    request: Request,
    conn: Tenant,
    user: User,
    now: Now,
    month: str,
    patient_id: str,
    choice: Annotated[str, Form(max_length=4000)],
    reason: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Gives untagged time to programs, as the person who asks says; a tagged minute is never moved."""
    _check(month)
    await open_patient(conn, user, patient_id, purpose=f"allocate {month}")
    pairs = [part.partition("=") for part in choice.split(",") if part]
    if any(not (entry and program) for entry, _, program in pairs):
        raise Malformed("choice: load the page again and allocate from there.")
    try:
        await accept_allocation(
            conn,
            practice_id=user.practice_id,
            patient_id=patient_id,
            programs={entry: program for entry, _, program in pairs},
            reason=reason,
            accepted_by=user.id,
            now=now,
        )
    except AllocationRefusedError as error:
        raise Conflict(str(error)) from error
    return redirect(request, f"/billing/{month}/{patient_id}#time")


def _check(month: str) -> None:
    if not _MONTH.match(month):
        raise NotFound("This month")


def _seen_at(text: str, now: datetime) -> datetime:
    try:
        seen_at = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed("as_of: load the page again and freeze from there.") from None
    if seen_at.tzinfo is None or not now - _LONGEST_LOOK <= seen_at <= now:
        raise Conflict("This page is too old to be frozen. Load it again and look once more.")
    return seen_at


async def _months(
    state: WebState, user: CurrentUser, patient_ids: list[str], month: str, as_of: datetime
) -> dict[str, Month]:
    return await read_months(
        state.billing_pool,
        practice_id=user.practice_id,
        patient_ids=patient_ids,
        month=month,
        as_of=as_of,
        is_simulated=user.is_simulated,
    )


async def _changes_since(conn: AsyncConnection, patient_id: str, month: str, found: Month) -> tuple[str, ...]:
    """What facts that came or changed after the freeze do to its lines, with the money."""
    last = await determinations.latest_frozen(conn, patient_id, month)
    if last is None or last.result_digest == result_digest(found.adjudication):
        return ()
    return sentences(difference(last.result, last.facts, found.adjudication, found.facts))


async def _frozen_words(
    conn: AsyncConnection, user: CurrentUser, patient_id: str, month: str, found: Month, now: datetime
) -> str:
    last = await determinations.latest_frozen(conn, patient_id, month)
    if last is None:
        return ""
    who = last.frozen_by_name or "somebody"
    when = formatting.local_when(last.frozen_at, user.zone, now)
    same = last.result_digest == result_digest(found.adjudication)
    change = "The result is still the same." if same else "The result has changed since: freeze again to keep both."
    demo = " It is a demo and can never be claimed." if last.result.get("watermark") else ""
    return f"Frozen {when} by {who}. {change}{demo}"
