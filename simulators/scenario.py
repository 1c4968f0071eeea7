"""Scenario files: homes, patients, devices, who measures what and when, what breaks, and what must be seen at the end.

Input: YAML. Output: a checked `Scenario` and its pure expansion into acts in time order. Same file, same acts.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from simulators.encoding import Meal
from simulators.faults import FAULTS
from simulators.physiology import VirtualPatient

SCENARIO_FOLDER: Final = Path(__file__).parent / "scenarios"
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class ScenarioError(ValueError):
    """A scenario file is wrong; one line for each problem, with the place in the file."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Patient(_Part):
    """A virtual person; `seed` decides the body."""

    id: str
    seed: int
    hypertensive: bool = True
    diabetic: bool = False


class DevicePlan(_Part):
    """A device in a home. Clock faults it was born with go here, later ones under `breaks`."""

    id: str
    kind: Literal["blood-pressure", "glucose"]
    address: Annotated[str, Field(pattern=r"^([0-9A-F]{2}:){5}[0-9A-F]{2}$")]
    passkey: Annotated[int, Field(ge=0, le=999_999)] | None = None
    clock_offset_seconds: float = 0.0
    drift_ppm: float = 0.0


class MeasurePlan(_Part):
    """A habit: a patient uses a device at some hours, more or less on time, more or less faithfully."""

    patient: str
    device: str
    at: Annotated[tuple[time, ...], Field(min_length=1)]
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = _WEEKDAYS
    jitter_minutes: Annotated[float, Field(ge=0, le=180)] = 15.0
    adherence: Annotated[float, Field(ge=0, le=1)] = 1.0
    user: Annotated[int, Field(ge=0, le=254)] | None = None
    meal: str | None = None

    @field_validator("meal")
    @classmethod
    def _known_meal(cls, value: str | None) -> str | None:
        if value is not None and value.upper() not in Meal.__members__:
            raise ValueError(f"no meal {value!r}; there are {', '.join(Meal.__members__).lower()}")
        return value


class Break(_Part):
    """What a tester would do at the control line, on a day of the scenario (1 = first) at a local hour."""

    device: str
    day: Annotated[int, Field(ge=1)]
    at: time
    do: Literal[
        "measure", "fault", "clear-faults", "drop-link", "lose-bond", "jump-clock", "set-clock", "reset-clock",
        "change-batteries", "set-battery", "power-off", "power-on", "pairing-mode", "advertise",
    ]  # fmt: skip
    patient: str | None = None
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")

    @model_validator(mode="after")
    def _known_fault(self) -> Break:
        if self.do == "fault" and self.with_.get("name") not in FAULTS:
            raise ValueError(f"with.name must be one of {', '.join(FAULTS)}")
        return self


class Expectation(_Part):
    """What must be true at the end. Whoever runs the scenario checks it against the system."""

    what: Literal["readings", "reading-days", "alert", "code", "warning"]
    device: str | None = None
    patient: str | None = None
    rule: str | None = None
    code: str | None = None
    exactly: int | None = None
    at_least: int | None = None
    within_seconds: float | None = None

    @model_validator(mode="after")
    def _has_number(self) -> Expectation:
        if (self.exactly is None) == (self.at_least is None):
            raise ValueError("say one of exactly and at_least")
        return self


class Home(_Part):
    """A household with one gateway."""

    id: str
    zone: str = "UTC"
    patients: tuple[Patient, ...] = ()
    devices: Annotated[tuple[DevicePlan, ...], Field(min_length=1)]
    measures: tuple[MeasurePlan, ...] = ()
    breaks: tuple[Break, ...] = ()

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no time zone {value!r}; write an IANA name such as America/New_York") from error
        return value

    @model_validator(mode="after")
    def _known_names(self) -> Home:
        patients = {patient.id for patient in self.patients}
        devices = {device.id for device in self.devices}
        for plan in self.measures:
            if plan.patient not in patients or plan.device not in devices:
                raise ValueError(f"home {self.id}: {plan.patient} with {plan.device}: no such patient or device here")
        for event in self.breaks:
            if event.device not in devices or (event.patient is not None and event.patient not in patients):
                raise ValueError(f"home {self.id}: break of {event.device}: no such device or patient here")
        return self


