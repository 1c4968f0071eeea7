"""A visitor of the pages without a browser: logs in, reads pages, listens to live events.

Input: the address of the web process and a log-in. Output: page text; the moment an event or a text first showed.
"""

from __future__ import annotations

import re
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import datetime
from http.cookiejar import CookieJar

from server import clock


class VisitError(RuntimeError):
    """A page did not answer as a person would need."""


class Visitor:
    """One logged-in session."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar())).open

    def log_in(self, login: str, password: str) -> None:
        """Through the form, token included."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.read("/login"))
        if token is None:
            raise VisitError("the log-in page has no form")
        form = {"csrf_token": token[1], "login": login, "password": password, "next": "/"}
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.url}/login", data=urllib.parse.urlencode(form).encode(), headers={"Origin": self.url}
        )
        with self._open(request, timeout=15) as answer:
            if answer.url.endswith("/login"):
                raise VisitError(f"log-in as {login} was refused")

    def read(self, path: str) -> str:
        with self._open(f"{self.url}{path}", timeout=15) as answer:
            text: str = answer.read().decode("utf-8")
            return text

    def listen(self, heard: Callable[[str, datetime], None], stop: threading.Event) -> threading.Thread:
        """Follow `/events` in the background; `heard` gets each line of data and the moment it arrived."""

        def follow() -> None:
            with self._open(f"{self.url}/events", timeout=60) as stream:
                for line in stream:
                    if stop.is_set():
                        return
                    if line.startswith(b"data:"):
                        heard(line[5:].strip().decode("utf-8"), clock.now())

        thread = threading.Thread(target=follow, name="visitor-events", daemon=True)
        thread.start()
        return thread
