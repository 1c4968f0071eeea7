"""Operations on a link that closes under them: the driver hears of the link, and no error is left unanswered."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bleak import BleakClient
from bleak.exc import BleakError

from device_drivers.errors import LinkClosedError
from gateway.link import BleakLink
from tests.support.clocks import HeldClock


class ClosingClient:
    """A stack whose operations end with an error of their own when the link is lost, before or after we gave up."""

    is_connected = True
    services = SimpleNamespace(get_characteristic=lambda uuid: SimpleNamespace(uuid=uuid))

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.lost = asyncio.Event()

    async def read_gatt_char(self, _target: object) -> bytearray:
        self.begun.set()
        try:
            await self.lost.wait()
        except asyncio.CancelledError:
            raise BleakError("disconnected") from None
        raise BleakError("disconnected")

    async def write_gatt_char(self, _target: object, _payload: bytes, *, response: bool) -> None:
        del response
        await self.read_gatt_char(_target)


@pytest.mark.parametrize("operation", ["read", "write"])
@pytest.mark.parametrize("end", ["link closes", "stack tells first", "driver is cancelled"])
async def test_error_of_an_operation_that_nobody_waits_for_is_retrieved(operation: str, end: str) -> None:
    unanswered: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unanswered.append(context))
    client = ClosingClient()
    link = BleakLink(
        cast("BleakClient", client),
        address="C0:00:00:00:00:01",
        bonded=True,
        clock=HeldClock(),
        journal=lambda packet: None,
    )
    running = asyncio.create_task(link.read("2A2B") if operation == "read" else link.write("2A2B", b"\x00"))
    await client.begun.wait()

    if end == "driver is cancelled":
        running.cancel()
        client.lost.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        if end == "stack tells first":
            client.lost.set()
        link.mark_closed()
        with pytest.raises(LinkClosedError):
            await running
    del running
    for _ in range(3):  # the loop lets go of finished tasks only when it turns
        await asyncio.sleep(0)
    gc.collect()

    assert unanswered == []
