"""Which pages a role sees in the navigation bar, and where it starts. Input: a role. Output: labels and paths. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server.security.identity import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class NavItem:
    """One entry of the bar."""

    label: str
    path: str
    roles: frozenset[Role]


def _item(label: str, path: str, *roles: Role) -> NavItem:
    return NavItem(label=label, path=path, roles=frozenset(roles))


ITEMS: Final[tuple[NavItem, ...]] = (
    _item("Worklist", "/worklist", Role.NURSE, Role.PRACTITIONER),
    _item("Patients", "/patients", Role.NURSE, Role.PRACTITIONER),
    _item("My time", "/time", Role.NURSE, Role.PRACTITIONER),
    _item("Month", "/billing", Role.BILLER, Role.PRACTITIONER),
    _item("My readings", "/me", Role.PATIENT),
    _item("Operator", "/operator", Role.ADMIN),
    _item("Registry", "/registry", Role.NURSE, Role.PRACTITIONER),
    _item("Devices", "/devices", Role.NURSE, Role.ADMIN),
    _item("Admin", "/admin", Role.ADMIN),
    _item("Tester", "/tester", Role.TESTER),
)

HOME: Final[dict[Role, str]] = {
    Role.NURSE: "/worklist",
    Role.PRACTITIONER: "/worklist",
    Role.BILLER: "/billing",
    Role.PATIENT: "/me",
    Role.ADMIN: "/operator",
    Role.TESTER: "/tester",
}


def items_for(role: Role, existing: frozenset[str]) -> tuple[NavItem, ...]:
    """The entries of a role whose pages exist."""
    return tuple(item for item in ITEMS if role in item.roles and item.path in existing)
