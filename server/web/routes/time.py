"""Time without a stopwatch: the timer of an open panel, its proposal, and the day's entries.

The clock is the server's. Each request settles the timer first, so a crash, a closed lid or a second tab changes
nothing about what is counted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import Response

from server.care import time_log
from server.care.activity import BY_CODE, COUNTERPARTS, talk_problem
from server.db import alerts as alert_rows
from server.db import enrollments, time_entries
from server.db.audit import append_audit
from server.db.pool import AsyncConnection
from server.db.time_entries import OverlapError, TimerRow
from server.security.identity import CurrentUser
from server.web import forms
from server.web.deps import Now, Tenant, User
from server.web.formatting import local_time
from server.web.htmx import is_fragment, redirect
from server.web.pages import render
from server.web.problems import Conflict, Malformed, NotFound, Problem
from server.web.views.panel import program_of_work, running_programs
from server.web.views.timer import contents_of, day_view, proposal_view, timer_view

router = APIRouter()
_MAX_DRAFT_CHARACTERS = 8000


@router.get("/time")
async def my_day(request: Request, conn: Tenant, user: User, now: Now) -> Response:
    """Today's confirmed entries and the work that still waits to be confirmed."""
    midnight = now.astimezone(user.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    entries = (
        await time_entries.entries_of_performer(conn, user.performer_id, since=midnight) if user.performer_id else []
    )
    rows = await time_entries.timers_of(conn, user.id)
    return render(request, "time/page.html", view=day_view(rows, entries, zone=user.zone, now=now))


@router.post("/time/{patient_id}/start")
async def start(
    request: Request,
    patient_id: str,
    conn: Tenant,
    user: User,
    now: Now,
    alert: Annotated[str, Form()] = "",
) -> Response:
    """Opening a panel: this patient's timer runs, any other pauses. No program, no timer."""
    rows = await _locked_rows(conn, user)
    programs = await _programs(conn, user, patient_id, now)
    existing = next((row.timer for row in rows if row.timer.patient_id == patient_id), None)
    if user.performer_id and programs:
        alert_row = await alert_rows.alert(conn, alert) if alert else None
        alert_id = alert_row.id if alert_row is not None and alert_row.patient_id == patient_id else None
        await _pause_others(conn, user, rows, patient_id, now)
        if existing is None:
            existing = time_log.begin(
                patient_id=patient_id,
                program=program_of_work(programs, from_alert=alert_id is not None),
                activity="data-review",
                alert_id=alert_id,
                now=now,
            )
        else:
            existing = replace(time_log.resume(existing, now), alert_id=alert_id or existing.alert_id)
        await _save(conn, user, existing)
    return _timer_answer(request, existing, patient_id, programs, now)


@router.post("/time/{patient_id}/beat")
async def beat(
    request: Request,
    patient_id: str,
    conn: Tenant,
    user: User,
    now: Now,
    idle: Annotated[str, Form()] = "0",
    hidden: Annotated[bool, Form()] = False,
    note: Annotated[str | None, Form()] = None,
) -> Response:
    """Every 15 s from an open page: how long ago the last input was, and what was typed so far."""
    rows = await _locked_rows(conn, user)
    row = _row_of(rows, patient_id)
    programs = await _programs(conn, user, patient_id, now)
    if row is None:
        return _timer_answer(request, None, patient_id, programs, now)
    seconds = forms.whole_number(idle, low=0, high=86_400, field="idle")
    if hidden:
        timer = row.timer if row.timer.activity == time_log.CALL else time_log.pause(row.timer, now)
    else:
        timer = time_log.touch(row.timer, now=now, idle=timedelta(seconds=seconds))
        if timer.running:
            await _pause_others(conn, user, rows, patient_id, now)
    await _save(conn, user, timer)
    if note is not None and note != row.draft.get("note"):
        draft = {"note": note[:_MAX_DRAFT_CHARACTERS]}
        await time_entries.save_draft(conn, user_id=user.id, patient_id=patient_id, draft=draft)
    return _timer_answer(request, timer, patient_id, programs, now)


@router.post("/time/{patient_id}/turn")
async def turn(
    request: Request,
    patient_id: str,
    conn: Tenant,
    user: User,
    now: Now,
    program: Annotated[str, Form()] = "",
    activity: Annotated[str, Form()] = "",
) -> Response:
    """The content changes: a call begins or ends, another program is served. Earlier seconds keep theirs."""
    rows = await _locked_rows(conn, user)
    row = _row_of(rows, patient_id)
    if row is None:
        raise NotFound("A running timer")
    programs = await _programs(conn, user, patient_id, now)
    timer = time_log.turn_to(
        row.timer,
        now=now,
        program=forms.choice(program, programs, "Program") if program else None,
        activity=forms.choice(activity, BY_CODE, "Activity") if activity else None,
    )
    await _pause_others(conn, user, rows, patient_id, now)
    await _save(conn, user, timer)
    return _timer_answer(request, timer, patient_id, programs, now)


@router.get("/time/{patient_id}/confirm")
async def proposal(request: Request, patient_id: str, conn: Tenant, user: User, now: Now) -> Response:
    """Stop the timer and propose what to log."""
    rows = await _locked_rows(conn, user)
    row = _row_of(rows, patient_id)
    if row is None:
        raise NotFound("Work to confirm for this patient")
    stopped = replace(row, timer=time_log.pause(row.timer, now))
    await _save(conn, user, stopped.timer)
    programs = await _programs(conn, user, patient_id, now)
    view = proposal_view(stopped, programs=programs, zone=user.zone, now=now)
    return render(request, "time/confirm.html", view=view, problem=None)


@router.post("/time/{patient_id}/confirm")
async def confirm(request: Request, patient_id: str, conn: Tenant, user: User, now: Now) -> Response:
    """Log the stretches the person kept. Refused as a whole, with the form kept, when one of them overlaps."""
    if user.performer_id is None:
        raise Conflict("Your login is not linked to a staff member or practitioner, so time cannot be logged for you.")
    rows = await _locked_rows(conn, user)
    row = _row_of(rows, patient_id)
    if row is None:
        raise NotFound("Work to confirm for this patient")
    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    programs = await _programs(conn, user, patient_id, now)
    try:
        async with conn.transaction():
            kept = await _log_all(conn, user, row, form, programs, user.performer_id, now)
            await time_entries.delete_timer(conn, user_id=user.id, patient_id=patient_id)
    except Problem as problem:
        note = form.get("note", "")
        await time_entries.save_draft(conn, user_id=user.id, patient_id=patient_id, draft={"note": note})
        view = proposal_view(row, programs=programs, zone=user.zone, now=now, note=note)
        return render(request, "time/confirm.html", status=HTTPStatus(problem.status), view=view, problem=problem)
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action="log-time",
        entity="patient",
        entity_id=patient_id,
        detail={"entries": kept},
    )
    alert_id = row.timer.alert_id
    return redirect(request, f"/worklist?alert={alert_id}" if alert_id else f"/patients/{patient_id}")


