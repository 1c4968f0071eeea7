"""The console command: what a stranger sees, and that a home box needs no server package to start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from server import cli


def test_without_words_it_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0

    printed = capsys.readouterr().out
    assert printed.startswith("usage: vitalwire COMMAND")
    assert all(name in printed for name in cli.COMMANDS)


def test_unknown_command_is_one_json_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["frobnicate"]) == 2

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["where"] == "COMMAND"
    assert "frobnicate" in error["message"]


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(cli.COMMANDS, "broken", cli.Command("a_package_nobody_has", "server", ""))

    assert cli.main(["broken"]) == 1

    assert "pip install 'vitalwire[server]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("server.cli", ("psycopg", "fastapi", "bleak", "typer", "numpy")),
        ("gateway.contract", ("psycopg", "fastapi", "bleak", "pydantic")),
        ("gateway.cli", ("psycopg", "fastapi", "bumble", "numpy", "jinja2")),
        ("device_drivers.catalog", ("msgspec", "bleak", "pydantic")),
    ],
)
def test_importing_pulls_nothing_of_other_extras(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {unwanted!r} if name in sys.modules])"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"
