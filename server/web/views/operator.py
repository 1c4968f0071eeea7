"""The operator's page: is everything flowing, and if not, where does it stand still. Pure.

Input: rows of gateways, held readings, dead letters, flow and backlog; the viewer's zone; `now`. Output: ready strings.
No patient's value and no patient's name comes through here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from server.db.devices import Device, DeviceWarning, GatewayState, device_warnings
from server.db.observations import Flow, HeldReading
from server.db.operations import Backlog, DeadLetter
from server.web import formatting

# A gateway tells its status every few minutes; a quarter of an hour of silence is no hiccup any more.
SILENT_AFTER: Final = timedelta(minutes=15)
_OLD_OUTBOX: Final = timedelta(minutes=10)
_LOW_BATTERY: Final = 20
_WEAK_SIGNAL: Final = -90
_CLOCK_OFF: Final = Decimal(60)
# Readings are judged within seconds; a minute of backlog means that the alert worker stands still.
_BACKLOG_OLD: Final = timedelta(minutes=1)

_ADVICE: Final[Mapping[str, str]] = {
    "invalid-json": "The gateway sent bytes that are no JSON. Update its software, then replay.",
    "invalid-schema": "A field is missing or wrong. Compare the versions of gateway and server, then replay.",
    "unknown-schema": "The gateway is newer than the server. Update the server, then replay.",
    "too-large": "The message was larger than 64 KiB. The gateway must send smaller batches.",
    "batch-size": "The batch held no reading or more than 100. Update the gateway.",
    "unknown-gateway": "Nobody enrolled this gateway. Enrol it, then replay; or take it off the network.",
    "unknown-kind": "The server does not know this kind of device yet. Update the server, then replay.",
    "value-out-of-range": "A value that its metric cannot have. Look at the device; a replay gives the same.",
    "unit-mismatch": "A value in a unit that its metric is not kept in. Mend the driver, then replay.",
    "time-out-of-range": "A time no reading can have. Look at the clock of device and gateway.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """One device as its gateway last saw it."""

    id: str
    battery: str
    signal: str
    clock: str
    seen: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayCard:
    """One gateway. `tone` is `good`, `warn` or `bad`; `state` says it in words."""

    id: str
    label: str
    tone: str
    state: str
    heard: str
    outbox: str
    oldest: str
    software: str
    configuration: str
    devices: tuple[DeviceLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLine:
    """A reading nobody owns yet, and what to do with it."""

    message_id: str
    device_id: str
    gateway_id: str
    kind: str
    measured: str
    reason: str
    assign_path: str | None
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterLine:
    """A dead letter without its content."""

    id: int
    gateway: str
    message: str
    reason: str
    advice: str
    size: str
    received: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number on top of the page."""

    name: str
    value: str
    note: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPage:
    """The whole page."""

    figures: tuple[Figure, ...]
    gateways: tuple[GatewayCard, ...]
    held: tuple[HeldLine, ...]
    letters: tuple[LetterLine, ...]


def operator_page(
    *,
    gateways: Sequence[GatewayState],
    devices: Sequence[Device],
    held: Sequence[HeldReading],
    letters: Sequence[DeadLetter],
    flow: Flow,
    backlog: Backlog,
    zone: ZoneInfo,
    now: datetime,
) -> OperatorPage:
    """Everything that is known now; `flow` is of the last hour."""
    known = {device.id for device in devices}
    cards = tuple(gateway_card(item, zone=zone, now=now) for item in gateways)
    return OperatorPage(
        figures=tuple(_figures(cards, held, letters, flow, backlog, zone, now)),
        gateways=cards,
        held=tuple(_held(item, known, zone, now) for item in held),
        letters=tuple(_letter(item, zone, now) for item in letters),
    )


def gateway_card(gateway: GatewayState, *, zone: ZoneInfo, now: datetime) -> GatewayCard:
    """How one gateway stands. Offline by its last will and silent are two different things."""
    if gateway.heard_at is None:
        tone, state = "bad", "Never heard"
    elif gateway.state == "offline":
        tone, state = "bad", "Offline"
    elif now - gateway.heard_at > SILENT_AFTER:
        tone, state = "bad", f"Silent for {formatting.span(int((now - gateway.heard_at).total_seconds()))}"
    elif gateway.oldest_pending_at is not None and now - gateway.oldest_pending_at > _OLD_OUTBOX:
        tone, state = "warn", "Online, readings are waiting"
    else:
        tone, state = "good", "Online"
    return GatewayCard(
        id=gateway.id,
        label=gateway.label,
        tone=tone,
        state=state,
        heard=formatting.local_when(gateway.heard_at, zone, now) if gateway.heard_at else "never",
        outbox="unknown" if gateway.outbox_depth is None else _count(gateway.outbox_depth, "reading"),
        oldest=_ago(gateway.oldest_pending_at, now) if gateway.oldest_pending_at else "nothing waits",
        software=gateway.software or "unknown",
        configuration=_configuration(gateway, zone, now),
        devices=tuple(_device(item, zone, now) for item in device_warnings(gateway.devices)),
    )


