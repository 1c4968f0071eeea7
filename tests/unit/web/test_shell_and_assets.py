"""The outermost shell gives away nothing; browser files are the locked ones and are named by their content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx
import psycopg
import pytest
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server.web import assets
from server.web.shell import Shell

SECRET = "Anna Kowalska 192/124"


async def _crash(_request: Request) -> Response:
    raise ValueError(SECRET)


async def _database_away(_request: Request) -> Response:
    raise psycopg.OperationalError(SECRET)


async def _echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
def client() -> httpx.AsyncClient:
    routes = [
        Route("/crash/{patient_id}", _crash),
        Route("/away", _database_away),
        Route("/echo", _echo, methods=["POST"]),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Shell, tls=False)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


@pytest.mark.parametrize(("path", "status"), [("/crash/pt-1?q=Anna", 500), ("/away", 503)])
async def test_crash_shows_and_logs_where_and_never_what(client: httpx.AsyncClient, path: str, status: int) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await client.get(path)

    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert SECRET not in answer.text
    assert SECRET not in json.dumps(logs)
    assert "pt-1" not in json.dumps(logs)
    assert "Anna" not in json.dumps(logs)
    incident = next(log for log in logs if log["event"] == "request-crashed")["incident"]
    assert incident in answer.text
    assert answer.headers["content-security-policy"]


@pytest.mark.parametrize(("size", "status"), [(1_048_575, 200), (1_048_576, 200), (1_048_577, 413)])
async def test_body_is_limited_to_one_mebibyte(client: httpx.AsyncClient, size: int, status: int) -> None:
    answer = await client.post("/echo", content=b"x" * size)

    assert answer.status_code == status


def test_installed_browser_files_are_those_of_the_lock() -> None:
    assert assets.missing() == (), "run: python -m server.web.assets install"
    lock = json.loads((assets.REPOSITORY / "package-lock.json").read_text(encoding="utf-8"))
    for source, target in assets.VENDOR_FILES.items():
        package = source.split("/", maxsplit=1)[0]
        installed = assets.REPOSITORY / "node_modules" / source
        manifest = json.loads(
            (assets.REPOSITORY / "node_modules" / package / "package.json").read_text(encoding="utf-8")
        )
        assert manifest["version"] == lock["packages"][f"node_modules/{package}"]["version"]
        assert (assets.VENDOR / target).read_bytes() == installed.read_bytes()


def test_exact_versions_only() -> None:
    package = json.loads((assets.REPOSITORY / "package.json").read_text(encoding="utf-8"))

    for version in (package["dependencies"] | package["devDependencies"]).values():
        assert version[0].isdigit()


def test_url_names_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("body{}", encoding="utf-8")
    loaded = assets.load_assets(tmp_path)
    digest = hashlib.sha256(b"body{}").hexdigest()[:16]

    assert loaded.url("a.css") == f"/static/{digest}/a.css"
    assert loaded.find("0" * 16, "a.css") is None
    with pytest.raises(KeyError):
        loaded.url("missing.css")


def test_pages_run_nothing_inline() -> None:
    """The policy would refuse it in the browser; here the line is named."""
    folder = Path(assets.__file__).with_name("templates")
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for forbidden in (" style=", " onclick=", " onload=", "javascript:", "<style", "http://", "https://", "|safe"):
            assert forbidden not in text, f"{page.name}: {forbidden}"
        for tag in text.split("<script")[1:]:
            assert tag.lstrip().startswith("src="), page.name
