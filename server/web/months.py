"""Months for pages: facts out of the database and the engine's verdict on them, off the event loop.

Input: the billing role's pool, patients, a month, an instant. Output: facts and adjudication by patient. Also the steps
of days and minutes that a board measures against, from the dated parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from psycopg_pool import ConnectionPool

from server.billing.determine import adjudicate
from server.billing.facts import facts_digest
from server.billing.outlook import Outlook, outlook
from server.billing.parameter_tree import ParameterTree, medicare
from server.billing.run import WATERMARK, facts_for_many
from server.db.pool import Connection, transaction
from server.web.views.billing import DaySteps, Steps

# Beside the first blocks of each program: the add-on code and where its block and its cap stand.
_RPM: Final = (("rpm/management/short_block_seconds", "99470"), ("rpm/management/first_block_seconds", "99457"))
_CCM: Final = (("ccm/clinical_staff/first_block_seconds", "99490"),)
_DAYS: Final = (("rpm/device_supply/few_days", "99445"), ("rpm/device_supply/many_days", "99454"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What is known of one patient's month and what follows from it."""

    facts: dict[str, Any]
    adjudication: dict[str, Any]
    outlook: tuple[Outlook, ...] = ()


async def read_months(
    pool: ConnectionPool[Connection],
    *,
    practice_id: str,
    patient_ids: Sequence[str],
    month: str,
    as_of: datetime,
    is_simulated: bool,
) -> dict[str, Month]:
    """Facts as they stood at `as_of`, adjudicated. Patients the practice does not have are absent."""
    return await asyncio.to_thread(_read, pool, practice_id, patient_ids, month, as_of, is_simulated)


def _read(
    pool: ConnectionPool[Connection],
    practice_id: str,
    patient_ids: Sequence[str],
    month: str,
    as_of: datetime,
    is_simulated: bool,
) -> dict[str, Month]:
    with transaction(pool, practice_id) as conn:
        found = facts_for_many(conn, patient_ids=patient_ids, month=month, as_of=as_of)
    answers: dict[str, Month] = {}
    for patient_id, facts in found.items():
        adjudication: dict[str, Any] = dict(adjudicate(facts))
        if is_simulated:
            adjudication["watermark"] = WATERMARK
        answers[patient_id] = Month(facts=facts, adjudication=adjudication, outlook=outlook(facts))
    return answers


def result_digest(adjudication: dict[str, Any]) -> str:
    """Names the verdict alone: the digest of the facts changes with the moment they were read."""
    return facts_digest({key: value for key, value in adjudication.items() if key != "facts_digest"})


def ladders(day: date) -> tuple[Steps, ...]:
    """The seconds at which each code of RPM and CCM is reached under the rules of a day."""
    tree = medicare()
    return (
        Steps(
            program="rpm", steps=_steps(tree, day, _RPM, further="rpm/management/further_block_seconds", add_on="99458")
        ),
        Steps(
            program="ccm",
            steps=_steps(tree, day, _CCM, further="ccm/clinical_staff/further_block_seconds", add_on="99439"),
        ),
    )


def day_steps(day: date) -> DaySteps:
    """The reading days at which each supply code is reached under the rules of a day."""
    tree = medicare()
    return DaySteps(steps=tuple((tree.whole(path, day), code) for path, code in _DAYS if tree.has(path, day)))


def _steps(
    tree: ParameterTree, day: date, first: Sequence[tuple[str, str]], *, further: str, add_on: str
) -> tuple[tuple[int, str], ...]:
    steps = [(tree.whole(path, day), code) for path, code in first if tree.has(path, day)]
    base = steps[-1][0]
    for unit in range(1, tree.whole(f"units/{add_on}", day) + 1):
        name = add_on if unit == 1 else f"{add_on} \u00d7 {unit}"
        steps.append((base + unit * tree.whole(further, day), name))
    return tuple(steps)
