"""The nurse's pages in Chromium: live, by keyboard, accessible, calm on a desktop and on a telephone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from server.security.sessions import SessionLimits
from server.web.app import create_app
from server.web.config import WebSettings
from tests.support import builders
from tests.support.browser import DESKTOP, PHONE, axe_violations, chromium, logged_in, overflows, served
from tests.support.web import judge

SEVERE = ((192, 124), (190, 122))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A served practice with three patients: Anna and Ruth are in danger, Luis is well."""

    base: str
    dsn: str
    browser: Browser

    @contextmanager
    def nurse(self, login: str = "nurse", **options: Any) -> Iterator[tuple[Page, list[str]]]:
        with logged_in(self.browser, self.base, login, **options) as (page, troubles):
            expect(page.locator("#rows")).to_be_visible()
            yield page, troubles

    def measure(self, patient: int, pressures: tuple[tuple[int, int], ...] = SEVERE) -> None:
        """Readings of now, judged by the engine."""
        measure(self.dsn, patient, pressures)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as conn:
            return conn.execute(query).fetchall()  # type: ignore[call-overload,no-any-return]

    def alert_of(self, patient: int) -> str:
        return str(self.rows(f"SELECT id FROM alert WHERE patient_id = 'pt-{patient}'")[0][0])


def measure(dsn: str, patient: int, pressures: tuple[tuple[int, int], ...]) -> None:
    now = datetime.now(UTC)
    with psycopg.connect(dsn) as conn:
        for number, (systolic, diastolic) in enumerate(pressures):
            at = now - timedelta(minutes=6 * (len(pressures) - number))
            builders.blood_pressure(
                conn, systolic, diastolic, at, patient_id=f"pt-{patient}", device_id=f"bp-{patient}", judged=None
            )
    # Playwright keeps a loop of its own in this thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(judge(dsn, now))).result(30)


