"""A whole month out of the database: patients in batches, batches shared among processes, each batch committed.

Input: a DSN, a month, an instant. Output: rows of `adjudication`, and how far the run is. What a stopped run has
committed stays; the next run appends only what is missing or has changed.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from server.billing.calendar import month_period
from server.billing.run import (
    MonthRun,
    RunScope,
    adjudicate_batch,
    batches,
    practices,
    scope_of,
)
from server.billing.stream import cores, leave_interrupts_to_the_parent
from server.db.pool import Connection, connect

# Batches under way for each process: one at work, one waiting.
_AHEAD: Final = 2

Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for: one practice, or every practice that is not simulated."""

    month: str
    as_of: datetime
    now: datetime
    practice_id: str | None = None
    demo: bool = False
    jobs: int | None = None


def run_month(dsn: str, order: Order, told: Told) -> dict[str, MonthRun]:
    """Adjudicate the month, practice by practice. `told` hears (practice, patients done, of how many) a batch."""
    month_period(order.month)
    with _open(dsn) as conn, conn.transaction():
        scopes = [scope for scope in _scopes(conn, order) if scope.patients]
    done = {}
    for scope in scopes:
        stored = reached = 0
        for patients, rows in _batches_done(dsn, scope, order):
            stored, reached = stored + rows, reached + patients
            told(scope.practice_id, reached, len(scope.patients))
        done[scope.practice_id] = MonthRun(adjudicated=reached, stored=stored, unchanged=reached - stored)
    return done


def _scopes(conn: Connection, order: Order) -> Iterator[RunScope]:
    if order.practice_id is not None:
        yield scope_of(conn, order.practice_id, order.month, demo=order.demo)
        return
    for practice, simulated in practices(conn):
        if order.demo or not simulated:
            yield scope_of(conn, practice, order.month, demo=order.demo)


def _batches_done(dsn: str, scope: RunScope, order: Order) -> Iterator[tuple[int, int]]:
    """(patients, rows appended) of each batch, as it is committed."""
    waiting = batches(scope.patients)
    # The list of patients stays here: a batch carries its own.
    task = replace(scope, patients=())
    jobs = order.jobs or cores()
    if jobs == 1 or len(scope.patients) <= len(next(batches(scope.patients))):
        with _open(dsn) as conn:
            for batch in waiting:
                yield len(batch), _in_transaction(conn, task, batch, order)
        return
    under_way: deque[tuple[int, Future[int]]] = deque()
    pool = ProcessPoolExecutor(max_workers=jobs, initializer=leave_interrupts_to_the_parent)
    try:
        for batch in waiting:
            under_way.append((len(batch), pool.submit(_work, dsn, task, batch, order)))
            if len(under_way) >= jobs * _AHEAD:
                count, future = under_way.popleft()
                yield count, future.result()
        while under_way:
            count, future = under_way.popleft()
            yield count, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _work(dsn: str, scope: RunScope, patients: Sequence[str], order: Order) -> int:
    return _in_transaction(_connection(dsn), scope, patients, order)


def _in_transaction(conn: Connection, scope: RunScope, patients: Sequence[str], order: Order) -> int:
    """One batch, committed. Its rows all live until it ends: the collector would only walk them again and again."""
    gc.disable()
    try:
        with conn.transaction():
            return adjudicate_batch(conn, scope, patients, order.as_of, order.now)
    finally:
        gc.enable()


@lru_cache(maxsize=1)
def _connection(dsn: str) -> Connection:
    """The connection of a worker process, kept from batch to batch."""
    return _open(dsn)


def _open(dsn: str) -> Connection:
    return connect(dsn, "vw_billing", application_name="vitalwire-billing")
