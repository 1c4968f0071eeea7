"""The console command: what a stranger sees, and that a home box needs no server package to start."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

from server import cli
from server.failures import failure_of


def _walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk((*path, name), child)


def _applications() -> Iterator[tuple[str, typer.Typer]]:
    for name, command in cli.COMMANDS.items():
        yield name, getattr(importlib.import_module(command.module), command.attribute)


EVERY_COMMAND = [
    pytest.param(path, command, id=" ".join(path))
    for name, application in _applications()
    for path, command in _walk((name,), typer.main.get_command(application))
]
LEAVES = [case for case in EVERY_COMMAND if not hasattr(case.values[1], "commands")]
GROUPS = [case for case in EVERY_COMMAND if hasattr(case.values[1], "commands") and case.id != "server ingest"]


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


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_help_of_every_command_teaches_by_an_example(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*path, "--help"]) == 0

    printed = capsys.readouterr().out
    words = " ".join(printed.split())
    assert printed.startswith(f"Usage: vitalwire {' '.join(path)}")
    assert "Example: " in words
    assert f"vitalwire {' '.join(path)}" in words.split("Example: ")[1]
    assert "completion" not in words


@pytest.mark.parametrize(("path", "command"), GROUPS)
def test_a_group_of_commands_shows_its_help(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(list(path)) == 0

    captured = capsys.readouterr()
    assert captured.out.startswith(f"Usage: vitalwire {' '.join(path)}")
    assert all(name in captured.out for name in command.commands)
    assert captured.err == ""


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_unknown_option_is_told_in_one_line(
    path: tuple[str, ...], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*path, "--frobnicate"]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert "No such option: --frobnicate" in line
    assert f"`vitalwire {' '.join(path)} --help`" in line


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["billing", "adjudicate"], "FACTS"),
        (["billing", "facts", "--patient", "p1"], "--month"),
        (["billing", "frobnicate"], "vitalwire billing"),
        (["alerts", "evaluate"], "--cases"),
        (["schema"], "NAME"),
        (["decode", "--frobnicate"], "--frobnicate"),
        (["simulate", "device", "glucose"], "--id"),
        (["simulate", "provision", "--gateways", "0"], "--gateways"),
        (["server", "ingest", "dead-letters", "show", "seven"], "LETTER_ID"),
        (["gateway", "pair", "--json"], "DEVICE"),
    ],
)
def test_commands_that_speak_json_answer_wrong_words_with_one_error_object(
    words: list[str], where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["kind"] == "UsageError"
    assert error["where"] == where
    assert "--help" in error["message"]


def test_the_home_box_talks_to_its_installer_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["gateway", "pair"]) == 2

    said = capsys.readouterr().err
    assert said == "vitalwire: Missing argument 'DEVICE'. `vitalwire gateway pair --help` explains\n"


@pytest.mark.parametrize(
    ("words", "database_url", "code", "kind"),
    [
        (["alerts", "list"], "postgresql://nobody@127.0.0.1:1/none", 1, "DatabaseNotReached"),
        (["alerts", "list"], "frobnicate://x", 2, "SettingsError"),
        (["billing", "facts", "--patient", "p", "--month", "2026-03"], "frobnicate://x", 2, "SettingsError"),
        (["billing", "facts", "--patient", "p", "--month", "2026-03"], None, 2, "settings"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_error_object(
    words: list[str],
    database_url: str | None,
    code: int,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DATABASE_URL_FILE", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if database_url is not None:
        monkeypatch.setenv("DATABASE_URL", database_url)

    assert cli.main(words) == code

    error = json.loads(capsys.readouterr().err)["error"]
    assert error["kind"] == kind
    assert "DATABASE_URL" in error["message"]


def _standard_input(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets), encoding="ascii"))


@pytest.mark.parametrize("octets", [b"", b"\n\n", b"{bad", b"[]", b"\xff\xfe\x00", b"\x80" * 300, b'{"a":' * 5000])
@pytest.mark.parametrize("verb", ["adjudicate", "explain"])
def test_facts_that_are_none_are_one_error_object(
    octets: bytes, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _standard_input(monkeypatch, octets)

    assert cli.main(["billing", verb, "-"]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert set(json.loads(captured.err)["error"]) >= {"kind", "message", "where"}


@pytest.mark.parametrize("name", ["missing", "folder", "garbage", "empty"])
@pytest.mark.parametrize(
    "words",
    [
        ["billing", "adjudicate"],
        ["billing", "explain"],
        ["alerts", "evaluate", "--cases"],
        ["alerts", "test"],
        ["simulate", "scenario", "--validate"],
        ["simulate", "scenario", "--acts"],
    ],
    ids=" ".join,
)
def test_a_file_that_cannot_be_used_is_one_error_object(
    words: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "garbage").write_bytes(bytes(range(255, 0, -1)))
    (tmp_path / "empty").touch()

    assert cli.main([*words, str(tmp_path / name)]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert name in json.loads(captured.err)["error"]["where"] + json.loads(captured.err)["error"]["message"]


@pytest.mark.parametrize("password", [None, b"", b"\xff\xfe"])
def test_broker_files_want_a_password_that_can_be_read(
    password: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "password"
    if password is not None:
        path.write_bytes(password)
    words = ["server", "broker-files", "--folder", str(tmp_path / "broker"), "--host", "127.0.0.1"]

    assert cli.main([*words, "--ingest-password-file", str(path)]) == 2

    assert "holds no password that can be read" in capsys.readouterr().err
    assert not (tmp_path / "broker").exists()


def test_an_unforeseen_error_names_its_place_but_never_its_text() -> None:
    try:
        raise LookupError("Maria Example, 182/110")
    except LookupError as error:
        failure = failure_of(error, command="vitalwire billing")

    assert failure.code == 1
    assert failure.kind == "InternalError"
    assert "LookupError at test_console_command.py:" in failure.message
    assert "Maria" not in failure.as_json()


def test_what_a_task_group_wraps_is_told_itself() -> None:
    wrapped = ExceptionGroup("unhandled", [ExceptionGroup("inner", [psycopg.OperationalError("refused")])])

    assert failure_of(wrapped, command="vitalwire alerts").kind == "DatabaseNotReached"


def test_a_database_without_tables_asks_for_the_migration() -> None:
    failure = failure_of(psycopg.errors.UndefinedTable("alert"), command="vitalwire alerts")

    assert failure.code == 1
    assert "vitalwire server migrate" in failure.message