@router.post("/time/{patient_id}/discard")
async def discard(request: Request, patient_id: str, conn: Tenant, user: User) -> Response:
    """The person says that this was no work for the patient."""
    await _locked_rows(conn, user)
    await time_entries.delete_timer(conn, user_id=user.id, patient_id=patient_id)
    await append_audit(
        conn,
        practice_id=user.practice_id,
        actor=user.id,
        action="discard-time",
        entity="patient",
        entity_id=patient_id,
    )
    return redirect(request, "/time")


async def _log_all(
    conn: AsyncConnection,
    user: CurrentUser,
    row: TimerRow,
    form: dict[str, str],
    programs: tuple[str, ...],
    performer_id: str,
    now: datetime,
) -> list[str]:
    note = forms.note(form.get("note", ""), required=True)
    kept: list[str] = []
    for index, (_program, _activity, pieces) in enumerate(contents_of(time_log.stretches(row.timer, now))):
        program = forms.choice(form.get(f"program-{index}", ""), programs, "Program")
        activity = BY_CODE[forms.choice(form.get(f"activity-{index}", ""), BY_CODE, "Activity")]
        with_whom = form.get(f"with-{index}", "")
        live = with_whom in COUNTERPARTS
        trouble = talk_problem(activity, live=live, with_whom=with_whom)
        if trouble is not None:
            raise Malformed(trouble)
        for number, piece in enumerate(pieces):
            if f"keep-{index}-{number}" not in form:
                continue
            stretch = time_log.narrow(
                replace(piece, program=program, activity=activity.code),
                start=forms.instant(form.get(f"start-{index}-{number}", ""), "Start"),
                end=forms.instant(form.get(f"end-{index}-{number}", ""), "End"),
            )
            if stretch is not None:
                kept.append(await _log(conn, user, row, stretch, performer_id, with_whom if live else None, note))
    if not kept:
        raise Malformed("Nothing is left to log. Keep at least one stretch, or discard the time.")
    return kept


async def _log(
    conn: AsyncConnection,
    user: CurrentUser,
    row: TimerRow,
    stretch: time_log.Piece,
    performer_id: str,
    with_whom: str | None,
    note: str,
) -> str:
    try:
        return await time_entries.insert_entry(
            conn,
            practice_id=user.practice_id,
            patient_id=row.timer.patient_id,
            performer_id=performer_id,
            piece=stretch,
            live=with_whom is not None,
            with_whom=with_whom,
            note=note,
            alert_id=row.timer.alert_id,
            recorded_by=user.id,
        )
    except OverlapError as error:
        clash = error.clash
        other = (
            f"{local_time(clash.started_at, user.zone)} to {local_time(clash.ended_at, user.zone)} for"
            f" {clash.patient_name}"
            if clash
            else "the same minutes"
        )
        raise Conflict(
            f"You are already logged {other}. One person cannot be in two entries at once; leave out the stretch that"
            " overlaps."
        ) from error


async def _locked_rows(conn: AsyncConnection, user: CurrentUser) -> list[TimerRow]:
    await time_entries.lock_timers(conn, user.id)
    return await time_entries.timers_of(conn, user.id)


def _row_of(rows: list[TimerRow], patient_id: str) -> TimerRow | None:
    return next((row for row in rows if row.timer.patient_id == patient_id), None)


async def _pause_others(
    conn: AsyncConnection, user: CurrentUser, rows: list[TimerRow], patient_id: str, now: datetime
) -> None:
    for row in rows:
        if row.timer.patient_id != patient_id and row.timer.running:
            await _save(conn, user, time_log.pause(row.timer, now))


async def _save(conn: AsyncConnection, user: CurrentUser, timer: time_log.Timer) -> None:
    await time_entries.save_timer(conn, user_id=user.id, practice_id=user.practice_id, timer=timer)


async def _programs(conn: AsyncConnection, user: CurrentUser, patient_id: str, now: datetime) -> tuple[str, ...]:
    """What time can be logged for today. Another practice's patient has no enrolment here, so no timer either."""
    today = now.astimezone(user.zone).date()
    return running_programs(await enrollments.enrollments(conn, patient_id), today)


def _timer_answer(
    request: Request, timer: time_log.Timer | None, patient_id: str, programs: tuple[str, ...], now: datetime
) -> Response:
    if not is_fragment(request):
        return redirect(request, f"/patients/{patient_id}")
    view = timer_view(timer, patient_id=patient_id, programs=programs, now=now)
    return render(request, "time/_timer.html", timer=view)
