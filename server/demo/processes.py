"""Child processes of the demo: started in order, watched, stopped in reverse; none outlives the parent.

Input: what to run and how to know that it is ready. Output: running children with a log file each.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
_STOP_SECONDS: Final = 10.0


class ChildFailedError(RuntimeError):
    """A process of the demo did not start, or ended on its own. The message names its log."""


def _die_with_parent() -> None:
    """Linux: the kernel ends this child when the demo is killed hard, so that no process is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Child:
    """One process: its name, what it runs and where it writes."""

    name: str
    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _ready_line: dict[str, Any] | None = None
    _first_line: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C reaches the demo only, which then stops everybody in order."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        threading.Thread(target=self._drain, name=f"log-{self.name}", daemon=True).start()

    def _drain(self) -> None:
        """Copy standard output to the log; the first JSON object that says it is ready is kept."""
        assert self.process is not None
        assert self.process.stdout is not None
        with self.process.stdout as output, self.log.open("ab") as log:
            for line in output:
                log.write(line)
                log.flush()
                if not self._first_line.is_set() and line.startswith(b"{"):
                    try:
                        message = json.loads(line)
                    except ValueError:
                        continue
                    if message.get("ready"):
                        self._ready_line = message
                        self._first_line.set()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_ready_line(self, timeout: float = 30.0) -> dict[str, Any]:
        """The JSON ready line. Raises `ChildFailedError` when the process ends or stays silent."""
        deadline = time.monotonic() + timeout
        while not self._first_line.wait(0.05):
            self._require_running()
            if time.monotonic() > deadline:
                raise ChildFailedError(f"{self.name} did not become ready in {timeout:.0f} s; see {self.log}")
        assert self._ready_line is not None
        return self._ready_line

    def wait_until(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait for an outside sign of readiness."""
        deadline = time.monotonic() + timeout
        while not condition():
            self._require_running()
            if time.monotonic() > deadline:
                raise ChildFailedError(f"{self.name} did not become ready in {timeout:.0f} s; see {self.log}")
            time.sleep(0.05)

    def _require_running(self) -> None:
        if not self.running:
            code = self.process.returncode if self.process else None
            raise ChildFailedError(f"{self.name} ended with exit code {code}; see {self.log}\n{self.last_lines()}")

    def last_lines(self, count: int = 5) -> str:
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
        except OSError:
            return ""

    def terminate(self) -> None:
        if self.running:
            assert self.process is not None
            self.process.terminate()

    def wait(self, timeout: float) -> None:
        """Wait for a clean end; kill what does not stop in time."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Family:
    """The children in starting order. Stopped in reverse, each layer waited for before the one below it."""

    def __init__(self, log_folder: Path) -> None:
        self.log_folder = log_folder
        self.children: list[Child] = []

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        child = Child(name, argv, self.log_folder / f"{name}.log", environment or {})
        self.children.append(child)
        child.start()
        return child

    def ended(self) -> Child | None:
        """The first child that ended although nobody asked it to."""
        return next((child for child in self.children if not child.running), None)

    def stop(self) -> None:
        while self.children:
            child = self.children.pop()
            child.terminate()
            child.wait(_STOP_SECONDS)
