"""A D-Bus of our own: a `dbus-daemon` child with a generated configuration, gone when we are.

Input: a folder for socket and configuration. Output: the bus address for `DBUS_SYSTEM_BUS_ADDRESS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_START_SECONDS: Final = 10.0
_CONFIGURATION: Final = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def _end_with_parent() -> None:
    """In the child, before exec: the kernel ends it when we are killed, whatever kills us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class PrivateBus:
    """Owns the daemon."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    @classmethod
    async def start(cls, folder: Path) -> PrivateBus:
        """Start a daemon with its socket in `folder` (an absolute path of at most some 90 characters).

        Raises FileNotFoundError where there is no dbus-daemon, RuntimeError where it does not come up.
        """
        configuration = folder / "dbus.conf"
        configuration.write_text(_CONFIGURATION.format(socket=folder / "bus"), encoding="utf-8")
        log = (folder / "dbus.log").open("wb")
        try:
            process = await asyncio.create_subprocess_exec(
                "dbus-daemon",
                f"--config-file={configuration}",
                "--nofork",
                "--nopidfile",
                "--print-address=1",
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                preexec_fn=_end_with_parent,
            )
        except FileNotFoundError as error:
            raise FileNotFoundError("dbus-daemon is missing; install it (Debian: apt-get install dbus)") from error
        finally:
            log.close()
        if process.stdout is None:
            raise RuntimeError("dbus-daemon has no output")
        async with asyncio.timeout(_START_SECONDS):
            line = await process.stdout.readline()
        if not line:
            await process.wait()
            said = (folder / "dbus.log").read_text(encoding="utf-8", errors="replace").strip()
            raise RuntimeError(f"dbus-daemon ended with {process.returncode}: {said}")
        return cls(process, line.decode().strip())

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()
