"""A real browser on a really served application: Chromium by Playwright, axe-core for accessibility.

Fails, never skips, when Chromium is missing: the prerequisites name the package to install.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.builders import PASSWORD

CHROMIUM = "/usr/bin/chromium"
_AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESKTOP = {"width": 1400, "height": 1050}
PHONE = {"width": 390, "height": 844}


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application on a free port of the loopback; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, name="served-app")
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the server ended at its start"
            assert time.monotonic() < deadline, "the server did not start within 30 s"
            thread.join(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            headless=True,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def logged_in(
    browser: Browser,
    base: str,
    login: str,
    password: str = PASSWORD,
    *,
    viewport: dict[str, int] | None = None,
    script: bool = True,
) -> Iterator[tuple[Page, list[str]]]:
    """A page after the log-in, and the list in which its console errors and foreign requests gather."""
    context = browser.new_context(viewport=viewport or DESKTOP, java_script_enabled=script)  # type: ignore[arg-type]
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: _note_foreign(request.url, base, troubles))
    try:
        page.goto(f"{base}/login")
        page.fill("#login", login)
        page.fill("#password", password)
        page.click("main button[type=submit]")
        page.wait_for_url(lambda url: "/login" not in url)
        yield page, troubles
    finally:
        context.close()


def _note_foreign(url: str, base: str, troubles: list[str]) -> None:
    if not url.startswith((base, "data:", "about:")):
        troubles.append(f"foreign request {url}")


@cache
def _axe_source() -> str:
    return _AXE.read_text(encoding="utf-8")


def axe_violations(page: Page) -> list[str]:
    """One line for each violation with the first element it concerns."""
    page.evaluate(_axe_source())
    result: dict[str, Any] = page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", _TAGS)
    return [
        f"{item['id']}: {item['help']} at {item['nodes'][0]['target']} ({len(item['nodes'])})"
        for item in result["violations"]
    ]


def overflows(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth + 1"))
