"""The console command `vitalwire`: the composition root, and the only module that may reach every package.

Input: command-line words. Output: the exit code of the sub-command they name. Sub-commands are imported only when
called, so that a home box needs none of the server's packages and `vitalwire decode` starts at once.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


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
    "alerts": Command("alerts.cli", "server", "run the alert worker; evaluate, test and replay rule sets"),
    "billing": Command("server.billing.cli", "server", "facts, adjudicate, explain, rules, coverage"),
    "simulate": Command(
        "server.demo.simulate", "server,gateway,simulators", "devices, radio, scenarios, test identities"
    ),
    "schema": Command("server.schemas", "server", "the published formats as JSON Schema and AsyncAPI"),
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


def _fail(message: str, where: str) -> int:
    print(json.dumps({"error": {"kind": "UsageError", "message": message, "where": where}}), file=sys.stderr)
    return 2


def _load(command: Command) -> Callable[..., Any]:
    """The callable of a sub-command; typer applications become commands with the right program name."""
    target = getattr(importlib.import_module(command.module), command.attribute)
    import typer

    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    return target  # type: ignore[no-any-return]  # a plain callable with the same signature


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
        return _fail(f"there is no command {name!r}; `vitalwire --help` lists them", "COMMAND")
    try:
        run = _load(command)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in _OWN_PACKAGES:
            raise
        print(
            f"vitalwire {name} needs the package {error.name}: pip install 'vitalwire[{command.extra}]'",
            file=sys.stderr,
        )
        return 1
    result = run(args=rest, prog_name=f"vitalwire {name}")
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