def _configuration(gateway: GatewayState, zone: ZoneInfo, now: datetime) -> str:
    if gateway.config_version is None:
        return "none written"
    if gateway.config_published_at is None:
        return f"version {gateway.config_version} waits to be published"
    return (
        f"version {gateway.config_version}, published {formatting.local_when(gateway.config_published_at, zone, now)}"
    )


def _device(item: DeviceWarning, zone: ZoneInfo, now: datetime) -> DeviceLine:
    warnings = [item.warning.replace("-", " ")] if item.warning else []
    if item.battery_percent is not None and item.battery_percent <= _LOW_BATTERY:
        warnings.append("battery low")
    if item.rssi_dbm is not None and item.rssi_dbm <= _WEAK_SIGNAL:
        warnings.append("signal weak")
    if item.clock_offset_seconds is not None and abs(item.clock_offset_seconds) >= _CLOCK_OFF:
        warnings.append("clock off")
    seen = datetime.fromisoformat(item.last_seen_at) if item.last_seen_at else None
    return DeviceLine(
        id=item.device_id,
        battery="unknown" if item.battery_percent is None else f"{item.battery_percent} %",
        signal="unknown" if item.rssi_dbm is None else f"{item.rssi_dbm} dBm",
        clock=clock_words(item.clock_offset_seconds),
        seen=formatting.local_when(seen, zone, now) if seen else "not yet",
        warnings=tuple(warnings),
    )


def clock_words(offset: Decimal | None) -> str:
    """The server's time minus the device's: positive means that the device is slow."""
    if offset is None:
        return "unknown"
    seconds = int(abs(offset))
    if seconds == 0:
        return "right"
    return f"{formatting.span(seconds)} {'slow' if offset > 0 else 'fast'}"


def _figures(
    cards: Sequence[GatewayCard],
    held: Sequence[HeldReading],
    letters: Sequence[DeadLetter],
    flow: Flow,
    backlog: Backlog,
    zone: ZoneInfo,
    now: datetime,
) -> list[Figure]:
    good = sum(card.tone == "good" for card in cards)
    open_letters = sum(letter.replayed_at is None for letter in letters)
    late = backlog.oldest_at is not None and now - backlog.oldest_at > _BACKLOG_OLD
    return [
        Figure(
            name="Gateways online",
            value=f"{good} of {len(cards)}",
            note="all well" if good == len(cards) else "see below",
            tone="good" if good == len(cards) else "bad",
        ),
        Figure(
            name="Readings, last hour",
            value=str(flow.readings),
            note=f"last at {formatting.local_time(flow.last_stored_at, zone)}"
            if flow.last_stored_at
            else "none arrived",
            tone="good" if flow.readings else "warn",
        ),
        Figure(
            name="Home to database",
            value=seconds_words(flow.median_seconds),
            note=f"slowest {seconds_words(flow.worst_seconds)}"
            if flow.worst_seconds is not None
            else "no reading to time",
            tone="good",
        ),
        Figure(
            name="Waiting to be judged",
            value=str(backlog.waiting),
            note=f"oldest {_ago(backlog.oldest_at, now)}" if backlog.oldest_at else "nothing waits",
            tone="bad" if late else "good",
        ),
        Figure(
            name="Held readings",
            value=str(len(held)),
            note="assign their devices" if held else "every reading has its patient",
            tone="warn" if held else "good",
        ),
        Figure(
            name="Dead letters",
            value=str(open_letters),
            note="see why below" if open_letters else "none open",
            tone="warn" if open_letters else "good",
        ),
    ]


def seconds_words(seconds: Decimal | None) -> str:
    """`0.2 s` below ten seconds, else the usual words."""
    if seconds is None:
        return "\u2013"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return formatting.span(int(seconds))


def _held(item: HeldReading, known: set[str], zone: ZoneInfo, now: datetime) -> HeldLine:
    is_known = item.device_known and item.device_id in known
    return HeldLine(
        message_id=item.message_id,
        device_id=item.device_id,
        gateway_id=item.gateway_id,
        kind=item.kind.replace("-", " "),
        measured=formatting.local_when(item.measured_at, zone, now),
        reason="nobody had this device then" if is_known else "the device is not known",
        assign_path=f"/devices/{item.device_id}" if is_known else f"/devices/new?device={item.device_id}",
        hint="Assign the device" if is_known else "Add the device",
    )


def _letter(item: DeadLetter, zone: ZoneInfo, now: datetime) -> LetterLine:
    return LetterLine(
        id=item.id,
        gateway=item.gateway_id or "unknown gateway",
        message=item.message_id or "no id",
        reason=item.reason,
        advice=_ADVICE.get(item.reason, "Read the reason, mend the cause, then replay."),
        size=f"{item.bytes} bytes",
        received=formatting.local_when(item.received_at, zone, now),
        status=f"replayed {formatting.local_when(item.replayed_at, zone, now)}" if item.replayed_at else "open",
    )


def _ago(at: datetime, now: datetime) -> str:
    return f"{formatting.span(max(int((now - at).total_seconds()), 0))} ago"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
