"""The published formats agree with the contract's own example and with the codec."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gateway import contract
from server.schemas import app, asyncapi, wire_schema

EXAMPLE = json.dumps(
    {
        "schema": "vitalwire.reading/1",
        "message_id": "2b7f0a8e-1c1d-5b8e-9a53-6f3c1f2f7b10",
        "device": {"id": "bp-3c7d9e", "model": "UA-651BLE", "firmware": "1.0.2"},
        "kind": "blood-pressure",
        "entry": "automatic",
        "memory": "live",
        "measured_at": "2026-03-02T12:00:07Z",
        "received_at": "2026-03-02T12:00:09Z",
        "device_time": "2026-03-02T07:00:00",
        "clock_offset_seconds": "7",
        "time_quality": "corrected",
        "sequence_number": 12,
        "user_id": 1,
        "components": [
            {
                "metric": "systolic",
                "value": "128",
                "unit": "mm[Hg]",
                "reported_value": "128",
                "reported_unit": "mm[Hg]",
                "absent_reason": None,
            }
        ],
        "flags": [],
        "context": {},
        "raw": {"2A35": "FoA="},
    }
).encode()


def test_example_of_the_contract_survives_the_codec_unchanged() -> None:
    reading = contract.decode_reading(EXAMPLE)

    assert json.loads(contract.encode(reading)) == json.loads(EXAMPLE)


def test_schema_requires_what_the_contract_requires() -> None:
    schema = wire_schema("reading")

    assert set(schema["$defs"]["Reading"]["required"]) == {
        "schema",
        "message_id",
        "device",
        "kind",
        "measured_at",
        "received_at",
        "components",
    }


def test_asyncapi_names_the_four_topics() -> None:
    addresses = {channel["address"] for channel in asyncapi()["channels"].values()}

    assert addresses == {
        "vw/1/gw/{gateway}/up/readings",
        "vw/1/gw/{gateway}/up/status",
        "vw/1/gw/{gateway}/down/receipts",
        "vw/1/gw/{gateway}/down/config",
    }


def test_unknown_schema_name_is_refused_with_the_list() -> None:
    result = CliRunner().invoke(app, ["nope"])

    assert result.exit_code == 2
    assert "asyncapi" in json.loads(result.stderr)["error"]["message"]


@pytest.mark.parametrize(
    ("topic", "gateway"),
    [
        ("vw/1/gw/gw-0123456789/up/readings", "gw-0123456789"),
        ("vw/1/gw/gw-012345678/up/readings", None),  # nine characters: one short
        ("vw/1/gw/gw-" + "a" * 32 + "/up/status", "gw-" + "a" * 32),
        ("vw/1/gw/gw-" + "a" * 33 + "/up/status", None),
        ("vw/1/gw/gw-ABCDEFGHIJ/up/readings", None),
        ("vw/2/gw/gw-0123456789/up/readings", None),
        ("vw/1/gw/gw-0123456789/up", None),
    ],
)
def test_gateway_comes_from_the_topic(topic: str, gateway: str | None) -> None:
    assert contract.gateway_of(topic) == gateway


def test_batch_of_101_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        contract.encode_batch([EXAMPLE] * 101)


def test_batch_decodes_to_its_readings() -> None:
    batch = contract.decode_uplink(contract.encode_batch([EXAMPLE] * 100))

    assert isinstance(batch, contract.Batch)
    assert [contract.decode_reading(item).device.id for item in batch.readings] == ["bp-3c7d9e"] * 100


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "invalid-json"),
        (b"\xff", "invalid-json"),
        (b"[]", "invalid-schema"),
        (b"{}", "unknown-schema"),
        (b'{"schema":"vitalwire.reading/9"}', "unknown-schema"),
        (b'{"schema":"vitalwire.reading/1"}', "invalid-schema"),
        (b'{"schema":"vitalwire.batch/1","readings":[]}', "batch-size"),
        (b" " * (64 * 1024 + 1), "too-large"),
        (b'{"a":' * 5000, "invalid-json"),
    ],
)
def test_bad_payload_has_one_closed_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(contract.ContractError) as caught:
        contract.decode_uplink(payload)

    assert caught.value.reason == reason
