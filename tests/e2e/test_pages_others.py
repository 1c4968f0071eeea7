"""Every page beside the worklist in a real Chromium: accessible, without errors, right on a phone, by keyboard."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Browser

from server.web.app import create_app
from server.web.config import WebSettings
from tests.support.browser import DESKTOP, PHONE, axe_violations, chromium, logged_in, overflows, served
from tests.support.database import fresh_database
from tests.support.demo_month import ANNA, NOW, RUTH, fill
from tests.support.web import MovableClock

HELD = "00000000-0000-5000-8000-0000000000aa"
PAGES = {
    "biller": ("/billing/2026-11", f"/billing/2026-11/{ANNA}", f"/billing/2026-11/{RUTH}", "/billing/2026-09"),
    "patient": ("/me",),
    "paciente": ("/me",),
    "admin": ("/operator", "/admin", "/admin/audit?verify=1", "/devices", "/devices/bp-demo01", "/devices/new"),
    "nurse": ("/registry", f"/registry/{ANNA}", "/registry/new"),
    "tester": ("/tester", f"/tester/readings/{HELD}"),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def base(database_server: tuple[str, str]) -> Iterator[str]:
    """One served practice for the module: what a test changes here, no other test looks at."""
    dsn, template = database_server
    with fresh_database(dsn, template, f"vw_pages_{os.getpid()}") as database:
        with psycopg.connect(database) as conn:
            fill(conn)
        with served(create_app(WebSettings(dsn=database, pool_size=4), now=MovableClock(at=NOW))) as address:
            yield address


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("login", PAGES)
def test_pages_are_accessible_and_clean(engine: Browser, base: str, login: str, viewport: dict[str, int]) -> None:
    with logged_in(engine, base, login, viewport=viewport) as (page, troubles):
        for path in PAGES[login]:
            answer = page.goto(base + path)

            assert answer is not None
            assert answer.status == 200, path
            assert axe_violations(page) == [], path
            assert not overflows(page), path
        assert troubles == []


def test_opened_details_stay_accessible_and_show_the_source(engine: Browser, base: str) -> None:
    with logged_in(engine, base, "biller") as (page, _troubles):
        page.goto(f"{base}/billing/2026-11/{ANNA}")
        page.locator("#code-99457 summary").first.click()
        shown = page.locator("#code-99457 .source").first.is_visible()
        page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")

        assert shown
        assert axe_violations(page) == []


def test_dark_pages_keep_their_contrast(engine: Browser, base: str) -> None:
    with logged_in(engine, base, "biller") as (page, _troubles):
        page.emulate_media(color_scheme="dark")
        for path in PAGES["biller"][:2]:
            page.goto(base + path)
            assert axe_violations(page) == [], path


def test_month_is_frozen_by_keyboard_alone(engine: Browser, base: str) -> None:
    with logged_in(engine, base, "biller") as (page, _troubles):
        page.goto(f"{base}/billing/2026-11/{ANNA}")
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "demo":
                break
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**#freeze")

        assert "by Sam Reed. The result is still the same." in page.inner_text("main")


def test_without_script_a_patient_switches_the_language_and_back(engine: Browser, base: str) -> None:
    with logged_in(engine, base, "patient", script=False) as (page, _troubles):
        page.get_by_role("button", name="Español").click()
        assert page.get_by_role("heading", level=1).inner_text() == "Hola, Anna Berg"
        page.get_by_role("button", name="English").click()
        assert page.get_by_role("heading", level=1).inner_text() == "Hello Anna Berg"


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_patient_page_is_large_everywhere(engine: Browser, base: str, viewport: dict[str, int]) -> None:
    """18 px or more for every text, labels in charts included; 44 px for everything to press."""
    with logged_in(engine, base, "patient", viewport=viewport) as (page, _troubles):
        page.wait_for_selector("svg.chart")
        small_text = page.evaluate(
            """() => [...document.querySelectorAll('main *, header *')].flatMap(element => {
                const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
                const unseen = '.visually-hidden, title, desc, details:not([open]) > :not(summary)';
                if (!own || element.closest(unseen)) return [];
                const svg = element.closest('svg');
                const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
                const size = parseFloat(getComputedStyle(element).fontSize) * scale;
                const words = element.textContent.trim().slice(0, 30);
                return size < 18 ? [`${element.tagName} ${size.toFixed(1)} ${words}`] : [];
            })"""
        )
        small_targets = page.evaluate(
            """() => [...document.querySelectorAll('button, summary')].filter(element => element.offsetParent !== null
                && element.getBoundingClientRect().height < 44).map(element => element.textContent.trim())"""
        )

    assert small_text == []
    assert small_targets == []


def test_wrong_form_leads_to_the_field(engine: Browser, base: str) -> None:
    with logged_in(engine, base, "nurse") as (page, _troubles):
        page.goto(f"{base}/registry/new")
        page.fill("#name", "Half Done")
        page.fill("#zone", "Mars")
        page.get_by_role("button", name="Save the patient").click()
        page.get_by_role("link", name="Time zone: write an IANA zone such as America/New_York.").click()

        assert page.evaluate("document.activeElement.id || location.hash.slice(1)") == "zone"
        assert page.input_value("#name") == "Half Done"
        assert page.locator("#zone").get_attribute("aria-invalid") == "true"
        assert axe_violations(page) == []
