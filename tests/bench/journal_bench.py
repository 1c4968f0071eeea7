"""How long the journal needs to promise a packet: append → COMMIT with `synchronous=FULL`, as radio callbacks see it.

Run: `python -m tests.bench.journal_bench [--packets N] [--folder DIR]`. Prints figures for `tests/bench/README.md`.
Three loads: one packet at a time (a cuff), a burst queued at once (a meter's dump), and two devices side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from device_drivers.driver import Packet
from gateway.clock import SystemClock
from gateway.outbox import Outbox

BUDGET_MILLISECONDS = 10.0


def packet(number: int) -> Packet:
    return Packet(
        characteristic="2A18",
        payload=number.to_bytes(17, "big"),
        received_at=datetime(2026, 3, 2, 12, 0, 9, tzinfo=UTC),
        monotonic=1.0,
    )


async def timed(outbox: Outbox, session: int, number: int) -> float:
    start = time.perf_counter()
    await asyncio.wrap_future(outbox.append(session, packet(number)))
    return (time.perf_counter() - start) * 1000


async def one_at_a_time(outbox: Outbox, session: int, count: int) -> list[float]:
    return [await timed(outbox, session, number) for number in range(count)]


async def bursts(outbox: Outbox, session: int, count: int) -> list[float]:
    figures: list[float] = []
    for first in range(0, count, 30):
        figures.extend(await asyncio.gather(*(timed(outbox, session, first + number) for number in range(30))))
    return figures


async def side_by_side(outbox: Outbox, session: int, count: int) -> list[float]:
    both = await asyncio.gather(one_at_a_time(outbox, session, count // 2), one_at_a_time(outbox, session, count // 2))
    return [figure for figures in both for figure in figures]


def line(name: str, figures: list[float], seconds: float) -> str:
    ordered = sorted(figures)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    verdict = "within budget" if p99 <= BUDGET_MILLISECONDS else f"OVER the budget of {BUDGET_MILLISECONDS:g} ms"
    rate = len(figures) / seconds
    return f"| {name} | {len(figures)} | {p50:.2f} | {p99:.2f} | {ordered[-1]:.2f} | {rate:,.0f} | {verdict} |"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=5000)
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to measure")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        outbox = Outbox(Path(folder) / "journal.sqlite", clock=SystemClock())
        outbox.open()
        session = await outbox.begin_session(device_id="gl-1", driver="std.glucose", home_zone="UTC")
        print("| load | packets | p50 ms | p99 ms | max ms | packets/s | |")
        print("|---|---|---|---|---|---|---|")
        for name, load in (
            ("one at a time", one_at_a_time),
            ("bursts of 30", bursts),
            ("two devices side by side", side_by_side),
        ):
            start = time.perf_counter()
            figures = await load(outbox, session, arguments.packets)
            print(line(name, figures, time.perf_counter() - start))
        await outbox.close()
    print(f"\nmemory of this process: {psutil.Process().memory_info().rss / 2**20:.0f} MiB")


if __name__ == "__main__":
    asyncio.run(main())
