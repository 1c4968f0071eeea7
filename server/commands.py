"""`vitalwire server …`: the processes of the server, each with its own settings and database role."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Processes of the server: migrate the database, take readings in, serve the pages.",
)


@app.command()
def migrate(
    database_url: Annotated[str | None, typer.Option(envvar="DATABASE_URL", help="PostgreSQL to migrate.")] = None,
) -> None:
    """Bring the database to the newest version. Safe to run again; two at once wait for each other."""
    import psycopg

    from server.config import ServerSettings
    from server.db.migrate import MigrationError
    from server.db.migrate import migrate as apply

    try:
        applied = apply(database_url or ServerSettings().resolve_database_url())
    except (MigrationError, psycopg.OperationalError) as error:
        typer.echo(f"migrate: {error}", err=True)
        raise typer.Exit(1) from error
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo("the database is up to date")


def _mount_ingest() -> None:
    from server.ingest.cli import app as ingest

    app.add_typer(ingest, name="ingest")


_mount_ingest()
