"""`vitalwire server ingest`: run the ingest process; look after dead letters and held readings.

Input: the environment (`DATABASE_URL`, `VITALWIRE_MQTT_…`). Output: JSON on standard output; messages on
standard error.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn, TypeVar

import psycopg
import typer

from server.config import ServerSettings, SettingsError, load_settings
from server.db.pool import AsyncConnection, UnsafeDatabaseError, async_connect

_T = TypeVar("_T")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Take readings in from the broker. Without a sub-command it runs until told to stop.",
)
letters = typer.Typer(no_args_is_help=True, help="Payloads that were refused: list, show, give them in again.")
app.add_typer(letters, name="dead-letters")


@app.callback(invoke_without_command=True)
def ingest(context: typer.Context) -> None:
    """Take readings in from the broker. Without a sub-command it runs until told to stop."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run() -> None:
    """Run until SIGTERM or Ctrl-C. Prints one JSON line {"ready": true} once broker and database are reached.

    Example: DATABASE_URL=postgresql://localhost/vitalwire VITALWIRE_MQTT_URL=mqtt://127.0.0.1 vitalwire server
    ingest run
    """
    from server import logs
    from server.ingest.consumer import Consumer

    logs.configure()
    settings = _settings()

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        consumer = Consumer(settings, settings.resolve_database_url())
        await consumer.run(stop, on_ready=lambda: _print({"ready": True, "client_id": settings.ingest_client_id}))

    try:
        asyncio.run(main())
    except* UnsafeDatabaseError as group:
        _fail("UnsafeDatabase", str(group.exceptions[0]), "DATABASE_URL", code=1)


@app.command()
def health() -> None:
    """Exit 0 when the running process is well, 1 otherwise; prints what it last said of itself.

    Example: vitalwire server ingest health
    """
    from server.clock import now
    from server.ingest.health import STALE_SECONDS, health_file

    path = health_file(_settings())
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        _fail("NotRunning", f"there is no {path}: ingest never ran with this data folder", "VITALWIRE_DATA", code=1)
    stale = now() - datetime.fromisoformat(state["at"]) > timedelta(seconds=STALE_SECONDS)
    _print({**state, "stale": stale})
    if stale or not state["healthy"]:
        raise typer.Exit(1)


@app.command()
def resume() -> None:
    """Let a paused ingest go on, once the cause of the refusals is known (see dead-letters list).

    Example: vitalwire server ingest resume
    """
    from server.ingest.brake import resume as release

    _print({"resumed": release(_settings())})


@app.command("release-held")
def release_held() -> None:
    """Give held readings to their patients now. The running process does so by itself after each assignment.

    Example: vitalwire server ingest release-held
    """
    from server.ingest.release import release_held as release

    _print({"released": _with_database(release)})


@letters.command("list")
def list_letters(
    reason: Annotated[str | None, typer.Option(help="Only this reason, for example value-out-of-range.")] = None,
    *,
    replayed: Annotated[bool, typer.Option("--all", help="Also those that were given in again.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
) -> None:
    """The newest refused payloads, one JSON object a line, without the payloads.

    Example: vitalwire server ingest dead-letters list --reason value-out-of-range
    """
    from server.ingest.dead_letter import listing

    found = _with_database(lambda conn: listing(conn, reason=reason, waiting_only=not replayed, limit=limit))
    for letter in found:
        _print(asdict(letter))


@letters.command("show")
def show_letter(letter_id: Annotated[int, typer.Argument(metavar="LETTER_ID", help="Its id from `list`.")]) -> None:
    """One refused payload in full. It may hold a patient's values: mind who sees it.

    Example: vitalwire server ingest dead-letters show 17
    """
    from server.ingest.dead_letter import show

    found = _with_database(lambda conn: show(conn, letter_id))
    if found is None:
        _fail("UnknownDeadLetter", f"there is no dead letter {letter_id}", "LETTER_ID", code=2)
    letter, payload = found
    _print({**asdict(letter), "payload": payload.decode("utf-8", errors="backslashreplace")})


@letters.command("replay")
def replay_letters(
    letter_ids: Annotated[list[int] | None, typer.Argument(metavar="LETTER_ID", help="Ids from `list`.")] = None,
    reason: Annotated[str | None, typer.Option(help="Instead: all that wait with this reason.")] = None,
) -> None:
    """Give refused payloads in again after a fix. What is stored already is not stored twice.

    Example: vitalwire server ingest dead-letters replay 17 18
    """
    from server.ingest.dead_letter import Replay, listing, replay

    if (letter_ids is None) == (reason is None):
        _fail("UsageError", "give ids, or --reason, not both", "LETTER_IDS", code=2)

    async def work(conn: AsyncConnection) -> list[Replay | int]:
        ids = letter_ids or [letter.id for letter in await listing(conn, reason=reason, limit=10_000)]
        return [await replay(conn, letter_id) or letter_id for letter_id in ids]

    missing = 0
    for result in _with_database(work):
        if isinstance(result, int):
            missing += 1
            typer.echo(f"there is no dead letter {result}", err=True)
        else:
            _print(asdict(result))
    if missing:
        raise typer.Exit(2)


def _settings() -> ServerSettings:
    try:
        return load_settings()
    except SettingsError as error:
        _fail("SettingsError", str(error), "environment", code=2)


def _with_database(work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    async def main() -> _T:
        async with await async_connect(_settings().resolve_database_url(), "vw_ingest") as conn:
            return await work(conn)

    try:
        return asyncio.run(main())
    except psycopg.OperationalError:
        _fail("DatabaseNotReached", "the database does not answer; check DATABASE_URL", "DATABASE_URL", code=1)


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value, default=lambda item: item.isoformat()), flush=True)


def _fail(kind: str, message: str, where: str, *, code: int) -> NoReturn:
    print(json.dumps({"error": {"kind": kind, "message": message, "where": where}}), file=sys.stderr)
    raise typer.Exit(code)
