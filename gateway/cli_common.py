"""What the commands of the home box share: options, one message for an error, the journal of a data folder.

Input: what a command was asked. Output: its result, or one message on stderr and an exit code.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import structlog
import typer

from gateway.clock import SystemClock
from gateway.errors import GatewayError
from gateway.outbox import Outbox

T = TypeVar("T")

DataOption = Annotated[
    Path, typer.Option("--data", envvar="VITALWIRE_GATEWAY_DATA", help="Folder with journal and device list.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of sentences.")]

DEFAULT_DATA: Final = Path("/var/lib/vitalwire")


def fail(message: str, *, kind: str, where: str, as_json: bool, code: int) -> NoReturn:
    if as_json:
        error = {"error": {"kind": kind, "message": message, "where": where}}
        print(json.dumps(error), file=sys.stderr)
    else:
        print(message, file=sys.stderr)
    raise typer.Exit(code)


def run_to_end(work: Coroutine[Any, Any, T], *, as_json: bool = False) -> T:
    """Run to the end; an expected error becomes one message and exit code 1."""
    try:
        return asyncio.run(work)
    except GatewayError as error:
        fail(str(error), kind=type(error).__name__, where="gateway", as_json=as_json, code=1)


def log_to_stderr(level: int) -> None:
    logging.basicConfig(level=max(level, logging.WARNING), format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def with_outbox(data: Path, work: Callable[[Outbox], Awaitable[T]], *, as_json: bool) -> T:
    path = data / "journal.sqlite"
    if not path.exists():
        message = f"There is no journal in {data}. Is VITALWIRE_GATEWAY_DATA (or --data) the gateway's folder?"
        fail(message, kind="NotFound", where=str(path), as_json=as_json, code=1)

    async def opened() -> T:
        outbox = Outbox(path, clock=SystemClock())
        outbox.open()
        try:
            return await work(outbox)
        finally:
            await outbox.close()

    return run_to_end(opened(), as_json=as_json)
