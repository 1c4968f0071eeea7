"""`vitalwire simulate …`: everything simulated, on one command. Wiring only.

The laboratory's own commands come from `simulators`; what needs a database or a broker is added here.
"""

from __future__ import annotations

import typer

from server.demo.fleet_command import fleet_command
from server.demo.scenario_command import scenario_command
from server.provision import provision_command
from simulators.cli import app as laboratory

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=laboratory.info.help,
)
app.registered_commands.extend(laboratory.registered_commands)
app.command("scenario")(scenario_command)
app.command("provision")(provision_command)
app.command("fleet")(fleet_command)
