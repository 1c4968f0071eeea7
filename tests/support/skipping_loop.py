"""An event loop that never waits: when nothing is ready, its clock jumps to the next timer. For pure asyncio code.

Input: a coroutine function. Output: its result; timers fire in order, at the exact times they were set for.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _SkippingSelector(selectors.DefaultSelector):
    skip: Callable[[float], None]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("nothing is ready and no timer is set: this would wait for ever")
        if not ready and timeout is not None and timeout > 0:
            self.skip(timeout)
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """See the module. Its time begins at 0."""

    def __init__(self) -> None:
        self._seconds = 0.0
        selector = _SkippingSelector()
        selector.skip = self._skip
        super().__init__(selector)

    def time(self) -> float:
        return self._seconds

    def _skip(self, seconds: float) -> None:
        self._seconds += seconds


def run_skipping(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work` in a loop of its own that skips all waiting."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(work())
