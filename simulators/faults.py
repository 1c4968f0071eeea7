"""What can go wrong with a device on the air, by name, with the outcome a good gateway shows.

Input: a name and a number from a tester or a scenario. Output: `FaultSwitches` that a device consults while it sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


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
