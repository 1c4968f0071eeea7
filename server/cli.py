"""The console command `vitalwire`: the composition root, and the only module that may reach every package.

Input: command-line words. Output: the exit code of the sub-command they name. Sub-commands are imported only when
called, so that a home box needs none of the server's packages and `vitalwire decode` starts at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from server.failures import Failure, failure_of, help_of


@dataclass(frozen=True, slots=True)
class Command:
    """Where a sub-command lives, the extra that brings its packages, and what it is for."""

    module: str
    extra: str
    summary: str
    attribute: str = "app"


COMMANDS: Final[dict[str, Command]] = {
    "demo": Command("server.demo.cli", "server,gateway,simulators", "run the whole system with three simulated homes"),
    "gateway": Command("gateway.cli", "gateway", "the home box: run, scan, pair, outbox, status"),
    "decode": Command("gateway.decode", "gateway", "bytes of a Bluetooth characteristic to a measurement (JSON)"),
    "server": Command("server.commands", "server", "web, ingest, migrate, dead letters"),
    "alerts": Command("alerts.cli", "server", "run the alert worker; evaluate and test rule sets, list what is open"),
    "billing": Command("server.billing.cli", "server", "facts of a month, adjudicate, explain, rules, coverage"),
    "simulate": Command(
        "server.demo.simulate", "server,gateway,simulators", "devices, radio, scenarios, test identities"
    ),
    "schema": Command("server.schemas", "server", "the published formats as JSON Schema, AsyncAPI, OpenAPI"),
}

_OWN_PACKAGES: Final = frozenset({"alerts", "device_drivers", "gateway", "server", "simulators"})


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        (
            "usage: vitalwire COMMAND [OPTIONS]",
            "",
            "Readings from Bluetooth devices at home, to a database, to a nurse, to a claim that carries its proof.",
            "",
            "commands:",
            *lines,
            "",
            "`vitalwire COMMAND --help` explains each. New here? Start with: vitalwire demo",
        )
    )


def _fail(failure: Failure, *, as_json: bool) -> int:
    print(failure.as_json() if as_json else f"vitalwire: {failure.as_text()}", file=sys.stderr)
    return failure.code


def _speaks_json(name: str, words: list[str]) -> bool:
    """Whether messages are for scripts. The demo, the home box and three server processes talk to people."""
    if "--json" in words:
        return True
    return "ingest" in words[:1] if name == "server" else name not in {"demo", "gateway"}


def _load(command: Command) -> Callable[..., Any]:
    """The callable of a sub-command, to be called with its words and the program's name."""
    target = getattr(importlib.import_module(command.module), command.attribute)
    import typer

    return typer.main.get_command(target).main


def _run(name: str, command: Command, words: list[str]) -> int:
    """Run a sub-command to its exit code. Whatever it raises becomes one message: typer prints and exits nowhere."""
    path = f"vitalwire {name}"
    try:
        result = _load(command)(args=words, prog_name=path, standalone_mode=False)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in _OWN_PACKAGES:
            return _fail(failure_of(error, command=path), as_json=_speaks_json(name, words))
        print(f"{path} needs the package {error.name}: pip install 'vitalwire[{command.extra}]'", file=sys.stderr)
        return 1
    except Exception as error:  # the outermost shell: one message instead of a traceback
        if text := help_of(error):
            print(text)
            return 0
        if os.environ.get("VITALWIRE_TRACEBACK"):
            raise
        return _fail(failure_of(error, command=path), as_json=_speaks_json(name, words))
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the console script. Returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_usage())
        return 0
    if words[0] in {"-V", "--version"}:
        from importlib.metadata import version

        print(f"vitalwire {version('vitalwire')}")
        return 0
    name, *rest = words
    command = COMMANDS.get(name)
    if command is None:
        message = f"there is no command {name!r}; `vitalwire --help` lists them"
        return _fail(Failure(code=2, kind="UsageError", message=message, where="COMMAND"), as_json=True)
    return _run(name, command, rest)


if __name__ == "__main__":
    sys.exit(main())
