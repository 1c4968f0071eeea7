"""Reading a document of unknown shape: each look says what was expected, and everything wrong is collected.

Input: nodes of a YAML document and where they are. Output: typed values, and `problems`. A value that is wrong gives a
harmless stand-in, so that reading goes on and one run names every problem.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from alerts.model import Severity

_DURATION: Final = re.compile(r"^(\d+)(m|h|d)$")
_UNIT: Final = {"m": "minutes", "h": "hours", "d": "days"}


class Checked:
    """Typed looks into a document, with a list of what was wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def wrong(self, where: str, what: str) -> None:
        self.problems.append(f"{where}: {what}")

    def table(
        self, node: object, where: str, *, need: tuple[str, ...] = (), may: tuple[str, ...] | None = None
    ) -> dict[str, Any]:
        if not isinstance(node, dict):
            self.wrong(where, "expected key: value pairs")
            return {}
        for key in need:
            if key not in node:
                self.wrong(where, f"{key} is missing")
        if need or may is not None:
            for key in node:
                if key not in need and key not in (may or ()):
                    self.wrong(where, f"unknown key {key!r}")
        return {str(key): value for key, value in node.items()}

    def items(self, node: object, where: str) -> list[Any]:
        if isinstance(node, list):
            return node
        self.wrong(where, "expected a list")
        return []

    def by_severity(self, node: object, where: str) -> dict[Severity, Any]:
        return {Severity(k): v for k, v in self.table(node, where, need=tuple(Severity)).items() if k in list(Severity)}

    def severity(self, node: object, where: str) -> Severity:
        if isinstance(node, str) and node in list(Severity):
            return Severity(node)
        self.wrong(where, f"expected P1, P2, P3 or P4, not {node!r}")
        return Severity.P1

    def number(self, node: object, where: str) -> Decimal:
        try:
            if is_number(node) and (value := Decimal(str(node))).is_finite():
                return value
        except InvalidOperation:
            pass
        self.wrong(where, f"expected a number, not {node!r}")
        return Decimal(0)

    def integer(self, node: object, where: str) -> int:
        if isinstance(node, int) and not isinstance(node, bool) and node >= 0:
            return node
        self.wrong(where, f"expected a whole number, not {node!r}")
        return 0

    def minutes(self, node: object, where: str) -> timedelta:
        if isinstance(node, str):
            return self.duration(node, where)
        return timedelta(minutes=self.integer(node, where))

    def duration(self, node: object, where: str) -> timedelta:
        match = _DURATION.match(node) if isinstance(node, str) else None
        if match is None:
            if isinstance(node, int) and not isinstance(node, bool):
                return timedelta(minutes=self.integer(node, where))
            self.wrong(where, f"expected minutes or a number with m, h or d, not {node!r}")
            return timedelta(0)
        return timedelta(**{_UNIT[match[2]]: int(match[1])})

    def day(self, node: object, where: str) -> date:
        if isinstance(node, date):
            return node
        self.wrong(where, f"expected a date, not {node!r}")
        return date.min


def is_number(node: object) -> bool:
    return isinstance(node, (int, float, Decimal)) and not isinstance(node, bool)
