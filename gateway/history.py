"""Reading the journal's sessions (again): after a crash, and after a driver was mended.

Input: states of packets to look for. Output: how many readings are new; those already known keep their identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from device_drivers.catalog import DRIVERS, driver_by_id
from device_drivers.driver import Driver
from gateway.derive import derive
from gateway.outbox import Outbox

log = structlog.get_logger(__name__)


async def read_again(outbox: Outbox, states: Sequence[str], *, drivers: Sequence[Driver] = DRIVERS) -> int:
    """Read all sessions that have packets in one of the states. Returns the number of new readings."""
    new = 0
    for session_id in await outbox.undecoded_sessions(states=states):
        session = await outbox.load_session(session_id)
        driver = driver_by_id(session.driver, drivers)
        if driver is None:
            log.warning("driver_missing", driver=session.driver, session=session_id)
            continue
        await outbox.end_session(session_id, "interrupted")
        derived = await asyncio.to_thread(derive, session, driver)
        new += len(await outbox.file_readings(session_id, derived.entries, derived.packets))
    if new:
        log.info("history_read_again", new=new)
    return new
