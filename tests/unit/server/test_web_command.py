"""`vitalwire server web` serves health data over TLS, or on this machine only."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from server.commands import app


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({}, ["--host", "0.0.0.0"]),
        ({}, ["--host", "192.0.2.7"]),
        ({"VITALWIRE_WEB_PUBLIC_URL": "http://clinic.example"}, []),
    ],
)
def test_plain_http_beyond_this_machine_is_refused(environment: dict[str, str], arguments: list[str]) -> None:
    result = CliRunner().invoke(
        app, ["web", *arguments], env={"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", **environment}
    )

    assert result.exit_code == 2
    assert "over TLS only" in result.stderr
    assert "VITALWIRE_WEB_TLS_CERT_FILE" in result.stderr


def test_a_proxy_with_tls_lets_it_listen_anywhere() -> None:
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "VITALWIRE_WEB_PUBLIC_URL": "https://clinic.example",
    }

    result = CliRunner().invoke(app, ["web", "--host", "0.0.0.0"], env=environment)

    # It gets as far as the database, which is not there.
    assert "over TLS only" not in result.stderr
    assert type(result.exception).__name__ == "OperationalError"
