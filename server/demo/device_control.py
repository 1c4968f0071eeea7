"""The tester's hand on simulated devices: one JSON line to a device's control address, one JSON line back.

Input: the registry file (device id → `tcp://HOST:PORT` or `unix:PATH`) that the demo writes, an act. Output: the
device's answer, or `DeviceControlError` with a sentence for the tester. Knows the protocol alone, not the simulators.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

# A measurement of a simulated cuff is instant; a device that does not answer by then hangs.
_TIMEOUT_SECONDS: Final = 5.0
_LINE_LIMIT: Final = 1024 * 1024


class DeviceControlError(RuntimeError):
    """The device cannot be reached or refused; the text is for the tester."""


def read_registry(path: Path | None) -> dict[str, str]:
    """Control addresses by device id; empty while no simulator runs."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DeviceControlError(f"{path.name} cannot be read: start the demo again") from error
    if not isinstance(found, dict):
        raise DeviceControlError(f"{path.name} holds no list of devices: start the demo again")
    return {str(device): str(address) for device, address in found.items()}


async def ask(address: str, request: Mapping[str, Any], *, timeout: float = _TIMEOUT_SECONDS) -> dict[str, Any]:  # noqa: ASYNC109 - the bound is part of the promise
    """One act. Raises `DeviceControlError` when the device is away, silent or refuses."""
    try:
        async with asyncio.timeout(timeout):
            answer = await _exchange(address, request)
    except TimeoutError as error:
        raise DeviceControlError(f"the device did not answer within {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise DeviceControlError("the device is not running: start the demo again") from error
    if not answer.get("ok"):
        raise DeviceControlError(str(answer.get("error") or "the device refused"))
    return answer


async def _exchange(address: str, request: Mapping[str, Any]) -> dict[str, Any]:
    reader, writer = await _connect(address)
    try:
        writer.write(json.dumps(dict(request)).encode() + b"\n")
        await writer.drain()
        answer = json.loads(await reader.readline())
    finally:
        writer.close()
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix:"):
        path = address.removeprefix("unix://").removeprefix("unix:")
        return await asyncio.open_unix_connection(path, limit=_LINE_LIMIT)
    parts = urlsplit(address)
    if parts.scheme != "tcp" or not parts.hostname or parts.port is None:
        raise ValueError(f"{address!r} is no control address")
    return await asyncio.open_connection(parts.hostname, parts.port, limit=_LINE_LIMIT)
