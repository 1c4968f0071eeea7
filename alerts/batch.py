"""One batch of judgement: lock patients, run the engine over what waits, write everything, in one transaction.

Input: a connection of the role `vw_alerts` inside a transaction, the rule set and `now`. Output: what was done. A
crash before COMMIT leaves the work rows where they were; nothing is judged twice and nothing is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import structlog

from alerts import journal, tables
from alerts.engine import due_at, step, tick
from alerts.model import METRICS, GatewayChange, Judgement, NotificationDue, Output, ProfileChange, Verdict
from alerts.observation import KINDS, to_reading
from alerts.profile import PatientRules, rules_for
from alerts.rule_set import ProfileError, RuleSet
from alerts.state import PatientState, new_state

log = structlog.get_logger(__name__)

# Larger batches raise throughput, smaller ones shorten the time an act of a nurse waits for its patient's lock.
MAX_PATIENTS: Final = 200
MAX_READINGS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a batch did."""

    patients: int = 0
    readings: int = 0
    notifications: int = 0


class Rulebook:
    """The rule set compiled per profile, each once. Profiles repeat: most patients have the defaults."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.rule_set = rule_set
        self._compiled: dict[str, PatientRules] = {}

    def of(self, patient: tables.Patient) -> PatientRules:
        """Rules of one patient. Without `expects` a patient is expected to use the devices assigned now."""
        profile = dict(patient.profile)
        profile.setdefault("expects", sorted({KINDS[k] for k in patient.device_kinds if k in KINDS}))
        key = json.dumps(profile, sort_keys=True)
        if key not in self._compiled:
            self._compiled[key] = self._compile(patient.patient_id, profile)
        return self._compiled[key]

    def _compile(self, patient_id: str, profile: Mapping[str, Any]) -> PatientRules:
        try:
            return rules_for(self.rule_set, profile)
        except ProfileError as error:
            # The limits of the defaults are better than none, and an alert says that they are in use.
            log.error("alert-profile-refused", patient_id=patient_id)
            expects = profile["expects"] if isinstance(profile["expects"], list) else []
            known = [kind for kind in expects if kind in METRICS]
            return replace(rules_for(self.rule_set, {"expects": known}), problem=str(error))


async def run_batch(conn: tables.AsyncConnection, book: Rulebook, *, now: datetime) -> Done:
    """Judge what waits and run the clocks that are due, for as many patients as fit and are free."""
    patients = await tables.lock_patients(conn, now=now, limit=MAX_PATIENTS)
    if not patients:
        return Done()
    work = await tables.waiting_work(conn, [p.patient_id for p in patients], limit=MAX_READINGS)
    rows = await tables.readings(conn, work)
    by_patient: dict[str, list[tables.WorkRow]] = {}
    for item in work:
        by_patient.setdefault(item.patient_id, []).append(item)
    results = [judge(p, by_patient.get(p.patient_id, ()), rows, book, now=now) for p in patients]
    await journal.write(conn, results, done=[item.id for item in work], now=now)
    return Done(
        patients=len(patients),
        readings=len(work),
        notifications=sum(isinstance(o, NotificationDue) for r in results for o in r.outputs),
    )


async def run_gateways(conn: tables.AsyncConnection, book: Rulebook, *, now: datetime) -> Done:
    """Tell the engine of homes that were lost or came back."""
    changes = await tables.lock_gateway_changes(conn, now=now, limit=MAX_PATIENTS)
    results: list[journal.Result] = []
    for patient, online, at in changes:
        rules = book.of(patient)
        state = patient.state or _first_state(patient, (), now)
        state, outputs = step(state, GatewayChange(online=online, at=at), rules)
        results.append(_result(patient, state, outputs, rules))
    await journal.write(conn, results, done=(), now=now)
    return Done(patients=len(changes))


def _result(
    patient: tables.Patient, state: PatientState, outputs: Sequence[Output], rules: PatientRules
) -> journal.Result:
    return journal.Result(
        patient=patient,
        state=state,
        due_at=due_at(state, rules),
        outputs=tuple(outputs),
        ruleset=rules.rule_set.label,
    )


def judge(
    patient: tables.Patient,
    work: Sequence[tables.WorkRow],
    rows: Mapping[Any, tables.StoredReading],
    book: Rulebook,
    *,
    now: datetime,
) -> journal.Result:
    """The engine over one patient's waiting readings, in the order of arrival, then over the clocks until `now`.

    A reading arrives when it became this patient's in our database, not when its gateway heard it: what waited at home
    or for an assignment for more than six hours is late, and late readings never page.
    """
    rules = book.of(patient)
    state = patient.state or _first_state(patient, work, now)
    outputs: list[Output] = []
    for item in work:
        state, said = _one(state, item, rows.get(item.message_id), rules)
        outputs.extend(said)
    if rules.problem != state.profile_problem:
        state, said = step(state, ProfileChange(problem=rules.problem, at=now), rules)
        outputs.extend(said)
    state, said = tick(state, now, rules)
    outputs.extend(said)
    arrived = {str(item.message_id): item.enqueued_at for item in work}
    return replace(_result(patient, state, outputs, rules), arrived=arrived)


def _first_state(patient: tables.Patient, work: Sequence[tables.WorkRow], now: datetime) -> PatientState:
    """Silence counts from the first reading's arrival, or from the assignment where nothing ever came."""
    if work:
        return new_state(work[0].enqueued_at)
    return new_state(patient.assigned_at or now, now)


def _one(
    state: PatientState, item: tables.WorkRow, row: tables.StoredReading | None, rules: PatientRules
) -> tuple[PatientState, tuple[Output, ...]]:
    if row is None:
        # Written in one transaction with its reading, so this is a reading deleted by hand. Judged, and said.
        log.error("reading-missing", message_id=str(item.message_id), patient_id=item.patient_id)
        return state, ()
    reading = to_reading(
        message_id=str(row.message_id),
        kind=row.kind,
        device_id=row.device_id,
        measured_at=row.measured_at,
        arrived_at=item.enqueued_at,
        local_date=row.local_date,
        sequence_number=row.sequence_number,
        user_id=row.user_id,
        components=row.components,
        flags=row.flags,
    )
    if reading is None:
        return state, (Judgement(reading_id=str(row.message_id), verdict=Verdict.OK),)
    return step(state, reading, rules)