def populate(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        builders.practice(conn, simulated=True)
        builders.practitioner(conn)
        for number, name, login in ((1, "Nora Field", "nurse"), (2, "Milo Ruiz", "milo")):
            builders.staff(conn, staff_id=f"st-{number}", name=name)
            builders.user(conn, "nurse", login=login, staff_id=f"st-{number}", name=name)
        for number, name in enumerate(("Anna Kowalska", "Luis Ortega", "Ruth Coleman"), 1):
            builders.patient(conn, patient_id=f"pt-{number}", name=name, language="es" if number == 2 else "en")
            builders.device(conn, f"pt-{number}", device_id=f"bp-{number}")
            for program in ("rpm", "ccm"):
                builders.enrollment(conn, f"pt-{number}", program)
                builders.consent(conn, f"pt-{number}", program)
            for back in range(2, 14):
                at = datetime.now(UTC) - timedelta(days=back)
                builders.blood_pressure(conn, 128 + back, 80, at, patient_id=f"pt-{number}", device_id=f"bp-{number}")
        builders.device(conn, "pt-1", kind="glucose", device_id="gl-1")
        builders.glucose(conn, 142, datetime.now(UTC) - timedelta(days=1), device_id="gl-1")
        conn.execute(
            "INSERT INTO medication_change (practice_id, patient_id, changed_on, description)"
            " VALUES ('pr-a', 'pt-1', current_date - 5, 'Lisinopril 10 mg to 20 mg daily')"
        )
    for number in (1, 3):
        measure(dsn, number, SEVERE)


@pytest.fixture
def site(database: str) -> Iterator[Site]:
    populate(database)
    with served(create_app(WebSettings(dsn=database))) as base, chromium() as browser:
        yield Site(base=base, dsn=database, browser=browser)


def focused_id(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_state_of_the_pages_is_accessible_and_clean(site: Site, viewport: dict[str, int]) -> None:
    with site.nurse(viewport=viewport) as (page, troubles):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.goto(f"{site.base}/worklist")
            assert axe_violations(page) == []
            page.click(f"#open-{site.alert_of(1)}")
            expect(page.locator("#panel .timer-clock")).to_be_visible()
            page.keyboard.press("x")
            expect(page.locator("#close-disposition")).to_be_focused()
            assert axe_violations(page) == []
            assert not overflows(page)
            for path in ("/patients", "/patients/pt-1", "/time", "/time/pt-1/confirm", "/nowhere"):
                page.goto(site.base + path)
                assert axe_violations(page) == [], path
                assert not overflows(page), path
        page.emulate_media(forced_colors="active", reduced_motion="reduce")
        page.goto(f"{site.base}/worklist?alert={site.alert_of(1)}")
        assert axe_violations(page) == []

    assert [trouble for trouble in troubles if "404" not in trouble] == []


def test_claim_and_close_by_keyboard_alone(site: Site) -> None:
    with site.nurse() as (page, troubles):
        page.keyboard.press("j")
        first = page.evaluate("document.activeElement.closest('.row').dataset.alert")
        page.keyboard.press("c")
        expect(page.locator("#messages")).to_contain_text("Claimed.")
        expect(page.locator("#panel .alert-box")).to_contain_text("Claimed by You")
        page.keyboard.press("x")
        expect(page.locator("#close-disposition")).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.locator("details[open] input[name=went_through]").focus()
        page.keyboard.press("Space")
        page.locator("#close-note").focus()
        page.keyboard.type("Second reading 138/84 after five minutes of rest.")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#messages")).to_contain_text("Closed.")
        expect(page.locator(f"#row-{first}")).to_have_count(0)

    assert troubles == []
    assert site.rows(f"SELECT state, disposition, note FROM alert WHERE id = '{first}'") == [
        (
            "closed",
            "retake-normal",
            (
                "Asked about symptoms of severe blood pressure: none present."
                " Second reading 138/84 after five minutes of rest."
            ),
        )
    ]


def test_after_a_claim_the_focus_is_on_the_next_rows_claim(site: Site) -> None:
    with site.nurse() as (page, _troubles):
        ids = page.eval_on_selector_all("#rows .row", "rows => rows.map(row => row.dataset.alert)")
        page.focus(f"#claim-{ids[0]}")
        page.keyboard.press("Enter")
        expect(page.locator(f"#claim-{ids[1]}")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(f"#row-{ids[1]} .tag.mine")).to_be_visible()
        expect(page.locator(f"#open-{ids[1]}")).to_be_focused()


def test_arriving_alert_appears_is_announced_and_disturbs_no_typing(site: Site) -> None:
    with site.nurse() as (page, troubles):
        expect(page.locator("#liveness")).to_contain_text("Live")
        page.click(f"#open-{site.alert_of(1)}")
        expect(page.locator("#panel-title")).to_have_text("Anna Kowalska")
        page.keyboard.press("l")
        page.fill("#contact-note", "Daughter says she")
        page.focus("#contact-note")

        site.measure(2)

        expect(page.locator("#rows")).to_contain_text("Luis Ortega")
        expect(page.locator("#announce-critical")).to_contain_text("Critical alert: Luis Ortega")
        expect(page).to_have_title("(3 critical) Worklist · vitalwire")
        assert focused_id(page) == "contact-note"
        assert page.input_value("#contact-note") == "Daughter says she"

    assert troubles == []


def test_of_two_browsers_one_wins_the_claim_and_the_other_is_told(site: Site) -> None:
    alert = site.alert_of(1)
    with site.nurse() as (nora, _), site.nurse("milo") as (milo, _):
        for page in (nora, milo):
            page.evaluate(f"setTimeout(() => document.getElementById('claim-{alert}').click(), 50)")
        for page in (nora, milo):
            expect(page.locator("#messages .banner")).to_be_visible()
        said = {name: page.inner_text("#messages") for name, page in (("nora", nora), ("milo", milo))}
        for page in (nora, milo):
            expect(page.locator(f"#claim-{alert}")).to_have_count(0)

    [(owner,)] = site.rows(f"SELECT owner_id FROM alert WHERE id = '{alert}'")
    winner, loser, name = ("nora", "milo", "Nora Field") if owner == "us-nurse" else ("milo", "nora", "Milo Ruiz")
    assert "Claimed." in said[winner]
    assert f"{name} has claimed this alert first." in said[loser]


def test_timer_of_the_open_panel_becomes_a_time_entry(site: Site) -> None:
    with site.nurse() as (page, troubles):
        page.click(f"#open-{site.alert_of(1)}")
        timer = page.locator("#panel .timer")
        expect(timer).to_contain_text("Remote monitoring (RPM)")
        expect(timer.locator("[data-clock]")).to_have_text("0:01")
        timer.get_by_role("button", name="Call begins").click()
        expect(timer).to_contain_text("Live call")
        expect(timer.locator("[data-clock]")).to_have_text("0:03")
        timer.get_by_role("button", name="Call ended").click()
        expect(timer).to_contain_text("Documentation")
        timer.get_by_role("link", name="Stop and log").click()
        page.fill("#note", "Well; no symptoms.")
        page.click("button:has-text('Log this time')")
        page.wait_for_url("**/worklist?alert=*")
        expect(page.locator("#panel .contacts").first).to_contain_text("Live call with the patient")

    assert troubles == []
    logged = site.rows("SELECT activity, live, program, note FROM time_entry ORDER BY started_at")
    assert ("live-call", True, "rpm", "Well; no symptoms.") in logged
    assert ("data-review", False, "rpm", "Well; no symptoms.") in logged


def test_hidden_tab_pauses_the_timer(site: Site) -> None:
    with site.nurse() as (page, _troubles):
        page.click(f"#open-{site.alert_of(1)}")
        expect(page.locator("#panel .timer.on")).to_be_visible()
        page.evaluate(
            "Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        expect(page.locator("#panel .timer.paused")).to_contain_text("Paused")

    assert site.rows("SELECT running_since FROM work_timer") == [(None,)]


def test_reading_and_claiming_work_without_script(site: Site) -> None:
    alert = site.alert_of(1)
    with site.nurse(script=False) as (page, _troubles):
        page.click(f"#open-{alert}")
        expect(page.locator("#panel-title")).to_have_text("Anna Kowalska")
        page.click("#panel details.twin summary >> nth=0")
        expect(page.locator("#panel table").first).to_contain_text("192/124")
        page.click(f"#claim-{alert}")
        expect(page.locator("#panel .alert-box")).to_contain_text("Claimed by You")


def test_single_letter_keys_can_be_switched_off(site: Site) -> None:
    with site.nurse() as (page, _troubles):
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.uncheck("#keys-on")
        page.keyboard.press("Escape")
        page.keyboard.press("j")
        assert "open-" not in focused_id(page)
        page.reload()
        page.keyboard.press("j")
        assert "open-" not in focused_id(page)


class Cable:
    """Between browser and application: while it is cut, running streams end and new ones are refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.cut = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/events":
            await self._app(scope, receive, send)
            return
        if self.cut.is_set():
            await PlainTextResponse("cut", status_code=503)(scope, receive, send)
            return
        stream = asyncio.ensure_future(self._app(scope, receive, send))
        while not self.cut.is_set() and not stream.done():
            await asyncio.wait({stream}, timeout=0.05)
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)


def test_cut_stream_is_said_and_comes_back(database: str) -> None:
    populate(database)
    cable = Cable(create_app(WebSettings(dsn=database)))
    with served(cable) as base, chromium() as browser:  # type: ignore[arg-type]  # any ASGI application is served
        site = Site(base=base, dsn=database, browser=browser)
        with site.nurse() as (page, _troubles):
            expect(page.locator("#liveness")).to_contain_text("Live")
            cable.cut.set()
            expect(page.locator("#liveness.stale")).to_contain_text("Not live", timeout=30_000)
            cable.cut.clear()
            expect(page.locator("#liveness:not(.stale)")).to_contain_text("Live", timeout=30_000)
            site.measure(2)
            expect(page.locator("#rows")).to_contain_text("Luis Ortega")


def test_person_is_warned_before_the_session_ends_and_can_stay(database: str) -> None:
    populate(database)
    limits = SessionLimits(idle=timedelta(seconds=122), touch_every=timedelta(0))
    with (
        served(create_app(WebSettings(dsn=database, limits=limits))) as base,
        chromium() as browser,
        logged_in(browser, base, "nurse") as (page, troubles),
    ):
        warning = page.locator("#session-warning")
        expect(warning).to_be_visible(timeout=10_000)
        assert axe_violations(page) == []
        warning.get_by_role("button", name="Stay logged in").click()
        expect(warning).to_be_hidden()

    assert troubles == []
