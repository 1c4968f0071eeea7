"""`vitalwire server …`: the processes of the server, each with its own settings and database role."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.ingest.cli import app as ingest_app

app = typer.Typer(
    no_args_is_help=True,
    help="Processes of the server: migrate the database, take readings in, serve the pages.",
)
app.add_typer(ingest_app, name="ingest")


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


@app.command("broker-files")
def broker_files(
    folder: Annotated[Path, typer.Option(help="Where mosquitto.conf, its password and its access file go.")],
    ingest_password_file: Annotated[Path, typer.Option(help="File with the password of the ingest process.")],
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8883,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - TLS only, see below
    tls_folder: Annotated[
        Path | None, typer.Option(help="Folder with server.crt and server.key, as the broker will see it.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="UID:GID the broker runs as, when that is not this user.")] = None,
) -> None:
    """Write the broker's configuration. Users that are already there (gateways) are kept."""
    from server.broker import INGEST_USER, BrokerFiles, Listener, hand_over, write_files

    certificate, key = (tls_folder / "server.crt", tls_folder / "server.key") if tls_folder else (None, None)
    listener = Listener(host=host, port=port, certificate=certificate, key=key)
    if not listener.on_loopback and certificate is None:
        typer.echo(
            "broker-files: a listener beyond this machine needs --tls-folder: readings are health data", err=True
        )
        raise typer.Exit(2)
    password = ingest_password_file.read_text(encoding="utf-8").strip()
    files = BrokerFiles(folder)
    write_files(files, listener, {INGEST_USER: password})
    if owner is not None:
        uid, _, gid = owner.partition(":")
        hand_over(files, uid=int(uid), gid=int(gid or uid))
    typer.echo(f"wrote the broker's files to {folder}")
