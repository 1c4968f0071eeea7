"""The published schemas of commands hold for real input and output, and refuse what is none."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from alerts.cases import run_case
from alerts.rules import DEFAULT_POLICY, load_rule_set
from gateway.decode import decode_line, decode_to_json
from server.answer_schemas import NAMES, answer_schema
from server.billing.determine import adjudicate
from server.schemas import app, openapi, wire_schema
from tests.unit.server.test_published_schemas import EXAMPLE

TESTS = Path(__file__).parents[2]
MONTHS = [
    json.loads(line) for line in (TESTS / "billing_cases" / "public.jsonl").read_text(encoding="utf-8").splitlines()
]
PACKETS = json.loads((TESTS / "vectors" / "published_packets.json").read_text(encoding="utf-8"))
ALERT_CASES = yaml.safe_load((TESTS / "unit" / "alerts" / "alerts_golden.yaml").read_text(encoding="utf-8"))
Json = dict[str, Any]


def _validator(schema: Json) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


VALIDATORS = {name: _validator(answer_schema(name)) for name in NAMES}


def _problems(name: str, value: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[name].iter_errors(value)]


@pytest.mark.parametrize("case", MONTHS, ids=[case["id"] for case in MONTHS])
def test_facts_and_adjudication_of_every_worked_month_hold_their_schemas(case: Json) -> None:
    answer = json.loads(json.dumps(adjudicate(case["facts"])))

    assert _problems("billing-facts", case["facts"]) == []
    assert _problems("adjudication", answer) == []


@pytest.mark.parametrize("number", range(len(PACKETS)))
def test_every_published_packet_decodes_to_the_schema(number: int) -> None:
    packet = PACKETS[number]

    result = decode_to_json(packet["characteristic"], bytes.fromhex(packet["hex"]), model=packet.get("model"))

    assert _problems("decoded", json.loads(result)) == []


@pytest.mark.parametrize(
    ("characteristic", "octets"),
    [
        ("2A35", "16ff07ff07ff07e80706170e230a48000000"),  # no value at all: NaN three times
        ("2A08", "e80706170e230a"),
        ("2A08", "e80700000e230a"),  # month and day not known
        ("2A2B", "e80706170e230a070000"),
        ("SFLOAT", "f4ff"),
        ("SFLOAT", "ff07"),
        ("FLOAT", "6c0100ff"),
        ("2A52", "0101"),
        ("2A52", "0403010500"),
        ("2A52", "05000300"),
        ("2A52", "06000101"),
        ("2AA7", "0601780000000602790005 00".replace(" ", "")),
    ],
)
def test_building_blocks_and_absent_values_hold_the_schema(characteristic: str, octets: str) -> None:
    line = json.dumps({"characteristic": characteristic, "hex": octets}).encode()

    assert _problems("decoded", json.loads(decode_line(line, number=1))) == []


def test_an_undecodable_line_holds_both_schemas() -> None:
    answer = json.loads(decode_line(b'{"characteristic": "2A35", "hex": "16"}', number=1))

    assert answer["error"]["kind"] == "DecodeError"
    assert _problems("error", answer) == []
    assert _problems("decoded", answer) == []


@pytest.mark.parametrize("case", ALERT_CASES, ids=[case["id"] for case in ALERT_CASES])
def test_every_golden_alert_case_holds_the_schema(case: Json) -> None:
    row = run_case(case, load_rule_set(DEFAULT_POLICY))

    assert _problems("alert-evaluation", json.loads(json.dumps(row))) == []


def test_the_reading_of_the_contract_holds_its_schema() -> None:
    assert list(_validator(wire_schema("reading")).iter_errors(json.loads(EXAMPLE))) == []


def _without(value: Json, key: str) -> Json:
    return {name: item for name, item in value.items() if name != key}


def test_schemas_refuse_what_the_format_is_not() -> None:
    facts = MONTHS[0]["facts"]
    month = next(case["facts"] for case in MONTHS if adjudicate(case["facts"])["billable"])
    answer = json.loads(json.dumps(adjudicate(month)))
    cents = deepcopy(answer)
    cents["billable"][0]["amount"] = 51.77
    unproven = deepcopy(answer)
    unproven["billable"][0]["because"] = []
    decoded = json.loads(decode_to_json("2A35", bytes.fromhex("1680004e005f00e80706170e230a48000000")))
    number = deepcopy(decoded)
    number["components"][0]["value"] = 128

    assert _problems("billing-facts", {**facts, "surprise": 1})
    assert _problems("billing-facts", _without(facts, "as_of"))
    assert _problems("billing-facts", {**facts, "month": "2026-13"})
    assert _problems("adjudication", cents)
    assert _problems("adjudication", unproven)
    assert _problems("decoded", number)
    assert _problems("decoded", _without(decoded, "warnings"))
    assert _problems("error", {"error": {"kind": "x", "message": "y"}})
    assert not _problems("adjudication", {**answer, "field_of_tomorrow": 1})


def test_openapi_names_the_json_routes_and_what_they_answer() -> None:
    paths = openapi()["paths"]

    assert set(paths) == {"/health/live", "/health/ready"}
    assert set(paths["/health/ready"]["get"]["responses"]) == {"200", "503"}


@pytest.mark.parametrize("name", ["reading", "batch", "status", "receipt", "config", "asyncapi", "openapi", *NAMES])
def test_the_command_prints_every_format(name: str) -> None:
    result = CliRunner().invoke(app, [name])

    assert result.exit_code == 0
    assert isinstance(json.loads(result.stdout), dict)
