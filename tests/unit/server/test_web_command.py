"""`vitalwire server web` serves health data over TLS, or on this machine only."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the command configures logging for the whole process."""
    return subprocess.run(
        [sys.executable, "-m", "server.cli", "server", "web", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", **environment},
    )


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({}, ["--host", "0.0.0.0"]),
        ({}, ["--host", "192.0.2.7"]),
        ({"VITALWIRE_WEB_PUBLIC_URL": "http://clinic.example"}, []),
    ],
)
def test_plain_http_beyond_this_machine_is_refused(environment: dict[str, str], arguments: list[str]) -> None:
    result = serve(*arguments, **environment)

    assert result.returncode == 2
    assert "over TLS only" in result.stderr
    assert "VITALWIRE_WEB_TLS_CERT_FILE" in result.stderr


def test_a_proxy_with_tls_lets_it_listen_anywhere() -> None:
    result = serve("--host", "0.0.0.0", VITALWIRE_WEB_PUBLIC_URL="https://clinic.example")

    # It gets as far as the database, which is not there.
    assert result.returncode == 1
    assert "over TLS only" not in result.stderr
    assert "database" in result.stderr
