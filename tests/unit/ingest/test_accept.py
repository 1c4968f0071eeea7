"""What is accepted and what is refused, with which word. Ranges are those of `device_drivers.terminology`, by hand."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest

from gateway.contract import MAX_BATCH_READINGS, MAX_PAYLOAD_BYTES
from server.ingest.accept import Accepted, Reason, Rejected, accept
from tests.support.ingest import batch, component, reading

GATEWAY = "gw-0123456789"
TOPIC = f"vw/1/gw/{GATEWAY}/up/readings"
PRACTICES = {GATEWAY: "pr-a"}


def judge(body: object, topic: str = TOPIC) -> list[Accepted | Rejected]:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return accept(topic, payload, PRACTICES)


def only(body: object, topic: str = TOPIC) -> Accepted | Rejected:
    [result] = judge(body, topic)
    return result


def reason(body: object, topic: str = TOPIC) -> str:
    result = only(body, topic)
    assert isinstance(result, Rejected), result
    return result.reason


def with_components(*components: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return reading("bp-1", components=list(components), **changes)


def test_good_reading_is_accepted_with_the_gateway_of_the_topic() -> None:
    one = reading("bp-1", gateway="gw-9999999999", gateway_id="gw-9999999999")

    result = only(one)

    assert isinstance(result, Accepted)
    assert (result.gateway_id, result.practice_id, result.verdict) == (GATEWAY, "pr-a", "accepted")
    assert str(result.reading.message_id) == one["message_id"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "invalid-json"),
        (b"{", "invalid-json"),
        (b"\xff\xfe", "invalid-json"),
        (b'{"schema": "vitalwire.reading/1", "context": {"a": ' + b"[" * 30_000, "invalid-json"),
        (b"[]", "invalid-schema"),
        (b"null", "invalid-schema"),
        ({"schema": "vitalwire.reading/9"}, "unknown-schema"),
        ({"schema": "vitalwire.reading/1"}, "invalid-schema"),
        (reading("bp-1", message_id="not-a-uuid"), "invalid-schema"),
        (reading("bp-1", device={"model": "x"}), "invalid-schema"),
        (reading(""), "invalid-schema"),
        (reading("x" * 129), "invalid-schema"),
        (reading("bp-1", kind="steps"), "unknown-kind"),
        (reading("bp-1", kind="blood-pressure-feature"), "unknown-kind"),
        (reading("bp-1", entry="guessed"), "unknown-word"),
        (reading("bp-1", memory="ram"), "unknown-word"),
        (reading("bp-1", time_quality="good"), "unknown-word"),
        (reading("bp-1", measured_at="2026-03-02T12:00:07"), "naive-instant"),
        (reading("bp-1", received_at="2026-03-02T12:00:07"), "naive-instant"),
        (reading("bp-1", measured_at="1969-12-31T23:59:59Z"), "time-out-of-range"),
        (reading("bp-1", measured_at="2200-01-01T00:00:00Z"), "time-out-of-range"),
        (reading("bp-1", sequence_number=2**31), "number-out-of-range"),
        (reading("bp-1", user_id=-1), "number-out-of-range"),
        (reading("bp-1", clock_offset_seconds="1e999"), "number-out-of-range"),
        (reading("bp-1", clock_offset_seconds="NaN"), "number-out-of-range"),
        (with_components(component("glucose", "100", "mg/dL")), "metric-not-of-kind"),
        (with_components(component("steps", "100")), "metric-not-of-kind"),
        (with_components(component("systolic", "128"), component("systolic", "129")), "duplicate-component"),
        (with_components(component("systolic", "17", "kPa")), "unit-mismatch"),
        (with_components(component("systolic", None)), "value-missing"),
        (with_components(component("systolic", "128", absent_reason="not-a-number")), "value-missing"),
        (with_components(component("systolic", None, absent_reason="lost")), "unknown-word"),
        (with_components(component("systolic", "NaN")), "value-out-of-range"),
        (with_components(component("systolic", "Infinity")), "value-out-of-range"),
        (with_components(component("systolic", "1e400")), "value-out-of-range"),
        (with_components(component("systolic", "128", reported_value="NaN")), "value-out-of-range"),
    ],
)
def test_bad_payload_is_refused_with_its_word(body: object, expected: str) -> None:
    assert reason(body) == expected


def test_refused_reading_names_its_message_for_the_receipt() -> None:
    one = with_components(component("systolic", "9999"))

    result = only(one)

    assert isinstance(result, Rejected)
    assert result.message_ids == (one["message_id"],)
    assert "9999" not in result.detail


def test_payload_without_readable_message_id_names_none() -> None:
    result = only(b'{"schema": "vitalwire.reading/1", ')

    assert isinstance(result, Rejected)
    assert result.message_ids == ()


@pytest.mark.parametrize(("size", "expected"), [(-1, "invalid-json"), (0, "invalid-json"), (1, "too-large")])
def test_payload_of_more_than_64_kib_is_too_large(size: int, expected: str) -> None:
    assert reason(b"x" * (MAX_PAYLOAD_BYTES + size)) == expected


def test_too_large_reading_still_names_its_message() -> None:
    one = reading("bp-1", context={"padding": "x" * MAX_PAYLOAD_BYTES})

    result = only(one)

    assert isinstance(result, Rejected)
    assert (result.reason, result.message_ids) == ("too-large", (one["message_id"],))


def small(number: int) -> dict[str, Any]:
    return {
        "schema": "vitalwire.reading/1",
        "message_id": f"00000000-0000-5000-8000-{number:012d}",
        "device": {"id": "bp-1"},
        "kind": "blood-pressure",
        "measured_at": "2026-03-02T12:00:07Z",
        "received_at": "2026-03-02T12:00:09Z",
        "components": [{"metric": "systolic", "value": "128", "unit": "mm[Hg]"}],
    }


@pytest.mark.parametrize(("count", "good"), [(1, True), (99, True), (100, True), (101, False)])
def test_batch_holds_at_most_a_hundred_readings(count: int, good: bool) -> None:
    results = judge(batch(small(number) for number in range(count)))

    if good:
        assert [type(result) for result in results] == [Accepted] * count
    else:
        [result] = results
        assert isinstance(result, Rejected)
        assert result.reason == "batch-size"
        assert len(result.message_ids) == MAX_BATCH_READINGS + 1


def test_empty_batch_is_refused() -> None:
    assert reason(batch([])) == "batch-size"


def test_one_bad_reading_in_a_batch_costs_only_itself() -> None:
    good, bad, also_good = small(1), small(2) | {"kind": "steps"}, small(3)

    results = judge(batch([good, bad, also_good]))

    assert [type(result) for result in results] == [Accepted, Rejected, Accepted]
    assert isinstance(results[1], Rejected)
    assert json.loads(results[1].payload) == bad
    assert results[1].message_ids == (bad["message_id"],)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("vw/1/gw/gw-short/up/readings", "unknown-topic"),
        ("vw/2/gw/gw-0123456789/up/readings", "unknown-topic"),
        ("vw/1/gw/gw-9876543210/up/readings", "unknown-gateway"),
    ],
)
def test_gateway_that_nobody_knows_is_refused(topic: str, expected: str) -> None:
    assert reason(reading("bp-1"), topic) == expected


@pytest.mark.parametrize(
    ("metric", "kind", "unit", "low", "below", "high", "above"),
    [
        ("systolic", "blood-pressure", "mm[Hg]", "30", "29", "320", "321"),
        ("glucose", "glucose", "mg/dL", "1", "0.9", "2000", "2000.1"),
        ("spo2", "spot-oximetry", "%", "10", "9", "100", "101"),
    ],
)
def test_ends_of_the_reportable_range_belong_to_it(
    metric: str, kind: str, unit: str, low: str, below: str, high: str, above: str
) -> None:
    def verdict(value: str) -> str:
        result = only(reading("d-1", kind=kind, components=[component(metric, value, unit)]))
        return result.reason if isinstance(result, Rejected) else result.verdict

    assert [verdict(value) for value in (below, low, high, above)] == [
        "value-out-of-range",
        "accepted",
        "accepted",
        "value-out-of-range",
    ]


@pytest.mark.parametrize(
    "context", [{"sample_type": "control-solution"}, {"sample_location": "control-solution", "sample_type": "x"}]
)
def test_control_solution_is_kept_and_marked(context: dict[str, str]) -> None:
    result = only(reading("gl-1", kind="glucose", components=[component("glucose", "104", "mg/dL")], context=context))

    assert isinstance(result, Accepted)
    assert result.verdict == "control-solution"


@pytest.mark.parametrize(
    "components",
    [
        [],
        [component("systolic", None, absent_reason="not-a-number")],
        [component("systolic", None, absent_reason="not-a-number"), component("pulse-rate", "70", "/min")],
    ],
)
def test_reading_without_its_main_number_is_no_value(components: list[dict[str, Any]]) -> None:
    result = only(with_components(*components))

    assert isinstance(result, Accepted)
    assert result.verdict == "no-value"


def test_half_a_blood_pressure_is_a_reading() -> None:
    result = only(with_components(component("systolic", "128"), component("diastolic", None, absent_reason="reserved")))

    assert isinstance(result, Accepted)
    assert result.verdict == "accepted"


def test_every_reason_is_a_known_word() -> None:
    contract = {"invalid-json", "invalid-schema", "unknown-schema", "too-large", "batch-size"}

    assert contract <= set(typing.get_args(Reason))
