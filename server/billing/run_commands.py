"""`vitalwire billing run`: adjudicate a month of whole practices out of the database that DATABASE_URL names.

Input: words of the command line. Output: one JSON object a practice on standard output, progress on standard error.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Annotated

import typer

from server.billing.facts import canonical
from server.billing.rule_commands import refuse


def run(
    month: Annotated[str, typer.Option(help="The calendar month, YYYY-MM.")],
    practice: Annotated[
        str | None, typer.Option(help="One practice; every practice that is not simulated when left out.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="What was known at this instant (RFC 3339); now when left out.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the work; every core when left out.")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Adjudicate simulated practices too; the results carry a watermark.")
    ] = False,
) -> None:
    """Adjudicate every enrolled patient of the month and keep what changed.

    Batches are committed as they are done: a run that was stopped may be started again and appends only what is missing
    or has changed.

    Example: vitalwire billing run --month 2026-03
    """
    from server.billing.month_run import Order, run_month
    from server.billing.run import SimulatedPracticeError, UnknownPracticeError
    from server.clock import now

    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        raise refuse("settings", "DATABASE_URL names no database", "DATABASE_URL")
    instant = now()
    order = Order(
        month=month,
        as_of=_instant(as_of) if as_of is not None else instant,
        now=instant,
        practice_id=practice,
        demo=demo,
        jobs=jobs,
    )
    try:
        done = run_month(dsn, order, _tell)
    except (SimulatedPracticeError, UnknownPracticeError) as error:
        raise refuse("facts", str(error), "practice") from None
    except ValueError as error:
        raise refuse("facts", str(error), "month") from None
    for practice_id, found in done.items():
        said = {
            "practice": practice_id,
            "month": month,
            "adjudicated": found.adjudicated,
            "stored": found.stored,
            "unchanged": found.unchanged,
        }
        sys.stdout.write(canonical(said).decode() + "\n")


def _tell(practice: str, done: int, of: int) -> None:
    typer.echo(f"{practice}: {done} of {of} patients", err=True)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise refuse("facts", f"{text!r} is no instant; write 2026-04-02T12:00:00Z", "as_of") from None
    if instant.tzinfo is None:
        raise refuse("facts", f"{text!r} has no offset; write 2026-04-02T12:00:00Z", "as_of")
    return instant
