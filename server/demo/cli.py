"""`vitalwire demo`: the whole system on this machine, for a person or unattended."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.demo.system import DemoSystem

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Run unattended: follow one reading through all its stamps, then stop.")
    ] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Forget the data of earlier runs, then stop.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Where the demo keeps its data [default: .demo in a checkout].")
    ] = None,
    measure_every: Annotated[
        int, typer.Option("--measure-every", min=5, help="Seconds between two measurements of a simulated device.")
    ] = 75,
) -> None:
    """Start database, broker, server and three simulated homes; print one page to open. Ctrl-C stops everything.

    Nothing is asked and nothing leaves this machine: everything listens on loopback. A second start keeps the data.
    The practice is marked as simulated and can never bill. DATABASE_URL is used when it is set.

    Example: vitalwire demo --data /tmp/vitalwire-demo
    """
    from server.demo.layout import Layout
    from server.demo.system import DemoSystem, default_folder, forget

    layout = Layout((data or default_folder()).resolve())
    if reset:
        forget(layout)
        typer.echo(f"the demo's data in {layout.root} is forgotten")
        return
    system = DemoSystem(layout, _say, database_url=os.environ.get("DATABASE_URL") or None)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupt(stopping))
    try:
        code = _check(system) if check else _serve(system, stopping, measure_every)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:  # noqa: BLE001 - the outermost shell: one clear line instead of a traceback
        typer.echo(f"the demo did not start: {error}", err=True)
        code = 1
    finally:
        _say("stopping")
        system.stop()
    raise typer.Exit(code)


def _interrupt(stopping: threading.Event) -> None:
    """The first Ctrl-C while starting interrupts; while serving it only asks to stop."""
    if not stopping.is_set():
        stopping.set()
    raise KeyboardInterrupt


def _say(line: str) -> None:
    typer.echo(f"  {line}", err=False)
    sys.stdout.flush()


def _check(system: DemoSystem) -> int:
    from server.demo.check import run_check

    return run_check(system, _say)


def _serve(system: DemoSystem, stopping: threading.Event, measure_every: int) -> int:
    typer.echo("vitalwire demo is starting")
    system.start(measure_every=measure_every)
    typer.echo(_welcome(system))
    while not stopping.wait(1.0):
        trouble = system.trouble()
        if trouble:
            typer.echo(trouble, err=True)
            return 1
    return 0


def _welcome(system: DemoSystem) -> str:
    logins = system.logins
    width = max(len(login.login) for login in logins)
    secret = max(len(login.password) for login in logins)
    rows = [
        f"    {login.login:<{width}}  {login.password:<{secret}}  {login.role}: {login.display_name}"
        for login in logins
    ]
    return "\n".join(
        (
            "",
            f"  Open  {system.url}",
            "",
            "  Log in as (log-in, password):",
            *rows,
            "",
            f"  Three homes measure every minute or so; data and logs are in {system.layout.root}",
            "  Ctrl-C stops everything and keeps the data; `make demo-reset` forgets it.",
            "",
        )
    )
