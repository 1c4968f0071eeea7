"""Demo data: a simulated practice with its people, three homes ready to measure, and the month of twenty patients.

Input: a connection as the owner of the database, and `now`. Output: what was made, with log-ins. Running it again
changes nothing and returns the same. No reading is ever inserted: readings come through devices alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from server.db.pool import Connection
from server.db.rows import returned
from server.demo.homes import DEMO_HOMES, HomeSpec, Work, month_work
from server.demo.install import PRACTITIONER_ID, install_home

PRACTICE_ID: Final = "pr-demo"
PRACTICE_NAME: Final = "Demo practice (simulated)"
PRACTICE_ZONE: Final = "America/New_York"
# 555-01xx is reserved for examples: nobody answers there.
PRACTICE_PHONE: Final = "+1 555 0199"
NURSE_ID: Final = "st-demorn"
ASSISTANT_ID: Final = "st-demoma"
# The nurse of the one-month scenario has no log-in: her days are full, and nobody can be in two places.
# The example number of the NPI check-digit standard: valid by its checksum, assigned to nobody.
DEMO_NPI: Final = "1234567893"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLogin:
    """One person who can log in to the demo, with the password to print."""

    role: str
    login: str
    password: str
    display_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDevice:
    """What a simulated device must be to be taken for this one. `passkey` has six digits; None pairs without."""

    id: str
    kind: str
    model: str
    address: str
    local_name: str
    passkey: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoHome:
    """One gateway and its devices. A device's memory may reach back to `monitored_from` (the patient's date)."""

    gateway_id: str
    patient_id: str
    zone: str
    monitored_from: date
    devices: tuple[DemoDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """What the demo command prints and starts."""

    practice_id: str
    created: bool
    logins: tuple[DemoLogin, ...]
    homes: tuple[DemoHome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    role: str
    login: str
    display_name: str
    language: str = "en"
    staff_id: str | None = None
    practitioner_id: str | None = None
    patient_id: str | None = None


_PEOPLE: Final = (
    _Person(role="nurse", login="nurse", display_name="Maria Lopez, RN", staff_id=NURSE_ID),
    _Person(role="practitioner", login="doctor", display_name="Dr. Helen Park", practitioner_id=PRACTITIONER_ID),
    _Person(role="biller", login="biller", display_name="Sam Reed"),
    _Person(role="patient", login="patient", display_name="Anna Berg", patient_id=DEMO_HOMES[0].patient_id),
    _Person(
        role="patient", login="paciente", display_name="Luis Ortega", language="es", patient_id=DEMO_HOMES[1].patient_id
    ),
    _Person(role="tester", login="tester", display_name="Tess Quinn"),
    _Person(role="admin", login="admin", display_name="Alex Kim"),
)


def demo_password(login: str) -> str:
    """The fixed password of a demo log-in. It opens a practice of simulated people that cannot bill."""
    return f"{login}-demo-vitalwire"


def seed(
    conn: Connection,
    *,
    now: datetime,
    passwords: Mapping[str, str] | None = None,
    hasher: PasswordHasher | None = None,
) -> SeedResult:
    """The demo practice with three homes. Facts are made once; log-ins always answer to the returned passwords.

    `passwords` by login replaces the fixed ones, for a demo that others can reach.
    """
    created = not _exists(conn, PRACTICE_ID)
    _as_practice(conn, PRACTICE_ID)
    if created:
        _practice(conn, PRACTICE_ID, PRACTICE_NAME, at=now)
        for spec in DEMO_HOMES:
            monitored_from = _local_date(now, spec.zone) - timedelta(days=spec.enrolled_days_before)
            install_home(conn, PRACTICE_ID, spec, monitored_from=monitored_from, now=now)
            _work(conn, PRACTICE_ID, spec.patient_id, _past_work(spec, now, monitored_from))
        _audit(conn, PRACTICE_ID, "seed")
    logins = tuple(
        _login(conn, PRACTICE_ID, person, (passwords or {}).get(person.login) or demo_password(person.login), hasher)
        for person in _PEOPLE
    )
    homes = tuple(_read_home(conn, spec) for spec in DEMO_HOMES)
    return SeedResult(practice_id=PRACTICE_ID, created=created, logins=logins, homes=homes)


def record_month_work(
    conn: Connection, *, patients: Sequence[str], nurse_id: str, first_day: date, days: int, until: datetime
) -> None:
    """The care team's time for the patients of a scenario, done by a nurse of its own, at most to `until`."""
    conn.execute(
        "INSERT INTO staff (id, practice_id, name, credential) VALUES (%s, %s, 'Priya Shah', 'RN')"
        " ON CONFLICT DO NOTHING",
        (nurse_id, PRACTICE_ID),
    )
    for number, patient_id in enumerate(patients, start=1):
        planned = month_work(number, first_day=first_day, days=days)
        placed = [_placed(item, day) for day, item in planned]
        _work(conn, PRACTICE_ID, patient_id, placed, nurse_id=nurse_id, until=until)


# --- the practice and its people ----------------------------------------------------------------------------------


def _exists(conn: Connection, practice_id: str) -> bool:
    return conn.execute("SELECT 1 FROM practice WHERE id = %s", (practice_id,)).fetchone() is not None


def _as_practice(conn: Connection, practice_id: str) -> None:
    conn.execute("SELECT set_config('app.practice_id', %s, true)", (practice_id,))


