"""The days of thousands of homes: who measures what and when, and when it leaves the gateway. Pure.

Input: identities of gateways, a pattern (seed, begin, power-back) and nothing else. Output: readings of the contract in
the order in which gateways send them. The same input gives the same readings with the same identities.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.contract import DeviceRef, Reading, WireComponent, message_id, raw_to_wire
from simulators.encoding import BloodPressurePacket, GlucosePacket, blood_pressure_measurement, glucose_measurement

KINDS: Final = ("blood-pressure", "glucose")
# Roughly how the population of the United States is spread over its time zones.
_ZONES: Final = {
    "America/New_York": 47,
    "America/Chicago": 29,
    "America/Los_Angeles": 17,
    "America/Denver": 7,
}
# Before breakfast and after dinner, as most programs ask for; the evening is forgotten more often.
_TIMES_OF_DAY: Final = ((7.5, 1.0), (18.75, 0.75))
_HABIT_HOURS: Final = 0.75  # how far one home's usual hour is from everybody's
_DAY_HOURS: Final = 0.4  # how far one day's measurement is from the home's usual hour
_WAY_SECONDS: Final = (4.0, 20.0)  # from the end of a measurement to the gateway's publish
_RETURN_SECONDS: Final = 30.0  # within which gateways are back after the power is
# No local day begins earlier than this before the same day in UTC.
_EARLIEST_ZONE: Final = timedelta(hours=14)


class FleetError(ValueError):
    """The fleet cannot be made from what was given; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDevice:
    """A device of a home; `kind` is one of `KINDS`."""

    id: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHome:
    """A gateway, what it logs in with, and its devices."""

    gateway: str
    username: str
    password: str
    devices: tuple[FleetDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """How the fleet lives. `offline_share` of the homes have been without power for `offline_days` (at the
    latest since the begin) until `power_back`."""

    seed: int
    begin: datetime
    power_back: datetime
    offline_share: float = 0.1
    offline_days: float = 10.0

    @property
    def power_cut(self) -> datetime:
        return min(self.begin, self.power_back - timedelta(days=self.offline_days))


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What a home keeps for life, drawn from the seed and its gateway id."""

    zone: ZoneInfo
    adherence: float
    hours: tuple[float, ...]
    loses_power: bool
    returns_after: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One reading and when its gateway sends it (simulated time, UTC)."""

    leaves_at: datetime
    gateway: str
    reading: Reading


def read_homes(identities: Any, most: int | None = None) -> tuple[FleetHome, ...]:
    """Homes from the list that `vitalwire simulate provision` writes. Raises `FleetError` naming the entry."""
    if not isinstance(identities, list) or not identities:
        raise FleetError("the identities must be a JSON list with at least one gateway")
    if most is not None and len(identities) < most:
        raise FleetError(f"there are {len(identities)} gateways in the file, {most} are wanted; provision more")
    homes = tuple(_read_home(entry, number) for number, entry in enumerate(identities[:most]))
    if not any(home.devices for home in homes):
        raise FleetError("none of the gateways has a device; provision with --devices-per-gateway 2")
    return homes


def _read_home(entry: Any, number: int) -> FleetHome:
    try:
        devices = tuple(FleetDevice(id=str(item["id"]), kind=str(item["kind"])) for item in entry["devices"])
        home = FleetHome(
            gateway=str(entry["gateway"]),
            username=str(entry["username"]),
            password=str(entry["password"]),
            devices=devices,
        )
    except (KeyError, TypeError) as error:
        raise FleetError(f"entry {number} lacks gateway, username, password or devices with id and kind") from error
    for device in devices:
        if device.kind not in KINDS:
            raise FleetError(
                f"entry {number}: the fleet has no devices of kind {device.kind!r}, only {', '.join(KINDS)}"
            )
    return home


def habits_of(home: FleetHome, pattern: Pattern) -> Habits:
    """A home's zone, usual hours, adherence, and whether the power cut hits it."""
    draw = random.Random(f"{pattern.seed}|{home.gateway}")  # noqa: S311 - a seeded pattern, not a secret
    return Habits(
        zone=ZoneInfo(draw.choices(tuple(_ZONES), tuple(_ZONES.values()))[0]),
        adherence=draw.betavariate(8, 2),
        hours=tuple(draw.gauss(hour, _HABIT_HOURS) for hour, _ in _TIMES_OF_DAY),
        loses_power=draw.random() < pattern.offline_share,
        returns_after=timedelta(seconds=draw.uniform(0.0, _RETURN_SECONDS)),
    )


def acts(homes: Iterable[FleetHome], pattern: Pattern) -> Iterator[Act]:
    """Every reading of the fleet from its begin, without end, in the order of leaving.

    A home that the power cut hits brings what its devices measured meanwhile as stored readings when it is back.
    Holds the readings of about two days, and those of the homes without power.
    """
    known = [(home, habits_of(home, pattern)) for home in homes]
    waiting: list[tuple[datetime, str, int, Act]] = []
    order = itertools.count()
    first = (pattern.begin - timedelta(days=1)).date()
    day = (pattern.power_cut - timedelta(days=1)).date()
    while True:
        for home, habits in known:
            if day < first and not habits.loses_power:
                continue
            for act in _day(home, habits, pattern, day):
                heapq.heappush(waiting, (act.leaves_at, act.gateway, next(order), act))
        day += timedelta(days=1)
        complete = datetime.combine(day, time(), UTC) - _EARLIEST_ZONE
        while waiting and waiting[0][0] < complete:
            yield heapq.heappop(waiting)[3]


def _day(home: FleetHome, habits: Habits, pattern: Pattern, day: date) -> Iterator[Act]:
    """One local day of a home. What was measured before its gateway took part is not in the fleet."""
    since = pattern.power_cut if habits.loses_power else pattern.begin
    for device in home.devices:
        draw = random.Random(f"{pattern.seed}|{device.id}|{day}")  # noqa: S311 - a seeded pattern, not a secret
        for part, (_, share) in enumerate(_TIMES_OF_DAY):
            measures = draw.random() < habits.adherence * share
            hour = min(max(draw.gauss(habits.hours[part], _DAY_HOURS), 0.0), 23.99)
            values = _values(device.kind, hour, draw)
            way = timedelta(seconds=draw.uniform(*_WAY_SECONDS))
            local = datetime.combine(day, time(), habits.zone) + timedelta(seconds=int(hour * 3600))
            measured = local.astimezone(UTC)
            if not measures or measured < since:
                continue
            dark = habits.loses_power and measured < pattern.power_back
            leaves = pattern.power_back + habits.returns_after if dark else measured + way
            sequence = (day - date(2020, 1, 1)).days * len(_TIMES_OF_DAY) + part
            reading = _reading(
                device,
                values,
                measured,
                local.replace(tzinfo=None),
                sequence,
                received=leaves if dark else measured + way,
                memory="stored" if dark else "live",
            )
            yield Act(leaves_at=leaves, gateway=home.gateway, reading=reading)


def _values(kind: str, hour: float, draw: random.Random) -> Mapping[str, Decimal]:
    """Whole numbers in the unit of `_UNITS`, with a little morning surge."""
    if kind == "glucose":
        return {"glucose": _whole(draw.gauss(132, 24), 55, 380)}
    systolic = _whole(draw.gauss(134 if hour < 12 else 129, 11), 88, 205)
    diastolic = _whole(draw.gauss(80, 8), 50, int(systolic) - 15)
    return {"systolic": systolic, "diastolic": diastolic, "pulse-rate": _whole(draw.gauss(72, 8), 45, 130)}


def _whole(value: float, low: int, high: int) -> Decimal:
    return Decimal(round(min(max(value, low), high)))


_UNITS: Final = {"systolic": "mm[Hg]", "diastolic": "mm[Hg]", "pulse-rate": "/min", "glucose": "mg/dL"}


def _reading(
    device: FleetDevice,
    values: Mapping[str, Decimal],
    measured: datetime,
    shown: datetime,
    sequence: int,
    *,
    received: datetime,
    memory: str,
) -> Reading:
    if device.kind == "glucose":
        concentration = values["glucose"].scaleb(-5)  # 1 mg/dL is 10^-5 kg/L, the unit of 2A18
        raw = {
            "2A18": glucose_measurement(GlucosePacket(sequence=sequence, base_time=shown, concentration=concentration))
        }
    else:
        raw = {
            "2A35": blood_pressure_measurement(
                BloodPressurePacket(
                    systolic=values["systolic"],
                    diastolic=values["diastolic"],
                    timestamp=shown,
                    pulse=values["pulse-rate"],
                )
            )
        }
    return Reading(
        message_id=message_id(
            device_identity=device.id,
            kind=device.kind,
            device_time=shown.isoformat(),
            sequence_number=sequence,
            raw=raw,
        ),
        device=DeviceRef(id=device.id, model="simulated"),
        kind=device.kind,
        measured_at=measured,
        received_at=received,
        components=tuple(
            WireComponent(metric=metric, value=value, unit=_UNITS[metric]) for metric, value in values.items()
        ),
        memory=memory,
        device_time=shown.isoformat(),
        clock_offset_seconds=Decimal(0),
        time_quality="synchronised",
        sequence_number=sequence,
        raw=raw_to_wire(raw),
    )


def digest(device: str, kind: str, measured_at: datetime, values: Iterable[tuple[str, str, str]]) -> str:
    """What a reading says, in 32 hexadecimal digits; `values` are (metric, decimal, unit) in any order."""
    numbers = ";".join(f"{metric}={Decimal(value).normalize():f} {unit}" for metric, value, unit in sorted(values))
    said = f"{device}|{kind}|{measured_at.astimezone(UTC).isoformat()}|{numbers}"
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def ledger_line(act: Act) -> dict[str, str]:
    """What the database must hold in the end: one line of the ledger."""
    reading = act.reading
    values = [(item.metric, str(item.value), item.unit) for item in reading.components]
    return {
        "message_id": str(reading.message_id),
        "gateway": act.gateway,
        "device": reading.device.id,
        "measured_at": reading.measured_at.isoformat(),
        "digest": digest(reading.device.id, reading.kind, reading.measured_at, values),
    }
