"""`vitalwire server …`: the processes of the server, each with its own settings and database role."""

from __future__ import annotations

import contextlib
from pathlib import Path
from socket import socket
from typing import Annotated
from urllib.parse import urlsplit

import typer

from server.ingest.cli import app as ingest_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Processes of the server: migrate the database, take readings in, serve the pages.",
)
app.add_typer(ingest_app, name="ingest")


@app.command()
def migrate(
    database_url: Annotated[str | None, typer.Option(envvar="DATABASE_URL", help="PostgreSQL to migrate.")] = None,
) -> None:
    """Bring the database to the newest version. Safe to run again; two at once wait for each other.

    Example: DATABASE_URL=postgresql://owner@localhost/vitalwire vitalwire server migrate
    """
    from server.config import load_settings
    from server.db.migrate import MigrationError
    from server.db.migrate import migrate as apply

    try:
        applied = apply(database_url or load_settings().resolve_database_url())
    except MigrationError as error:
        typer.echo(f"migrate: {error}", err=True)
        raise typer.Exit(1) from error
    for name in applied:
        typer.echo(f"applied {name}")
    typer.echo("the database is up to date")


@app.command()
def web(
    host: Annotated[str | None, typer.Option(help="Address to listen on [VITALWIRE_WEB_HOST].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [VITALWIRE_WEB_PORT].")] = None,
) -> None:
    """Serve the pages until SIGTERM or Ctrl-C.

    TLS with VITALWIRE_WEB_TLS_CERT_FILE and …_KEY_FILE, or behind a proxy that ends TLS: VITALWIRE_WEB_PUBLIC_URL.

    Example: DATABASE_URL_FILE=/run/secrets/database_url vitalwire server web --port 8080
    """
    import uvicorn

    from server import logs
    from server.config import SettingsError, is_loopback, load_settings
    from server.db.pool import connect
    from server.web.app import create_app
    from server.web.config import WebSettings

    logs.configure()
    try:
        settings = load_settings()
    except SettingsError as error:
        typer.echo(f"web: {error}", err=True)
        raise typer.Exit(2) from error
    public_tls = (settings.web_public_url or "").startswith("https://")
    tls = public_tls or settings.web_tls_cert_file is not None
    reached_as = urlsplit(settings.web_public_url).hostname if settings.web_public_url else (host or settings.web_host)
    if not tls and not is_loopback(reached_as or ""):
        typer.echo(
            f"web: {reached_as} is not this machine, and pages with health data go over TLS only; set "
            "VITALWIRE_WEB_TLS_CERT_FILE and …_KEY_FILE, or VITALWIRE_WEB_PUBLIC_URL=https://… of the proxy",
            err=True,
        )
        raise typer.Exit(2)
    dsn = settings.resolve_database_url()
    connect(dsn, "vw_web").close()  # the pools would try for half a minute, deaf to Ctrl-C
    pages = WebSettings(
        dsn=dsn,
        tls=tls,
        sim_control=settings.sim_control,
    )
    config = uvicorn.Config(
        create_app(pages),
        host=host or settings.web_host,
        port=settings.web_port if port is None else port,
        ssl_certfile=settings.web_tls_cert_file,
        ssl_keyfile=settings.web_tls_key_file,
        log_config=None,
        access_log=False,  # addresses of pages name patients
        server_header=False,
        timeout_graceful_shutdown=3,
    )

    class Announced(uvicorn.Server):
        """A server that says where it listens, once it does: the port may have been chosen by the system."""

        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            for name in [one.getsockname() for server in self.servers for one in server.sockets]:
                typer.echo(
                    f"serving the pages on {'https' if config.is_ssl else 'http'}://{name[0]}:{name[1]}", err=True
                )

    server = Announced(config)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()
    if not server.started:
        raise typer.Exit(1)


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
    """Write the broker's configuration. Users that are already there (gateways) are kept.

    Example: vitalwire server broker-files --folder /etc/mosquitto --ingest-password-file ingest.pw --tls-folder tls
    """
    from server.broker import INGEST_USER, BrokerFiles, Listener, hand_over, write_files

    certificate, key = (tls_folder / "server.crt", tls_folder / "server.key") if tls_folder else (None, None)
    listener = Listener(host=host, port=port, certificate=certificate, key=key)
    if not listener.on_loopback and certificate is None:
        typer.echo(
            "broker-files: a listener beyond this machine needs --tls-folder: readings are health data", err=True
        )
        raise typer.Exit(2)
    password = _password(ingest_password_file)
    user = None if owner is None else _ids(owner)
    files = BrokerFiles(folder)
    write_files(files, listener, {INGEST_USER: password})
    if user is not None:
        hand_over(files, uid=user[0], gid=user[1])
    typer.echo(f"wrote the broker's files to {folder}")


def _password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        password = ""
    if not password:
        raise typer.BadParameter(f"{path} holds no password that can be read", param_hint="--ingest-password-file")
    return password


def _ids(owner: str) -> tuple[int, int]:
    uid, _, gid = owner.partition(":")
    if not uid.isdecimal() or not (gid or uid).isdecimal():
        raise typer.BadParameter(f"{owner!r} is not UID:GID; write 1883:1883", param_hint="--owner")
    return int(uid), int(gid or uid)