def _practice(conn: Connection, practice_id: str, name: str, *, at: datetime) -> None:
    conn.execute(
        "INSERT INTO practice (id, name, time_zone, phone, is_simulated, created_at) VALUES (%s, %s, %s, %s, true, %s)",
        (practice_id, name, PRACTICE_ZONE, PRACTICE_PHONE, at),
    )
    conn.execute(
        "INSERT INTO practitioner (id, practice_id, name, credential, npi) VALUES (%s, %s, %s, %s, %s)",
        (PRACTITIONER_ID, practice_id, "Dr. Helen Park", "MD", DEMO_NPI),
    )
    for staff_id, person, credential in ((NURSE_ID, "Maria Lopez", "RN"), (ASSISTANT_ID, "Jordan Wells", "MA")):
        conn.execute(
            "INSERT INTO staff (id, practice_id, name, credential) VALUES (%s, %s, %s, %s)",
            (staff_id, practice_id, person, credential),
        )
    conn.execute("INSERT INTO payer_profile (practice_id) VALUES (%s)", (practice_id,))


def _login(
    conn: Connection, practice_id: str, person: _Person, password: str, hasher: PasswordHasher | None
) -> DemoLogin:
    hasher = hasher or PasswordHasher()
    row = conn.execute("SELECT id, password_hash FROM app_user WHERE login = %s", (person.login,)).fetchone()
    if row is None:
        conn.execute(
            """
            INSERT INTO app_user (id, practice_id, login, password_hash, role, display_name, staff_id, practitioner_id,
                                  patient_id, language)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            (
                f"us-demo{person.login}",
                practice_id,
                person.login,
                hasher.hash(password),
                person.role,
                person.display_name,
                person.staff_id,
                person.practitioner_id,
                person.patient_id,
                person.language,
            ),
        )
    elif not _matches(hasher, str(row[1]), password):
        conn.execute("UPDATE app_user SET password_hash = %s WHERE id = %s", (hasher.hash(password), row[0]))
    return DemoLogin(role=person.role, login=person.login, password=password, display_name=person.display_name)


def _matches(hasher: PasswordHasher, stored: str, password: str) -> bool:
    try:
        return hasher.verify(stored, password)
    except VerifyMismatchError:
        return False


# --- homes --------------------------------------------------------------------------------------------------------


def _read_home(conn: Connection, spec: HomeSpec) -> DemoHome:
    """What the database holds, so that a second start tells the same as the first."""
    setup = conn.execute(
        "SELECT setup_on FROM enrollment WHERE patient_id = %s AND program = 'rpm' ORDER BY from_on DESC LIMIT 1",
        (spec.patient_id,),
    )
    found = tuple(
        DemoDevice(id=r[0], kind=r[1], model=r[2], address=r[3], local_name=r[4], passkey=r[5])
        for r in conn.execute(
            "SELECT id, kind, model, address, local_name, passkey FROM device WHERE gateway_id = %s ORDER BY id",
            (spec.gateway_id,),
        )
    )
    return DemoHome(
        gateway_id=spec.gateway_id,
        patient_id=spec.patient_id,
        zone=spec.zone,
        monitored_from=returned(setup),
        devices=found,
    )


# --- time of the care team ----------------------------------------------------------------------------------------


def _past_work(spec: HomeSpec, now: datetime, monitored_from: date) -> Iterator[tuple[datetime, Work]]:
    """Work on working days before today, none before the enrolment."""
    today = _local_date(now, PRACTICE_ZONE)
    for item in spec.work:
        day = working_day_before(today, item.working_days_before)
        if day > monitored_from:
            yield _placed(item, day)


def working_day_before(today: date, count: int) -> date:
    """The `count`-th Monday-to-Friday day before `today`."""
    day = today
    while count > 0:
        day -= timedelta(days=1)
        if day.weekday() < 5:
            count -= 1
    return day


def _placed(item: Work, day: date) -> tuple[datetime, Work]:
    return _instant(day, item.at, PRACTICE_ZONE), item


def _work(
    conn: Connection,
    practice_id: str,
    patient_id: str,
    items: Iterator[tuple[datetime, Work]] | list[tuple[datetime, Work]],
    *,
    nurse_id: str = NURSE_ID,
    until: datetime | None = None,
) -> None:
    for started_at, item in items:
        ended_at = started_at + timedelta(seconds=item.seconds)
        if until is not None and ended_at > until:
            continue
        conn.execute(
            """
            INSERT INTO time_entry
                (practice_id, patient_id, program, performer_id, started_at, ended_at, activity, live, with_whom, note,
                 recorded_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            (
                practice_id,
                patient_id,
                item.program,
                ASSISTANT_ID if item.by_assistant else nurse_id,
                started_at,
                ended_at,
                item.activity,
                item.with_whom is not None,
                item.with_whom,
                item.note,
                ended_at + timedelta(minutes=1),
            ),
        )


def _audit(conn: Connection, practice_id: str, action: str) -> None:
    conn.execute(
        "INSERT INTO audit (practice_id, actor, action, entity, entity_id) VALUES (%s, 'system', %s, 'practice', %s)",
        (practice_id, action, practice_id),
    )


def _local_date(now: datetime, zone: str) -> date:
    return now.astimezone(ZoneInfo(zone)).date()


def _instant(day: date, at: time, zone: str) -> datetime:
    return datetime.combine(day, at, ZoneInfo(zone))
