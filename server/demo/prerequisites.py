"""The programs that no Python package brings: what is missing, installed where it may be, else named in one line.

Input: `demo` or `test`. Output: exit 0 when everything is there; 1 with the command that a person has to run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program, the Debian packages that bring it and what it is for."""

    names: tuple[str, ...]
    packages: tuple[str, ...]
    purpose: str

    def path(self) -> str | None:
        """Where it is; Debian keeps daemons out of an ordinary user's PATH."""
        search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
        return next((found for name in self.names if (found := shutil.which(name, path=search))), None)


MOSQUITTO: Final = Program(names=("mosquitto",), packages=("mosquitto",), purpose="the MQTT broker")
DBUS: Final = Program(names=("dbus-daemon",), packages=("dbus",), purpose="the message bus of Bluetooth")
CHROMIUM: Final = Program(
    names=("chromium", "chromium-browser", "google-chrome"),
    packages=("chromium", "fonts-dejavu-core"),
    purpose="the browser that drives the pages in tests",
)
NEEDS: Final = {"demo": (MOSQUITTO, DBUS), "test": (MOSQUITTO, DBUS, CHROMIUM)}
# Without Mosquitto the demo takes the MQTT listener of the NATS server that came with the Python packages.
OPTIONAL: Final = {"demo": (MOSQUITTO,), "test": ()}


def missing(programs: tuple[Program, ...]) -> tuple[Program, ...]:
    return tuple(program for program in programs if program.path() is None)


def _privilege() -> tuple[str, ...] | None:
    """The words before `apt-get`, or None where we may not install."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return ()
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ("sudo", "-n")
    return None


def _install(prefix: tuple[str, ...], packages: tuple[str, ...]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = (*prefix, "apt-get", "-qq")
    subprocess.run([*apt, "update"], env=environment, stdout=subprocess.DEVNULL, check=False)
    done = subprocess.run(
        [*apt, "install", "-y", "--no-install-recommends", *packages],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def ensure(purpose: str) -> int:
    """Install what is missing where we may; returns the exit code."""
    absent = missing(NEEDS[purpose])
    if not absent:
        return 0
    packages = tuple(package for program in absent for package in program.packages)
    prefix = _privilege()
    if prefix is not None:
        print(f"[set-up] installing {', '.join(packages)}", flush=True)
        _install(prefix, packages)
        absent = missing(NEEDS[purpose])
    absent = tuple(program for program in absent if program not in OPTIONAL[purpose])
    if not absent:
        return 0
    for program in absent:
        print(f"{program.names[0]} is missing: it is {program.purpose}.", file=sys.stderr)
    command = "brew install " if sys.platform == "darwin" else "sudo apt-get install -y "
    print(f"Install it with: {command}{' '.join(p for program in absent for p in program.packages)}", file=sys.stderr)
    return 1


def main() -> int:
    purpose = sys.argv[1] if len(sys.argv) == 2 else ""
    if purpose not in NEEDS:
        print(f"usage: python -m server.demo.prerequisites {{{'|'.join(NEEDS)}}}", file=sys.stderr)
        return 2
    return ensure(purpose)


if __name__ == "__main__":
    sys.exit(main())
