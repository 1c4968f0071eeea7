"""Users and the audit log as an administrator sees them. Pure: rows to ready strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from server.db.accounts import UserRow
from server.db.operations import AuditProblem, AuditRow
from server.web import formatting


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLine:
    """One log-in; `may_disable` is false for one's own and for those already off."""

    id: str
    name: str
    login: str
    role: str
    status: str
    may_disable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One row of the log."""

    number: str
    when: str
    actor: str
    action: str
    entity: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """A stretch of the log, newest first. `verdict` is empty unless the chain was checked."""

    total: str
    lines: tuple[AuditLine, ...]
    older: str | None
    verdict: str
    broken: bool


def user_lines(users: Sequence[UserRow], *, own_id: str) -> tuple[UserLine, ...]:
    return tuple(
        UserLine(
            id=user.id,
            name=user.display_name,
            login=user.login,
            role=user.role,
            status="active" if user.disabled_at is None else "switched off",
            may_disable=user.disabled_at is None and user.id != own_id,
        )
        for user in users
    )


def audit_page(
    rows: Sequence[AuditRow], *, total: int, problems: Sequence[AuditProblem] | None, zone: ZoneInfo
) -> AuditPage:
    lines = tuple(
        AuditLine(
            number=str(row.seq),
            when=f"{formatting.local_date(row.at, zone)}, {formatting.local_time_seconds(row.at, zone)}",
            actor=row.actor,
            action=row.action.replace("-", " "),
            entity=f"{row.entity.replace('_', ' ')} {row.entity_id}",
            detail=_detail(row.detail),
        )
        for row in rows
    )
    older = f"/admin/audit?before={rows[-1].seq}" if rows and rows[-1].seq > 1 else None
    return AuditPage(
        total=f"{total} entries", lines=lines, older=older, verdict=verdict(problems, total), broken=bool(problems)
    )


def verdict(problems: Sequence[AuditProblem] | None, total: int) -> str:
    """What checking the chain found."""
    if problems is None:
        return ""
    if not problems:
        return f"Checked: all {total} entries follow from one another."
    first = problems[0]
    place = "the end of the log was cut" if first.problem == "head" else f"entry {first.seq} was changed"
    return f"Checked: {place}. Do not use this log as evidence; restore it from a backup and tell the privacy officer."


def _detail(detail: dict[str, object]) -> str:
    parts = [
        f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in sorted(detail.items())
    ]
    return "; ".join(parts)
