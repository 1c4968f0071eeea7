"""Counted time over the real routes and database: one clock, one running timer, nothing rounded, no overlap."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.support import builders
from tests.support.web import MovableClock, browser, log_in, running_app, token_of

_FIELD = re.compile(r'name="((?:start|end)-\d+-\d+)" value="([^"]+)"')


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def app(database: str, clock: MovableClock) -> AsyncIterator[FastAPI]:
    with psycopg.connect(database) as conn:
        builders.practice(conn)
        builders.practice(conn, "pr-b")
        builders.practitioner(conn)
        builders.staff(conn)
        builders.user(conn, "nurse", staff_id="st-1")
        for patient_id, name in (("pt-1", "Anna Kowalska"), ("pt-2", "Luis Ortega")):
            builders.patient(conn, patient_id=patient_id, name=name)
            builders.enrollment(conn, patient_id, "rpm")
        builders.enrollment(conn, "pt-1", "ccm")
        builders.patient(conn, patient_id="pt-3", name="Not Enrolled")
        builders.patient(conn, "pr-b", "pt-b", name="Foreign Person")
        builders.alert(conn, clock.at - timedelta(minutes=5), alert_id="al-1")
    async with running_app(database, clock) as running:
        yield running


class Nurse:
    """A logged-in nurse with the token in hand."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self.client = client
        self._headers = {"x-csrf-token": token, "hx-request": "true"}

    async def post(self, path: str, **form: str) -> httpx.Response:
        return await self.client.post(f"/time/{path}", data=form, headers=self._headers)

    async def confirm(self, patient_id: str, note: str = "Reviewed.", **changes: str) -> httpx.Response:
        """Send the proposal back as the page made it, with the boxes ticked, and `changes` on top."""
        page = (await self.client.get(f"/time/{patient_id}/confirm")).text
        form = dict(_FIELD.findall(page))
        form |= dict.fromkeys(re.findall(r'name="(keep-\d+-\d+)"', page), "yes")
        for index, kind in re.findall(r'name="(program|activity|with)-(\d+)"', page):
            chosen = re.search(rf'name="{index}-{kind}">.*?</select>', page, re.S)
            assert chosen is not None
            selected = re.search(r'value="([^"]*)" selected', chosen[0])
            form[f"{index}-{kind}"] = selected[1] if selected else ""
        return await self.post(f"{patient_id}/confirm", **{**form, "note": note, **changes})


@asynccontextmanager
async def nurse(app: FastAPI) -> AsyncIterator[Nurse]:
    async with browser(app) as client:
        await log_in(client, "nurse")
        yield Nurse(client, token_of((await client.get("/time")).text))


