"""The one table of who may use which route: deny by default.

Input: method and route template. Output: the roles that may use it. A route that is not listed is refused to everybody;
a test walks every route and every role. Which *rows* a role may see is decided elsewhere: the practice by row-level
security, the patient by `server.security.phi`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server.security.identity import Role

CLINICAL: Final = frozenset({Role.NURSE, Role.PRACTITIONER})
STAFF: Final = frozenset(Role) - {Role.PATIENT}
EVERYBODY: Final = frozenset(Role)
PRACTITIONER: Final = frozenset({Role.PRACTITIONER})
DEVICE_KEEPERS: Final = frozenset({Role.NURSE, Role.ADMIN})
BILLER: Final = frozenset({Role.BILLER})
BILLING: Final = frozenset({Role.BILLER, Role.PRACTITIONER})
OWN: Final = frozenset({Role.PATIENT})
ADMIN: Final = frozenset({Role.ADMIN})
TESTER: Final = frozenset({Role.TESTER})
PUBLIC: Final[frozenset[Role] | None] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table. `roles is None` means: no log-in needed. `background` requests (timers, live updates) do
    not keep a session alive, else a browser left open would never log off. `sessionless` routes do not even look for a
    session: they answer without a database."""

    method: str
    path: str
    roles: frozenset[Role] | None
    background: bool = False
    sessionless: bool = False


def _rule(
    method: str, path: str, roles: frozenset[Role] | None, *, background: bool = False, sessionless: bool = False
) -> Rule:
    return Rule(method=method, path=path, roles=roles, background=background, sessionless=sessionless)


RULES: Final[tuple[Rule, ...]] = (
    # Anybody
    _rule("GET", "/health/live", PUBLIC, sessionless=True),
    _rule("GET", "/health/ready", PUBLIC, sessionless=True),
    _rule("GET", "/static/{digest}/{name:path}", PUBLIC, sessionless=True),
    _rule("GET", "/login", PUBLIC),
    _rule("POST", "/login", PUBLIC),
    # Anybody who is logged in
    _rule("GET", "/", EVERYBODY),
    _rule("POST", "/logout", EVERYBODY),
    _rule("POST", "/session/extend", EVERYBODY),
    _rule("GET", "/events", STAFF, background=True),
    # Clinical work
    _rule("GET", "/worklist", CLINICAL),
    _rule("GET", "/worklist/rows", CLINICAL, background=True),
    _rule("GET", "/alerts/{alert_id}/panel", CLINICAL),
    _rule("POST", "/alerts/{alert_id}/claim", CLINICAL),
    _rule("POST", "/alerts/{alert_id}/contact", CLINICAL),
    _rule("POST", "/alerts/{alert_id}/snooze", CLINICAL),
    _rule("POST", "/alerts/{alert_id}/escalate", CLINICAL),
    _rule("POST", "/alerts/{alert_id}/close", CLINICAL),
    _rule("GET", "/patients", CLINICAL),
    _rule("GET", "/patients/{patient_id}", CLINICAL),
    # Time of clinical work. A beat without input must not keep the session alive; the page marks those itself.
    _rule("GET", "/time", CLINICAL),
    _rule("POST", "/time/{patient_id}/start", CLINICAL),
    _rule("POST", "/time/{patient_id}/beat", CLINICAL),
    _rule("POST", "/time/{patient_id}/turn", CLINICAL),
    _rule("GET", "/time/{patient_id}/confirm", CLINICAL),
    _rule("POST", "/time/{patient_id}/confirm", CLINICAL),
    _rule("POST", "/time/{patient_id}/discard", CLINICAL),
    # Registry: who is enrolled, with which consent and plan. Approval asks for a practitioner besides.
    _rule("GET", "/registry", CLINICAL),
    _rule("GET", "/registry/new", CLINICAL),
    _rule("POST", "/registry/new", CLINICAL),
    _rule("GET", "/registry/{patient_id}", CLINICAL),
    _rule("POST", "/registry/{patient_id}/edit", CLINICAL),
    _rule("POST", "/registry/{patient_id}/condition", CLINICAL),
    _rule("POST", "/registry/{patient_id}/enroll", CLINICAL),
    _rule("POST", "/registry/{patient_id}/end-enrollment", CLINICAL),
    _rule("POST", "/registry/{patient_id}/consent", CLINICAL),
    _rule("POST", "/registry/{patient_id}/revoke", CLINICAL),
    _rule("POST", "/registry/{patient_id}/care-plan", CLINICAL),
    _rule("POST", "/registry/{patient_id}/approve", PRACTITIONER),
    # Devices: nurses pair them, administrators keep them.
    _rule("GET", "/devices", DEVICE_KEEPERS),
    _rule("GET", "/devices/new", DEVICE_KEEPERS),
    _rule("POST", "/devices/new", DEVICE_KEEPERS),
    _rule("GET", "/devices/{device_id}", DEVICE_KEEPERS),
    _rule("POST", "/devices/{device_id}/assign", DEVICE_KEEPERS),
    _rule("POST", "/devices/{device_id}/end", DEVICE_KEEPERS),
    # Months: days and minutes, never a value
    _rule("GET", "/billing", BILLING),
    _rule("GET", "/billing/coverage", BILLING),
    _rule("GET", "/billing/{month}", BILLING),
    _rule("GET", "/billing/{month}/{patient_id}", BILLING),
    _rule("POST", "/billing/{month}/{patient_id}/allocate", BILLING),
    _rule("POST", "/billing/{month}/{patient_id}/freeze", BILLER),
    # The patient's own page: no address names a patient
    _rule("GET", "/me", OWN),
    _rule("POST", "/me/language", OWN),
    # Running the place
    _rule("GET", "/operator", ADMIN),
    _rule("POST", "/operator/dead-letters/{letter_id}/payload", ADMIN),
    _rule("GET", "/admin", ADMIN),
    _rule("POST", "/admin/users", ADMIN),
    _rule("POST", "/admin/users/{user_id}/disable", ADMIN),
    _rule("GET", "/admin/audit", ADMIN),
    # Simulated practices only; the handlers check that too
    _rule("GET", "/tester", TESTER),
    _rule("POST", "/tester/devices/{device_id}/{act}", TESTER),
    _rule("GET", "/tester/readings/{message_id}", TESTER),
)

_BY_ROUTE: Final = {(rule.method, rule.path): rule for rule in RULES}


def rule_for(method: str, path: str) -> Rule | None:
    """The rule of a route template, or None: refuse. HEAD is read as GET."""
    return _BY_ROUTE.get(("GET" if method == "HEAD" else method, path))


def may(rule: Rule, role: Role) -> bool:
    return rule.roles is None or role in rule.roles
