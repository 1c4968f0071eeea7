"""Operator, tester and administrator views, against rows made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from server.db.devices import Device, GatewayState
from server.db.observations import Flow, HeldReading, Trace
from server.db.operations import AuditProblem, AuditRow, Backlog, DeadLetter
from server.web.views.admin import audit_page
from server.web.views.operator import clock_words, gateway_card, operator_page, seconds_words
from server.web.views.tester import act_of, devices_view, receipt_seen, trace_page

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
EASTERN = ZoneInfo("America/New_York")


def gateway(**changes):
    values = {
        "id": "gw-demohome00001",
        "label": "",
        "state": "online",
        "heard_at": NOW - timedelta(minutes=1),
        "outbox_depth": 0,
        "oldest_pending_at": None,
        "software": "vitalwire 0.1.0",
        "devices": [],
        "config_version": 3,
        "config_changed_at": NOW,
        "config_published_at": NOW - timedelta(hours=1),
    }
    return GatewayState(**{**values, **changes})


def card(**changes):
    return gateway_card(gateway(**changes), zone=EASTERN, now=NOW)


@pytest.mark.parametrize(
    ("changes", "tone", "state"),
    [
        ({}, "good", "Online"),
        ({"heard_at": NOW - timedelta(minutes=15)}, "good", "Online"),
        ({"heard_at": NOW - timedelta(minutes=15, seconds=1)}, "bad", "Silent for 15 min"),
        ({"state": "offline"}, "bad", "Offline"),
        ({"heard_at": None, "state": None, "outbox_depth": None}, "bad", "Never heard"),
        ({"outbox_depth": 4, "oldest_pending_at": NOW - timedelta(minutes=10)}, "good", "Online"),
        ({"outbox_depth": 4, "oldest_pending_at": NOW - timedelta(minutes=11)}, "warn", "Online, readings are waiting"),
    ],
)
def test_state_of_a_gateway(changes, tone, state):
    found = card(**changes)

    assert (found.tone, found.state) == (tone, state)


def test_gateway_details():
    found = card(outbox_depth=1, oldest_pending_at=NOW - timedelta(minutes=5), config_published_at=None)

    assert (found.outbox, found.oldest, found.heard) == ("1 reading", "5 min ago", "09:59")
    assert found.configuration == "version 3 waits to be published"


@pytest.mark.parametrize(
    ("told", "warnings"),
    [
        ({"battery_percent": 20}, ("battery low",)),
        ({"battery_percent": 21, "rssi_dbm": -89, "clock_offset_seconds": "59"}, ()),
        ({"rssi_dbm": -90}, ("signal weak",)),
        ({"clock_offset_seconds": "-60"}, ("clock off",)),
        ({"warning": "bond-lost"}, ("bond lost",)),
    ],
)
def test_warnings_of_a_device(told, warnings):
    assert card(devices=[{"id": "bp-1", **told}]).devices[0].warnings == warnings


def test_clock_words():
    # The offset is home time minus device time: positive means that the device shows an earlier time.
    assert clock_words(Decimal(180)) == "3 min slow"
    assert clock_words(Decimal(-7)) == "7 s fast"
    assert clock_words(Decimal("0.4")) == "right"
    assert clock_words(None) == "unknown"


def test_seconds_words():
    assert seconds_words(Decimal("0.2449")) == "0.2 s"
    assert seconds_words(Decimal(75)) == "1 min"


def held(device_known: bool) -> HeldReading:
    return HeldReading(
        message_id="m1",
        gateway_id="gw-demohome00001",
        device_id="gl-x",
        kind="glucose",
        measured_at=NOW,
        received_at=NOW,
        verdict="held-unassigned",
        device_known=device_known,
    )


def device(device_id: str = "gl-x", kind: str = "glucose") -> Device:
    return Device(
        id=device_id,
        kind=kind,
        model=None,
        address=None,
        local_name=None,
        gateway_id="gw-demohome00001",
        fda_defined=True,
        patient_id=None,
        patient_name=None,
        assigned_from=None,
        assignment_id=None,
    )


def page(**changes):
    values = {
        "gateways": [gateway()],
        "devices": [],
        "held": [],
        "letters": [],
        "flow": Flow(readings=12, last_stored_at=NOW, median_seconds=Decimal("0.21"), worst_seconds=Decimal("1.5")),
        "backlog": Backlog(waiting=0, oldest_at=None),
        "zone": EASTERN,
        "now": NOW,
    }
    return operator_page(**{**values, **changes})


def test_held_reading_leads_to_its_mending():
    known = page(held=[held(True)], devices=[device()]).held[0]
    unknown = page(held=[held(False)]).held[0]

    assert (known.assign_path, known.hint) == ("/devices/gl-x", "Assign the device")
    assert (unknown.assign_path, unknown.hint) == ("/devices/new?device=gl-x", "Add the device")


@pytest.mark.parametrize(("seconds", "tone"), [(60, "good"), (61, "bad")])
def test_old_backlog_is_bad_news(seconds, tone):
    figures = {
        figure.name: figure
        for figure in page(backlog=Backlog(waiting=3, oldest_at=NOW - timedelta(seconds=seconds))).figures
    }

    assert (figures["Waiting to be judged"].value, figures["Waiting to be judged"].tone) == ("3", tone)


def test_replayed_letters_are_not_open():
    letters = [
        DeadLetter(
            id=1, gateway_id=None, message_id=None, reason="invalid-json", bytes=7, received_at=NOW, replayed_at=NOW
        ),
        DeadLetter(id=2, gateway_id="gw-1", message_id=None, reason="odd", bytes=7, received_at=NOW, replayed_at=None),
    ]

    found = page(letters=letters)

    assert [figure.value for figure in found.figures if figure.name == "Dead letters"] == ["1"]
    assert found.letters[0].gateway == "unknown gateway"
    assert found.letters[1].advice == "Read the reason, mend the cause, then replay."


def trace(**changes) -> Trace:
    values = {
        "message_id": "0f000000-0000-5000-8000-000000000001",
        "device_id": "bp-demo01",
        "gateway_id": "gw-demohome00001",
        "patient_id": "pt-demo01",
        "kind": "blood-pressure",
        "device_time": "2026-11-22T09:59:00",
        "measured_at": NOW,
        "clock_offset_seconds": Decimal(60),
        "time_quality": "corrected",
        "sequence_number": None,
        "received_at": NOW + timedelta(seconds=2),
        "stored_at": NOW + timedelta(seconds=2, milliseconds=150),
        "stored_verdict": "accepted",
        "judged_at": NOW + timedelta(seconds=2, milliseconds=400),
        "judged_verdict": "ok",
        "alert_id": None,
        "alert_at": None,
        "paged_at": None,
        "shown_at": None,
    }
    return Trace(**{**values, **changes})


def test_stamps_in_order_with_the_time_between():
    found = trace_page(trace(), gateway(heard_at=NOW + timedelta(seconds=30)), zone=EASTERN)

    assert [stamp.station for stamp in found.stamps] == [
        "Device", "Gateway journal", "Broker", "Database", "Receipt", "Alert engine", "Alert", "Page",
    ]  # fmt: skip
    assert [stamp.after for stamp in found.stamps[:4]] == ["", "+2.000 s", "", "+0.150 s"]
    assert found.stamps[0].words == "device clock 2026-11-22 09:59:00; time corrected"
    assert found.missing == ""


def test_unjudged_reading_is_named_as_missing_but_a_held_one_is_not():
    waiting = trace_page(trace(judged_at=None, judged_verdict=None), None, zone=EASTERN)
    held_one = trace_page(trace(judged_at=None, judged_verdict=None, patient_id=None), None, zone=EASTERN)

    assert waiting.missing == "Alert engine"
    assert held_one.missing == ""


def test_receipt_is_believed_only_from_a_later_status():
    after, before = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)

    assert receipt_seen(trace(), gateway(heard_at=after)) == after
    assert receipt_seen(trace(), gateway(heard_at=before)) is None
    assert receipt_seen(trace(), gateway(heard_at=after, outbox_depth=2, oldest_pending_at=NOW)) is None
    assert (
        receipt_seen(trace(), gateway(heard_at=after, outbox_depth=2, oldest_pending_at=NOW + timedelta(seconds=3)))
        == after
    )
    assert receipt_seen(trace(), None) is None


def test_tester_sees_which_devices_run():
    answers = {
        "bp-a": {
            "connected": False,
            "advertising": True,
            "records": 2,
            "undelivered": 1,
            "shown_time": "2026-11-22T10:00:00.5",
        },
        "bp-b": "the device is not running: start the demo again",
    }
    devices = [device(name, "blood-pressure") for name in ("bp-a", "bp-b", "bp-c")]

    found = devices_view(devices=devices, answers=answers, recent=[], zone=EASTERN, now=NOW)

    assert [(one.state, one.running) for one in found.devices] == [
        ("advertising", True),
        ("the device is not running: start the demo again", False),
        ("not running", False),
    ]
    assert found.devices[0].facts[0] == ("Device clock", "2026-11-22 10:00:00")
    assert found.running


def test_acts_fit_the_kind():
    moving = act_of("blood-pressure", "moving")

    assert moving is not None
    assert moving.request == {"do": "measure", "flags": ["body-movement"]}
    assert act_of("glucose", "moving") is None
    assert act_of("weight", "measure") is None


def test_audit_verdicts():
    row = AuditRow(
        seq=9,
        at=NOW,
        actor="Alex",
        action="log-in",
        entity="app_user",
        entity_id="us-1",
        detail={"b": ["x", "y"], "a": 1},
    )

    def verdict(problems):
        return audit_page([row], total=9, problems=problems, zone=EASTERN)

    assert verdict(None).verdict == ""
    assert verdict([]).verdict == "Checked: all 9 entries follow from one another."
    assert "entry 5 was changed" in verdict([AuditProblem(seq=5, problem="hash")]).verdict
    assert "the end of the log was cut" in verdict([AuditProblem(seq=9, problem="head")]).verdict
    assert verdict([]).lines[0].detail == "a: 1; b: x, y"
    assert verdict([]).older == "/admin/audit?before=9"