def entries(database: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as conn:
        return conn.execute(
            "SELECT patient_id, program, activity, live, with_whom, extract(epoch FROM ended_at - started_at)::int,"
            " alert_id FROM time_entry WHERE superseded_at IS NULL ORDER BY started_at"
        ).fetchall()


async def test_alert_is_timed_as_remote_monitoring_and_logged_to_the_second(
    app: FastAPI, clock: MovableClock, database: str
) -> None:
    async with nurse(app) as nora:
        started = await nora.post("pt-1/start", alert="al-1")
        clock.move(seconds=77)
        await nora.post("pt-1/beat", idle="0")
        answer = await nora.confirm("pt-1")

    assert "Remote monitoring (RPM)" in started.text
    assert answer.headers["hx-redirect"] == "/worklist?alert=al-1"
    assert entries(database) == [("pt-1", "rpm", "data-review", False, None, 77, "al-1")]


async def test_work_without_an_alert_is_care_management(app: FastAPI) -> None:
    async with nurse(app) as nora:
        started = await nora.post("pt-1/start")

    assert "Chronic care (CCM)" in started.text


async def test_patient_in_no_program_gets_no_timer(app: FastAPI, clock: MovableClock) -> None:
    async with nurse(app) as nora:
        started = await nora.post("pt-3/start")
        clock.move(seconds=30)
        proposal = await nora.client.get("/time/pt-3/confirm")

    assert "Time is not being counted" in started.text
    assert proposal.status_code == 404


async def test_another_practices_patient_gets_no_timer(app: FastAPI, database: str) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-b/start")

    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM work_timer").fetchone() == (0,)


async def test_two_tabs_for_ten_minutes_log_ten_minutes(app: FastAPI, clock: MovableClock, database: str) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        await nora.post("pt-1/start", alert="al-1")
        for _ in range(40):
            clock.move(seconds=15)
            await nora.post("pt-1/beat", idle="0")
            await nora.post("pt-1/beat", idle="3")
        await nora.confirm("pt-1")

    assert [row[5] for row in entries(database)] == [600]


async def test_opening_another_patient_pauses_the_first_and_loses_nothing(
    app: FastAPI, clock: MovableClock, database: str
) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        clock.move(seconds=50)
        await nora.post("pt-2/start")
        clock.move(seconds=20)
        await nora.confirm("pt-2")
        clock.move(seconds=400)
        await nora.confirm("pt-1")

    assert [(row[0], row[5]) for row in entries(database)] == [("pt-1", 50), ("pt-2", 20)]


async def test_hidden_tab_pauses_but_a_call_goes_on(app: FastAPI, clock: MovableClock, database: str) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        clock.move(seconds=10)
        hidden = await nora.post("pt-1/beat", hidden="true")
        clock.move(seconds=100)
        await nora.post("pt-1/turn", activity="live-call")
        clock.move(seconds=5)
        calling = await nora.post("pt-1/beat", hidden="true")
        clock.move(seconds=600)
        await nora.post("pt-1/turn", activity="documentation")
        clock.move(seconds=30)
        await nora.confirm("pt-1")

    assert "Paused" in hidden.text
    assert "Live call" in calling.text
    assert [row[2:6] for row in entries(database)] == [
        ("data-review", False, None, 10),
        ("live-call", True, "patient", 605),
        ("documentation", False, None, 30),
    ]


async def test_overlap_is_refused_in_words_and_the_note_is_kept(
    app: FastAPI, clock: MovableClock, database: str
) -> None:
    with psycopg.connect(database) as conn:
        conn.execute(
            "INSERT INTO time_entry (practice_id, patient_id, program, performer_id, started_at, ended_at, activity,"
            " note) VALUES ('pr-a', 'pt-2', 'rpm', 'st-1', %s, %s, 'data-review', 'x')",
            (clock.at + timedelta(seconds=30), clock.at + timedelta(seconds=90)),
        )
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        clock.move(seconds=60)
        await nora.post("pt-1/beat", idle="0")
        refused = await nora.confirm("pt-1", note="Half an hour of thought")

    assert refused.status_code == 409
    assert "You are already logged 10:00 to 10:01 for Luis Ortega" in refused.text
    assert "Half an hour of thought" in refused.text
    assert len(entries(database)) == 1
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT count(*) FROM work_timer").fetchone() == (1,)


async def test_time_can_not_be_added_in_the_form(app: FastAPI, clock: MovableClock, database: str) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        clock.move(seconds=60)
        await nora.confirm("pt-1", **{"start-0-0": "2026-11-22T08:00:00Z", "end-0-0": "2026-11-22T15:00:40Z"})

    assert [row[5] for row in entries(database)] == [40]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"note": " "}, "Note: write what was done"),
        ({"program-0": "rtm"}, "Program: choose one of the listed"),
        ({"activity-0": "live-call"}, "Live call is live two-way talk"),
        ({"with-0": "patient"}, "Review of readings is not live talk"),
        ({"start-0-0": "yesterday"}, "Start: this time cannot be read"),
        ({"start-0-0": "2026-11-22T16:00:00Z"}, "Nothing is left to log"),
    ],
)
async def test_wrong_answers_are_named_and_nothing_is_logged(
    app: FastAPI, clock: MovableClock, database: str, changes: dict[str, str], message: str
) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        clock.move(seconds=60)
        answer = await nora.confirm("pt-1", **changes)

    assert answer.status_code == 422
    assert message in answer.text
    assert entries(database) == []


async def test_draft_survives_a_crash_of_the_browser(app: FastAPI, clock: MovableClock) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        clock.move(seconds=15)
        await nora.post("pt-1/beat", idle="0", note="Says she felt dizzy")
    clock.move(hours=1)
    async with nurse(app) as again:
        proposal = await again.client.get("/time/pt-1/confirm")
        day = await again.client.get("/time")

    assert "Says she felt dizzy" in proposal.text
    assert "counted 15 s" in proposal.text
    assert "Anna Kowalska" in day.text


async def test_beat_without_input_does_not_keep_the_session(app: FastAPI, clock: MovableClock) -> None:
    async with nurse(app) as nora:
        await nora.post("pt-1/start", alert="al-1")
        for _ in range(4):
            clock.move(minutes=4)
            await nora.client.post(
                "/time/pt-1/beat", data={"idle": "900"}, headers={**nora._headers, "vw-background": "true"}
            )
        ended = await nora.client.get("/time")

    assert ended.headers["location"].startswith("/login")
