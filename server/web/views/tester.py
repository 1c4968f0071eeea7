"""The tester's pages: simulated devices with their buttons, and one reading through all its stamps. Pure.

Input: devices, their answers, rows of the database, the viewer's zone, `now`. Output: ready strings. No value is shown:
a tester sees that a reading travelled, not what it said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.db.devices import Device, GatewayState
from server.db.observations import HeldReading, Trace
from server.web import formatting


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One button: its key in the address, its label and the request it sends."""

    key: str
    label: str
    request: Mapping[str, Any]


_CLOCK: Final = Act(key="clock", label="Shift clock by 26 hours", request={"do": "jump-clock", "seconds": 26 * 3600})
_CLOCK_BACK: Final = Act(key="clock-right", label="Set clock right", request={"do": "reset-clock"})
_ADVERTISE: Final = Act(key="advertise", label="Let it advertise", request={"do": "advertise"})
ACTS: Final[Mapping[str, tuple[Act, ...]]] = {
    "blood-pressure": (
        Act(key="measure", label="Measure", request={"do": "measure"}),
        Act(key="moving", label="Measure while moving", request={"do": "measure", "flags": ["body-movement"]}),
        Act(
            key="high",
            label="Measure a high value",
            request={"do": "measure", "values": {"systolic": 192, "diastolic": 112, "pulse": 88}},
        ),
        Act(
            key="low",
            label="Measure a low value",
            request={"do": "measure", "values": {"systolic": 84, "diastolic": 48, "pulse": 96}},
        ),
        _CLOCK,
        _CLOCK_BACK,
        _ADVERTISE,
    ),
    "glucose": (
        Act(key="measure", label="Measure", request={"do": "measure"}),
        Act(key="high", label="Measure a high value", request={"do": "measure", "values": {"glucose": 320}}),
        Act(key="low", label="Measure a low value", request={"do": "measure", "values": {"glucose": 52}}),
        Act(key="control", label="Control solution", request={"do": "measure", "control_solution": True}),
        _CLOCK,
        _CLOCK_BACK,
        _ADVERTISE,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCard:
    """One simulated device."""

    id: str
    kind: str
    gateway: str
    patient: str
    state: str
    running: bool
    facts: tuple[tuple[str, str], ...]
    acts: tuple[Act, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentLine:
    """A reading that arrived, with the way to its stamps."""

    message_id: str
    device_id: str
    kind: str
    arrived: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TesterPage:
    """The whole page."""

    devices: tuple[DeviceCard, ...]
    recent: tuple[RecentLine, ...]
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """One station of a reading's way; `after` is the time since the station before."""

    station: str
    at: str
    iso: str
    after: str
    words: str
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePage:
    """One reading through all its stamps."""

    message_id: str
    device_id: str
    kind: str
    stamps: tuple[Stamp, ...]
    missing: str


def act_of(kind: str, key: str) -> Act | None:
    return next((act for act in ACTS.get(kind, ()) if act.key == key), None)


def devices_view(
    *,
    devices: Sequence[Device],
    answers: Mapping[str, Mapping[str, Any] | str],
    recent: Sequence[HeldReading],
    zone: ZoneInfo,
    now: datetime,
) -> TesterPage:
    """`answers`: a device's status, or the sentence why there is none; absent where no simulator runs."""
    cards = tuple(_card(device, answers.get(device.id)) for device in devices)
    lines = tuple(
        RecentLine(
            message_id=item.message_id,
            device_id=item.device_id,
            kind=item.kind.replace("-", " "),
            arrived=formatting.local_when(item.received_at, zone, now),
            verdict=item.verdict.replace("-", " "),
        )
        for item in recent
    )
    return TesterPage(devices=cards, recent=lines, running=any(card.running for card in cards))


def _card(device: Device, answer: Mapping[str, Any] | str | None) -> DeviceCard:
    running = isinstance(answer, Mapping)
    facts: tuple[tuple[str, str], ...] = ()
    if answer is None:
        state = "not running"
    elif isinstance(answer, str):
        state = answer
    else:
        state = "connected" if answer.get("connected") else "advertising" if answer.get("advertising") else "resting"
        facts = (
            ("Device clock", str(answer.get("shown_time", "")).replace("T", " ")[:19]),
            ("Records", f"{answer.get('records', 0)}, {answer.get('undelivered', 0)} not yet read"),
            ("Battery", f"{answer.get('battery_percent', '?')} %"),
            ("Sessions", str(answer.get("sessions", 0))),
        )
    return DeviceCard(
        id=device.id,
        kind=device.kind.replace("-", " "),
        gateway=device.gateway_id or "none",
        patient=device.patient_name or "nobody",
        state=state,
        running=running,
        facts=facts,
        acts=ACTS.get(device.kind, ()),
    )


def trace_page(trace: Trace, gateway: GatewayState | None, *, zone: ZoneInfo) -> TracePage:
    """The stations in order, with the time between them. What the database cannot know is said, not guessed."""
    receipt_at = receipt_seen(trace, gateway)
    is_held = trace.patient_id is None
    judged = f"judged: {trace.judged_verdict}" if trace.judged_verdict else "waits for the alert worker"
    stations: list[tuple[str, datetime | None, str]] = [
        ("Device", trace.measured_at, _device_words(trace)),
        ("Gateway journal", trace.received_at, f"on disk at {trace.gateway_id} before anything else"),
        ("Broker", None, "MQTT quality of service 1; the broker keeps no time of its own"),
        ("Database", trace.stored_at, f"committed: {trace.stored_verdict.replace('-', ' ')}"),
        (
            "Receipt",
            receipt_at,
            "the gateway's outbox no longer holds it" if receipt_at else "sent after the commit; no later status yet",
        ),
        ("Alert engine", trace.judged_at, "held: it has no patient yet" if is_held else judged),
        ("Alert", trace.alert_at, f"alert {trace.alert_id}" if trace.alert_id else "none needed"),
        (
            "Page",
            trace.shown_at,
            "sent to open pages" + (", a person was called" if trace.paged_at else "")
            if trace.shown_at
            else "no page was told yet",
        ),
    ]
    stamps: list[Stamp] = []
    before: datetime | None = None
    for station, at, words in stations:
        stamps.append(
            Stamp(
                station=station,
                at=f"{formatting.local_date(at, zone)}, {formatting.local_time_seconds(at, zone)}" if at else "",
                iso=formatting.iso(at) if at else "",
                after=_after(before, at),
                words=words,
                reached=at is not None,
            )
        )
        before = at or before
    needed = {"Device", "Gateway journal", "Database"} | (set() if is_held else {"Alert engine"})
    missing = [stamp.station for stamp in stamps if stamp.station in needed and not stamp.reached]
    return TracePage(
        message_id=trace.message_id,
        device_id=trace.device_id,
        kind=trace.kind.replace("-", " "),
        stamps=tuple(stamps),
        missing=", ".join(missing),
    )


def receipt_seen(trace: Trace, gateway: GatewayState | None) -> datetime | None:
    """The first status that shows the reading gone from the gateway: it is deleted there only on the receipt."""
    if gateway is None or gateway.heard_at is None or gateway.heard_at < trace.stored_at:
        return None
    gone = gateway.outbox_depth == 0 or (
        gateway.oldest_pending_at is not None and gateway.oldest_pending_at > trace.received_at
    )
    return gateway.heard_at if gone else None


def _device_words(trace: Trace) -> str:
    shown = f"device clock {trace.device_time.replace('T', ' ')}" if trace.device_time else "the device told no time"
    number = f", record {trace.sequence_number}" if trace.sequence_number is not None else ""
    return f"{shown}{number}; time {trace.time_quality.replace('-', ' ')}"


def _after(before: datetime | None, at: datetime | None) -> str:
    if before is None or at is None:
        return ""
    gap = at - before
    sign = "+" if gap >= timedelta(0) else "-"
    seconds = abs(gap.total_seconds())
    return f"{sign}{seconds:.3f} s" if seconds < 60 else f"{sign}{formatting.span(int(seconds))}"
