"""What can go wrong with a device on the air, by name, with the outcome a good gateway shows.

Input: a name and a number from a tester or a scenario. Output: `FaultSwitches` that a device consults while it sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(slots=True, kw_only=True)
class FaultSwitches:
    """Radio and protocol faults of one device. Those with a position count from the next session and fire once."""

    drop_at_notification: int | None = None
    drop_at_byte: int | None = None
    duplicate_indication: int | None = None
    early_indication: bool = False
    ignore_connections: bool = False
    silent_gatt: bool = False
    mtu: int | None = None
    slow_radio: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A named fault: what happens, and what must be seen at the end."""

    summary: str
    expected: str
    takes_number: bool = False


FAULTS: Final[dict[str, Fault]] = {
    "drop-at-notification": Fault(
        summary="the link is lost right after the n-th notification or indication of the next session",
        expected="all records arrive once; a record sent but not confirmed is sent again and recognised",
        takes_number=True,
    ),
    "drop-at-byte": Fault(
        summary="the link is lost before the value that would pass n octets of the next session",
        expected="the next session resumes; all records arrive once",
        takes_number=True,
    ),
    "duplicate-indication": Fault(
        summary="the n-th indication of the next session is sent twice",
        expected="one reading",
        takes_number=True,
    ),
    "early-indication": Fault(
        summary="the device remembers our subscription with the bond and indicates as soon as the link is encrypted",
        expected="no reading is lost, or a warning says that one may be",
    ),
    "ignore-connections": Fault(
        summary="the device advertises but answers no connection request",
        expected="the attempt times out, other devices are served, the next contact works",
    ),
    "silent-gatt": Fault(
        summary="the device connects and then answers no attribute request",
        expected="the session is given up after its time limit, other devices are served",
    ),
    "mtu": Fault(
        summary="the device takes no larger packets than n octets (23 is the Bluetooth minimum)",
        expected="all readings arrive; long ones are cut, never misread",
        takes_number=True,
    ),
    "slow-radio": Fault(
        summary="every packet takes n milliseconds",
        expected="all readings arrive, later",
        takes_number=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyAct:
    """A fault that is an act at the control line, not a switch: the requests that bring it about."""

    summary: str
    expected: str
    requests: tuple[dict[str, Any], ...]


FAULTY_ACTS: Final[dict[str, FaultyAct]] = {
    "failed-measurement": FaultyAct(
        summary="the cuff gives up: all pressures are NaN",
        expected="a visible failed measurement; never zero, never a reading day",
        requests=({"do": "measure", "failed": True},),
    ),
    "wrong-user": FaultyAct(
        summary="somebody measures under a user slot that nobody is assigned to",
        expected="the reading is held for a decision, not given to the patient",
        requests=({"do": "measure", "user": 3},),
    ),
    "body-movement": FaultyAct(
        summary="the patient moves during the measurement",
        expected="the reading carries the mark",
        requests=({"do": "measure", "flags": ["body-movement"]},),
    ),
    "control-solution": FaultyAct(
        summary="the meter is checked with control solution",
        expected="never a patient value",
        requests=({"do": "measure", "control_solution": True},),
    ),
    "above-range": FaultyAct(
        summary="the meter shows HI",
        expected="an event above range, as urgent as a number",
        requests=({"do": "measure", "values": {"glucose": 700}},),
    ),
    "clock-jump": FaultyAct(
        summary="the device's clock is suddenly 26 hours ahead",
        expected="true times of readings stay right, the clock error is shown",
        requests=({"do": "jump-clock", "seconds": 93600},),
    ),
    "batteries-changed": FaultyAct(
        summary="new batteries: the clock starts at 1 January 2000",
        expected="readings get the time of receipt or a corrected one, the clock is set where the policy allows",
        requests=({"do": "change-batteries"},),
    ),
    "bond-lost": FaultyAct(
        summary="the device forgot its bond",
        expected="the bond state says so and pairing anew mends it",
        requests=({"do": "lose-bond"},),
    ),
    "reboot": FaultyAct(
        summary="batteries out and in, also in a transfer",
        expected="the session ends; nothing is lost or doubled",
        requests=({"do": "power-off"}, {"do": "power-on"}),
    ),
}


def set_fault(switches: FaultSwitches, name: str, number: int | None = None) -> None:
    """Switch a fault on. Raises ValueError for an unknown name or a missing number."""
    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
    if fault.takes_number and (number is None or number < 1):
        raise ValueError(f"fault {name!r} needs a number from 1")
    setattr(switches, name.replace("-", "_"), number if fault.takes_number else True)


def clear_faults(switches: FaultSwitches) -> None:
    fresh = FaultSwitches()
    for name in FAULTS:
        attribute = name.replace("-", "_")
        setattr(switches, attribute, getattr(fresh, attribute))
