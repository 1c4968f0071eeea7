"""The command line of the laboratory: what is refused, and what the scenario commands print."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from simulators.cli import app
from simulators.faults import FAULTS, FAULTY_ACTS

CUFF_ADDRESS = "C1:00:00:00:00:01"


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (
            ("device", "scale", "--id", "x", "--address", CUFF_ADDRESS, "--hub", "tcp://x:1", "--state", "/tmp/x"),
            "KIND",
        ),
        (("device", "glucose", "--id", "x", "--address", "12", "--hub", "tcp://x:1", "--state", "/tmp/x"), "--address"),
        (("device", "glucose", "--id", "x", "--address", CUFF_ADDRESS, "--state", "/tmp/x"), "--hub"),
        (("bluez", "--address", CUFF_ADDRESS, "--hub", "tcp://x:1", "--transport", "usb:0", "--state", "/x"), "--hub"),
        (("hub", "--listen", "somewhere"), "--listen"),
        (("scenario", "validate", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_wrong_words_give_one_json_error_and_exit_2(words: tuple[str, ...], where: str) -> None:
    done = CliRunner().invoke(app, list(words))

    assert done.exit_code == 2
    error = json.loads(done.stderr)["error"]
    assert error["where"] == where
    assert error["message"]


def test_scenario_commands_speak_json() -> None:
    validated = CliRunner().invoke(app, ["scenario", "validate", "three-homes"])
    expanded = CliRunner().invoke(app, ["scenario", "expand", "three-homes"])

    summary = json.loads(validated.stdout)
    acts = [json.loads(line) for line in expanded.stdout.splitlines()]
    assert (summary["homes"], summary["devices"], summary["days"]) == (3, 4, 7)
    assert len(acts) == summary["acts"]
    assert [act["at"] for act in acts] == sorted(act["at"] for act in acts)


def test_every_fault_is_listed_with_its_outcome() -> None:
    lines = [json.loads(line) for line in CliRunner().invoke(app, ["faults"]).stdout.splitlines()]

    assert {line["fault"] for line in lines} == {*FAULTS, *FAULTY_ACTS}
    assert all(line["summary"] and line["expected"] and line["requests"] for line in lines)


@pytest.mark.parametrize("command", [[], ["hub"], ["device"], ["bluez"], ["scenario", "expand"]])
def test_every_command_has_help(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"])

    assert done.exit_code == 0
    assert "Usage" in done.stdout