class Scenario(_Part):
    """A whole scenario. `seed` decides jitter and adherence; bodies have seeds of their own."""

    scenario: str
    summary: str = ""
    start: date
    days: Annotated[int, Field(ge=1, le=400)]
    seed: int
    homes: Annotated[tuple[Home, ...], Field(min_length=1)]
    expect: tuple[Expectation, ...] = ()

    @model_validator(mode="after")
    def _unique_names(self) -> Scenario:
        for name, values in (
            ("home", [home.id for home in self.homes]),
            ("device", [device.id for home in self.homes for device in home.devices]),
            ("address", [device.address for home in self.homes for device in home.devices]),
            ("patient", [patient.id for home in self.homes for patient in home.patients]),
        ):
            doubled = [value for value, count in Counter(values).items() if count > 1]
            if doubled:
                raise ValueError(f"{name} twice: {', '.join(doubled)}")
        known = {device.id for home in self.homes for device in home.devices}
        known |= {patient.id for home in self.homes for patient in home.patients}
        for line in self.expect:
            if {line.device, line.patient} - known - {None}:
                raise ValueError(f"expect: no device or patient {line.device or line.patient}")
        return self

    @property
    def begins_at(self) -> datetime:
        """The first instant any home lives in, UTC: where a simulated clock starts."""
        return min(_local(self.start, time(), ZoneInfo(home.zone)) for home in self.homes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedAct:
    """One act: at the true instant `at`, `request` is done to `device` (see `control`)."""

    at: datetime
    home: str
    device: str
    patient: str | None
    request: dict[str, Any]


def read_scenario(path: Path) -> Scenario:
    """Read and check a file. Raises ScenarioError with every problem."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ScenarioError(f"{path}: no such file") from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: no YAML: {error}") from error
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors())
        raise ScenarioError("\n".join(problems)) from error


def expand(scenario: Scenario) -> tuple[TimedAct, ...]:
    """Every act of the scenario in time order. Pure: the same scenario gives the same acts and values."""
    acts = [act for home in scenario.homes for act in _home_acts(scenario, home)]
    return tuple(sorted(acts, key=lambda act: (act.at, act.home, act.device)))


def planned_readings(acts: Iterable[TimedAct]) -> Counter[str]:
    """How many measurements each device will make."""
    return Counter(act.device for act in acts if act.request["do"] == "measure")


def _home_acts(scenario: Scenario, home: Home) -> Iterator[TimedAct]:
    zone = ZoneInfo(home.zone)
    kinds = {device.id: device.kind for device in home.devices}
    bodies = {
        patient.id: VirtualPatient(patient.seed, hypertensive=patient.hypertensive, diabetic=patient.diabetic)
        for patient in home.patients
    }
    for number, plan in enumerate(home.measures):
        chance = random.Random(f"{scenario.seed}/{home.id}/{number}")  # noqa: S311 - a plan, not a secret
        for moment in _moments(scenario, plan, zone, chance):
            request = _measurement(kinds[plan.device], bodies[plan.patient], moment.astimezone(zone), plan)
            yield TimedAct(at=moment, home=home.id, device=plan.device, patient=plan.patient, request=request)
    for event in home.breaks:
        if event.day <= scenario.days:
            day = scenario.start + timedelta(days=event.day - 1)
            yield TimedAct(
                at=_local(day, event.at, zone),
                home=home.id,
                device=event.device,
                patient=event.patient,
                request={"do": event.do, **event.with_},
            )


def _moments(scenario: Scenario, plan: MeasurePlan, zone: ZoneInfo, chance: random.Random) -> Iterator[datetime]:
    for offset in range(scenario.days):
        day = scenario.start + timedelta(days=offset)
        for hour in plan.at:
            # Both draws always happen, so that a change of adherence does not move the other times.
            happens, shift = chance.random() < plan.adherence, chance.uniform(-1.0, 1.0) * plan.jitter_minutes
            if happens and _WEEKDAYS[day.weekday()] in plan.days:
                yield _local(day, hour, zone) + timedelta(seconds=round(shift * 60))


def _measurement(kind: str, body: VirtualPatient, local: datetime, plan: MeasurePlan) -> dict[str, Any]:
    request: dict[str, Any] = {"do": "measure"}
    if kind == "glucose":
        request["values"] = {"glucose": str(body.glucose(local))}
        if plan.meal is not None:
            request["meal"] = plan.meal
        return request
    lived = body.blood_pressure(local)
    request["values"] = {
        "systolic": str(lived.systolic),
        "diastolic": str(lived.diastolic),
        "mean": str(lived.mean),
        "pulse": str(lived.pulse),
    }
    if plan.user is not None:
        request["user"] = plan.user
    return request


def _local(day: date, hour: time, zone: ZoneInfo) -> datetime:
    """The instant of a local wall-clock time; an hour the clock change skips is taken as if it had not been skipped."""
    return datetime.combine(day, hour, tzinfo=zone).astimezone(UTC)
